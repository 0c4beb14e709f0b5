//! How a row is measured: rounds in which every proxy has its turn, each with its own figures of the kernel.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::certificate::Certificate;
use crate::machine::Cores;
use crate::options::Options;
use crate::origin::{HUGE, Origin};
use crate::proxy::{Program, Proxy};
use crate::rows::{Cost, Load, Measure, Row, Security, Transport};
use crate::viewers::flood::{self, Flood};
use crate::viewers::passing::{self, Errand, Passing};
use crate::viewers::{h2load, idle, request, websocket};

/// From the start of a load to the moment when it is as it will be.
const WARM_UP: Duration = Duration::from_millis(500);
/// How much longer than the window a load goes on, so that the window never sees its end.
const TAIL: Duration = Duration::from_millis(300);
/// How many idle connections are weighed: so many that what a proxy keeps once, whoever comes, weighs little.
const IDLE: usize = 4000;
/// How long they idle before. A proxy may tidy up behind a request; ours lets an idle connection hibernate after a second,
/// and its allocator gives what that frees back to the system over the next ten.
const SETTLE: Duration = Duration::from_secs(15);
/// How long closed connections may take to give their memory back.
const KEPT: Duration = Duration::from_secs(60);

/// How many connections flood at once.
const FLOODING: usize = 10;
/// How often the memory is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(20);
/// How long another viewer rests between two requests, so that it is not a load itself.
const REST: Duration = Duration::from_millis(2);

/// Everything that a measurement needs.
#[derive(Debug)]
pub(crate) struct Bench<'b> {
    pub(crate) options: &'b Options,
    pub(crate) cores: Cores,
    /// How many connections can be passed on at once.
    pub(crate) passable: usize,
    pub(crate) origin: Origin,
    pub(crate) certificate: Certificate,
    pub(crate) programs: Vec<Program>,
}

/// One proxy in one round.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Sample {
    /// In the row's unit.
    pub(crate) value: f64,
    /// Units a second; none where nothing is counted by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Which part of its core the proxy used; from about 0.9 on the rate is the most that it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) busy: Option<f64>,
}

impl Sample {
    fn plain(value: f64) -> Self {
        Self { value, rate: None, busy: None }
    }
}

impl Bench<'_> {
    /// The samples of each program, one for each round; none for a program that cannot do what the row asks.
    pub(crate) async fn measure(&self, row: &Row) -> anyhow::Result<Vec<Vec<Sample>>> {
        let mut samples = vec![Vec::new(); self.programs.len()];
        for round in 1..=self.options.rounds {
            for (program, samples) in self.programs.iter().zip(&mut samples) {
                let proxy = program.start(self, row.access_log).await?;
                let sample = LocalSet::new().run_until(self.sample(&proxy, row.measure)).await;
                proxy.stop().await?;
                let told = match sample {
                    Ok(sample) => {
                        samples.push(sample);
                        format!("{:.2} {}", sample.value, row.measure.unit())
                    }
                    Err(error) => format!("{error:#}"),
                };
                eprintln!("{:<16} round {round}  {:<16} {told}", row.name, program.name);
            }
        }
        Ok(samples)
    }

    async fn sample(&self, proxy: &Proxy, measure: Measure) -> anyhow::Result<Sample> {
        match measure {
            Measure::Cpu(Load::Requests(transport, path)) => self.requests(proxy, transport, path).await,
            Measure::Cpu(Load::Messages(security)) => self.messages(proxy, security).await,
            Measure::Cpu(Load::Connections) => self.passing(proxy, Errand::Request).await,
            Measure::Cpu(Load::Handshakes) => {
                self.passing(proxy, Errand::Handshake(self.certificate.client(b"http/1.1")?)).await
            }
            Measure::Idle(transport) => {
                let open = async |count| idle::open(proxy, transport, &self.certificate, count).await;
                idle(proxy, IDLE, open).await
            }
            Measure::IdleWebSockets(security, wanted) => {
                let count = self.at_most(wanted);
                let open = async |count| websocket::open(proxy, security, &self.certificate, count).await;
                idle(proxy, count, open).await
            }
            Measure::Kept(connections) => self.kept(proxy, connections).await,
            Measure::SlowReaders(viewers) => slow_readers(proxy, viewers).await,
            Measure::Flood(flood, Cost::Memory) => self.memory_of_flood(proxy, flood).await,
            Measure::Flood(flood, Cost::Wait) => self.wait_beside_flood(proxy, flood).await,
        }
    }

    async fn requests(&self, proxy: &Proxy, transport: Transport, path: &str) -> anyhow::Result<Sample> {
        let window = self.options.window();
        let load = h2load::start(proxy, transport, path, WARM_UP + window + TAIL)?;
        // What the origin has answered is what the proxy has served: nothing of the load's own start and end counts.
        let sample = cpu_of(proxy, window, || self.origin.answered()).await;
        load.finish().await?;
        sample
    }

    async fn passing(&self, proxy: &Proxy, errand: Errand) -> anyhow::Result<Sample> {
        let address = if matches!(errand, Errand::Request) { proxy.http } else { proxy.https };
        let load: Passing = passing::start(address, &errand);
        let sample = cpu_of(proxy, self.options.window(), || load.done()).await;
        load.finish()?;
        sample
    }

    async fn messages(&self, proxy: &Proxy, security: Security) -> anyhow::Result<Sample> {
        let load = websocket::start(proxy, security, &self.certificate).await?;
        let sample = cpu_of(proxy, self.options.window(), || self.origin.answered()).await;
        load.finish()?;
        sample
    }

    async fn memory_of_flood(&self, proxy: &Proxy, flood: Flood) -> anyhow::Result<Sample> {
        let before = proxy.memory_kib()?;
        let _flooding = flood::start(proxy.https, &self.certificate, flood, FLOODING)?;
        let (began, mut peak) = (Instant::now(), before);
        while began.elapsed() < self.options.window() {
            sleep(GLANCE).await;
            peak = peak.max(proxy.memory_kib()?);
        }
        Ok(Sample::plain((peak - before) as f64 / 1024.0 / FLOODING as f64))
    }

    async fn wait_beside_flood(&self, proxy: &Proxy, flood: Flood) -> anyhow::Result<Sample> {
        let window = self.options.window();
        let calm = longest_waits(proxy, window).await?;
        let _flooding = flood::start(proxy.https, &self.certificate, flood, FLOODING)?;
        sleep(WARM_UP).await;
        let beside = longest_waits(proxy, window).await?;
        Ok(Sample::plain(beside.saturating_sub(calm).as_secs_f64() * 1e3))
    }

    /// As many connections as are wanted, or as every proxy can take.
    fn at_most(&self, wanted: usize) -> usize {
        let count = wanted.min(self.passable);
        if count < wanted {
            eprintln!("only {count} connections, since no more fit into the limit of open files");
        }
        count
    }

    async fn kept(&self, proxy: &Proxy, connections: usize) -> anyhow::Result<Sample> {
        let before = proxy.memory_kib()?;
        let connections = self.at_most(connections);
        drop(idle::open(proxy, Transport::Http1, &self.certificate, connections).await?);
        sleep(KEPT).await;
        Ok(Sample::plain(proxy.memory_kib()?.saturating_sub(before) as f64 / 1024.0))
    }
}

/// What each of `count` idle connections weighs that `open` opens.
async fn idle<C>(
    proxy: &Proxy,
    count: usize,
    open: impl AsyncFn(usize) -> anyhow::Result<C>,
) -> anyhow::Result<Sample> {
    // What the first connections make a proxy allocate once is not theirs.
    drop(open(count / 10).await?);
    sleep(WARM_UP).await;
    let before = proxy.memory_kib()?;
    let _open = open(count).await?;
    sleep(SETTLE).await;
    let more = proxy.memory_kib()?.saturating_sub(before);
    Ok(Sample::plain(more as f64 / count as f64))
}

async fn slow_readers(proxy: &Proxy, viewers: usize) -> anyhow::Result<Sample> {
    let mut open = Vec::with_capacity(viewers);
    for _ in 0..viewers {
        open.push(request::unread(proxy.http, HUGE).await?);
    }
    sleep(SETTLE).await;
    Ok(Sample::plain(proxy.memory_kib()? as f64 / 1024.0))
}

/// How long a viewer on a kept connection waits for its answers, at the 99th percentile.
async fn longest_waits(proxy: &Proxy, window: Duration) -> anyhow::Result<Duration> {
    let mut stream = request::on_new_connection(proxy.http).await?;
    let (began, mut waits) = (Instant::now(), Vec::new());
    while began.elapsed() < window {
        let asked = Instant::now();
        request::on(&mut stream).await?;
        waits.push(asked.elapsed());
        sleep(REST).await;
    }
    waits.sort_unstable();
    Ok(waits[waits.len() * 99 / 100])
}

/// CPU time of the proxy for each of what `count` counts, while `window` passes.
async fn cpu_of(proxy: &Proxy, window: Duration, count: impl Fn() -> u64) -> anyhow::Result<Sample> {
    sleep(WARM_UP).await;
    let (began, counted, used) = (Instant::now(), count(), proxy.cpu_time()?);
    sleep(window).await;
    let (counted, used) = ((count() - counted) as f64, (proxy.cpu_time()? - used).as_secs_f64());
    ensure!(counted > 0.0, "nothing was served");
    let passed = began.elapsed().as_secs_f64();
    Ok(Sample { value: used * 1e6 / counted, rate: Some(counted / passed), busy: Some(used / passed) })
}
