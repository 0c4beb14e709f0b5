//! Golden files: what the objects of one file are translated to, and what is told of them.
//!
//! `tests/golden/AREA/CASE.in.yaml` holds Kubernetes objects, `CASE.out.yaml` the table and each Distribution's
//! status without what is at its default. `UPDATE_GOLDEN=1` writes the outputs anew.
//! More kinds exist in these files only: `Case` sets what is no object (the time, the default certificate, the zone,
//! whose challenges are answered, the kinds that cannot be read), and `Later` ends a first step whose memory the second one gets; the objects behind
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

/// Reasons that no objects give: that of fields which are not served, as all are by now, the default of the schema, and
/// what only a fleet of replicas has.
const NOT_OF_OBJECTS: [&str; 4] = ["UnsupportedValue", "Pending", "InProgress", "ReplicaLagging"];

/// The closed lists of the API, as they stand in the source.
#[test]
fn every_reason_and_every_warning_has_a_case() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conditions/reasons.rs");
    let source = fs::read_to_string(source).unwrap();
    let told: String = files(".out.yaml").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_told = |name: &&str| {
        [format!("False {name}"), format!("True {name}"), format!("\"{name}: ")]
            .iter()
            .any(|it| told.contains(it))
    };
    let names: Vec<_> = ["Reason", "WarningKind"].into_iter().flat_map(|of| variants(&source, of)).collect();
    assert!(names.len() > 20, "{names:?}");
    let (shown, missing): (Vec<_>, Vec<_>) = names.into_iter().partition(is_told);
    assert_eq!(
        missing, NOT_OF_OBJECTS,
        "add a case for each, or take it out of the list; shown are {shown:?}"
    );
}

fn variants<'s>(source: &'s str, of: &str) -> impl Iterator<Item = &'s str> {
    let body = source.split(&format!("pub enum {of} {{")).nth(1).and_then(|rest| rest.split("\n}").next());
    body.expect("the list").lines().filter_map(|line| line.trim().strip_suffix(','))
}

/// Translates the steps of a case, each with the memory of the one before, and tells the last one.
fn tell(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let case = input::parse(&text, path);
    let Case { now, default_certificate, base_domain, zone, acme_unclaimed_hosts, questions, steps } = case;
    let endpoint_addresses = EndpointAddresses::Cluster;
    let options =
        Options { default_certificate, base_domain, endpoint_addresses, zone, acme_unclaimed_hosts };
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
