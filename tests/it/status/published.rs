//! Where viewers come to, in the status of each Distribution.

use tidegate::api::LoadBalancerIngress;

use super::*;

fn ip(address: &str) -> LoadBalancerIngress {
    LoadBalancerIngress { ip: Some(address.to_owned()), hostname: None }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_changes_is_written_to_every_status() {
    let bench = Bench::start(&stub_with(&["blog", "web"]));
    bench.publish(&[ip("192.0.2.7")]);
    bench.find(&[("blog", facts("blog")), ("web", facts("web"))]);
    for nth in [1, 2] {
        let status = bench.nth_write(nth).await.body["status"].clone();
        assert_eq!(status["loadBalancer"], json!({"ingress": [{"ip": "192.0.2.7"}]}));
    }
    let gate = LoadBalancerIngress { ip: None, hostname: Some("gate.example.com".to_owned()) };
    bench.publish(&[gate]);
    for nth in [3, 4] {
        let status = bench.nth_write(nth).await.body["status"].clone();
        assert_eq!(status["loadBalancer"], json!({"ingress": [{"hostname": "gate.example.com"}]}));
    }
    bench.publish(&[]);
    assert_eq!(bench.nth_write(6).await.body["status"].get("loadBalancer"), None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.writes().len(), 6, "what did not change is not written");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_know_the_address_yet_leaves_what_stands() {
    let stub = stub_with(&["web"]);
    let first = Bench::start(&stub);
    first.publish(&[ip("192.0.2.7")]);
    first.find(&[("web", facts("web"))]);
    first.nth_write(1).await;
    drop(first);

    let next = Bench::start(&stub);
    next.show("web");
    next.find(&[("web", missing_service("web"))]);
    let status = next.nth_write(2).await.body["status"].clone();
    assert_eq!(status["loadBalancer"], json!({"ingress": [{"ip": "192.0.2.7"}]}));
}
