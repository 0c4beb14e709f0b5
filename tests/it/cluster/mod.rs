//! Tidegate against a real API server: what only that can show (admission, watches, permissions, status writes).
//!
//! These tests run inside `tests/control-plane`, in a network namespace of their own: `make test`, or for some of them
//! `make cluster RUN='cargo test --test it cluster::NAME'`. Outside of it each fails and says so.
//! One control plane serves all tests of a run, so each test has an API namespace and a network of its own.
//! Start at `harness`.

mod addresses;
mod admission;
mod challenges;
mod examples;
mod first_light;
mod fleet;
mod grants;
mod harness;
mod helm_test;
mod install;
mod leader;
mod origin_tls;
mod permissions;
mod policies;
mod roles;
mod status;
mod stored;
mod takeover;
mod undecodable;
mod watch;
mod websocket;
