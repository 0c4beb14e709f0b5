//! The data plane: what viewers and origins speak with.

pub mod websocket;
