//! Tidegate.

pub mod api;
