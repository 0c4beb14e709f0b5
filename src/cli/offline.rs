//! Manifests translated with nothing running: what `explain --manifests` and `check` look at.

use crate::object::ObjectKey;
use crate::provider::Class;
use crate::provider::manifests::Reading;
use crate::translate::{BaseDomain, EndpointAddresses, Memory, Options, Translation, translate};

/// The class that Distributions without one belong to.
pub(super) const DEFAULT_CLASS: &str = "tidegate";

/// What the replicas of a class would make of the files: the Distributions of `class_name`, and those without a
/// class where it is the default one.
pub(super) fn translated(
    reading: &Reading,
    class_name: &str,
    default_certificate: Option<ObjectKey>,
    base_domain: Option<BaseDomain>,
) -> Translation {
    let class = Class { name: class_name.to_owned(), default: class_name == DEFAULT_CLASS, also: None };
    let endpoint_addresses = EndpointAddresses::Standalone;
    let options = Options {
        default_certificate,
        base_domain,
        endpoint_addresses,
        zone: None,
        acme_unclaimed_hosts: false,
    };
    translate(&reading.snapshot(&class), &options, Memory::default())
}
