//! What was found, as people, scripts and GitHub workflows read it.

use std::path::Path;

use serde_json::json;

use super::judge::{Judged, Problem, Severity};
use crate::printable::printable;
use crate::snapshot::FileProblem;

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// `web.yaml:7:12: error: spec.origins[0].htpPort: unknown field` and so on, then the summary.
pub(super) fn text(judged: &Judged) -> String {
    let line = |Problem { place, severity, .. }: &Problem| {
        let FileProblem { path, line, column, .. } = place;
        format!("{}:{line}:{column}: {}: {}\n", path_text(path), severity.as_str(), message(place))
    };
    let lines: String = judged.problems.iter().map(line).collect();
    lines + &summary(judged)
}

/// One object: `distributions`, `errors`, `warnings`, `notes`, `problems`.
pub(super) fn json(judged: &Judged) -> String {
    let count = |severity| count(judged, severity);
    let object = json!({
        "distributions": judged.distributions,
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "notes": count(Severity::Note),
        "problems": judged.problems,
    });
    format!("{object:#}\n")
}

/// Workflow commands (GitHub Actions, "Workflow commands": `::error file=...,line=...::message`), then the summary.
pub(super) fn github(judged: &Judged) -> String {
    let command = |Problem { place, severity, reason }: &Problem| {
        let command = if *severity == Severity::Note { "notice" } else { severity.as_str() };
        let FileProblem { path, line, column, .. } = place;
        let path = property(&path_text(path));
        let title = property(reason.as_deref().unwrap_or("Invalid"));
        let message = data(&message(place));
        format!("::{command} file={path},line={line},col={column},title={title}::{message}\n")
    };
    let commands: String = judged.problems.iter().map(command).collect();
    commands + &summary(judged)
}

/// The message, with the field in front where it does not name that itself.
fn message(place: &FileProblem) -> String {
    let FileProblem { field, message, .. } = place;
    // Some name it without `spec.`, or a list instead of its item.
    let short = field.strip_prefix("spec.").unwrap_or(field);
    let list = field.rsplit_once('[').map_or(field.as_str(), |(list, _)| list);
    let names = [field.as_str(), short, list].iter().any(|name| message.starts_with(name));
    let told = if names { message.clone() } else { format!("{field}: {message}") };
    printable(&told)
}

fn path_text(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// What would end a command's message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What would end a property of a command, too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

fn summary(judged: &Judged) -> String {
    let amount = |count: usize, name: &str| match count {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    };
    format!(
        "{} checked: {}, {}, {}\n",
        amount(judged.distributions, "Distribution"),
        amount(count(judged, Severity::Error), "error"),
        amount(count(judged, Severity::Warning), "warning"),
        amount(count(judged, Severity::Note), "note"),
    )
}

fn count(judged: &Judged, severity: Severity) -> usize {
    judged.problems.iter().filter(|problem| problem.severity == severity).count()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn judged() -> Judged {
        let place = |line, field: &str, message: &str| FileProblem {
            path: "a,b.yaml".into(),
            line,
            column: 3,
            field: field.to_owned(),
            message: message.to_owned(),
        };
        let error = place(2, "spec.x", "100% wrong:\nwrite y");
        let note = place(5, "spec.y", "spec.y: not there");
        Judged {
            distributions: 1,
            problems: vec![
                Problem { place: error, severity: Severity::Error, reason: None },
                Problem { place: note, severity: Severity::Note, reason: Some("SecretNotFound".to_owned()) },
            ],
        }
    }

    #[test]
    fn people_read_the_place_the_field_and_the_message() {
        let expected = "a,b.yaml:2:3: error: spec.x: 100% wrong:?write y\n\
                        a,b.yaml:5:3: note: spec.y: not there\n\
                        1 Distribution checked: 1 error, 0 warnings, 1 note\n";
        assert_eq!(text(&judged()), expected);
    }

    #[test]
    fn a_workflow_command_is_ended_by_nothing_that_it_tells() {
        let expected = "::error file=a%2Cb.yaml,line=2,col=3,title=Invalid::spec.x: 100%25 wrong:?write y\n\
                        ::notice file=a%2Cb.yaml,line=5,col=3,title=SecretNotFound::spec.y: not there\n\
                        1 Distribution checked: 1 error, 0 warnings, 1 note\n";
        assert_eq!(github(&judged()), expected);
    }

    #[test]
    fn a_file_name_that_is_not_utf_8_is_told_as_far_as_it_is() {
        let mut judged = judged();
        judged.problems[0].place.path = OsStr::from_bytes(b"caf\xe9.yaml").into();
        let object: serde_json::Value = serde_json::from_str(&json(&judged)).expect("JSON");
        assert_eq!(object["problems"][0]["path"], "caf\u{fffd}.yaml");
        assert!(text(&judged).starts_with("caf\u{fffd}.yaml:2:3: "));
    }

    #[test]
    fn a_path_moves_no_cursor() {
        let mut judged = judged();
        judged.problems[0].place.path = "a\u{1b}[2J\n\u{202e}b.yaml".into();
        assert!(text(&judged).starts_with("a?[2J??b.yaml:2:3: error: "));
        assert!(github(&judged).starts_with("::error file=a?[2J??b.yaml,line=2,"));
    }

    #[test]
    fn scripts_read_every_part_apart() {
        let object: serde_json::Value = serde_json::from_str(&json(&judged())).expect("JSON");
        assert_eq!((&object["errors"], &object["notes"]), (&json!(1), &json!(1)));
        let first = &object["problems"][0];
        assert_eq!(first["message"], "100% wrong:\nwrite y");
        assert_eq!(
            (&first["line"], &first["severity"], &first["field"]),
            (&json!(2), &json!("error"), &json!("spec.x"))
        );
    }
}
