//! The end of an exchange that becomes a tunnel: the agreed handshake, and with what the tunnel begins.

use bytes::Bytes;
use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{Response, Version};

use super::answer::{set_cookie, strip_of_origin};
use super::{Exchange, Matched, Outcome};
use crate::dataplane::account::protocol;
use crate::dataplane::live::LiveOrigin;
use crate::dataplane::origin::{Incomings, OriginStream, Report};
use crate::dataplane::response::body::AnswerBody;
use crate::dataplane::websocket::handshake::{self, agreed};
use crate::dataplane::websocket::life::Life;
use crate::dataplane::websocket::registry::{Admission, Labels};
use crate::dataplane::websocket::side::Upgraded;
use crate::dataplane::websocket::tunnel::Terms;
use crate::dataplane::witness::TunnelWitness;
use crate::telemetry::access_log::Event;

/// A tunnel whose handshake both sides have agreed on.
pub(crate) struct Opened {
    /// The origin's side.
    pub(crate) origin: Upgraded<OriginStream>,
    /// Its place in the worker's registry.
    pub(crate) admission: Admission,
    pub(crate) terms: Terms,
}

impl Exchange {
    pub(super) fn open_tunnel(
        mut self,
        incomings: Incomings,
        report: Report,
        admission: Admission,
        (distribution, route_position): Matched,
        live: &LiveOrigin,
    ) -> Outcome {
        let Incomings { response, returning } = incomings;
        let (origin, loaded) = match returning.into_tunnel() {
            Ok(tunnel) => tunnel,
            Err(reason) => {
                live.metrics.failed(reason.as_str());
                self.account.record.origin_error = Some(reason.as_str());
                return self.refuse(reason);
            }
        };
        let (mut head, _no_body) = response.into_parts();
        strip_of_origin(&mut head.headers);
        let version = self.account.record.version;
        handshake::put_agreement(&mut head, version);
        set_cookie(&mut head.headers, report.set_cookie);
        head.version = Version::HTTP_11;
        let record = &mut self.account.record;
        (record.status, record.event) = (Some(head.status), Event::WebsocketOpen);
        let labels = Labels {
            behavior: distribution.label(route_position).unwrap_or_default().to_owned(),
            origin: live.origin.key.id.clone(),
            endpoint: loaded.endpoint(),
            viewer: self.account.record.sender.address,
            protocol: protocol(version),
            connection: self.viewer.id,
            subprotocol: agreed(&head.headers, &SEC_WEBSOCKET_PROTOCOL),
            extensions: agreed(&head.headers, &SEC_WEBSOCKET_EXTENSIONS),
        };
        #[cfg(test)]
        crate::dataplane::fault::strike("opening", self.account.record.path.as_deref());
        let metrics = live.metrics.web_socket_opened(labels.protocol);
        let witness = Box::new(TunnelWitness::new((*self.account.record).clone(), metrics));
        let route = distribution.routes.at(route_position);
        let life = route.map(|route| Life::of(&route.web_socket)).unwrap_or_default();
        let terms = Terms { labels, life, loaded, witness };
        let answer = Response::from_parts(head, AnswerBody::own(Bytes::new(), self.account));
        Outcome::Tunnel(answer, Box::new(Opened { origin, admission, terms }))
    }

    pub(super) fn handshake_failed(&self, reason: &'static str) {
        match &self.account.record.matched {
            Some((distribution, _)) => distribution.metrics.web_socket_handshake_failed(reason),
            None => self.viewer.worker.metrics.unmatched().web_socket_handshake_failed(reason),
        }
    }
}
