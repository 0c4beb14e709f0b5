//! What the process tells about itself: metrics, its own log, and the access log.
//!
//! It knows no tables and no objects: callers hand in names and numbers. Nothing here ever blocks a worker.
//! Start with [`metrics::Metrics`] and [`access_log::AccessLog`].

pub mod access_log;
mod address;
pub mod log;
pub mod metrics;
#[cfg(test)]
pub(crate) mod page;

pub use address::Address;
