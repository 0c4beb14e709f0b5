//! Faults that the tests of this crate inject: a request for `/fault/PLACE` panics when it comes to that place.
//!
//! It is compiled for unit tests alone, so what is shipped cannot be asked to fail.

/// Panics where the request's `path` asks for it.
pub(crate) fn strike(place: &str, path: Option<&str>) {
    let asked = path.and_then(|path| path.strip_prefix("/fault/"));
    assert_ne!(asked, Some(place), "a test asked for this");
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use h2::client::SendRequest;
    use http::{Request, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;
    use tokio::time::timeout;

    use crate::dataplane::inside::Interior;
    use crate::dataplane::{self, Config, Limits};
    use crate::drain::{self, Phase, Schedule};
    use crate::object::ObjectKey;
    use crate::overload;
    use crate::snapshot::Snapshot;
    use crate::table::RoutingTable;
    use crate::telemetry::access_log::{self, Scope};
    use crate::telemetry::metrics::{Build, Metrics};
    use crate::telemetry::page::Page;
    use crate::translate::{self, EndpointAddresses, Memory, Options};

    const LIMIT: Duration = Duration::from_secs(10);

    const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    /// A data plane, and everything that it tells.
    struct Plane {
        handle: dataplane::Handle,
        drain: drain::Controller,
        metrics: Metrics,
        log: Page,
        writer: access_log::Writer,
    }

    impl Plane {
        fn serving(origin: SocketAddr) -> Self {
            let metrics = Metrics::new(Build { version: "0", commit: "0" });
            let log = Page::default();
            let (lines, writer) = access_log::start(Scope::All, "one", log.clone(), metrics.clone()).unwrap();
            let (drain, phase) = drain::channel();
            let config = Config {
                http: vec![([127, 0, 0, 1], 0).into()],
                https: Vec::new(),
                workers: std::num::NonZeroUsize::MIN,
                limits: Limits::default(),
                entrance: dataplane::Entrance::default(),
                https_redirect_port: 443,
                overload: overload::channel().1,
            };
            let handle = dataplane::start(&config, &phase, &metrics, &lines).unwrap();
            handle.publish(table(origin));
            Self { handle, drain, metrics, log, writer }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.handle.http_addresses()[0]).await.unwrap()
        }

        /// How one request on a connection of its own is answered, until its end.
        async fn ask(&self, path: &str, fields: &str) -> std::io::Result<String> {
            let mut viewer = self.connect().await;
            viewer.write_all(request(path, fields).as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            timeout(LIMIT, viewer.read_to_end(&mut answer)).await.unwrap()?;
            Ok(String::from_utf8(answer).unwrap())
        }

        /// Drains, which waits for whatever is still counted; what it tells at its end.
        async fn end(self) -> (String, String) {
            let start = tokio::time::Instant::now();
            let schedule = Schedule { start, spread: Duration::ZERO, deadline: start + LIMIT };
            self.drain.advance(Phase::Draining(schedule));
            assert_eq!(timeout(LIMIT, self.handle.join()).await.unwrap().unwrap(), 0);
            self.writer.finish(LIMIT);
            (self.metrics.encode().unwrap(), self.log.text())
        }
    }

    fn request(path: &str, fields: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n")
    }

    fn table(origin: SocketAddr) -> RoutingTable {
        let key = || ObjectKey::new("shop", "web");
        let metadata = serde_json::json!({"namespace": "shop", "name": "web"});
        let mut snapshot = Snapshot::default();
        let distribution = serde_json::json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution", "metadata": metadata,
            "spec": {
                "aliases": ["web.example"],
                "origins": [{"id": "web", "service": {"name": "web"}}],
                "defaultCacheBehavior": {"targetOriginId": "web", "viewerProtocolPolicy": "allow-all"},
            },
        });
        snapshot.distributions.insert(key(), Arc::new(serde_json::from_value(distribution).unwrap()));
        let service = serde_json::json!({"metadata": metadata, "spec": {"ports": [{"port": 80}]}});
        snapshot.services.insert(key(), Arc::new(serde_json::from_value(service).unwrap()));
        let slice = serde_json::json!({
            "metadata": {"namespace": "shop", "name": "web", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"port": origin.port()}],
            "endpoints": [{"addresses": [origin.ip()]}],
        });
        snapshot.endpoint_slices.insert(key(), Arc::new(serde_json::from_value(slice).unwrap()));
        let options = Options {
            default_certificate: None,
            base_domain: None,
            endpoint_addresses: EndpointAddresses::Standalone,
            zone: None,
            acme_unclaimed_hosts: false,
        };
        translate::translate(&snapshot, &options, Memory::default()).table
    }

    /// An origin that agrees to each handshake and answers everything else with `ok`.
    async fn origin() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                        if !head.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let asks = String::from_utf8_lossy(&head).to_ascii_lowercase();
                        let answer = match asks.contains("upgrade: websocket") {
                            true => {
                                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                            }
                            false => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                        };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        head.clear();
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_fault_of_ours_costs_its_own_request_a_500_and_nothing_else() {
        let plane = Plane::serving(origin().await);
        let mut neighbour = plane.connect().await;
        for (place, fields) in
            [("judging", ""), ("judging", HANDSHAKE), ("answered", ""), ("opening", HANDSHAKE)]
        {
            let answer = plane.ask(&format!("/fault/{place}"), fields).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 500 "), "{place}: {answer}");
            assert!(answer.contains("\r\nx-tidegate-error: internal\r\n"), "{place}: {answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{place}: {answer}");
            neighbour.write_all(request("/", "").as_bytes()).await.unwrap();
            let mut read = vec![0; 1024];
            let count = timeout(LIMIT, neighbour.read(&mut read)).await.unwrap().unwrap();
            assert!(read[..count].starts_with(b"HTTP/1.1 200 "), "{place}");
        }
        drop(neighbour);
        assert_eq!(plane.handle.tunnels(None).next().await, None);
        let (page, log) = plane.end().await;
        for line in [
            "tidegate_panics_total{lost=\"exchange\"} 4\n",
            "code=\"500\",protocol=\"h1\"} 4\n",
            "tidegate_websocket_connections{namespace=\"shop\",distribution=\"web\",origin=\"web\",protocol=\"h1\"} 0.0\n",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        let lost: Vec<_> = log.lines().filter(|line| line.contains("\"reason\":\"internal\"")).collect();
        assert_eq!(lost.len(), 4, "{log}");
        assert!(lost.iter().all(|line| line.contains("\"status\":500,")), "{log}");
    }

    #[tokio::test]
    async fn a_fault_of_ours_in_a_tunnel_leaves_nothing_open_and_is_told() {
        let plane = Plane::serving(origin().await);
        for place in ["agreed", "frames"] {
            let mut viewer = plane.connect().await;
            let asks = request(&format!("/fault/{place}"), HANDSHAKE);
            viewer.write_all(&[asks.as_bytes(), b"\x81\x80\0\0\0\0"].concat()).await.unwrap();
            let mut answer = Vec::new();
            // With an end or with a reset.
            let _end = timeout(LIMIT, viewer.read_to_end(&mut answer)).await.unwrap();
        }
        assert!(timeout(LIMIT, plane.handle.tunnels(None).next()).await.unwrap().is_none());
        let (page, log) = plane.end().await;
        let shop = "namespace=\"shop\",distribution=\"web\"";
        for line in [
            "tidegate_panics_total{lost=\"connection\"} 1\n".to_owned(),
            "tidegate_panics_total{lost=\"tunnel\"} 1\n".to_owned(),
            "tidegate_connections{listener=\"http\",protocol=\"h1\"} 0".to_owned(),
            format!("tidegate_websocket_connections{{{shop},origin=\"web\",protocol=\"h1\"}} 0.0\n"),
            format!("tidegate_websocket_opened_total{{{shop}}} 2\n"),
            format!("tidegate_websocket_closed_total{{{shop},closed_by=\"internal\",code=\"1006\"}} 2\n"),
        ] {
            assert!(page.contains(&line), "{line}: {page}");
        }
        let closes = log.lines().filter(|line| line.contains("\"event\":\"websocket_close\""));
        let closes: Vec<_> = closes.collect();
        assert_eq!(closes.len(), 2, "{log}");
        assert!(closes.iter().all(|line| line.contains("\"closed_by\":\"internal\"")), "{log}");
    }

    #[tokio::test]
    async fn a_fault_of_ours_in_the_middle_of_an_answer_looks_like_no_end() {
        let plane = Plane::serving(origin().await);
        assert!(plane.ask("/fault/passing", "").await.is_err());
        let (page, log) = plane.end().await;
        assert!(page.contains("tidegate_panics_total{lost=\"exchange\"} 1\n"), "{page}");
        assert!(log.contains("\"reason\":\"internal\""), "{log}");
    }

    /// Status and body of an answer over HTTP/2; the reason of a reset where it ends with one.
    async fn ask(
        connection: &SendRequest<Bytes>,
        path: &str,
    ) -> Result<(StatusCode, Vec<u8>), Option<h2::Reason>> {
        let asked = async {
            let request = Request::get(format!("http://web.example{path}")).body(()).unwrap();
            let (answer, _) = connection.clone().ready().await?.send_request(request, true)?;
            let (head, mut body) = answer.await?.into_parts();
            let mut read = Vec::new();
            while let Some(data) = body.data().await {
                read.extend(data?);
            }
            Ok((head.status, read))
        };
        timeout(LIMIT, asked).await.unwrap().map_err(|error: h2::Error| error.reason())
    }

    #[test]
    fn a_fault_of_ours_costs_its_own_stream_and_no_other_of_the_connection() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.unwrap().block_on(async {
            let interior = Interior::new(table(origin().await), Limits::default());
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let viewer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            spawn_local(async move { interior.serve_http2(peer, stream).await });
            let (connection, driver) = h2::client::handshake(viewer).await.unwrap();
            spawn_local(driver);

            let served = Ok((StatusCode::OK, b"ok".to_vec()));
            for place in ["judging", "answered", "passing"] {
                let path = format!("/fault/{place}");
                let (before, lost, after) =
                    tokio::join!(ask(&connection, "/"), ask(&connection, &path), ask(&connection, "/"));
                assert_eq!((&before, &after), (&served, &served), "{place}");
                match place {
                    "passing" => assert_eq!(lost, Err(Some(h2::Reason::INTERNAL_ERROR))),
                    _ => assert_eq!(lost.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR, "{place}"),
                }
                assert_eq!(ask(&connection, "/").await, served, "{place}");
            }
        });
    }
}
