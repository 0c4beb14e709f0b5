//! The forms that texts of the API have: how long they may be, and what they may look like.
//!
//! A field takes its form with `#[schemars(with = "Text<form::HostName>")]`.
//! The rules of a form are checked by the API server and, in Rust, by `validate`.
//! Where a rule says enough, a form has no shortest length: a length error would hide the rule's sentence.

mod duration;
mod http;
mod name;
mod status;
mod web;

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::rule::{Rule, validations};

pub(super) use duration::{AnyDuration, AtLeastASecond, ConnectionTimeout, MoreThanZero};
pub(crate) use http::fits_in_header;
pub(super) use http::{
    AnyHeaderName, CookieName, CorsMethod, HEADER_VALUE, HeaderValue, Method, OriginHeaderName,
    ViewerHeaderName, is_header_value,
};
pub(super) use name::{
    Alias, ClaimingNamespace, Comment, HostName, Id, Namespace, ObjectName, SecretKey, ServiceName, TlsPolicy,
};
pub(super) use status::FailoverStatus;
pub(super) use web::{Cidr, CorsOrigin, OriginPath, PagePath, PathPattern, RootObject, Sha256, WebOrigin};

/// The form of a text.
pub(super) trait Form {
    /// The fewest characters.
    const SHORTEST: u32 = 0;
    /// The most characters; the API server's cost estimate of a rule depends on it.
    const LONGEST: u32;
    /// A regular expression that the API server checks without cost, but can only answer for by showing it.
    const PATTERN: Option<&'static str> = None;
    /// What is to be said about a text.
    const RULES: &'static [Rule] = &[];
}

/// Stands for a text of one form in the schema; there is never a value of it.
pub(super) struct Text<F>(PhantomData<F>);

impl<F: Form> JsonSchema for Text<F> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({"type": "string", "maxLength": F::LONGEST});
        if F::SHORTEST > 0 {
            schema.insert("minLength".to_owned(), F::SHORTEST.into());
        }
        if let Some(pattern) = F::PATTERN {
            schema.insert("pattern".to_owned(), pattern.into());
        }
        if !F::RULES.is_empty() {
            schema.insert("x-kubernetes-validations".to_owned(), validations(F::RULES));
        }
        schema
    }
}

/// The rules of all forms.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    [name::rules(), http::rules(), web::rules(), duration::rules()].into_iter().flatten().flatten()
}

/// Whether `value` is a text for which `holds`.
fn is_text(value: &Value, holds: fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(holds)
}
