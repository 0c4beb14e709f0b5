//! Where objects come from, and where their status goes: files, or a cluster.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::tasks::Tasks;
use crate::admin::Voice;
use crate::api::{LoadBalancerIngress, LoadBalancerStatus};
use crate::conditions::facts::Facts;
use crate::conditions::roster::Roster;
use crate::drain::Drain;
use crate::object::ObjectKey;
use crate::provider::kube::{self, KubeProvider, Store};
use crate::provider::manifests::Manifests;
use crate::provider::{Class, Provider};
use crate::reconcile::Round;
use crate::settings::{Published, PublishedAddress, Settings};
use crate::snapshot::Keys;
use crate::snapshot::file::Whose;
use crate::status::clock::Clock;
use crate::status::events;
use crate::status::fleet::{self, Member};
use crate::status::leader::{self, Candidate};
use crate::status::replica::{Pod, Replica};
use crate::status::writer::{self, Present, Writer};
use crate::telemetry::metrics::Metrics;
use crate::translate::{BaseDomain, EndpointAddresses, Options};

/// How long a start waits for the API server before it serves from a file.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open source of objects.
pub(super) enum Source {
    /// A folder of manifests.
    Files(Arc<Manifests>),
    /// An API server, which the status is written back to.
    Cluster { client: ::kube::Client, provider: KubeProvider },
}

impl Source {
    /// Opens what the settings name. What watches a cluster is one of `tasks` from then on.
    pub(super) async fn open(
        settings: &Settings,
        metrics: &Metrics,
        tasks: &mut Tasks,
    ) -> anyhow::Result<Self> {
        let (objects, class) = (&settings.objects, class(settings));
        if !objects.manifests.is_empty() {
            return Ok(Self::Files(Arc::new(Manifests::open(objects.manifests.clone(), class)?)));
        }
        let client = kube::connect(objects.kubeconfig.as_deref()).await?;
        let namespaces = objects.watch_namespaces.clone();
        let published_service = settings.published.publish_service.clone();
        let limits = kube::Limits::default();
        let watched = kube::Settings { class, namespaces, published_service, limits };
        let (provider, watchers) = KubeProvider::start(&client, &watched, metrics, &CancellationToken::new());
        tasks.spawn_fallible("watching the API server", watchers.run());
        let (started, store) = (provider.clone(), store(settings));
        tasks.spawn("the first answers of the API server", async move {
            started.start_from(store, PATIENCE).await;
            std::future::pending().await
        });
        Ok(Self::Cluster { client, provider })
    }

    /// What reconciliation reads.
    pub(super) fn provider(&self) -> Arc<dyn Provider> {
        match self {
            Self::Files(files) => Arc::clone(files) as Arc<dyn Provider>,
            Self::Cluster { provider, .. } => Arc::new(provider.clone()),
        }
    }

    /// What translation must know of the source.
    ///
    /// # Errors
    /// A base domain that is none.
    pub(super) fn options(&self, settings: &Settings) -> anyhow::Result<Options> {
        let endpoint_addresses = match self {
            Self::Files(_) => EndpointAddresses::Standalone,
            Self::Cluster { .. } => EndpointAddresses::Cluster,
        };
        let base_domain = settings.viewers.base_domain.as_deref().map(BaseDomain::parse).transpose();
        Ok(Options {
            default_certificate: settings.viewers.default_certificate.clone(),
            base_domain: base_domain.context("--base-domain")?,
            endpoint_addresses,
            zone: settings.objects.zone().map(str::to_owned),
            acme_unclaimed_hosts: settings.objects.acme_unclaimed_hosts,
        })
    }

    /// Who logs what becomes of Distributions.
    pub(super) fn voice(&self) -> Voice {
        match self {
            Self::Files(_) => Voice::Tells,
            // The status writer logs what it writes.
            Self::Cluster { .. } => Voice::Silent,
        }
    }

    /// Starts to keep what is served, where that is wanted, for a start without an API server.
    pub(super) fn keep(
        &self,
        settings: &Settings,
        rounds: watch::Receiver<Option<Round>>,
        tasks: &mut Tasks,
    ) {
        if let (Self::Cluster { .. }, Some(store)) = (self, store(settings)) {
            tasks.spawn("keeping the configuration", kube::keep(store, rounds));
        }
    }

    /// Starts to elect who writes the status of each round, and to write it, where there is somebody to write to; the
    /// channel tells of the live replicas.
    pub(super) fn write_status(
        self,
        settings: &Settings,
        facts: watch::Receiver<Option<Arc<Facts>>>,
        drain: &Drain,
        metrics: &Metrics,
        tasks: &mut Tasks,
    ) -> watch::Receiver<Option<Arc<Roster>>> {
        let Self::Cluster { client, provider } = self else {
            let alone = Arc::new(Roster::alone(settings.process.identity()));
            return watch::channel(Some(alone)).1;
        };
        let replica = replica(settings, &client);
        let clock = Clock::system();
        let (reins, leadership) = leader::channel(clock.clone());
        let candidate = Candidate {
            client: client.clone(),
            lease: ObjectKey::new(&replica.namespace, &settings.objects.class_name),
            holder: replica.holder.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            limits: leader::Limits::default(),
        };
        tasks.spawn_until_left("electing a leader", leader::run(candidate, reins, drain.clone()));
        let (events, teller) = events::channel(metrics, events::Limits::default());
        let (teller_name, end) = (replica.name.clone(), CancellationToken::new());
        let telling = events::run(teller, client.clone(), leadership.clone(), teller_name, end);
        tasks.spawn("telling events", telling);
        let (told, roster) = watch::channel(None);
        let member = Member {
            client: client.clone(),
            replica,
            class: settings.objects.class_name.clone(),
            facts: facts.clone(),
            roster: told,
            leadership: leadership.clone(),
            clock,
            limits: fleet::Limits::default(),
        };
        tasks.spawn_until_left("taking part in the fleet", fleet::run(member, drain.clone()));
        let writer = Writer {
            client,
            facts,
            present: present(provider, settings.published.clone()),
            roster: roster.clone(),
            leadership,
            events,
            clock: Timestamp::now,
            metrics: metrics.clone(),
            limits: writer::Limits::default(),
        };
        tasks.spawn("writing status", writer::run(writer, CancellationToken::new()));
        roster
    }
}

/// Which Distributions are served.
pub(super) fn class(settings: &Settings) -> Class {
    let objects = &settings.objects;
    let (name, also) = (objects.class_name.clone(), objects.also_serve_class.clone());
    Class { name, default: objects.default_class, also }
}

/// What stands in the cluster, and what is `published` of where viewers come to.
fn present(provider: KubeProvider, published: Published) -> Present {
    let ingress = published.publish_address.into_iter().map(|address| match address {
        PublishedAddress::Ip(ip) => LoadBalancerIngress { ip: Some(ip.to_string()), hostname: None },
        PublishedAddress::HostName(name) => LoadBalancerIngress { ip: None, hostname: Some(name) },
    });
    let given = LoadBalancerStatus { ingress: ingress.collect() };
    let service = published.publish_service.map(|_| provider.clone());
    Present {
        changes: provider.status_changes(),
        read: Box::new(move || provider.statuses()),
        load_balancer: Box::new(move || {
            let mut all = given.clone();
            if let Some(provider) = &service {
                let of_service = provider.load_balancer()?.ingress;
                all.ingress.extend(of_service.into_iter().filter(|entry| !given.ingress.contains(entry)));
            }
            Some(all)
        }),
    }
}

/// Who this process is among the replicas.
fn replica(settings: &Settings, client: &::kube::Client) -> Replica {
    let process = &settings.process;
    let namespace = process.namespace().unwrap_or_else(|| client.default_namespace().to_owned());
    let pod = process.pod().map(|(name, uid)| Pod { name, uid });
    Replica::new(namespace, &process.identity(), pod)
}

/// Where the configuration is kept for a start without an API server, if it is.
fn store(settings: &Settings) -> Option<Store> {
    let objects = &settings.objects;
    let whose = Whose {
        class_name: objects.class_name.clone(),
        default_class: objects.default_class,
        also_serve_class: objects.also_serve_class.clone(),
        namespaces: objects.watch_namespaces.iter().cloned().collect(),
    };
    let keys = if objects.snapshot_keys { Keys::Kept } else { Keys::LeftOut };
    objects.snapshot_path.clone().map(|path| Store { path, whose, keys })
}
