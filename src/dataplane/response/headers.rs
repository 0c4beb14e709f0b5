//! The response headers policy of a behavior, applied to the head of an answer: the only place where that happens.
//!
//! It holds for the answers of origins and for those of ours alike, so that a page may read of an error, too; what an
//! answer of ours says itself stays (`docs/decisions/0022-what-a-response-headers-policy-is-for.md`). Tunnels are
//! none of its business.

use std::fmt::Write;
use std::time::Duration;

use http::header::{Entry, HeaderName, ORIGIN, VARY};
use http::{HeaderMap, HeaderValue};

use crate::table::cors::{self, Cors, Grant};
use crate::table::decide::Scheme;
use crate::table::response_headers::{Added, Over, Precedence, ResponseHeaders, ServerTiming};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What is known of an answer beside its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) author: Author,
    /// How the viewer came.
    pub(crate) scheme: Scheme,
    /// What the page behind the request gets to know.
    pub(crate) grant: Option<&'a Grant>,
    pub(crate) request_id: Option<&'a HeaderValue>,
    /// From the request's head to this moment.
    pub(crate) elapsed: Duration,
}

/// Whose answer it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Author {
    /// An origin's.
    Origin {
        /// How long a new connection took; none where a pooled one was used.
        connect: Option<Duration>,
        /// From the end of the request to the head of the answer, where that was measured.
        first_byte: Option<Duration>,
    },
    /// Ours.
    Proxy,
}

/// Takes out of a head what the policy wants out, and puts in what it wants in.
pub(crate) fn apply(policy: &ResponseHeaders, headers: &mut HeaderMap, answer: Answer<'_>) {
    if let Author::Origin { .. } = answer.author {
        for name in &policy.removed {
            headers.remove(name);
        }
    }
    if let Some(cors) = &policy.cors {
        share(cors, headers, answer);
    }
    for Added { name, value, precedence, over } in &policy.added {
        if *over == Over::Any || answer.scheme == Scheme::Https {
            put(headers, answer.author, name, value, *precedence);
        }
    }
    // Behind all that the policy may say of Vary itself.
    if policy.cors.is_some() {
        vary_by_origin(headers);
    }
    if policy.server_timing == ServerTiming::Told {
        put_timing(headers, answer);
    }
}

/// Puts a field in; where there is one, as precedence says.
fn put(
    headers: &mut HeaderMap,
    author: Author,
    name: &HeaderName,
    value: &HeaderValue,
    precedence: Precedence,
) {
    match (author, precedence) {
        (Author::Origin { .. }, Precedence::Policy) => drop(headers.insert(name, value.clone())),
        (Author::Origin { .. }, Precedence::Origin) | (Author::Proxy, _) => {
            if let Entry::Vacant(vacant) = headers.entry(name) {
                vacant.insert(value.clone());
            }
        }
    }
}

/// Says who may read the answer.
///
/// Where the policy has the last word, what the origin says of that is out as a whole, whoever asks: a mixture of both
/// could allow what neither does.
fn share(cors: &Cors, headers: &mut HeaderMap, answer: Answer<'_>) {
    if let (Author::Origin { .. }, Precedence::Policy) = (answer.author, cors.precedence) {
        for name in &cors::FIELDS {
            headers.remove(name);
        }
    }
    for (name, value) in answer.grant.into_iter().flat_map(|grant| cors.told(grant)) {
        put(headers, answer.author, name, value, cors.precedence);
    }
}

/// Says that the answer depends on the page that asks.
fn vary_by_origin(headers: &mut HeaderMap) {
    // Also where no page asks: a cache must not take this answer for one to a page (RFC 9110 section 12.5.5).
    let elements = headers.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut elements = elements.map(<[u8]>::trim_ascii);
    if !elements.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin")) {
        headers.append(VARY, ORIGIN.into());
    }
}

/// Adds where the time went to what the origin says of that, as one field (CloudFront Developer Guide,
/// "Server-Timing header"; the names are CloudFront's where they mean the same).
fn put_timing(headers: &mut HeaderMap, answer: Answer<'_>) {
    let mut told = String::new();
    let lines = headers.get_all(SERVER_TIMING).iter();
    for line in lines.filter_map(|line| line.to_str().ok()).filter(|line| !line.is_empty()) {
        told.push_str(line);
        told.push_str(", ");
    }
    // Writing to a String does not fail.
    if let Author::Origin { connect, first_byte } = answer.author {
        let _written =
            write!(told, "cdn-upstream-connect;dur={}, ", milliseconds(connect.unwrap_or_default()));
        if let Some(first_byte) = first_byte {
            let _written = write!(told, "cdn-upstream-fbl;dur={}, ", milliseconds(first_byte));
        }
    }
    if let Some(id) = answer.request_id.and_then(quotable) {
        let _written = write!(told, "cdn-rid;desc=\"{id}\", ");
    }
    let _written = write!(told, "cdn-downstream-fbl;dur={}", milliseconds(answer.elapsed));
    if let Ok(value) = told.try_into() {
        headers.insert(SERVER_TIMING, value);
    }
}

/// To the microsecond: in one network a millisecond is long.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// What may stand between quotation marks as it is; an id from a trusted proxy may be anything.
fn quotable(id: &HeaderValue) -> Option<&str> {
    id.to_str().ok().filter(|id| !id.contains(['"', '\\']))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::header::ACCESS_CONTROL_ALLOW_CREDENTIALS;

    use super::*;
    use crate::table::cors::Pages;
    use crate::table::web_origin::AllowedOrigins;

    const OF_ORIGIN: Author = Author::Origin { connect: None, first_byte: None };

    fn head(lines: &[(&str, &str)]) -> HeaderMap {
        let field =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        lines.iter().map(field).collect()
    }

    fn policy() -> ResponseHeaders {
        ResponseHeaders {
            removed: Vec::new(),
            cors: None,
            added: Vec::new(),
            server_timing: ServerTiming::Untold,
        }
    }

    fn added(name: &str, value: &str, precedence: Precedence, over: Over) -> Added {
        Added { name: name.parse().unwrap(), value: value.parse().unwrap(), precedence, over }
    }

    fn cors(precedence: Precedence) -> Cors {
        Cors {
            pages: Pages::Of(AllowedOrigins::new(["https://app.example"])),
            on_answers: Vec::new(),
            on_preflights: Vec::new(),
            methods: Vec::new(),
            headers: Vec::new(),
            precedence,
        }
    }

    /// The head after the policy, a line a field in the order of the names.
    fn applied(policy: &ResponseHeaders, lines: &[(&str, &str)], answer: Answer<'_>) -> Vec<String> {
        let mut headers = head(lines);
        apply(policy, &mut headers, answer);
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut told: Vec<String> = headers.iter().map(line).collect();
        told.sort();
        told
    }

    fn answer(author: Author) -> Answer<'static> {
        let elapsed = Duration::from_micros(12_345);
        Answer { author, scheme: Scheme::Https, grant: None, request_id: None, elapsed }
    }

    #[test]
    fn what_is_removed_is_out_before_anything_is_put_in_and_the_origin_keeps_what_is_not_overridden() {
        let policy = ResponseHeaders {
            removed: vec!["server".parse().unwrap(), "x-both".parse().unwrap()],
            added: vec![
                added("x-both", "ours", Precedence::Origin, Over::Any),
                added("x-kept", "ours", Precedence::Origin, Over::Any),
                added("x-frame-options", "DENY", Precedence::Policy, Over::Any),
                added("strict-transport-security", "max-age=1", Precedence::Policy, Over::Https),
            ],
            ..policy()
        };
        let theirs = [
            ("server", "a"),
            ("x-both", "theirs"),
            ("x-kept", "theirs"),
            ("x-frame-options", "ALLOWALL"),
            ("x-frame-options", "SAMEORIGIN"),
        ];
        let expected = [
            "strict-transport-security: max-age=1",
            "x-both: ours",
            "x-frame-options: DENY",
            "x-kept: theirs",
        ];
        assert_eq!(applied(&policy, &theirs, answer(OF_ORIGIN)), expected);
        let plain = Answer { scheme: Scheme::Http, ..answer(OF_ORIGIN) };
        assert_eq!(applied(&policy, &theirs, plain), expected[1..], "it means nothing over HTTP");
        let own =
            applied(&policy, &[("x-frame-options", "SAMEORIGIN"), ("server", "b")], answer(Author::Proxy));
        assert!(own.contains(&"x-frame-options: SAMEORIGIN".to_owned()), "what we say ourselves stays");
        assert!(own.contains(&"server: b".to_owned()), "only origins' fields are taken out");
    }

    #[test]
    fn no_field_of_the_policy_hides_that_an_answer_depends_on_the_page() {
        for precedence in [Precedence::Policy, Precedence::Origin] {
            let own = added("vary", "accept-encoding", precedence, Over::Any);
            let policy = ResponseHeaders { cors: Some(cors(precedence)), added: vec![own], ..policy() };
            let expected = ["vary: accept-encoding", "vary: origin"];
            assert_eq!(applied(&policy, &[], answer(OF_ORIGIN)), expected);
            assert_eq!(applied(&policy, &[], answer(Author::Proxy)), expected);
        }
    }

    #[test]
    fn where_the_policy_has_the_last_word_nothing_of_what_the_origin_allows_is_left() {
        let with = |precedence| ResponseHeaders { cors: Some(cors(precedence)), ..policy() };
        let theirs = [("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")];
        let request = head(&[("origin", "https://app.example")]);
        let grant = cors(Precedence::Policy).grant(&Method::GET, &request);
        let granted = Answer { grant: grant.as_ref(), ..answer(OF_ORIGIN) };
        let (ours, vary) = ("access-control-allow-origin: https://app.example", "vary: origin");
        let credentials = format!("{ACCESS_CONTROL_ALLOW_CREDENTIALS}: true");
        assert_eq!(applied(&with(Precedence::Policy), &theirs, granted), [ours, vary]);
        assert_eq!(applied(&with(Precedence::Policy), &theirs, answer(OF_ORIGIN)), [vary]);
        let kept = [&credentials, "access-control-allow-origin: *", vary];
        assert_eq!(applied(&with(Precedence::Origin), &theirs, granted), kept);
        assert_eq!(applied(&with(Precedence::Origin), &[], granted), [ours, vary]);
        assert_eq!(applied(&with(Precedence::Origin), &[], answer(OF_ORIGIN)), [vary]);
    }

    #[test]
    fn an_answer_says_once_that_it_depends_on_the_page() {
        let policy = ResponseHeaders { cors: Some(cors(Precedence::Origin)), ..policy() };
        let vary = |lines: &[(&str, &str)]| applied(&policy, lines, answer(OF_ORIGIN));
        assert_eq!(vary(&[("vary", "accept-encoding")]), ["vary: accept-encoding", "vary: origin"]);
        for enough in ["Origin", "accept , ORIGIN", "*"] {
            assert_eq!(vary(&[("vary", enough)]), [format!("vary: {enough}")]);
        }
    }

    #[test]
    fn the_time_is_told_behind_what_the_origin_tells_and_by_what_is_known() {
        let policy = ResponseHeaders { server_timing: ServerTiming::Told, ..policy() };
        let author = Author::Origin {
            connect: Some(Duration::from_micros(1500)),
            first_byte: Some(Duration::from_millis(9)),
        };
        let (id, odd) = (HeaderValue::from_static("a-1"), HeaderValue::from_static("a\"b"));
        let of_origin = Answer { request_id: Some(&id), ..answer(author) };
        let theirs = [("server-timing", "db;dur=3"), ("server-timing", "app")];
        assert_eq!(
            applied(&policy, &theirs, of_origin),
            ["server-timing: db;dur=3, app, cdn-upstream-connect;dur=1.5, cdn-upstream-fbl;dur=9, \
              cdn-rid;desc=\"a-1\", cdn-downstream-fbl;dur=12.345"]
        );
        assert_eq!(
            applied(&policy, &[], answer(OF_ORIGIN)),
            ["server-timing: cdn-upstream-connect;dur=0, cdn-downstream-fbl;dur=12.345"]
        );
        let own = Answer { request_id: Some(&odd), ..answer(Author::Proxy) };
        assert_eq!(applied(&policy, &[], own), ["server-timing: cdn-downstream-fbl;dur=12.345"]);
    }
}
