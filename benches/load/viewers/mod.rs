//! The viewers: h2load where connections stay, and our own where they come and go or only stay open.

pub(crate) mod flood;
pub(crate) mod h2load;
pub(crate) mod idle;
pub(crate) mod passing;
pub(crate) mod request;
pub(crate) mod websocket;
