//! How endpoints are chosen and left out, from the API's words to the table's.

use std::num::NonZeroU32;

use http::{HeaderName, StatusCode};

use crate::api;
use crate::table::balancing::{Affinity, Algorithm, Balancing, HashOn, OutlierDetection};

/// Compiles `loadBalancing`; none where it is not valid.
pub(super) fn compile(balancing: &api::LoadBalancing, salt: String) -> Option<Balancing> {
    let algorithm = match balancing.algorithm {
        api::Algorithm::LeastRequest => Algorithm::LeastRequest,
        api::Algorithm::RoundRobin => Algorithm::RoundRobin,
        api::Algorithm::Hash => Algorithm::Hash(hash_on(balancing.hash_on.as_ref()?)?),
    };
    let affinity = balancing.session_affinity.as_ref().map(|affinity| Affinity {
        cookie: affinity.cookie_name.clone(),
        ttl: affinity.ttl.map(api::Duration::as_std),
        salt,
    });
    Some(Balancing { algorithm, affinity })
}

fn hash_on(chosen: &api::HashOn) -> Option<HashOn> {
    match (&chosen.header_name, &chosen.cookie_name, chosen.client_ip) {
        (Some(name), None, false) => Some(HashOn::Header(HeaderName::from_bytes(name.as_bytes()).ok()?)),
        (None, Some(name), false) => Some(HashOn::Cookie(name.clone())),
        (None, None, true) => Some(HashOn::ViewerAddress),
        _ => None,
    }
}

/// Compiles `outlierDetection`; none where it is not valid.
pub(super) fn outlier_detection(rules: &api::OutlierDetection) -> Option<OutlierDetection> {
    let status = |code: &i32| StatusCode::from_u16(u16::try_from(*code).ok()?).ok();
    Some(OutlierDetection {
        consecutive_failures: u32::try_from(rules.consecutive_failures).ok().and_then(NonZeroU32::new)?,
        ejection_time: rules.ejection_time.as_std(),
        max_ejected_percent: u8::try_from(rules.max_ejected_percent)
            .ok()
            .filter(|percent| *percent <= 100)?,
        statuses: rules.status_codes.iter().map(status).collect::<Option<_>>()?,
    })
}
