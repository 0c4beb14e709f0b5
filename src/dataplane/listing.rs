//! The live view of tunnels: all of them, asked of one worker after the other in small parts.
//!
//! No part holds a worker up for long, and nobody holds all of them at once: with tens of thousands both would be
//! felt. What opens or ends while the view goes on may be in it or not. Start at [`Tunnels::next`].

use std::collections::VecDeque;

use super::Handle;
use super::websocket::Listed;
use super::websocket::registry::{Ask, Portion};
use crate::object::ObjectKey;

/// Open tunnels, those of one worker oldest first.
#[derive(Debug)]
pub struct Tunnels {
    plane: Handle,
    distribution: Option<ObjectKey>,
    /// The position of the worker that is asked.
    worker: usize,
    /// It is asked from this number on; none when it has told all.
    from: Option<u64>,
    told: VecDeque<Listed>,
}

impl Tunnels {
    pub(super) fn new(plane: Handle, distribution: Option<ObjectKey>) -> Self {
        Self { plane, distribution, worker: 0, from: Some(0), told: VecDeque::new() }
    }

    /// The next one, with whatever waiting for a worker takes; none after the last.
    pub async fn next(&mut self) -> Option<Listed> {
        loop {
            if let Some(tunnel) = self.told.pop_front() {
                return Some(tunnel);
            }
            let Some(from) = self.from else {
                (self.worker, self.from) = (self.worker + 1, Some(0));
                continue;
            };
            let at_most = self.plane.0.listed_at_once;
            let ask = Ask { distribution: self.distribution.clone(), from, at_most };
            let Portion { tunnels, next } = self.plane.0.mailboxes.get(self.worker)?.tunnels(ask).await;
            (self.told, self.from) = (tunnels.into(), next);
        }
    }
}
