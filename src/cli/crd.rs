//! `tidegate crd`: prints the CustomResourceDefinition, the content of `crds/distributions.yaml`.

use std::io::{self, Write};

use anyhow::Context;

use super::End;
use crate::api;

pub(super) fn run() -> anyhow::Result<End> {
    let yaml = api::crd_yaml().context("the CustomResourceDefinition cannot be printed")?;
    match io::stdout().lock().write_all(yaml.as_bytes()) {
        // `tidegate crd | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(End::Well),
        written => written.map(|()| End::Well).context("stdout does not take the output"),
    }
}
