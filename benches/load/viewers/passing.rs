//! Connections that come and go: each task makes one after the other, and counts those that went well.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::request;
use crate::certificate::HOST;

/// Connections that are open at any time.
const AT_ONCE: usize = 32;

/// What a connection is for.
#[derive(Clone, Debug)]
pub(crate) enum Errand {
    /// One request in plaintext.
    Request,
    /// A full TLS handshake.
    Handshake(Arc<ClientConfig>),
}

/// Viewers that come and go until this is dropped.
#[derive(Debug)]
pub(crate) struct Passing {
    done: Rc<Cell<u64>>,
    failure: Rc<RefCell<Option<anyhow::Error>>>,
    _tasks: JoinSet<()>,
}

/// Sends viewers to `proxy`; to be called on a `LocalSet`.
pub(crate) fn start(proxy: SocketAddr, errand: &Errand) -> Passing {
    let (done, failure) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (errand, done, failure) = (errand.clone(), Rc::clone(&done), Rc::clone(&failure));
        tasks.spawn_local(async move {
            loop {
                match run(proxy, &errand).await {
                    Ok(()) => done.set(done.get() + 1),
                    Err(error) => return drop(failure.replace(Some(error))),
                }
            }
        });
    }
    Passing { done, failure, _tasks: tasks }
}

impl Passing {
    /// How many connections went well so far.
    pub(crate) fn done(&self) -> u64 {
        self.done.get()
    }

    /// Ends them all.
    ///
    /// # Errors
    /// What went wrong on one of them.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

async fn run(proxy: SocketAddr, errand: &Errand) -> anyhow::Result<()> {
    match errand {
        Errand::Request => drop(request::on_new_connection(proxy).await?),
        Errand::Handshake(config) => {
            let stream = TcpStream::connect(proxy).await?;
            TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from(HOST)?, stream).await?;
        }
    }
    Ok(())
}
