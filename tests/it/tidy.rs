//! The rules of the house that no compiler keeps: floors, sizes, module docs, orphans.
//!
//! Each rule is a list of complaints; a test fails with all of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module and its floor.
struct Room {
    module: &'static str,
    floor: u8,
}

/// `ARCHITECTURE.md` draws this. Under all floors lie `object`, the name of an object, `nearest`, the name that was
/// meant, and `printable`, what a terminal may show, which several of them need.
const ROOMS: &[Room] = &[
    Room { module: "nearest", floor: 0 },
    Room { module: "object", floor: 0 },
    Room { module: "printable", floor: 0 },
    Room { module: "api", floor: 1 },
    Room { module: "drain", floor: 1 },
    Room { module: "overload", floor: 1 },
    Room { module: "settings", floor: 1 },
    Room { module: "telemetry", floor: 1 },
    Room { module: "snapshot", floor: 2 },
    Room { module: "conditions", floor: 2 },
    Room { module: "table", floor: 2 },
    Room { module: "translate", floor: 3 },
    Room { module: "dataplane", floor: 3 },
    Room { module: "provider", floor: 4 },
    Room { module: "reconcile", floor: 4 },
    Room { module: "status", floor: 4 },
    Room { module: "admin", floor: 4 },
    Room { module: "cli", floor: 5 },
    // Beside `cli` at the top, and only in test builds and those of the fuzzer.
    Room { module: "fuzzing", floor: 5 },
];

/// Arrows between neighbours of one floor that a decision page allows.
const ARROWS: &[(&str, &str)] = &[
    // The log's and the access log's choices are typed where they are made.
    ("settings", "telemetry"),
    // The seam is a trait, and the loop takes whatever implements it.
    ("reconcile", "provider"),
];

/// Who may use a crate, or a part of one; tests at the foot of a module may use anything.
const DOORS: &[(&str, &[&str])] = &[
    ("kube::Client", &["provider::kube", "status", "cli"]),
    ("kube::client", &["provider::kube", "status", "cli"]),
    ("hyper::", &["dataplane", "admin", "cli"]),
    ("h2::", &["dataplane"]),
    ("rustls::", &["dataplane", "table::certificate", "translate::certificates", "main"]),
    ("tokio_rustls::", &["dataplane", "cli::demo"]),
];

/// No iteration order may leak into a table, a fact or a golden file.
const ORDERED: &[&str] = &["table", "translate", "conditions", "snapshot"];

const MOST_LINES: usize = 600;
const MOST_LINES_OF_TESTS: usize = 800;

struct Source {
    path: PathBuf,
    /// `table::decide` for `src/table/decide.rs`.
    module: String,
    text: String,
}

impl Source {
    /// The text without the tests at its foot.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// The code without comments, so that a rule does not stumble over its own mention.
    fn statements(&self) -> String {
        let not_comment = |line: &&str| !line.trim_start().starts_with("//");
        self.code().lines().filter(not_comment).collect::<Vec<_>>().join("\n")
    }

    fn is_in(&self, module: &str) -> bool {
        is_within(&self.module, module)
    }
}

fn is_within(module: &str, outer: &str) -> bool {
    module.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below `folder`, in path order.
fn sources(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let mut paths = Vec::new();
    collect(&base, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(&base).expect("collected below it").with_extension("");
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let parts = parts.strip_suffix(&["mod".to_owned()]).map(<[_]>::to_vec).unwrap_or(parts);
        let text = fs::read_to_string(&path).expect("a source file is UTF-8");
        Source { module: parts.join("::"), path, text }
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, paths);
        } else {
            paths.push(entry);
        }
    }
}

fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The first part of each path that begins with `crate::` or, in the same sense, `super::` out of a module.
fn used_modules(source: &Source) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let statements = source.statements();
    for (position, found) in statements.match_indices("crate::") {
        // `pub(crate)::` does not exist, but `$crate::` and names that end in `crate` do.
        let before = statements.get(..position).and_then(|text| text.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let after = statements.get(position + found.len()..).unwrap_or_default();
        match after.strip_prefix('{') {
            Some(group) => used.extend(first_names_of_group(group)),
            None => used.extend(first_name(after)),
        }
    }
    used
}

fn first_name(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first names in `a::b, c::{d, e}}`: those at the outermost level.
fn first_names_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), true);
    for (position, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && (c.is_alphanumeric() || c == '_') => {
                names.extend(group.get(position..).and_then(first_name));
                start = false;
            }
            _ => {}
        }
    }
    names
}

fn room(module: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| is_within(module, room.module))
}

#[test]
fn a_module_uses_only_what_lies_below_it() {
    let mut complaints = Vec::new();
    for source in sources("src").iter().filter(|source| !matches!(&*source.module, "lib" | "main")) {
        let Some(own) = room(&source.module) else {
            complaints.push(format!("{}: give its module a floor in tests/it/tidy.rs", shown(&source.path)));
            continue;
        };
        for name in used_modules(source) {
            let Some(used) = room(&name) else { continue };
            let allowed = used.module == own.module
                || used.floor < own.floor
                || ARROWS.contains(&(own.module, used.module));
            if !allowed {
                complaints.push(format!(
                    "{}: `{}` may not use `{}`, which is not below it",
                    shown(&source.path),
                    own.module,
                    used.module
                ));
            }
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn a_crate_is_used_only_behind_its_door() {
    let mut complaints = Vec::new();
    for source in sources("src") {
        let statements = source.statements();
        for (name, allowed) in DOORS {
            if mentions(&statements, name) && !allowed.iter().any(|module| source.is_in(module)) {
                complaints.push(format!("{}: `{name}` belongs to {allowed:?}", shown(&source.path)));
            }
        }
    }
    assert_tidy(&complaints);
}

/// Whether `name` stands in `text` as the beginning of a path: `hyper::` is not in `hyper_util::`, and
/// `kube::Client` is in `kube::{Api, Client}`.
fn mentions(text: &str, name: &str) -> bool {
    let begins_a_path = |position: usize| {
        let before = text.get(..position).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let in_group = |(outer, inner): (&str, &str)| {
        let group = format!("{outer}::{{");
        text.match_indices(&group).any(|(position, _)| {
            let members = text.get(position + group.len()..).unwrap_or_default();
            begins_a_path(position) && first_names_of_group(members).iter().any(|member| member == inner)
        })
    };
    text.match_indices(name).any(|(position, _)| begins_a_path(position))
        || name.split_once("::").filter(|(_, inner)| !inner.is_empty()).is_some_and(in_group)
}

#[test]
fn tables_facts_and_snapshots_are_built_from_ordered_maps() {
    let unordered = |source: &&Source| {
        let statements = source.statements();
        ORDERED.iter().any(|module| source.is_in(module))
            && (statements.contains("HashMap") || statements.contains("HashSet"))
    };
    let complaints: Vec<_> = sources("src")
        .iter()
        .filter(unordered)
        .map(|source| format!("{}: use a BTreeMap or BTreeSet", shown(&source.path)))
        .collect();
    assert_tidy(&complaints);
}

#[test]
fn no_file_is_too_long() {
    let mut complaints = Vec::new();
    for (folder, most) in [("src", MOST_LINES), ("benches", MOST_LINES), ("tests", MOST_LINES_OF_TESTS)] {
        for source in sources(folder) {
            let lines = source.text.lines().count();
            if lines > most {
                complaints.push(format!("{}: {lines} lines, {most} at most", shown(&source.path)));
            }
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn every_module_says_what_it_is() {
    let complaints: Vec<_> = sources("src")
        .iter()
        .chain(&sources("tests/it"))
        .chain(&sources("benches"))
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}: begin with `//!` and what it is", shown(&source.path)))
        .collect();
    assert_tidy(&complaints);
}

#[test]
fn no_test_is_skipped_and_no_lint_is_waved_through() {
    let mut complaints = Vec::new();
    for source in sources("src").iter().chain(&sources("tests/it")) {
        // This file names what it forbids.
        if source.path.ends_with("tidy.rs") {
            continue;
        }
        for (line, text) in source.text.lines().enumerate() {
            let text = text.trim_start();
            if text.starts_with("#[ignore") || text.starts_with("#[allow") || text.starts_with("#![allow") {
                complaints.push(format!("{}:{}: {text}", shown(&source.path), line + 1));
            }
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn every_file_is_in_the_module_tree() {
    let mut complaints = Vec::new();
    let trees = [
        ("src", ["lib.rs", "main.rs"].as_slice()),
        ("tests/it", &["main.rs"]),
        ("benches/load", &["main.rs"]),
    ];
    for (folder, trunks) in trees {
        let all = sources(folder);
        let by_path: BTreeMap<_, _> = all.iter().map(|source| (source.path.clone(), source)).collect();
        let mut reached = BTreeSet::new();
        for trunk in trunks {
            reach(&root().join(folder).join(trunk), &by_path, &mut reached);
        }
        let orphans = all.iter().filter(|source| !reached.contains(&source.path));
        complaints.extend(orphans.map(|source| format!("{}: no `mod` leads here", shown(&source.path))));
    }
    assert_tidy(&complaints);
}

fn reach(path: &Path, all: &BTreeMap<PathBuf, &Source>, reached: &mut BTreeSet<PathBuf>) {
    let Some(source) = all.get(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let is_root_of_folder = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
    let folder =
        if is_root_of_folder { path.parent().map(Path::to_owned) } else { Some(path.with_extension("")) };
    let folder = folder.unwrap_or_default();
    for line in source.text.lines() {
        let statement = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let Some(name) = statement.trim_start_matches("pub ").strip_prefix("mod ") else { continue };
        let Some(name) = name.strip_suffix(';') else { continue };
        reach(&folder.join(format!("{name}.rs")), all, reached);
        reach(&folder.join(name).join("mod.rs"), all, reached);
    }
}

#[test]
fn a_golden_file_is_short_and_has_its_other_half() {
    let mut paths = Vec::new();
    collect(&root().join("tests/golden"), &mut paths);
    let mut complaints = Vec::new();
    for path in &paths {
        let name = path.to_string_lossy();
        let (other, most) = match (name.strip_suffix(".in.yaml"), name.strip_suffix(".out.yaml")) {
            (Some(case), _) => (format!("{case}.out.yaml"), 80),
            (_, Some(case)) => (format!("{case}.in.yaml"), 120),
            _ => {
                complaints.push(format!("{}: neither .in.yaml nor .out.yaml", shown(path)));
                continue;
            }
        };
        if !Path::new(&other).exists() {
            complaints.push(format!("{}: its other half is missing", shown(path)));
        }
        let text = fs::read_to_string(path).expect("a golden file is UTF-8");
        let lines = text.lines().count();
        if lines > most {
            complaints.push(format!("{}: {lines} lines, {most} at most", shown(path)));
        }
        if name.ends_with(".in.yaml") && !text.starts_with("# ") {
            complaints.push(format!("{}: begin with a comment that makes the claim", shown(path)));
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn every_make_target_that_the_documentation_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap_or_default();
    let targets: BTreeSet<_> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', ' ']))
        .filter_map(|line| line.split_once(':').map(|(names, _)| names))
        .flat_map(str::split_whitespace)
        .collect();
    let mut complaints = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is UTF-8");
        let unknown = make_targets(&text).into_iter().filter(|target| !targets.contains(&**target));
        complaints.extend(
            unknown.map(|target| format!("{}: `make {target}` is not in the Makefile", shown(&page))),
        );
    }
    assert_tidy(&complaints);
}

/// What stands as a command, `make demo` in a code span or at the beginning of a line; prose says `make` too.
fn make_targets(text: &str) -> BTreeSet<String> {
    let in_span = text.split("`make ").skip(1);
    let in_block = text.lines().filter_map(|line| line.strip_prefix("make "));
    in_span.chain(in_block).filter_map(first_target).collect()
}

fn first_target(rest: &str) -> Option<String> {
    let target: String = rest.chars().take_while(|c| matches!(c, 'a'..='z' | '0'..='9' | '-')).collect();
    (!target.is_empty()).then_some(target)
}

/// The Markdown at the top and under `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    collect(&root().join("docs"), &mut pages);
    let top = fs::read_dir(root()).expect("the top folder can be listed");
    pages.extend(top.map(|entry| entry.expect("an entry").path()));
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page exists");
    let rows = page.split("## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next());
    let named: Vec<&str> = rows.expect("a table of invariants").split('`').skip(1).step_by(2).collect();
    assert!(named.len() > 10, "{named:?}");
    let all: Vec<Source> = sources("src").into_iter().chain(sources("tests/it")).collect();
    let exists = |name: &str| all.iter().any(|source| source.text.contains(&format!("fn {name}(")));
    let missing = named.iter().filter(|name| !exists(name));
    assert_tidy(
        &missing.map(|name| format!("ARCHITECTURE.md: no test is called `{name}`")).collect::<Vec<_>>(),
    );
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut complaints = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is UTF-8");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            if !page.parent().expect("a page is in a folder").join(target).exists() {
                complaints.push(format!("{}: no `{target}`", shown(&page)));
            }
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn the_rules_see_what_they_must() {
    let source = |text: &str| Source { path: "x.rs".into(), module: "x".to_owned(), text: text.to_owned() };
    let used =
        used_modules(&source("use crate::{a::b, c::{d, e}, f};\n// crate::no\nlet x = crate::g::h();"));
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["a", "c", "f", "g"]);
    assert!(mentions("use hyper::body", "hyper::"));
    assert!(!mentions("use hyper_util::rt", "hyper::"));
    assert!(mentions("use kube::{Api, Client};", "kube::Client"));
    assert!(!mentions("use kube::{Api, runtime::Client};", "kube::Client"));
    assert!(!mentions("crate::hyper::x", "hyper::"));
    assert_eq!(make_targets("we make do: `make demo`\nmake test\n").len(), 2);
    assert!(is_within("table::decide", "table") && !is_within("tables", "table"));
}
