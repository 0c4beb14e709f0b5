//! The Service that viewers come to, and where: what statuses tell as `loadBalancer`.

use serde::Deserialize;

use k8s_openapi::api::core::v1::Service;
use serde_json::Value;

use super::shelf::Shelf;
use crate::api::{LoadBalancerIngress, LoadBalancerStatus};

/// Where the only Service of a shelf is reached: what its load balancer says, then its `externalIPs`. Nothing where
/// there is no such Service; none before anybody has looked, since an address that is withdrawn for a moment takes the
/// DNS records with it that others keep by it.
pub(super) fn load_balancer(published: &Shelf<Service>) -> Option<LoadBalancerStatus> {
    let told = published.statuses.values().next().and_then(|status| told(status)).unwrap_or_default();
    let mut ingress = told.ingress;
    let specs = published.objects.values().filter_map(|service| service.spec.as_ref());
    for ip in specs.flat_map(|spec| spec.external_ips.iter().flatten()) {
        let entry = LoadBalancerIngress { ip: Some(ip.clone()), hostname: None };
        if !ingress.contains(&entry) {
            ingress.push(entry);
        }
    }
    published.listed.then_some(LoadBalancerStatus { ingress })
}

/// The points of entry that a Service's status names; theirs have more fields than ours.
fn told(status: &Value) -> Option<LoadBalancerStatus> {
    LoadBalancerStatus::deserialize(status.get("loadBalancer")?).ok()
}
