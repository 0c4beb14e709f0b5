//! A rule of the API, said twice side by side: in CEL for the API server, in Rust for everybody else.
//!
//! The two halves stand next to each other so that they can be compared by eye; the table of bad specs in `tests/it/api` compares them by running both.
//! A rule does not know where in the schema it stands.

use serde_json::{Value, json};

/// One rule about one value of the schema.
pub(super) struct Rule {
    /// The CEL expression that must be true.
    cel: &'static str,
    /// What is said when it is not; the fallback where `expression` cannot be evaluated.
    message: &'static str,
    /// The CEL expression of a message that names the offender.
    expression: Option<&'static str>,
    /// The field that is blamed, relative to the value, as the API server wants it (`.originTls`).
    field: Option<&'static str>,
    /// The same rule in Rust.
    twin: Twin,
}

/// A rule in Rust.
enum Twin {
    /// Whether the value keeps the rule.
    Holds(fn(&Value) -> bool),
    /// The sentence about the value, if it breaks the rule.
    Says(fn(&Value) -> Option<String>),
}

impl Rule {
    /// A rule that always says the same.
    pub(super) const fn new(cel: &'static str, message: &'static str, holds: fn(&Value) -> bool) -> Self {
        Self { cel, message, expression: None, field: None, twin: Twin::Holds(holds) }
    }

    /// A rule that names the offender: `expression` is the sentence in CEL, and `says` has it in Rust.
    ///
    /// Of CEL's ways to put a text together only a single `format` is cheap for the API server.
    pub(super) const fn naming(
        cel: &'static str,
        message: &'static str,
        expression: &'static str,
        says: fn(&Value) -> Option<String>,
    ) -> Self {
        Self { cel, message, expression: Some(expression), field: None, twin: Twin::Says(says) }
    }

    /// Blames a field of the value instead of the whole value.
    pub(super) const fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// The field that is blamed, relative to the value; empty for the value itself.
    pub(super) fn field(&self) -> &'static str {
        self.field.unwrap_or_default()
    }

    /// What identifies a rule in a schema.
    pub(super) fn key(&self) -> (&'static str, &'static str) {
        (self.cel, self.message)
    }

    /// The sentence about `value`, if it breaks this rule.
    pub(super) fn broken_by(&self, value: &Value) -> Option<String> {
        match self.twin {
            Twin::Holds(holds) => (!holds(value)).then(|| self.message.to_owned()),
            Twin::Says(says) => says(value),
        }
    }
}

/// The schema's `x-kubernetes-validations` for some rules.
pub(super) fn validations(rules: &[Rule]) -> Value {
    rules.iter().map(validation).collect()
}

fn validation(rule: &Rule) -> Value {
    let mut validation = json!({"rule": rule.cel, "message": rule.message});
    if let Some(expression) = rule.expression {
        validation["messageExpression"] = expression.into();
    }
    if let Some(field) = rule.field {
        validation["fieldPath"] = field.into();
    }
    validation
}
