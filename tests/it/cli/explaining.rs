//! `tidegate explain`: of a replica and of manifests, with the same answer.

use std::net::TcpListener;

use serde_json::Value;

use super::ending::folder;
use super::serving::Serving;
use super::{assert_fails, tidegate};

/// What `tidegate explain` prints with these arguments.
fn explained(arguments: &[&str]) -> String {
    let output = tidegate(&[&["explain"], arguments].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_replica_and_its_manifests_give_the_same_answer() {
    let folder = folder("127.0.0.1:9".parse().expect("an address"));
    let path = folder.path().to_str().expect("a path of ASCII");
    let serving = Serving::start(folder.path(), &[]);
    let admin = format!("http://{}", serving.admin);
    for url in ["http://example.com/a?b=c&d", "http://exmaple.com/", "ws://example.com/chat"] {
        let of_viewer = [url, "--viewer", "192.0.2.7"];
        let of_replica = explained(&[&of_viewer[..], &["--admin", &admin]].concat());
        assert_eq!(of_replica, explained(&[&of_viewer[..], &["--manifests", path]].concat()));
        let json = explained(&[url, "--admin", &admin, "--format", "json"]);
        let json: Value = serde_json::from_str(&json).expect("one JSON object");
        assert_eq!(json["request"]["url"], url);
        assert!(json["request"]["viewer"].is_null());
    }
    assert!(explained(&["http://example.com/", "--admin", &admin]).contains("endpoint     127.0.0.1:9\n"));
    assert!(explained(&["http://exmaple.com/", "--admin", &admin]).contains("did you mean example.com?"));
}

#[test]
fn what_is_noted_of_manifests_moves_no_cursor() {
    let folder = folder("127.0.0.1:9".parse().expect("an address"));
    let odd = "apiVersion: tidegate.io/v1alpha1\nkind: Distribution\nmetadata: {name: odd, namespace: shop}\n\
               spec: {\"a\\e[2J\\u202Eb\": 1}\n";
    std::fs::write(folder.path().join("odd.yaml"), odd).expect("a file");
    let path = folder.path().to_str().expect("a path of ASCII");
    let output = tidegate(&["explain", "http://example.com/", "--manifests", path]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("a?[2J?b"), "{stderr:?}");
    assert!(!stderr.contains(['\u{1b}', '\u{202e}']), "{stderr:?}");
}

#[test]
fn the_live_table_is_printed_as_its_page_has_it() {
    let folder = folder("127.0.0.1:9".parse().expect("an address"));
    let serving = Serving::start(folder.path(), &[]);
    let output = tidegate(&["dump", "--admin", &format!("http://{}", serving.admin)]);
    let table: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let origin = &table["distributions"]["shop/web"]["origins"]["web"];
    assert_eq!(origin["endpoints"][0], "127.0.0.1:9", "{table}");
}

#[test]
fn what_is_typed_wrongly_is_a_usage_error_with_a_remedy() {
    assert_fails(&["explain", "shop.example.com"], 2, "write https:// or http:// in front of it");
    assert_fails(&["explain", "http://h/", "--method", "get"], 2, "write GET");
    assert_fails(&["explain", "http://h/", "--admin", "localhost"], 2, "write http://HOST:PORT");
    assert_fails(&["explain", "http://h/", "--class-name", "a"], 2, "--manifests");
}

#[test]
fn a_replica_that_cannot_be_asked_ends_with_one_sentence() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let admin = format!("http://{}", closed.expect("a free port"));
    assert_fails(&["explain", "http://h/", "--admin", &admin], 1, "error: http://127.0.0.1:");
    assert_fails(
        &["explain", "http://h/", "--admin", &admin],
        1,
        "name the admin address of a running replica",
    );
    assert_fails(&["explain", "http://h/", "--manifests", "/no/such"], 1, "error: /no/such cannot be read");
}
