//! Challenges of ACME servers that are answered over HTTP (RFC 8555 section 8.3): a key for a token of a host.
//!
//! It does not know who may have a host's challenge answered; that is decided where the table is made.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::host::HostName;

/// Where ACME servers ask, with the token behind it.
const PATH: &str = "/.well-known/acme-challenge/";

/// Longer than any token or key authorization of an ACME server, and short enough to hold many.
const MOST_BYTES: usize = 1024;

/// What is answered to ACME servers, by host and token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenges(BTreeMap<HostName, BTreeMap<Token, KeyAuthorization>>);

/// What an ACME server asks for: a text of the base64url alphabet, so that a path can hold it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(Arc<str>);

impl Token {
    /// Reads a token; none where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (1..=MOST_BYTES).contains(&text.len());
        (fits && text.bytes().all(is_token)).then(|| Self(text.into()))
    }
}

impl Borrow<str> for Token {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What an ACME server is answered: the token and the thumbprint of its account's key, with a dot between (RFC 8555
/// section 8.1). It proves nothing to anybody else, and is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAuthorization(Arc<str>);

impl KeyAuthorization {
    /// Reads a key authorization; none where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (token, thumbprint) = text.split_once('.')?;
        let fits =
            text.len() <= MOST_BYTES && Token::parse(token).is_some() && Token::parse(thumbprint).is_some();
        fits.then(|| Self(text.into()))
    }

    /// The answer.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Challenges {
    /// Challenges by host. Of two for one token of one host the first is answered.
    pub fn new(all: impl IntoIterator<Item = (HostName, Token, KeyAuthorization)>) -> Self {
        let mut by_host = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (host, token, answer) in all {
            by_host.entry(host).or_default().entry(token).or_insert(answer);
        }
        Self(by_host)
    }

    /// The answer to who asks for this path of the host.
    pub fn answer(&self, host: &HostName, path: &str) -> Option<&KeyAuthorization> {
        // Mostly there are none, and then this is all that a request pays.
        if self.0.is_empty() {
            return None;
        }
        self.0.get(host)?.get(path.strip_prefix(PATH)?)
    }

    /// Whether nothing is asked of anybody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hosts with the tokens that are answered for each.
    pub fn iter(&self) -> impl Iterator<Item = (&HostName, impl Iterator<Item = &str>)> {
        self.0.iter().map(|(host, tokens)| (host, tokens.keys().map(|Token(token)| &**token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_keys_are_of_the_alphabet_that_acme_writes_them_in() {
        let long = "x".repeat(MOST_BYTES + 1);
        for (text, expected) in
            [("a-Z_09", true), ("", false), ("a.b", false), ("a/b", false), ("a%2fb", false), (&long, false)]
        {
            assert_eq!(Token::parse(text).is_some(), expected, "{text}");
        }
        for (text, expected) in [("a.b", true), ("a", false), ("a.", false), (".b", false), ("a.<b>", false)]
        {
            assert_eq!(KeyAuthorization::parse(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_is_for_its_host_and_token_alone() {
        let host = |name: &str| HostName::parse(name).unwrap();
        let key = |text: &str| KeyAuthorization::parse(text).unwrap();
        let token = || Token::parse("tok").unwrap();
        let challenges = Challenges::new([
            (host("a.example"), token(), key("tok.one")),
            (host("a.example"), token(), key("tok.two")),
            (host("b.example"), token(), key("tok.three")),
        ]);
        let answer =
            |name: &str, path: &str| challenges.answer(&host(name), path).map(KeyAuthorization::as_str);
        assert_eq!(answer("a.example", "/.well-known/acme-challenge/tok"), Some("tok.one"));
        assert_eq!(answer("b.example", "/.well-known/acme-challenge/tok"), Some("tok.three"));
        assert_eq!(answer("c.example", "/.well-known/acme-challenge/tok"), None);
        for path in ["/.well-known/acme-challenge/tokk", "/.well-known/acme-challenge/tok/", "/tok", "/"] {
            assert_eq!(answer("a.example", path), None, "{path}");
        }
    }
}
