//! The base domain: a name for every Distribution, whatever its aliases.
//!
//! A name is one label below the domain, so that one wildcard certificate covers all of them. `NAME-NAMESPACE` may
//! mean two Distributions (`a-b` of `c`, `a` of `b-c`): the older one has it, the younger one has it with a hash.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

use crate::object::ObjectKey;
use crate::table::host::{HostName, HostPattern};

/// The longest label (RFC 1035 section 2.3.4).
const LABEL: usize = 63;

/// How many digits of a hash are put behind a label, fewer before more; the first free one is taken.
const DIGITS: [usize; 3] = [8, 16, 32];

/// The domain below which every Distribution has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseDomain(HostName);

/// Why a text is no base domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a domain of at most 189 characters without `*` and port, such as apps.example.com")]
pub struct NotABaseDomain;

impl BaseDomain {
    /// Reads a domain, `apps.example.com`.
    ///
    /// # Errors
    /// [`NotABaseDomain`], also for one that leaves no room for a label of 63 characters before it.
    pub fn parse(text: &str) -> Result<Self, NotABaseDomain> {
        let domain = HostName::parse(text).map_err(|_| NotABaseDomain)?;
        if domain.as_str().len() + 1 + LABEL > 253 { Err(NotABaseDomain) } else { Ok(Self(domain)) }
    }

    /// The domain itself.
    pub(super) fn domain(&self) -> &HostName {
        &self.0
    }

    /// The names of these Distributions, the older ones first.
    pub(super) fn names<'k>(
        &self,
        by_age: impl Iterator<Item = &'k ObjectKey>,
    ) -> BTreeMap<&'k ObjectKey, HostName> {
        let mut taken: BTreeMap<HostName, &ObjectKey> = BTreeMap::new();
        for key in by_age {
            let mut candidates =
                labels(key).filter_map(|label| HostName::parse(&format!("{label}.{}", self.0)).ok());
            if let Some(name) = candidates.find(|name| !taken.contains_key(name)) {
                taken.insert(name, key);
            }
        }
        taken.into_iter().map(|(name, key)| (key, name)).collect()
    }

    /// Whether an alias is a name below the domain, or a wildcard of such names.
    pub(super) fn reserves(&self, alias: &HostPattern) -> bool {
        let (HostPattern::Exact(name) | HostPattern::Wildcard(name)) = alias;
        let is_its_wildcard = matches!(alias, HostPattern::Wildcard(base) if *base == self.0);
        is_its_wildcard || name.parents().any(|parent| parent == self.0.as_str())
    }
}

/// The labels that a Distribution may have, the nicest first.
fn labels(key: &ObjectKey) -> impl Iterator<Item = String> + '_ {
    let ObjectKey { namespace, name } = key;
    let plain = format!("{name}-{namespace}");
    // A dot would begin another label.
    let fits = plain.len() <= LABEL && !plain.contains('.');
    let hashed = {
        let plain = plain.clone();
        DIGITS.into_iter().map(move |digits| {
            let hash = hash(key);
            let hash = hash.get(..digits).unwrap_or(&hash);
            let kept = plain.get(..LABEL - 1 - digits).unwrap_or(&plain);
            format!("{}-{hash}", kept.replace('.', "-"))
        })
    };
    fits.then_some(plain).into_iter().chain(hashed)
}

/// SHA-256 of `NAMESPACE/NAME`, in hexadecimal.
fn hash(key: &ObjectKey) -> String {
    let hash = digest::digest(&digest::SHA256, key.to_string().as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keys: &[(&str, &str)]) -> Vec<String> {
        let keys: Vec<_> = keys.iter().map(|(namespace, name)| ObjectKey::new(*namespace, *name)).collect();
        let domain = BaseDomain::parse("apps.example.com").expect("a domain");
        let names = domain.names(keys.iter());
        keys.iter().map(|key| names[key].to_string()).collect()
    }

    #[test]
    fn a_name_is_one_label_and_belongs_to_one_distribution() {
        assert_eq!(names(&[("shop", "web")]), ["web-shop.apps.example.com"]);
        let [older, younger] = names(&[("c", "a-b"), ("b-c", "a")]).try_into().expect("two");
        assert_eq!(older, "a-b-c.apps.example.com");
        assert!(younger.starts_with("a-b-c-") && younger.len() == older.len() + 9, "{younger}");
        assert_eq!(names(&[("b-c", "a"), ("c", "a-b")])[0], "a-b-c.apps.example.com", "it goes by age");
        let [dotted] = names(&[("shop", "www.web")]).try_into().expect("one");
        assert!(dotted.starts_with("www-web-shop-") && dotted.matches('.').count() == 3, "{dotted}");
    }

    #[test]
    fn a_long_name_is_cut_and_hashed_to_a_label_of_63() {
        let long = "a".repeat(60);
        let other = format!("{long}a");
        let names = names(&[("ns", &long), ("ns", &other), ("n", &long)]);
        let labels: Vec<_> = names.iter().map(|name| name.split('.').next().unwrap_or_default()).collect();
        assert_eq!(labels.iter().map(|label| label.len()).collect::<Vec<_>>(), [63, 63, 62]);
        assert_eq!(labels[0].len(), 63);
        assert_ne!(labels[0], labels[1]);
        assert_eq!(labels[2], format!("{long}-n"));
    }

    #[test]
    fn what_lies_below_is_reserved_and_the_domain_and_its_neighbours_are_not() {
        let domain = BaseDomain::parse("Apps.example.com").expect("a domain");
        let reserved = |alias| domain.reserves(&HostPattern::parse(alias).expect("an alias"));
        for alias in
            ["a.apps.example.com", "a.b.apps.example.com", "*.a.apps.example.com", "*.apps.example.com"]
        {
            assert!(reserved(alias), "{alias}");
        }
        for alias in ["apps.example.com", "*.example.com", "a.example.com", "a.myapps.example.com"] {
            assert!(!reserved(alias), "{alias}");
        }
        for text in ["*.example.com", "example.com:443", "", &format!("{}com", "a.".repeat(95))] {
            assert_eq!(BaseDomain::parse(text), Err(NotABaseDomain), "{text}");
        }
    }
}
