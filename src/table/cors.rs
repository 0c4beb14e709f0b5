//! `corsConfig`: which pages of other web origins may read answers, and which preflights need no origin to be answered.
//!
//! What a page is told is what the Fetch standard's "CORS protocol" asks for; the fields are made ready here, and put
//! into heads by the data plane.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderName, ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method};

use super::response_headers::Precedence;
use super::web_origin::{AllowedOrigins, Presented};

/// The fields by which an answer says who may read it.
pub const FIELDS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// Stands for everything in the lists of this protocol; as a name it is a token like others.
const ANY: &str = "*";

/// What pages of other web origins may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Which pages.
    pub pages: Pages,
    /// What answers say beside the page: name and value.
    pub on_answers: Vec<(HeaderName, HeaderValue)>,
    /// What answers to preflights say beside the page.
    pub on_preflights: Vec<(HeaderName, HeaderValue)>,
    /// The methods that a page may use beside those that need no leave; one may be `*`.
    pub methods: Vec<Method>,
    /// The request headers that a page may set beside those that need no leave; one may be `*`.
    pub headers: Vec<HeaderName>,
    /// Who has the last word. Where it is the policy, preflights that it has an answer to do not reach the origin.
    pub precedence: Precedence,
}

/// Pages, by their web origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Those of any.
    Any,
    /// Those of these.
    Of(AllowedOrigins),
}

/// A request by which a browser asks whether a page may send another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preflight<'r> {
    origin: Presented<'r>,
    headers: &'r HeaderMap,
}

impl<'r> Preflight<'r> {
    /// What a head asks; none where it is no preflight (Fetch standard, "CORS-preflight request").
    pub fn of(method: &Method, headers: &'r HeaderMap) -> Option<Self> {
        let asks = *method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| Self { origin: Presented::in_head(headers), headers })
    }
}

/// What a page gets to know, taken down before the head of its request goes on to the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    page: HeaderValue,
    asked: Asked,
}

/// What a page asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// To read an answer.
    Answer,
    /// Whether it may ask.
    Preflight,
}

impl Cors {
    /// Whether a preflight is answered in place of the origin: where the policy has the last word, and a leave to
    /// give.
    pub fn answers(&self, preflight: Preflight<'_>) -> bool {
        let Preflight { origin, headers } = preflight;
        self.precedence == Precedence::Policy
            && self.page(origin).is_some()
            && self.allows_method(headers)
            && self.allows_headers(headers)
    }

    /// What the page behind a request gets to know; nothing where it names none, or one that may not read.
    pub fn grant(&self, method: &Method, headers: &HeaderMap) -> Option<Grant> {
        let page = self.page(Presented::in_head(headers))?;
        let asked = Preflight::of(method, headers).map_or(Asked::Answer, |_| Asked::Preflight);
        Some(Grant { page, asked })
    }

    /// The fields of a grant.
    pub fn told<'t>(
        &'t self,
        grant: &'t Grant,
    ) -> impl Iterator<Item = (&'t HeaderName, &'t HeaderValue)> + 't {
        let others = match grant.asked {
            Asked::Answer => &self.on_answers,
            Asked::Preflight => &self.on_preflights,
        };
        let page = (&ACCESS_CONTROL_ALLOW_ORIGIN, &grant.page);
        std::iter::once(page).chain(others.iter().map(|(name, value)| (name, value)))
    }

    /// How an answer names the page that may read it.
    fn page(&self, presented: Presented<'_>) -> Option<HeaderValue> {
        match (&self.pages, presented) {
            (Pages::Any, Presented::Value(_)) => Some(HeaderValue::from_static(ANY)),
            (Pages::Of(listed), Presented::Value(origin)) => listed.list(origin).then(|| origin.clone()),
            // Who would read another one than we do is told nothing.
            (_, Presented::Nothing | Presented::Several) => None,
        }
    }

    fn allows_method(&self, headers: &HeaderMap) -> bool {
        let mut asked = headers.get_all(ACCESS_CONTROL_REQUEST_METHOD).iter();
        let (Some(method), None) = (asked.next(), asked.next()) else { return false };
        // These need no leave (Fetch standard, "CORS-safelisted method").
        let safe = [Method::GET, Method::HEAD, Method::POST];
        let mut allowed = self.methods.iter().chain(&safe).map(Method::as_str);
        allowed.any(|allowed| allowed == ANY || allowed.as_bytes() == method.as_bytes())
    }

    fn allows_headers(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let mut names = names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        names.all(|name| self.headers.iter().any(|allowed| allows_header(allowed, name)))
    }
}

/// `*` is no leave to send credentials of the page's own (Fetch standard, "CORS non-wildcard request-header name").
fn allows_header(allowed: &HeaderName, name: &[u8]) -> bool {
    let is = |other: &HeaderName| name.eq_ignore_ascii_case(other.as_str().as_bytes());
    is(allowed) || (allowed.as_str() == ANY && !is(&AUTHORIZATION))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(pages: &[&str], methods: &[&str], headers: &[&str]) -> Cors {
        Cors {
            pages: match pages {
                ["*"] => Pages::Any,
                listed => Pages::Of(AllowedOrigins::new(listed.iter().copied())),
            },
            on_answers: Vec::new(),
            on_preflights: Vec::new(),
            methods: methods.iter().map(|name| name.parse().unwrap()).collect(),
            headers: headers.iter().map(|name| name.parse().unwrap()).collect(),
            precedence: Precedence::Policy,
        }
    }

    fn head(lines: &[(&str, &str)]) -> HeaderMap {
        let field =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        lines.iter().map(field).collect()
    }

    fn is_answered(cors: &Cors, lines: &[(&str, &str)]) -> bool {
        let head = head(lines);
        Preflight::of(&Method::OPTIONS, &head).is_some_and(|preflight| cors.answers(preflight))
    }

    const PAGE: (&str, &str) = ("origin", "https://app.example");
    const PUT: (&str, &str) = ("access-control-request-method", "PUT");

    #[test]
    fn a_preflight_is_answered_for_the_pages_methods_and_headers_that_are_allowed() {
        let listed =
            cors(&["https://*.example", "https://app.example"], &["PUT"], &["X-Key", "Content-Type"]);
        let wants = |names| ("access-control-request-headers", names);
        let method = |name| ("access-control-request-method", name);
        for good in [
            &[PAGE, PUT][..],
            &[("origin", "https://a.example"), PUT],
            &[PAGE, method("GET")],
            &[PAGE, method("POST"), wants("content-type,x-key")],
            &[PAGE, PUT, wants("X-KEY , ,Content-Type")],
            &[PAGE, PUT, wants("x-key"), wants("content-type")],
        ] {
            assert!(is_answered(&listed, good), "{good:?}");
        }
        for other in [
            &[PAGE][..],
            &[PUT],
            &[("origin", "https://example"), PUT],
            &[("origin", "null"), PUT],
            &[PAGE, PAGE, PUT],
            &[PAGE, method("DELETE")],
            &[PAGE, method("put")],
            &[PAGE, PUT, method("PUT")],
            &[PAGE, PUT, wants("x-key, x-other")],
            &[PAGE, PUT, wants("x-key"), wants("x-other")],
        ] {
            assert!(!is_answered(&listed, other), "{other:?}");
        }
        let of_origin = Cors { precedence: Precedence::Origin, ..listed };
        assert!(!is_answered(&of_origin, &[PAGE, PUT]), "the origin has the last word");
        assert_eq!(Preflight::of(&Method::GET, &head(&[PAGE, PUT])), None);
    }

    #[test]
    fn a_star_allows_all_but_the_authorization_that_a_page_sets() {
        let any = cors(&["*"], &["*"], &["*"]);
        let wants = |names| ("access-control-request-headers", names);
        assert!(is_answered(&any, &[PAGE, PUT, wants("x-anything")]));
        assert!(!is_answered(&any, &[PAGE, PUT, wants("x-anything, Authorization")]));
        let named = cors(&["*"], &["*"], &["*", "authorization"]);
        assert!(is_answered(&named, &[PAGE, PUT, wants("x-anything, Authorization")]));
    }

    #[test]
    fn a_grant_names_the_page_and_says_what_was_asked_for() {
        let with = |pages| Cors {
            on_answers: vec![(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-a"))],
            on_preflights: vec![(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("9"))],
            ..cors(pages, &[], &[])
        };
        let told = |cors: &Cors, method, lines: &[(&str, &str)]| -> Option<Vec<String>> {
            let grant = cors.grant(&method, &head(lines))?;
            Some(
                cors.told(&grant)
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                    .collect(),
            )
        };
        let (listed, any) = (with(&["https://app.example"]), with(&["*"]));
        let lines = |page: &str, rest: &str| {
            Some(vec![format!("access-control-allow-origin: {page}"), format!("access-control-{rest}")])
        };
        let (read, ask) = ("expose-headers: x-a", "max-age: 9");
        assert_eq!(told(&listed, Method::GET, &[PAGE]), lines("https://app.example", read));
        assert_eq!(told(&listed, Method::OPTIONS, &[PAGE]), lines("https://app.example", read));
        assert_eq!(told(&listed, Method::OPTIONS, &[PAGE, PUT]), lines("https://app.example", ask));
        assert_eq!(told(&any, Method::GET, &[PAGE]), lines("*", read));
        assert_eq!(told(&any, Method::GET, &[]), None);
        assert_eq!(told(&listed, Method::GET, &[("origin", "https://evil.example")]), None);
    }
}
