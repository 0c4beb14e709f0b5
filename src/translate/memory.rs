//! What one translation leaves to the next: units to reuse, and the last good of what Secrets hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::certificates::{LoadedAuthorities, LoadedSecrets};
use super::header_values::HeaderValues;
use super::unit::Unit;
use crate::conditions::facts::Facts;
use crate::object::ObjectKey;
use crate::table::RoutingTable;

/// The units, Secrets, table and facts of one translation; empty before the first. Cheap to clone.
#[derive(Clone, Default)]
pub struct Memory {
    pub(super) units: BTreeMap<ObjectKey, Arc<Unit>>,
    pub(super) secrets: LoadedSecrets,
    pub(super) header_values: HeaderValues,
    pub(super) authorities: LoadedAuthorities,
    pub(super) table: RoutingTable,
    pub(super) facts: Facts,
}

/// Without the units, which hold Secrets.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("units", &self.units.len()).finish_non_exhaustive()
    }
}
