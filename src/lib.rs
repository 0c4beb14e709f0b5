//! Tidegate: a Kubernetes ingress controller for WebSocket and HTTP.
//!
//! One process observes Kubernetes objects, translates them into one immutable routing table, and serves from
//! that table. `ARCHITECTURE.md` draws the map; follow a change through [`snapshot`], [`translate`] and [`table`],
//! and a request through `dataplane::exchange`.

pub mod admin;
pub mod api;
pub mod cli;
pub mod conditions;
pub mod dataplane;
pub mod drain;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod nearest;
pub mod object;
pub mod overload;
mod printable;
pub mod provider;
pub mod reconcile;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod table;
pub mod telemetry;
pub mod translate;
