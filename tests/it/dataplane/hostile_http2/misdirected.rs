//! SNI and `:authority`: who may be asked for on whose connection.

use http::Request;

use super::super::rig::{EchoOrigin, Plane, Site, soon, table};
use super::super::tls::{certificates, client, handshake, make, usable};
use super::reason;

/// SNI, what is asked for, status.
type Row = (&'static str, &'static str, u16);

#[tokio::test]
async fn a_connection_carries_only_what_its_name_and_certificate_cover() {
    let origin = EchoOrigin::start("web").await;
    let sites = ["a", "b", "c"].map(|name| Site::new(name, &[origin.address]));
    let narrow = make(&["a.example"]);
    let wide = make(&["a.example", "b.example"]);
    let default = make(&["b.example", "c.example", "nobody.example"]);
    let plane = Plane::start();
    let own = [("a", usable(&narrow)), ("b", usable(&wide))];
    plane.handle.publish(table(sites.to_vec(), certificates(&own, Some(&default))));
    let trusting = client(&[&narrow, &wide, &default], &[b"h2"]);
    let rows: [Row; 22] = [
        ("a.example", "a.example", 200),
        ("a.example", "A.EXAMPLE", 200),
        ("a.example", "a.example.", 200),
        ("a.example", "a.example:8443", 200),
        ("a.example", "b.example", 421),
        ("a.example", "B.example:443", 421),
        ("a.example", "c.example", 421),
        ("a.example", "nobody.example", 404),
        ("b.example", "b.example", 200),
        ("b.example", "a.example", 200),
        ("b.example", "a.example:1", 200),
        ("b.example", "c.example", 421),
        ("b.example", "nobody.example", 404),
        ("c.example", "c.example", 200),
        ("c.example", "b.example", 200),
        ("c.example", "a.example", 421),
        ("c.example", "A.example.", 421),
        ("c.example", "nobody.example", 404),
        ("nobody.example", "nobody.example", 404),
        ("nobody.example", "a.example", 421),
        ("nobody.example", "b.example", 421),
        ("nobody.example", "c.example", 421),
    ];
    let mut complaints = Vec::new();
    for (name, asked, status) in rows {
        let stream = handshake(&plane, &trusting, name).await.unwrap().stream;
        let (requests, connection) = soon(h2::client::handshake(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get(format!("https://{asked}/")).body(()).unwrap();
        let mut requests = soon(requests.ready()).await.unwrap();
        let response = soon(requests.send_request(request, true).unwrap().0).await.unwrap();
        let expected = match status {
            421 => "misdirected",
            404 => "no_distribution",
            _ => "",
        };
        if response.status() != status || reason(&response) != expected {
            complaints.push(format!("{name}, asked for {asked}: {:?}", response.status()));
        }
        connection.abort();
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
