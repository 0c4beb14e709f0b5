//! Golden files: what the objects of one file are translated to, and what is told of them.
//!
//! `tests/golden/AREA/CASE.in.yaml` holds Kubernetes objects, `CASE.out.yaml` the table and each Distribution's
//! status without what is at its default. `UPDATE_GOLDEN=1` writes the outputs anew.
//! More kinds exist in these files only: `Case` sets what is no object (the time, the default certificate, the zone,
//! the kinds that cannot be read), and `Later` ends a first step whose memory the second one gets; the objects behind
//! it replace those before it, and a `Gone` one deletes. Where `Explain` asks what requests would meet, the answers
//! stand in the output instead. `tidy` keeps the files short and together.

mod input;
mod output;

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::translate::{EndpointAddresses, Memory, Options, translate};

use input::Case;

#[test]
fn every_golden_input_gives_its_output() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for input in files(".in.yaml") {
        let output = sibling(&input, ".in.yaml", ".out.yaml");
        let told = tell(&input);
        if update {
            fs::write(&output, &told).unwrap();
        }
        let expected = fs::read_to_string(&output).unwrap_or_default();
        if expected != told {
            wrong.push(format!("{}:\n{}", input.display(), difference(&expected, &told)));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes what is right now:\n{}", wrong.join("\n"));
}

/// Translates the steps of a case, each with the memory of the one before, and tells the last one.
fn tell(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let Case { now, default_certificate, base_domain, zone, questions, steps } = input::parse(&text, path);
    let endpoint_addresses = EndpointAddresses::Cluster;
    let options = Options { default_certificate, base_domain, endpoint_addresses, zone };
    let mut memory = Memory::default();
    let mut last = None;
    for snapshot in steps {
        let translation = translate(&snapshot, &options, memory);
        memory = translation.memory.clone();
        last = Some(translation);
    }
    if questions.is_empty() {
        return output::tell(&last.unwrap(), now);
    }
    output::explain(&last.unwrap(), &questions)
}

/// The files of `tests/golden` whose name ends so, in order.
fn files(ending: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let areas = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = areas
        .flat_map(|area| fs::read_dir(area).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn sibling(path: &Path, ending: &str, other: &str) -> PathBuf {
    PathBuf::from(path.to_string_lossy().replace(ending, other))
}

/// The lines that only one of both has.
fn difference(expected: &str, told: &str) -> String {
    let missing = expected.lines().filter(|line| !told.lines().any(|other| other == *line));
    let new = told.lines().filter(|line| !expected.lines().any(|other| other == *line));
    let lines = missing.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}")));
    lines.collect::<Vec<_>>().join("\n")
}
