//! Hostile requests over HTTP/2 as raw frames, before an origin over HTTP/1.1: what cannot be said in HTTP/1.1 without
//! being read in two ways dies, and what passes is exactly this text.

mod misdirected;
mod rows;

use h2::Reason;
use http::{Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::frames;
use super::hostile_http1::recorder::{Recorder, Way};
use super::rig::{Plane, Site, soon, table};
use super::tls::{self, certificates, handshake, make};

/// What becomes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is reset with this code, and the connection goes on.
    Reset(Reason),
    /// The connection ends with this code.
    GoAway(Reason),
    /// It is answered by the proxy with this status and reason; empty where the answer carries none.
    Refused(u16, String),
    /// The origin saw this message, and its answer came back.
    Passes(String),
}

/// A name, the frames of stream 1, and what becomes of it.
struct Row {
    name: &'static str,
    frames: Vec<u8>,
    fate: Fate,
}

#[tokio::test]
async fn what_http_1_cannot_say_never_reaches_the_origin() {
    let rows = rows::rows();
    assert!(rows.len() >= 50, "{}", rows.len());
    let origin = Recorder::of(Way::Http2).await;
    let made = make(&["web.example"]);
    let plane = Plane::start();
    let sites = vec![Site::new("web", &[origin.address])];
    plane.handle.publish(table(sites, certificates(&[], Some(&made))));
    let client = tls::client(&[&made], &[b"h2"]);
    let mut complaints = Vec::new();
    for Row { name, frames, fate } in rows {
        let stream = handshake(&plane, &client, "web.example").await.unwrap().stream;
        let answer = answer(stream, frames).await;
        let mut seen = origin.take().whole;
        let found = match answer {
            Ok(response) if response.status() == 200 && seen.len() == 1 => Fate::Passes(seen.remove(0)),
            Ok(response) => Fate::Refused(response.status().as_u16(), reason(&response)),
            Err(error) if error.is_go_away() => Fate::GoAway(error.reason().unwrap()),
            Err(error) if error.is_reset() => Fate::Reset(error.reason().unwrap()),
            Err(error) => panic!("{name}: {error}"),
        };
        if found != fate || !seen.is_empty() {
            complaints.push(format!("{name}:\n  expected {fate:?}\n  found    {found:?}, and {seen:?}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn reason<T>(response: &Response<T>) -> String {
    let reason = response.headers().get("x-tidegate-error");
    reason.map(|reason| reason.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// What the viewer of stream 1 hears of these frames. A real client reads it: what it asks itself goes nowhere, and
/// the frames are sent in its place.
async fn answer(stream: TlsStream<TcpStream>, frames: Vec<u8>) -> Result<Response<()>, h2::Error> {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut asked, mut told) = tokio::io::split(far);
    let (mut from_proxy, mut to_proxy) = tokio::io::split(stream);
    let swallow = tokio::spawn(async move { tokio::io::copy(&mut asked, &mut tokio::io::sink()).await });
    let pass = tokio::spawn(async move { tokio::io::copy(&mut from_proxy, &mut told).await });
    let (requests, connection) = soon(h2::client::handshake(near)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut requests = soon(requests.ready()).await?;
    let (response, _) =
        requests.send_request(Request::get("https://web.example/").body(()).unwrap(), true).unwrap();
    // The proxy may end the connection before it has read everything.
    let _may_fail = soon(to_proxy.write_all(&[frames::preface(), frames].concat())).await;
    let _may_fail = soon(to_proxy.flush()).await;
    let answer = soon(async {
        let (head, mut body) = response.await?.into_parts();
        while body.data().await.transpose()?.is_some() {}
        Ok(Response::from_parts(head, ()))
    });
    let answer = answer.await;
    for task in [swallow, pass] {
        task.abort();
    }
    connection.abort();
    answer
}
