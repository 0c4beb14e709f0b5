//! What is kept, what is claimed twice, and which pointers stay.

use super::super::document::parse;
use super::*;
use crate::snapshot::Kind;

fn secret(name: &str, text: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{a: \"{text}\"}}\n---\n")
}

fn files(texts: &[(&str, &str)]) -> Files {
    let parsed = |(path, text): &(&str, &str)| (PathBuf::from(path), Ok(parse(text.as_bytes()).into()));
    texts.iter().map(parsed).collect()
}

fn class() -> Class {
    Class { name: "tidegate".to_owned(), default: true, also: None }
}

/// `name=text` of each Secret.
fn served(catalog: &Catalog) -> Vec<String> {
    let snapshot = catalog.snapshot(&class());
    let told = |(key, secret): (&ObjectKey, &Arc<k8s_openapi::api::core::v1::Secret>)| {
        let text = &secret.data.as_ref().expect("data")["a"].0;
        format!("{}={}", key.name, String::from_utf8_lossy(text))
    };
    snapshot.secrets.iter().map(told).collect()
}

fn messages(catalog: &Catalog) -> Vec<String> {
    catalog
        .problems()
        .iter()
        .map(|one| format!("{}:{} {}", one.path.display(), one.line, one.message))
        .collect()
}

#[test]
fn a_document_that_turns_bad_keeps_its_last_good_version_and_the_others_go_on() {
    let good = Catalog::default().next(&files(&[("a", &(secret("one", "1") + &secret("two", "1")))]));
    let text = secret("one", "2").replace("stringData", "stringDate") + &secret("two", "2");
    let next = good.next(&files(&[("a", &text)]));
    assert_eq!(served(&next), ["one=1", "two=2"]);
    assert_eq!(
        messages(&next),
        ["a:4 unknown field `stringDate`; did you mean `stringData`? its last good version is served"]
    );
    assert_eq!(served(&next.next(&files(&[("a", &text)]))), ["one=1", "two=2"], "also the next time");
    assert_eq!(served(&next.next(&files(&[("a", &secret("two", "3"))]))), ["two=3"], "until it is removed");
}

#[test]
fn a_document_that_was_never_good_serves_nothing() {
    let text = secret("one", "1").replace("kind", "knd") + &secret("two", "1");
    let catalog = Catalog::default().next(&files(&[("a", &text)]));
    assert_eq!(served(&catalog), ["two=1"]);
    assert_eq!(messages(&catalog), ["a:1 `kind` is required here; nothing of it is served"]);
}

#[test]
fn a_document_without_a_readable_name_is_known_by_its_place() {
    let good = Catalog::default().next(&files(&[("a", &(secret("one", "1") + &secret("two", "1")))]));
    let text = secret("one", "2").replace("name: one", "nam: one") + &secret("two", "2");
    assert_eq!(served(&good.next(&files(&[("a", &text)]))), ["one=1", "two=2"]);
}

#[test]
fn broken_syntax_keeps_what_stood_behind_it() {
    let good = Catalog::default()
        .next(&files(&[("a", &(secret("one", "1") + &secret("two", "1") + &secret("three", "1")))]));
    let text = secret("one", "2") + "a: [\n---\n" + &secret("three", "2");
    let next = good.next(&files(&[("a", &text)]));
    assert_eq!(served(&next), ["one=2", "three=1", "two=1"]);
    assert_eq!(next.problems().len(), 1);
    assert_eq!(served(&next.next(&files(&[("a", &text)]))), ["one=2", "three=1", "two=1"]);
}

#[test]
fn a_file_that_cannot_be_read_keeps_all_and_one_that_is_gone_nothing() {
    let good = Catalog::default().next(&files(&[("a", &secret("one", "1"))]));
    let unreadable = Files::from([(PathBuf::from("a"), Err("cannot be read: denied".to_owned()))]);
    let next = good.next(&unreadable);
    assert_eq!(served(&next), ["one=1"]);
    assert_eq!(messages(&next), ["a:1 cannot be read: denied; its last good version is served"]);
    assert!(served(&next.next(&Files::new())).is_empty());
}

#[test]
fn two_documents_that_name_one_object_are_told_on_the_later_one() {
    let catalog = Catalog::default().next(&files(&[("a", &secret("one", "1")), ("b", &secret("one", "2"))]));
    assert_eq!(served(&catalog), ["one=1"]);
    assert_eq!(
        messages(&catalog),
        ["b:1 Secret default/one stands already in a at line 1, which is served; remove one of the two"]
    );
}

#[test]
fn what_did_not_change_keeps_its_pointer() {
    let good = Catalog::default().next(&files(&[("a", &(secret("one", "1") + &secret("two", "1")))]));
    let next = good.next(&files(&[("a", &(secret("two", "1") + &secret("one", "2")))]));
    let key = |name| (Kind::Secret, ObjectKey::new("default", name));
    let same = |name| match (&good.objects[&key(name)], &next.objects[&key(name)]) {
        (Object::Secret(one), Object::Secret(other)) => Arc::ptr_eq(one, other),
        _ => false,
    };
    assert!(same("two"));
    assert!(!same("one"));
}

#[test]
fn distributions_of_another_class_are_not_in_the_snapshot() {
    let distribution = |name: &str, class: &str| {
        format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: Distribution\nmetadata: {{name: {name}}}\nspec: {{{class} \
             origins: [{{id: a, service: {{name: a}}}}], defaultCacheBehavior: {{targetOriginId: a}}}}\n---\n"
        )
    };
    let text = distribution("none", "")
        + &distribution("ours", "className: tidegate,")
        + &distribution("other", "className: other,");
    let catalog = Catalog::default().next(&files(&[("a", &text)]));
    assert_eq!(catalog.problems(), []);
    let names = |class: &Class| -> Vec<String> {
        catalog.snapshot(class).distributions.keys().map(|key| key.name.clone()).collect()
    };
    assert_eq!(names(&class()), ["none", "ours"]);
    assert_eq!(names(&Class { default: false, ..class() }), ["ours"]);
}
