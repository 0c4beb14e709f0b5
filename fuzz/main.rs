//! All targets of the fuzzer in one program of libFuzzer: the environment's `FUZZ_TARGET` says which one runs.
//!
//! `tests/fuzz` builds it and runs it.

#![no_main]

use std::sync::LazyLock;

use tidegate::fuzzing::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names = TARGETS.map(|(name, _)| name);
    let known = TARGETS.into_iter().find(|(name, _)| *name == wanted);
    known
        .map(|(_, target)| target)
        .unwrap_or_else(|| panic!("FUZZ_TARGET is {wanted:?}, not one of {names:?}"))
});

libfuzzer_sys::fuzz_target!(init: LazyLock::force(&TARGET), |input: &[u8]| TARGET(input));
