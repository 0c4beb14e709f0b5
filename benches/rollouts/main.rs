//! 20 rollouts of a Service with 10 endpoints at a fixed 500 requests a second, whose old endpoints stop 3 s after
//! they are marked terminating: no request may fail. `cargo bench --bench rollouts` runs it; it ends with 1 where
//! one did.

#![expect(clippy::unwrap_used, reason = "what it shares with the tests ends where they would fail")]

#[path = "../../tests/it/dataplane/rig.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod rig;
#[path = "../../tests/it/dataplane/rollout.rs"]
mod rollout;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rollout::{Outcome, Shape};

#[expect(clippy::print_stdout, reason = "it is a program for people")]
#[tokio::main]
async fn main() -> ExitCode {
    let shape = Shape {
        endpoints: 10,
        rollouts: 20,
        step: Duration::from_millis(300),
        stop_after: Duration::from_secs(3),
        rate: 500,
        viewers: 50,
    };
    let began = Instant::now();
    let Outcome { served, failed } = rollout::run(&shape).await;
    println!(
        "{} rollouts of {} endpoints in {:.0} s: {} requests, {} failed",
        shape.rollouts,
        shape.endpoints,
        began.elapsed().as_secs_f64(),
        served + failed.len(),
        failed.len()
    );
    failed.iter().take(10).for_each(|failure| println!("{failure}"));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
