//! Connections that have carried a request each and then stay open.

use std::convert::Infallible;

use anyhow::{Context, ensure};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::request;
use crate::certificate::{Certificate, HOST};
use crate::origin::SMALL;
use crate::proxy::Proxy;
use crate::rows::Transport;

/// Open connections; dropped, they close.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    plain: Vec<TcpStream>,
    tls: Vec<TlsStream<TcpStream>>,
    http2: JoinSet<()>,
}

/// Opens `count` connections, one after the other.
pub(crate) async fn open(
    proxy: &Proxy,
    transport: Transport,
    certificate: &Certificate,
    count: usize,
) -> anyhow::Result<Idle> {
    let protocol: &[u8] = if transport == Transport::Http2Tls { b"h2" } else { b"http/1.1" };
    let connector = TlsConnector::from(certificate.client(protocol)?);
    let name = ServerName::try_from(HOST)?;
    let mut idle = Idle::default();
    for _ in 0..count {
        if transport == Transport::Http1 {
            idle.plain.push(request::on_new_connection(proxy.http).await?);
            continue;
        }
        let stream = TcpStream::connect(proxy.https).await?;
        let mut stream = connector.connect(name.clone(), stream).await?;
        if transport == Transport::Http1Tls {
            request::on(&mut stream).await?;
            idle.tls.push(stream);
        } else {
            let chosen = stream.get_ref().1.alpn_protocol();
            ensure!(chosen == Some(protocol), "the proxy does not speak HTTP/2");
            http2(stream, &mut idle.http2).await?;
        }
    }
    Ok(idle)
}

async fn http2(stream: TlsStream<TcpStream>, connections: &mut JoinSet<()>) -> anyhow::Result<()> {
    let (mut requests, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.context("no HTTP/2")?;
    let uri = format!("https://{HOST}{SMALL}");
    let request = Request::get(uri).body(Empty::<bytes::Bytes>::new().map_err(|never: Infallible| never))?;
    let (answered, connection) = {
        let mut connection = Box::pin(connection);
        let answer = async { anyhow::Ok(requests.send_request(request).await?.collect().await.map(drop)?) };
        let answered = tokio::select! {
            answered = answer => answered,
            ended = &mut connection => Err(anyhow::anyhow!("the connection ended: {ended:?}")),
        };
        (answered, connection)
    };
    answered?;
    connections.spawn(async move {
        // hyper closes a connection whose last handle is gone.
        let _requests = requests;
        drop(connection.await);
    });
    Ok(())
}
