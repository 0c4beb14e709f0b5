//! `tidegate crd`: prints the CustomResourceDefinition, the content of `crds/distributions.yaml`.

use anyhow::Context;

use super::{End, print};
use crate::api;

pub(super) fn run() -> anyhow::Result<End> {
    let yaml = api::crd_yaml().context("the CustomResourceDefinition cannot be printed")?;
    print(&yaml)
}
