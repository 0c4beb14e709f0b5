//! What a worker is told without a request.
//!
//! Telling never waits: what a publisher says is a set, so that it cannot overflow, and questions are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};

use super::origin::EndpointCell;
use super::websocket::rebalance::ScaleOut;
use super::websocket::registry::{Ask, Portion};
use crate::object::ObjectKey;

/// A question to a worker: which tunnels it has open, and whom to tell.
pub(crate) type ListTunnels = (Ask, oneshot::Sender<Portion>);

/// The side of whoever tells.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    news: Arc<News>,
    questions: mpsc::Sender<ListTunnels>,
}

/// The worker's side.
#[derive(Debug)]
pub(crate) struct Letters {
    news: Arc<News>,
    questions: mpsc::Receiver<ListTunnels>,
}

/// What a worker finds in its mailbox.
#[derive(Debug)]
pub(crate) enum Letter {
    /// These Distributions are served no more: their tunnels are to be closed.
    Gone(BTreeSet<ObjectKey>),
    /// These endpoints left or terminate: tunnels that were to be drained then are.
    Departed(Vec<Arc<EndpointCell>>),
    /// Endpoints were added to these origins, or changed since.
    ScaledOut(Vec<Arc<ScaleOut>>),
    /// Endpoints, or what TLS is spoken to them with, went: connections that idle there are of no use.
    Unreachable,
    /// Somebody wants to know the open tunnels.
    ListTunnels(ListTunnels),
}

/// What happened and the worker has not heard of yet.
#[derive(Debug, Default)]
struct News {
    distributions: Mutex<BTreeSet<ObjectKey>>,
    /// Those with open WebSockets, each once.
    endpoints: Mutex<Vec<Arc<EndpointCell>>>,
    departed: Notify,
    /// By the number of the origin, the newest of each.
    scale_outs: Mutex<BTreeMap<u64, Arc<ScaleOut>>>,
    scaled_out: Notify,
    told: Notify,
    unreachable: Notify,
}

/// A mailbox in which at most so many questions wait.
pub(crate) fn open(questions: usize) -> (Mailbox, Letters) {
    let news = Arc::<News>::default();
    let (sender, receiver) = mpsc::channel(questions);
    (Mailbox { news: Arc::clone(&news), questions: sender }, Letters { news, questions: receiver })
}

impl Mailbox {
    /// Tells that Distributions are served no more.
    pub(crate) fn tell_gone(&self, keys: &BTreeSet<ObjectKey>) {
        self.news.distributions.lock().unwrap_or_else(PoisonError::into_inner).extend(keys.iter().cloned());
        self.news.told.notify_one();
    }

    /// Tells that endpoints left or terminate.
    pub(crate) fn tell_departed(&self, departed: &[Arc<EndpointCell>]) {
        let mut endpoints = self.news.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        for cell in departed {
            if !endpoints.iter().any(|told| Arc::ptr_eq(told, cell)) {
                endpoints.push(Arc::clone(cell));
            }
        }
        self.news.departed.notify_one();
    }

    /// Tells that endpoints were added to origins, or changed since.
    pub(crate) fn tell_scaled_out(&self, scale_outs: &[Arc<ScaleOut>]) {
        let by_origin = scale_outs.iter().map(|scale_out| (scale_out.origin.id, Arc::clone(scale_out)));
        self.news.scale_outs.lock().unwrap_or_else(PoisonError::into_inner).extend(by_origin);
        self.news.scaled_out.notify_one();
    }

    /// Tells that endpoints, or what TLS is spoken to them with, went.
    pub(crate) fn tell_unreachable(&self) {
        self.news.unreachable.notify_one();
    }

    /// Open tunnels of the worker; none where it has ended.
    pub(crate) async fn tunnels(&self, ask: Ask) -> Portion {
        let (answer, portion) = oneshot::channel();
        match self.questions.send((ask, answer)).await {
            Ok(()) => portion.await.unwrap_or_default(),
            Err(_ended) => Portion::default(),
        }
    }
}

impl Letters {
    /// The next letter; none when nobody can write any more.
    pub(crate) async fn next(&mut self) -> Option<Letter> {
        tokio::select! {
            () = self.news.told.notified() => {
                let mut keys = self.news.distributions.lock().unwrap_or_else(PoisonError::into_inner);
                Some(Letter::Gone(std::mem::take(&mut keys)))
            }
            () = self.news.departed.notified() => {
                let mut endpoints = self.news.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
                Some(Letter::Departed(std::mem::take(&mut endpoints)))
            }
            () = self.news.scaled_out.notified() => {
                let mut scale_outs = self.news.scale_outs.lock().unwrap_or_else(PoisonError::into_inner);
                Some(Letter::ScaledOut(std::mem::take(&mut *scale_outs).into_values().collect()))
            }
            () = self.news.unreachable.notified() => Some(Letter::Unreachable),
            question = self.questions.recv() => question.map(Letter::ListTunnels),
        }
    }
}
