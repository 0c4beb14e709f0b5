//! What holds of translation whatever the cluster looks like.

mod world;

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use tidegate::conditions::{Fleet, finish};
use tidegate::object::ObjectKey;
use tidegate::snapshot::file::{self, Whose};
use tidegate::snapshot::{Keys, Snapshot};
use tidegate::table::host::HostName;
use tidegate::table::route::Routes;
use tidegate::translate::{BaseDomain, EndpointAddresses, Memory, Options, Translation, translate};

use world::{HOSTS, Object, distribution};

fn translated(snapshot: &Snapshot, memory: Memory) -> Translation {
    let options = Options {
        default_certificate: Some(ObjectKey::new("a", "s1")),
        base_domain: Some(BaseDomain::parse("apps.test").unwrap()),
        endpoint_addresses: EndpointAddresses::Cluster,
        zone: None,
        acme_unclaimed_hosts: false,
    };
    translate(snapshot, &options, memory)
}

fn from_nothing(snapshot: &Snapshot) -> Translation {
    translated(snapshot, Memory::default())
}

fn snapshot(objects: &[Object]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    objects.iter().for_each(|object| object.put(&mut snapshot));
    snapshot
}

fn routes<'t>(translation: &'t Translation, key: &ObjectKey) -> Option<&'t Arc<Routes>> {
    translation.table.hosts.routes().iter().find(|routes| routes.distribution == *key)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_gives_what_the_objects_give_from_nothing(
        (objects, shuffled) in world::objects().prop_flat_map(|objects| {
            (Just(objects.clone()), Just(objects).prop_shuffle())
        }),
    ) {
        let expected = from_nothing(&snapshot(&objects));
        let mut present = Snapshot::default();
        let mut memory = Memory::default();
        for object in shuffled {
            object.put(&mut present);
            memory = translated(&present, memory).memory;
        }
        let last = translated(&present, memory);
        prop_assert_eq!(&last.table, &expected.table);
        prop_assert_eq!(&last.facts, &expected.facts);
    }

    // Without bad certificates, whose last good version is remembered on purpose.
    #[test]
    fn after_every_edit_the_memory_changes_nothing_but_the_work(
        objects in world::objects(),
        edits in prop::collection::vec((world::good_object(), any::<bool>()), 1..12),
    ) {
        let mut present = snapshot(&objects);
        present.secrets.clear();
        let mut memory = Memory::default();
        for (object, delete) in edits {
            if delete { object.delete(&mut present) } else { object.put(&mut present) }
            let step = translated(&present, memory);
            let expected = from_nothing(&present);
            prop_assert_eq!(&step.table, &expected.table);
            prop_assert_eq!(&step.facts, &expected.facts);
            memory = step.memory;
        }
    }

    #[test]
    fn equal_objects_give_an_equal_table_and_the_same_ones_no_work(objects in world::objects()) {
        let first = from_nothing(&snapshot(&objects));
        let again = from_nothing(&snapshot(&objects));
        prop_assert_eq!(&first.table, &again.table);
        prop_assert_eq!(&first.facts, &again.facts);

        let present = snapshot(&objects);
        let first = from_nothing(&present);
        let again = translated(&present, first.memory);
        prop_assert_eq!(again.rebuilt, 0);
        prop_assert!(Arc::ptr_eq(&first.table.hosts, &again.table.hosts));
        prop_assert!(Arc::ptr_eq(&first.table.endpoints, &again.table.endpoints));
        prop_assert!(Arc::ptr_eq(&first.table.certificates, &again.table.certificates));
    }

    #[test]
    fn what_was_kept_in_a_file_gives_the_same_table(objects in world::objects()) {
        let whose = Whose { class_name: "tidegate".to_owned(), default_class: true, also_serve_class: None, namespaces: [].into() };
        let before = snapshot(&objects);
        let mut bytes = Vec::new();
        file::write(&before, Timestamp::UNIX_EPOCH, &whose, Keys::Kept, &mut bytes).unwrap();
        let after = file::read(&bytes, &whose).unwrap();
        let (before, after) = (from_nothing(&before), from_nothing(&after));
        prop_assert_eq!(&before.table, &after.table);
        prop_assert_eq!(&before.facts, &after.facts);
    }

    #[test]
    fn a_change_of_one_distribution_changes_no_other(
        objects in world::objects(),
        before in world::distribution_at("a", "x", &["own.example.org"]),
        after in world::distribution_at("a", "x", &["own.example.org"]),
    ) {
        let changed = before.key();
        let mut present = snapshot(&objects);
        before.put(&mut present);
        let first = from_nothing(&present);
        after.put(&mut present);
        let second = translated(&present, first.memory.clone());
        prop_assert_eq!(second.rebuilt, 1);
        for key in present.distributions.keys().filter(|key| **key != changed) {
            prop_assert_eq!(routes(&first, key), routes(&second, key));
            prop_assert_eq!(first.facts.0.get(key), second.facts.0.get(key));
        }
    }

    // `z` is younger than everybody, since it has no timestamp and comes last by name.
    #[test]
    fn a_young_distribution_takes_no_host_from_another_namespace(
        objects in world::objects(),
        young in world::distribution_at("z", "z", HOSTS),
    ) {
        let mut present = snapshot(&objects);
        let without = from_nothing(&present);
        young.put(&mut present);
        let with = from_nothing(&present);
        for host in HOSTS.iter().map(|host| host.replace('*', "any")) {
            let host = HostName::parse(&host).unwrap();
            if let Some((_, owner)) = without.table.hosts.find(&host) {
                prop_assert_eq!(Some(owner), with.table.hosts.find(&host).map(|(_, owner)| owner));
            }
        }
        for key in without.facts.0.keys() {
            prop_assert_eq!(without.facts.0.get(key), with.facts.0.get(key));
        }
    }

    #[test]
    fn nothing_panics_and_every_distribution_is_judged(
        objects in prop::collection::vec(world::hostile_object(), 1..12),
        now in any::<i32>(),
    ) {
        let present = snapshot(&objects);
        let translation = from_nothing(&present);
        let now = Timestamp::from_second(now.into()).unwrap();
        prop_assert_eq!(translation.facts.0.len(), present.distributions.len());
        for facts in translation.facts.0.values() {
            let status = finish(facts, Fleet::ALONE, now).status;
            prop_assert!(status.conditions.iter().any(|condition| condition.type_ == "Ready"));
        }
        translation.table.dump();
    }
}

#[test]
fn one_changed_distribution_of_5000_costs_one_unit() {
    let mut present = snapshot(&[world::service("a", "s1"), world::slice("a", "s1", "10.0.0.1")]);
    for number in 0..5_000 {
        distribution("a", &format!("d{number}"), &[&format!("d{number}.example.com")]).put(&mut present);
    }
    let first = from_nothing(&present);
    assert_eq!(first.rebuilt, 5_000);

    distribution("a", "d7", &["seven.example.com"]).put(&mut present);
    let second = translated(&present, first.memory);
    assert_eq!(second.rebuilt, 1);
    assert!(second.table.hosts.find(&HostName::parse("seven.example.com").unwrap()).is_some());
    assert!(second.table.hosts.find(&HostName::parse("d7.example.com").unwrap()).is_none());
}

#[test]
fn churn_of_endpoints_leaves_hosts_and_certificates_as_they_are() {
    let mut present = snapshot(&[
        world::service("a", "s1"),
        world::slice("a", "s1", "10.0.0.1"),
        distribution("a", "x", &["x.example.com"]),
    ]);
    let first = from_nothing(&present);
    world::slice("a", "s1", "10.0.0.2").put(&mut present);
    let second = translated(&present, first.memory);
    assert!(Arc::ptr_eq(&first.table.hosts, &second.table.hosts));
    assert!(Arc::ptr_eq(&first.table.certificates, &second.table.certificates));
    assert_ne!(first.table.endpoints, second.table.endpoints);
    assert_eq!(first.facts, second.facts);
}
