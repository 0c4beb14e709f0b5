//! TLS towards viewers.

use crate::table::decide::TlsIdentity;

/// What a handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Whose it is: it holds for every request of the connection.
    pub(crate) identity: TlsIdentity,
    /// The name that was asked for.
    pub(crate) sni: Option<String>,
    /// The version, as logs write it.
    pub(crate) version: &'static str,
}
