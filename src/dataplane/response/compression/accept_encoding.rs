//! `Accept-Encoding`: which coding a viewer likes best (RFC 9110 section 12.5.3).

use http::HeaderValue;
use http::header::GetAll;

use super::Coding;

/// A weight, in thousandths; 0 is a refusal.
type Weight = u16;

/// What the field says, as far as it concerns us.
#[derive(Clone, Copy, Debug, Default)]
struct Wishes {
    /// By the position in [`Coding::ALL`].
    codings: [Option<Weight>; Coding::ALL.len()],
    /// `*`: whatever is not named.
    others: Option<Weight>,
    /// `identity`: nothing at all.
    identity: Option<Weight>,
}

/// The coding with the highest weight that we have, of equal ones the first in our own order. None where the viewer
/// takes none, or would rather have nothing at all; also without the field, though it allows everything then: who
/// says nothing may well understand nothing.
pub(super) fn preferred(values: GetAll<'_, HeaderValue>) -> Option<Coding> {
    let mut wishes = Wishes::default();
    for member in values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        wishes.add(member);
    }
    let weighed = Coding::ALL.into_iter().zip(wishes.codings);
    let weighed = weighed.map(|(coding, named)| (coding, named.or(wishes.others).unwrap_or_default()));
    let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
    let least = wishes.identity.unwrap_or_default().max(1);
    best.filter(|(_, weight)| *weight >= least).map(|(coding, _)| coding)
}

impl Wishes {
    /// What is malformed is left out, as if it were not there.
    fn add(&mut self, member: &[u8]) {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let Some(weight) = parts.next().map_or(Some(1000), weight) else { return };
        if parts.next().is_some() {
            return;
        }
        let [zstd, brotli, gzip] = &mut self.codings;
        let place = match name.to_ascii_lowercase().as_slice() {
            b"zstd" => zstd,
            b"br" => brotli,
            b"gzip" | b"x-gzip" => gzip,
            b"*" => &mut self.others,
            b"identity" => &mut self.identity,
            _ => return,
        };
        *place = Some(weight);
    }
}

/// `q=0.125` (RFC 9110 section 12.4.2).
fn weight(parameter: &[u8]) -> Option<Weight> {
    let text = std::str::from_utf8(parameter).ok()?;
    let value = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let thousandths = || format!("{fraction:0<3}").parse().ok();
    match whole {
        "0" if digits => thousandths(),
        "1" if digits && fraction.bytes().all(|digit| digit == b'0') => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::ACCEPT_ENCODING;

    use super::*;

    #[test]
    fn the_highest_weight_wins_and_our_order_decides_between_equal_ones() {
        use Coding::{Brotli, Gzip, Zstd};
        let rows: &[(&[&'static str], Option<Coding>)] = &[
            (&[], None),
            (&[""], None),
            (&["gzip"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["GZIP"], Some(Gzip)),
            (&["gzip, deflate, br"], Some(Brotli)),
            (&["gzip, deflate, br, zstd"], Some(Zstd)),
            (&["gzip", "br"], Some(Brotli)),
            (&["gzip;q=1.0, br;q=0.9"], Some(Gzip)),
            (&["br ; q=0.5 ,gzip;Q=0.51"], Some(Gzip)),
            (&["zstd;q=0, br;q=0.0, gzip;q=0.000"], None),
            (&["*"], Some(Zstd)),
            (&["*;q=0.5, gzip"], Some(Gzip)),
            (&["*, zstd;q=0"], Some(Brotli)),
            (&["*;q=0, gzip;q=0.1"], Some(Gzip)),
            (&["*;q=0"], None),
            (&["identity"], None),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=0.5"], Some(Gzip)),
            (&["identity;q=0"], None),
            (&["deflate, compress"], None),
            (&["gzipped"], None),
            (&["gzip;q=2"], None),
            (&["gzip;q=0.1234"], None),
            (&["gzip;q=1.001"], None),
            (&["gzip;q=-1"], None),
            (&["gzip;level=9"], None),
            (&["gzip;q=1;x"], None),
            (&["gzip;q=,br;q=0.1"], Some(Brotli)),
        ];
        for (values, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(preferred(headers.get_all(ACCEPT_ENCODING)), *expected, "{headers:?}");
        }
    }
}
