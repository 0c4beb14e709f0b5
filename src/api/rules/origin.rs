//! Rules of origins, origin groups and error responses.

use serde_json::Value;

use super::super::rule::Rule;
use super::{has, items, text};

/// On an origin.
pub(in crate::api) const ORIGIN: &[Rule] = &[Rule::new(
    "!has(self.originProtocolPolicy) || self.originProtocolPolicy == 'http-only' || (has(self.originTls) && (has(self.originTls.serverName) || has(self.originTls.caSecretName) || has(self.originTls.caConfigMapName) || (has(self.originTls.certificateSha256) && size(self.originTls.certificateSha256) > 0) || (has(self.originTls.insecureSkipVerify) && self.originTls.insecureSkipVerify)))",
    "must say how the certificate is verified where originProtocolPolicy is https-only or match-viewer: set serverName (for the public roots), caSecretName, caConfigMapName, certificateSha256 or insecureSkipVerify",
    |origin| {
        let tls = &origin["originTls"];
        !has(origin, "originProtocolPolicy")
            || text(origin, "originProtocolPolicy") == "http-only"
            || ["serverName", "caSecretName", "caConfigMapName"].iter().any(|field| has(tls, field))
            || items(tls, "certificateSha256").next().is_some()
            || tls["insecureSkipVerify"] == true
    },
)
.at(".originTls")];

/// On `originTls`.
pub(in crate::api) const ORIGIN_TLS: &[Rule] = &[Rule::new(
    "!(has(self.caSecretName) && has(self.caConfigMapName))",
    "must name one place for the authorities: either caSecretName or caConfigMapName",
    |tls| !(has(tls, "caSecretName") && has(tls, "caConfigMapName")),
)];

/// On a header of an origin.
pub(in crate::api) const ORIGIN_HEADER: &[Rule] = &[Rule::new(
    "has(self.value) != has(self.valueFrom)",
    "must have exactly one of value and valueFrom",
    |header| has(header, "value") != has(header, "valueFrom"),
)];

/// On the headers of an origin.
pub(in crate::api) const ORIGIN_HEADERS: &[Rule] = &[NAMES_DIFFER];

/// Header names do not differ by case alone (RFC 9110 section 5.1).
pub(super) const NAMES_DIFFER: Rule = Rule::new(
    "[self.map(h, h.name.lowerAscii())].all(names, names.all(n, names.indexOf(n) == names.lastIndexOf(n)))",
    "must name each header once, whatever its case",
    |headers| {
        let names = || headers.as_array().into_iter().flatten().map(|header| text(header, "name"));
        names().all(|name| names().filter(|other| other.eq_ignore_ascii_case(name)).count() == 1)
    },
);

/// On `loadBalancing`.
pub(in crate::api) const LOAD_BALANCING: &[Rule] = &[Rule::new(
    "(self.algorithm == 'hash') == has(self.hashOn)",
    "must be set where algorithm is hash, and only there",
    |balancing| (text(balancing, "algorithm") == "hash") == has(balancing, "hashOn"),
)
.at(".hashOn")];

/// On `hashOn`.
pub(in crate::api) const HASH_ON: &[Rule] = &[Rule::new(
    "[has(self.headerName), has(self.cookieName), has(self.clientIP) && self.clientIP].exists_one(chosen, chosen)",
    "must have exactly one of headerName, cookieName and clientIP: true",
    |hash_on| {
        let chosen = [has(hash_on, "headerName"), has(hash_on, "cookieName"), hash_on["clientIP"] == true];
        chosen.into_iter().filter(|chosen| *chosen).count() == 1
    },
)];

/// On an origin group.
pub(in crate::api) const GROUP: &[Rule] = &[Rule::new(
    "self.members.all(m, self.members.exists_one(o, o == m))",
    "must name each origin once",
    |group| {
        let members = items(group, "members");
        members.clone().all(|member| members.clone().filter(|other| *other == member).count() == 1)
    },
)
.at(".members")];

/// On a status after which the next member of a group is tried.
///
/// Source: <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_OriginGroupFailoverCriteria.html>; 400 and 416 are ours.
pub(in crate::api) const FAILOVER_STATUS: &[Rule] = &[Rule::new(
    "self in [400, 403, 404, 416, 429, 500, 502, 503, 504]",
    "must be one of 400, 403, 404, 416, 429, 500, 502, 503 and 504",
    |status| is_one_of(status, &[400, 403, 404, 416, 429, 500, 502, 503, 504]),
)];

/// On a status that a page replaces.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html>.
pub(in crate::api) const ERROR_CODE: &[Rule] = &[Rule::new(
    "self in [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]",
    "must be one of 400, 403, 404, 405, 414, 416 and 500 to 504",
    |status| is_one_of(status, &[400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]),
)];

/// On the status that a page is sent with.
pub(in crate::api) const RESPONSE_CODE: &[Rule] = &[Rule::new(
    "self in [200, 400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]",
    "must be one of 200, 400, 403, 404, 405, 414, 416 and 500 to 504",
    |status| is_one_of(status, &[200, 400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]),
)];

fn is_one_of(status: &Value, known: &[i64]) -> bool {
    status.as_i64().is_some_and(|status| known.contains(&status))
}
