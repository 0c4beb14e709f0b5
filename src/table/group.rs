//! Origin groups: origins that stand in for each other (CloudFront Developer Guide, "Optimize high availability with
//! CloudFront origin failover").
//!
//! The first member is always asked first, whatever became of the requests before: a group knows no state.

use std::sync::Arc;

use http::StatusCode;

use super::decide::Scheme;
use super::origin::Origin;

/// A compiled origin group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginGroup {
    /// `originGroups[].id`.
    pub id: String,
    /// In the order in which they are asked.
    pub members: Vec<Member>,
    /// The statuses of an answer after which the next one is asked.
    pub statuses: Vec<StatusCode>,
}

/// An origin as a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `origins[].id`.
    pub id: String,
    /// Where the requests of viewers without TLS go; none where the origin is broken, which is as if it had no
    /// endpoint.
    pub http: Option<Arc<Origin>>,
    /// Those of viewers with TLS.
    pub https: Option<Arc<Origin>>,
}

impl Member {
    /// Where the requests of viewers go that came with `scheme`.
    pub fn of(&self, scheme: Scheme) -> Option<&Arc<Origin>> {
        match scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }
    }

    /// All that requests may go to, mostly the same for both kinds of viewers.
    pub fn origins(&self) -> impl Iterator<Item = &Arc<Origin>> {
        self.http.iter().chain(&self.https)
    }
}

/// What becomes of a request where a member of a group fails it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// The next member is asked, as long as nothing of a body was sent.
    ToTheNext,
    /// Its viewer is told: there is no other member, or the request is one that may do something twice.
    Never,
}
