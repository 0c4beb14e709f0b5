//! The admin pages over a real connection.

mod connections;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::admin::{self, Found, Sources, Voice};
use tidegate::conditions::facts::Facts;
use tidegate::conditions::roster::Roster;
use tidegate::dataplane::Handle;
use tidegate::drain::{self, Controller, Phase};
use tidegate::object::ObjectKey;
use tidegate::snapshot::{FileProblem, Keys, Snapshot, Stored};
use tidegate::table::RoutingTable;
use tidegate::telemetry::metrics::{Build, Metrics};
use tidegate::translate::{EndpointAddresses, Memory, Options, translate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::dataplane::rig::Plane;

/// A running admin server, and everything that moves it.
struct Server {
    address: SocketAddr,
    rounds: watch::Sender<Option<Found>>,
    judgements: watch::Receiver<Option<admin::Judgements>>,
    controller: Controller,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// An answer, taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    async fn start(debug_from: &str) -> Self {
        Self::of(Plane::start().handle, debug_from).await
    }

    /// One that tells of this data plane.
    async fn of(plane: Handle, debug_from: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::new(Build { version: "0", commit: "0" });
        let (controller, drain) = drain::channel();
        let (rounds, found) = watch::channel(None);
        let (_, roster) = watch::channel(Some(Arc::new(Roster::alone("edge-1"))));
        let (judged, judgements) = watch::channel(None);
        let debug_from = vec![debug_from.parse().unwrap()];
        let (metrics_too, judgements_too) = (metrics.clone(), judgements.clone());
        let sources = Sources {
            metrics: metrics_too,
            judgements: judgements_too,
            plane,
            drain,
            https_redirect_port: 8443,
            debug_from,
        };
        let _tasks = [
            tokio::spawn(admin::follow(found, roster, judged, metrics, Voice::Silent, Timestamp::now)),
            tokio::spawn(admin::serve(listener, sources, CancellationToken::new())),
        ]
        .map(AbortOnDropHandle::new);
        Self { address, rounds, judgements, controller, _tasks }
    }

    /// Hands a round on, and waits until it was judged.
    async fn found(&mut self, found: Found) {
        self.rounds.send_replace(Some(found));
        timeout(Duration::from_secs(10), self.judgements.changed()).await.unwrap().unwrap();
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        self.ask_host("localhost:9090", method, path).await
    }

    async fn ask_host(&self, host: &str, method: &str, path: &str) -> Answer {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // In HTTP/1.0 an answer of unknown length is not taken apart into chunks.
            let request = format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        let text = timeout(Duration::from_secs(10), exchange).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

fn nothing_found() -> Found {
    let facts = Arc::new(Facts::default());
    Found {
        table: RoutingTable::default(),
        own: Arc::clone(&facts),
        facts,
        snapshot: Arc::default(),
        default_certificate: None,
    }
}

/// What translation finds about a Distribution whose Service is missing.
fn one_without_its_service() -> Found {
    translated(json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Distribution",
        "metadata": { "namespace": "shop", "name": "web", "generation": 3 },
        "spec": {
            "aliases": ["shop.example.com"],
            "origins": [{ "id": "api", "service": { "name": "api", "port": 80 } }],
            "defaultCacheBehavior": { "targetOriginId": "api" },
        },
    }))
}

/// What translation makes of a Distribution beside the Service `web`.
fn translated(distribution: Value) -> Found {
    let mut snapshot = Snapshot::default();
    let service =
        json!({ "metadata": { "namespace": "shop", "name": "web" }, "spec": { "ports": [{ "port": 80 }] } });
    snapshot
        .services
        .insert(ObjectKey::new("shop", "web"), Arc::new(serde_json::from_value(service).unwrap()));
    let distribution = Arc::new(serde_json::from_value(distribution).unwrap());
    snapshot.distributions.insert(ObjectKey::new("shop", "web"), distribution);
    let options = Options {
        default_certificate: None,
        base_domain: None,
        endpoint_addresses: EndpointAddresses::Cluster,
        zone: None,
        acme_unclaimed_hosts: false,
    };
    let translation = translate(&snapshot, &options, Memory::default());
    let facts = Arc::new(translation.facts);
    Found {
        table: translation.table,
        own: Arc::clone(&facts),
        facts,
        snapshot: Arc::new(snapshot),
        default_certificate: translation.default_certificate,
    }
}

#[tokio::test]
async fn a_replica_is_alive_before_it_is_ready_and_ready_with_an_empty_table() {
    let mut server = Server::start("127.0.0.0/8").await;
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/debug/status").await.status, 503);
    server.found(nothing_found()).await;
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_draining_replica_stays_ready_until_its_listeners_close() {
    let mut server = Server::start("127.0.0.0/8").await;
    server.found(nothing_found()).await;
    server.controller.advance(Phase::Leaving);
    assert_eq!(server.get("/readyz").await.status, 200);
    server.controller.advance(Phase::Terminating);
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn the_status_page_tells_conditions_and_files() {
    let mut server = Server::start("127.0.0.0/8").await;
    let mut found = one_without_its_service();
    let problem = FileProblem {
        path: PathBuf::from("demo/web.yaml"),
        line: 7,
        column: 3,
        field: "spec.orgins".to_owned(),
        message: "unknown field".to_owned(),
    };
    let not_utf8 = FileProblem { path: OsStr::from_bytes(b"caf\xe9.yaml").into(), ..problem.clone() };
    Arc::make_mut(&mut found.snapshot).problems.files.extend([problem, not_utf8]);
    server.found(found).await;
    let page: Value = serde_json::from_str(&server.get("/debug/status").await.body).unwrap();
    let distribution = &page["distributions"][0];
    assert_eq!(distribution["namespace"], "shop");
    assert_eq!(distribution["name"], "web");
    assert_eq!(distribution["generation"], 3);
    assert_eq!(distribution["state"], "Degraded");
    assert_eq!(distribution["warnings"], json!([]));
    let conditions = distribution["conditions"].as_array().unwrap();
    let resolved = conditions.iter().find(|condition| condition["type"] == "ResolvedRefs").unwrap();
    assert_eq!((&resolved["status"], &resolved["reason"]), (&json!("False"), &json!("BackendNotFound")));
    assert_eq!(
        page["files"][0],
        json!({
            "path": "demo/web.yaml", "line": 7, "column": 3, "field": "spec.orgins", "message": "unknown field"
        })
    );
    assert_eq!(page["files"][1]["path"], "caf\u{fffd}.yaml");
}

#[tokio::test]
async fn a_condition_that_did_not_flip_keeps_its_time() {
    let mut server = Server::start("127.0.0.0/8").await;
    let transitions = |page: &str| -> Value {
        let page: Value = serde_json::from_str(page).unwrap();
        let conditions = page["distributions"][0]["conditions"].as_array().unwrap().iter();
        conditions.map(|condition| condition["lastTransitionTime"].clone()).collect()
    };
    server.found(one_without_its_service()).await;
    let first = transitions(&server.get("/debug/status").await.body);
    // Facts that are equal, but not the very same: everything is judged anew.
    server.found(one_without_its_service()).await;
    assert_eq!(transitions(&server.get("/debug/status").await.body), first);
}

#[tokio::test]
async fn the_table_and_the_metrics_name_what_is_served() {
    let mut server = Server::start("127.0.0.0/8").await;
    server.found(one_without_its_service()).await;
    let table: Value = serde_json::from_str(&server.get("/debug/table").await.body).unwrap();
    assert_eq!(table["distributions"]["shop/web"]["aliases"], json!(["shop.example.com"]));
    let metrics = server.get("/metrics").await;
    assert!(
        metrics.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        metrics.head
    );
    assert!(metrics.body.contains("tidegate_distributions{state=\"Degraded\"} 1"), "{}", metrics.body);
    assert!(metrics.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn values_that_may_be_secret_are_on_no_page() {
    let mut server = Server::start("127.0.0.0/8").await;
    let found = translated(json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Distribution",
        "metadata": { "namespace": "shop", "name": "web" },
        "spec": {
            "aliases": ["shop.example.com"],
            "origins": [{
                "id": "api",
                "service": { "name": "web" },
                "customHeaders": [{ "name": "x-origin-key", "value": "hunter2" }],
            }],
            "defaultCacheBehavior": { "targetOriginId": "api" },
        },
    }));
    server.found(found).await;
    for path in ["/debug/table", "/debug/status", "/metrics"] {
        let page = server.get(path).await.body;
        assert!(page.contains("shop"), "{path} says nothing of it: {page}");
        assert!(!page.contains("hunter2"), "{path}: {page}");
    }
    let table = server.get("/debug/table").await.body;
    assert!(table.contains("x-origin-key"), "the origin is not in the table: {table}");
}

#[tokio::test]
async fn debug_pages_answer_only_the_networks_that_may_see_them() {
    let mut server = Server::start("192.0.2.0/24").await;
    server.found(nothing_found()).await;
    for path in
        ["/debug/table", "/debug/status", "/debug/connections", "/debug/other", "/explain?url=http://h/"]
    {
        assert_eq!(server.get(path).await.status, 403, "{path}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_name_that_a_web_page_could_have_chosen_shows_no_debug_page() {
    let mut server = Server::start("127.0.0.0/8").await;
    server.found(nothing_found()).await;
    for (host, status) in [
        ("localhost:9090", 200),
        ("tidegate", 200),
        ("127.0.0.1:9090", 200),
        ("[::1]:9090", 200),
        ("rebound.example.com:9090", 403),
        ("127.0.0.1.example.com", 403),
        ("a b", 403),
    ] {
        assert_eq!(server.ask_host(host, "GET", "/debug/status").await.status, status, "{host}");
    }
    assert_eq!(server.ask_host("rebound.example.com", "GET", "/readyz").await.status, 200);
}

#[tokio::test]
async fn an_unknown_page_lists_the_known_and_nothing_is_written() {
    let server = Server::start("127.0.0.0/8").await;
    let unknown = server.get("/status").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("/debug/status"), "{}", unknown.body);
    let posted = server.ask("POST", "/livez").await;
    assert_eq!(posted.status, 405);
    assert!(posted.head.contains("allow: GET, HEAD"), "{}", posted.head);
    let head = server.ask("HEAD", "/livez").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_request_is_explained_by_the_table_in_force() {
    let mut server = Server::start("127.0.0.0/8").await;
    let page = "/explain?url=http%3A%2F%2Fshop.example.com%2Fa%3Fb%26c&method=POST";
    assert_eq!(server.get(page).await.status, 503);
    server.found(one_without_its_service()).await;
    let told: Value = serde_json::from_str(&server.get(page).await.body).unwrap();
    assert_eq!(told["request"]["url"], "http://shop.example.com/a?b&c");
    assert_eq!(told["distribution"]["name"], "web");
    assert_eq!(told["outcome"]["reason"], "no_endpoints");
    assert!(told["findings"][0].as_str().unwrap().contains("Service shop/api not found"), "{told}");
}

#[tokio::test]
async fn what_is_no_question_is_told_what_to_write() {
    let server = Server::start("127.0.0.0/8").await;
    let rows = [
        ("/explain", "url is missing; there are url=..., method=..., websocket=true"),
        ("/explain?url=shop.example.com", "write https:// or http:// in front of it"),
        ("/explain?url=http://h/&method=get", "write GET"),
        ("/explain?url=http://h/&url=http://i/", "url stands there twice"),
        ("/explain?url=http://h/&websocket=yes", "websocket=true"),
        ("/explain?url=http://h/&methd=GET", "\"methd\" with the value \"GET\" is unknown"),
    ];
    for (page, remedy) in rows {
        let answer = server.get(page).await;
        assert_eq!(answer.status, 400, "{page}");
        assert!(answer.body.contains(remedy), "{page}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_comes_from_a_file_says_so_and_is_ready_only_with_keys() {
    let mut server = Server::start("127.0.0.0/8").await;
    for (keys, ready) in [(Keys::LeftOut, 503), (Keys::Kept, 200)] {
        let stored = Some(Stored { at: Timestamp::now(), keys });
        let snapshot = Arc::new(Snapshot { stored, ..Snapshot::default() });
        server.found(Found { snapshot, ..nothing_found() }).await;
        assert_eq!(server.get("/readyz").await.status, ready);
        let told: Value = serde_json::from_str(&server.get("/debug/status").await.body).unwrap();
        assert_eq!(told["stored"]["keys"], json!(keys));
        assert!(told["stored"]["ageSeconds"].as_u64().is_some_and(|age| age < 60), "{told}");
    }
    server.found(nothing_found()).await;
    let told: Value = serde_json::from_str(&server.get("/debug/status").await.body).unwrap();
    assert_eq!(told.get("stored"), None);
}
