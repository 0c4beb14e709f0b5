//! A snapshot as the bytes of a file, and back: what a process keeps for its next life.
//!
//! ```text
//! tidegate snapshot 1           what it is, and the version of the rest
//! {"at":…,"of":…,"keys":…,…}    when, whose objects, and the objects as the API writes them, in one line
//! sha256 0123…                  the digest of everything above
//! ```
//!
//! It opens no file. Bytes that are not exactly what [`write()`] wrote are refused whole, with a sentence: half a
//! configuration would answer 404 for the other half. Start with [`read`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::{FileProblem, Keys, Kind, Problems, Snapshot, Stored, Undecodable};
use crate::api::{Challenge, Distribution, ReferenceGrant};
use crate::object::ObjectKey;

/// The version that is written, and the only one that is read. It grows when a release of the version before would
/// read something else out of the file than was meant.
const VERSION: u32 = 1;

/// What every version begins with.
const MAGIC: &[u8] = b"tidegate snapshot ";

/// How long the last line is.
const LAST_LINE: usize = "sha256 \n".len() + 64;

/// Which objects a process serves. What another one kept is not its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whose {
    /// `--class-name`.
    pub class_name: String,
    /// `--default-class`.
    pub default_class: bool,
    /// `--also-serve-class`.
    pub also_serve_class: Option<String>,
    /// `--watch-namespaces`; all where it is empty.
    pub namespaces: BTreeSet<String>,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unnamed = if self.default_class { "with" } else { "without" };
        write!(f, "class {} {unnamed} what names no class, ", self.class_name)?;
        if let Some(also) = &self.also_serve_class {
            write!(f, "and class {also}, ")?;
        }
        f.write_str("in ")?;
        if self.namespaces.is_empty() {
            return f.write_str("all namespaces");
        }
        let namespaces: Vec<&str> = self.namespaces.iter().map(String::as_str).collect();
        write!(f, "namespaces {}", namespaces.join(","))
    }
}

/// Why bytes are not used; each completes a sentence that begins with the file's name. None quotes an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Something else altogether.
    #[error("is no snapshot of Tidegate")]
    NotASnapshot,
    /// Another release wrote it.
    #[error("has version {0} of its format, and this release reads version {VERSION}")]
    OtherVersion(u32),
    /// Not what was written.
    #[error("is damaged or cut short: its digest is not that of its content")]
    Damaged,
    /// Another release wrote it, though under the same version.
    #[error("holds what this release cannot read, at column {0} of its second line")]
    Undecodable(usize),
    /// What another process serves.
    #[error("is of another installation: of {theirs}; this one serves {ours}")]
    Foreign {
        /// Whose objects are in it.
        theirs: Box<Whose>,
        /// Whose are wanted.
        ours: Box<Whose>,
    },
}

/// Writes the objects of `snapshot` as they are at `at`. Without keys nothing of Secrets is written but their names.
///
/// # Errors
/// Those of `to`.
pub fn write(snapshot: &Snapshot, at: Timestamp, of: &Whose, keys: Keys, to: impl Write) -> io::Result<()> {
    let emptied;
    let snapshot = match keys {
        Keys::Kept => snapshot,
        Keys::LeftOut => {
            emptied = without_keys(snapshot);
            &emptied
        }
    };
    let mut to = Digesting { to, context: Context::new(&SHA256) };
    to.write_all(MAGIC)?;
    writeln!(to, "{VERSION}")?;
    serde_json::to_writer(&mut to, &Written { at: Time(at), of, keys, objects: snapshot })?;
    to.write_all(b"\n")?;
    let Digesting { mut to, context } = to;
    to.write_all(last_line(&context.finish()).as_bytes())?;
    to.flush()
}

/// The snapshot that these bytes hold, marked as [`Stored`].
///
/// # Errors
/// Whatever is not a snapshot of `ours`, whole and of this version.
pub fn read(bytes: &[u8], ours: &Whose) -> Result<Snapshot, Unusable> {
    let (version, rest) = versioned(bytes).ok_or(Unusable::NotASnapshot)?;
    if version != VERSION {
        return Err(Unusable::OtherVersion(version));
    }
    let body = rest.len().checked_sub(LAST_LINE).ok_or(Unusable::Damaged)?;
    let (digested, last) = bytes.split_at(bytes.len() - LAST_LINE);
    if last != last_line(&digest(&SHA256, digested)).as_bytes() {
        return Err(Unusable::Damaged);
    }
    let (body, _) = rest.split_at(body);
    // What the error says in words may quote a Secret.
    let Read { at, of, keys, objects } =
        serde_json::from_slice(body).map_err(|error| Unusable::Undecodable(error.column()))?;
    if of != *ours {
        return Err(Unusable::Foreign { theirs: Box::new(of), ours: Box::new(ours.clone()) });
    }
    Ok(Snapshot { stored: Some(Stored { at: at.0, keys }), ..objects })
}

/// The version that the first line names, and what follows that line.
fn versioned(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let digits = rest.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
    let (version, rest) = rest.split_at(digits);
    let version = std::str::from_utf8(version).ok()?;
    Some((version.parse().ok()?, rest.strip_prefix(b"\n")?))
}

fn without_keys(snapshot: &Snapshot) -> Snapshot {
    let emptied = |(key, secret): (&ObjectKey, &Arc<Secret>)| {
        let secret = Secret { data: None, string_data: None, ..Secret::clone(secret) };
        (key.clone(), Arc::new(secret))
    };
    Snapshot { secrets: snapshot.secrets.iter().map(emptied).collect(), ..snapshot.clone() }
}

/// The line that ends a file with this digest.
fn last_line(digest: &Digest) -> String {
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256 {digits}\n")
}

/// Digests what it passes on.
struct Digesting<W> {
    to: W,
    context: Context,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.context.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[derive(Serialize)]
struct Written<'s> {
    at: Time,
    of: &'s Whose,
    keys: Keys,
    #[serde(with = "Objects")]
    objects: &'s Snapshot,
}

#[derive(Deserialize)]
struct Read {
    at: Time,
    of: Whose,
    keys: Keys,
    #[serde(with = "Objects")]
    objects: Snapshot,
}

/// The shape of [`Snapshot`]. Who adds a kind to it gives it `#[serde(default)]` here, so that files of the release
/// before can still be read.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Snapshot", rename_all = "camelCase")]
struct Objects {
    #[serde(with = "named")]
    distributions: BTreeMap<ObjectKey, Arc<Distribution>>,
    #[serde(with = "named")]
    services: BTreeMap<ObjectKey, Arc<Service>>,
    #[serde(with = "named")]
    endpoint_slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    #[serde(with = "named")]
    secrets: BTreeMap<ObjectKey, Arc<Secret>>,
    #[serde(with = "named")]
    config_maps: BTreeMap<ObjectKey, Arc<ConfigMap>>,
    #[serde(with = "named")]
    reference_grants: BTreeMap<ObjectKey, Arc<ReferenceGrant>>,
    #[serde(with = "named", default)]
    challenges: BTreeMap<ObjectKey, Arc<Challenge>>,
    #[serde(with = "Unread")]
    problems: Problems,
    #[serde(skip)]
    stored: Option<Stored>,
}

/// The shape of [`Problems`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Problems", rename_all = "camelCase")]
struct Unread {
    #[serde(with = "pairs")]
    undecodable: BTreeMap<(Kind, ObjectKey), Undecodable>,
    /// Where objects come from files, those are there at the next start, too.
    #[serde(skip)]
    files: Vec<FileProblem>,
    #[serde(with = "pairs")]
    degraded: BTreeMap<(Kind, Option<String>), String>,
    read_by_name: BTreeSet<(Kind, ObjectKey)>,
    #[serde(with = "pairs")]
    unreadable: BTreeMap<(Kind, ObjectKey), String>,
}

/// Objects as a list: each says its name itself.
mod named {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use kube::Resource;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::{Serialize, Serializer};

    use crate::object::ObjectKey;

    pub(super) fn serialize<K, S>(
        objects: &BTreeMap<ObjectKey, Arc<K>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        S: Serializer,
    {
        serializer.collect_seq(objects.values())
    }

    pub(super) fn deserialize<'de, K, D>(deserializer: D) -> Result<BTreeMap<ObjectKey, Arc<K>>, D::Error>
    where
        K: Deserialize<'de> + Resource,
        D: Deserializer<'de>,
    {
        let objects = Vec::<Arc<K>>::deserialize(deserializer)?;
        let named = |object: Arc<K>| {
            let metadata = object.meta();
            let key = ObjectKey::new(metadata.namespace.clone()?, metadata.name.clone()?);
            Some((key, object))
        };
        objects.into_iter().map(|object| named(object).ok_or_else(|| D::Error::custom("no name"))).collect()
    }
}

/// Maps as lists of pairs: keys of JSON are texts, and ours have parts.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K, V, S>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        V: Serialize,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
