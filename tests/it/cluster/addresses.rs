//! The ground that the other tests stand on: addresses that the API server takes for a pod's and that never leave.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::net::{TcpListener, TcpStream};

use super::harness::Cluster;

fn slice(address: String) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta { name: Some("slice".to_owned()), ..ObjectMeta::default() },
        address_type: "IPv4".to_owned(),
        endpoints: Some(vec![Endpoint { addresses: vec![address], ..Endpoint::default() }]),
        ports: None,
    }
}

#[tokio::test]
async fn a_tests_address_is_a_legal_pod_address_that_it_can_listen_on() -> anyhow::Result<()> {
    let cluster = Cluster::join("addresses").await?;
    let address = cluster.address(10);
    let slices = Api::<EndpointSlice>::namespaced(cluster.admin.clone(), &cluster.namespace);
    slices.create(&PostParams::default(), &slice(address.to_string())).await?;

    let listener = TcpListener::bind((address, 80)).await?;
    TcpStream::connect((address, 80)).await?;
    let (connection, _) = listener.accept().await?;
    assert_eq!(connection.local_addr()?.ip(), address);
    Ok(())
}

#[tokio::test]
async fn a_loopback_address_is_refused_by_the_api_server() -> anyhow::Result<()> {
    let cluster = Cluster::join("addresses").await?;
    let slices = Api::<EndpointSlice>::namespaced(cluster.admin.clone(), &cluster.namespace);
    let refusal = slices.create(&PostParams::default(), &slice("127.0.0.1".to_owned())).await;
    assert!(refusal.is_err_and(|error| error.to_string().contains("loopback")));
    Ok(())
}
