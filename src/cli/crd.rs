//! `tidegate crd`: prints the CustomResourceDefinition, the content of `crds/distributions.yaml`, or what its schema
//! says as a page, that of `docs/reference.md`.

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{End, print};
use crate::api;

/// Print the CustomResourceDefinition of Distributions
#[derive(Debug, Args)]
pub(super) struct Crd {
    /// For `kubectl apply -f -`, or the reference of all fields for people
    #[arg(long, value_name = "FORMAT", default_value = "yaml", value_enum)]
    format: Format,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The object.
    Yaml,
    /// Its fields.
    Markdown,
}

/// Prints it.
///
/// # Errors
/// A stdout that takes nothing.
pub(super) fn run(asked: &Crd) -> anyhow::Result<End> {
    match asked.format {
        Format::Yaml => print(&api::crd_yaml().context("the CustomResourceDefinition cannot be printed")?),
        Format::Markdown => print(&api::reference()),
    }
}
