//! Who is let in, and what is believed of them: the operator's choices.

use super::viewer::address::TrustedProxies;

/// The rules of the way from an accepted connection to a request that is judged; the default asks nothing of
/// anybody and trusts nobody.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    /// Whose word on others is taken: in `X-Forwarded-*`.
    pub trusted_proxies: TrustedProxies,
}
