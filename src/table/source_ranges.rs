//! `sourceRanges`: from where a behavior's requests and handshakes may come.
//!
//! What is judged is the viewer's address, as balancing, limits and logs know it. Ranges never overlap but by one lying
//! within another, so each list is kept without the inner ones, in order, and an address is looked up by halving.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whom a behavior serves; by default everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRanges {
    allow: Ranges,
    deny: Ranges,
}

/// What source ranges say of an address, and which of them says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served; since it lies in this range, or since none is demanded.
    Served(Option<IpNet>),
    /// It lies in this range of `deny`.
    Denied(IpNet),
    /// It lies in no range of `allow`, and there are some.
    NotAllowed,
}

impl SourceRanges {
    /// Serves `allow`, or all where that is empty, but never `deny`.
    pub fn new(allow: impl IntoIterator<Item = IpNet>, deny: impl IntoIterator<Item = IpNet>) -> Self {
        Self { allow: allow.into_iter().collect(), deny: deny.into_iter().collect() }
    }

    /// Judges an address; one of IPv4 in IPv6 form is one of IPv4.
    pub fn judge(&self, address: IpAddr) -> Verdict {
        let address = address.to_canonical();
        match (self.deny.find(address), self.allow.find(address)) {
            (Some(range), _) => Verdict::Denied(range),
            (None, None) if !self.allow.0.is_empty() => Verdict::NotAllowed,
            (None, range) => Verdict::Served(range),
        }
    }

    /// Whether everybody is served.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// The ranges that are served, in order; none is all.
    pub fn allow(&self) -> &[IpNet] {
        &self.allow.0
    }

    /// The ranges that are not, in order.
    pub fn deny(&self) -> &[IpNet] {
        &self.deny.0
    }
}

/// Ranges in the order of their addresses, none within another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges(Box<[IpNet]>);

impl FromIterator<IpNet> for Ranges {
    fn from_iter<I: IntoIterator<Item = IpNet>>(ranges: I) -> Self {
        // Of those that begin with the same address the widest comes first, and what lies within a range behind it.
        let mut ranges: Vec<IpNet> = ranges.into_iter().map(|range| range.trunc()).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|inner, outer| outer.contains(&*inner));
        Self(ranges.into_boxed_slice())
    }
}

impl Ranges {
    fn find(&self, address: IpAddr) -> Option<IpNet> {
        let behind = self.0.partition_point(|range| range.addr() <= address);
        let nearest = self.0.get(behind.checked_sub(1)?)?;
        nearest.contains(&address).then_some(*nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(allow: &[&str], deny: &[&str]) -> SourceRanges {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        SourceRanges::new(parse(allow), parse(deny))
    }

    fn told(ranges: &SourceRanges, address: &str) -> String {
        match ranges.judge(address.parse().unwrap()) {
            Verdict::Served(None) => "served".to_owned(),
            Verdict::Served(Some(range)) => format!("served by {range}"),
            Verdict::Denied(range) => format!("denied by {range}"),
            Verdict::NotAllowed => "not allowed".to_owned(),
        }
    }

    #[test]
    fn a_denied_range_wins_and_without_an_allowed_one_the_rest_is_served() {
        let both = ranges(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"], &["10.1.0.0/16", "10.1.2.0/24"]);
        let rows = [
            ("10.0.0.0", "served by 10.0.0.0/8"),
            ("10.255.255.255", "served by 10.0.0.0/8"),
            ("10.1.2.3", "denied by 10.1.0.0/16"),
            ("10.0.255.255", "served by 10.0.0.0/8"),
            ("10.2.0.0", "served by 10.0.0.0/8"),
            ("9.255.255.255", "not allowed"),
            ("11.0.0.0", "not allowed"),
            ("192.0.2.7", "served by 192.0.2.7/32"),
            ("192.0.2.6", "not allowed"),
            ("192.0.2.8", "not allowed"),
            ("2001:db8:ffff::1", "served by 2001:db8::/32"),
            ("2001:db9::", "not allowed"),
            ("::", "not allowed"),
            ("::ffff:10.0.0.1", "served by 10.0.0.0/8"),
            ("::ffff:10.1.0.1", "denied by 10.1.0.0/16"),
        ];
        for (address, expected) in rows {
            assert_eq!(told(&both, address), expected, "{address}");
        }
        let denied = ranges(&[], &["10.1.0.0/16"]);
        assert_eq!(told(&denied, "10.2.0.0"), "served");
        assert_eq!(told(&denied, "10.1.0.0"), "denied by 10.1.0.0/16");
        assert!(ranges(&[], &[]).is_open() && !denied.is_open());
    }

    #[test]
    fn a_range_is_known_by_its_network_and_one_within_another_says_nothing_more() {
        let written = ranges(&["10.9.9.9/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "10.0.0.0/8"], &[]);
        assert_eq!(written, ranges(&["0.0.0.0/0", "::/0"], &[]));
        assert_eq!(told(&written, "203.0.113.9"), "served by 0.0.0.0/0");
        assert_eq!(told(&ranges(&["0.0.0.0/0"], &[]), "2001:db8::1"), "not allowed");
    }

    #[test]
    fn a_look_up_finds_what_a_walk_over_all_of_them_does() {
        let texts =
            ["10.0.0.0/9", "10.64.0.0/10", "10.128.0.0/30", "10.128.0.4/30", "10.128.0.9/32", "::1/128"];
        let (all, walked) = (ranges(&texts, &[]), texts.map(|text| text.parse::<IpNet>().unwrap()));
        for last in 0..=12 {
            for address in [[10, 128, 0, last], [10, 127, 255, last], [10, 0, 0, last], [9, 255, 255, last]] {
                let address = IpAddr::from(address);
                let within = walked.iter().any(|range| range.contains(&address));
                assert_eq!(matches!(all.judge(address), Verdict::Served(_)), within, "{address}");
            }
        }
    }
}
