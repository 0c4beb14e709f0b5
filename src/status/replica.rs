//! Who this process is among the replicas, and where their Leases are.

/// One replica of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The namespace of all Leases of the fleet.
    pub namespace: String,
    /// How people call it, and what its own Lease is called.
    pub name: String,
    /// The pod that owns its Lease; none outside of pods.
    pub pod: Option<Pod>,
    /// No other process has the same, not even one with the same name.
    pub holder: String,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl Replica {
    /// The replica that is called `name` as far as that can name an object.
    pub fn new(namespace: String, name: &str, pod: Option<Pod>) -> Self {
        let name = object_name(name);
        // A container that was restarted goes on where it stopped: its forerunner has ended for sure. Of a pod that
        // has the name of one that was lost with its node, nobody knows, and its uid is another.
        let unique = match &pod {
            Some(pod) => pod.uid.clone(),
            None => format!("{:016x}", fastrand::u64(..)),
        };
        let holder = format!("{name}_{unique}");
        Self { namespace, name, pod, holder }
    }
}

/// How people call the replica that holds a Lease.
pub fn name_of(holder: &str) -> &str {
    holder.rsplit_once('_').map_or(holder, |(name, _)| name)
}

/// A machine may be called what no object may.
fn object_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().take(63).map(plain).collect();
    let parts: Vec<_> =
        name.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "replica".to_owned() } else { parts.join(".") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_any_name_has_the_name_of_an_object() {
        let named = [
            ("web-1.Example.COM", "web-1.example.com"),
            ("my_laptop_", "my-laptop"),
            ("", "replica"),
            ("..", "replica"),
        ];
        for (machine, name) in named {
            assert_eq!(object_name(machine), name);
        }
        assert!(object_name(&"ä".repeat(300)).len() <= 63);
    }

    #[test]
    fn a_restarted_container_is_the_same_holder_and_a_second_process_is_not() {
        let pod = |uid: &str| Some(Pod { name: "edge-1".to_owned(), uid: uid.to_owned() });
        let holder = |pod| Replica::new("edge".to_owned(), "edge-1", pod).holder;
        assert_eq!(holder(pod("a")), holder(pod("a")));
        assert_ne!(holder(pod("a")), holder(pod("b")));
        assert_ne!(holder(None), holder(None));
        assert_eq!(name_of(&holder(None)), "edge-1");
    }
}
