//! The long-lived tasks of the control runtime: when one ends that was not asked to, the process ends, too, since
//! it would go on half blind.

use std::future::Future;
use std::time::Duration;

use anyhow::anyhow;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// The tasks, by name.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    all: JoinSet<(&'static str, anyhow::Result<()>)>,
    /// Those that have something to say when the process leaves.
    leaving: TaskTracker,
}

impl Tasks {
    /// Starts a task that is to live as long as the process; `name` says in an error which one ended.
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.all.spawn(async move {
            task.await;
            (name, Ok(()))
        });
    }

    /// Like [`Tasks::spawn`] for a task that ends by itself when the process leaves; [`Tasks::left`] waits for it.
    pub(super) fn spawn_until_left(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.leaving.track_future(task);
        self.spawn(name, task);
    }

    /// Waits until those that had something to say have said it, for as long as `limit`.
    pub(super) async fn left(&self, limit: Duration) {
        self.leaving.close();
        // Who is not done by then is not waited for.
        let _done_or_late = timeout(limit, self.leaving.wait()).await;
    }

    /// Like [`Tasks::spawn`] for a task that may fail.
    pub(super) fn spawn_fallible<E: Into<anyhow::Error>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.all.spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    /// Waits until one of them ends, and says why; for ever where there is none.
    pub(super) async fn first_end(&mut self) -> anyhow::Error {
        match self.all.join_next().await {
            None => std::future::pending().await,
            Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
            Some(Ok((name, Ok(())))) => {
                anyhow!("{name} ended unexpectedly; restart the process and report this")
            }
            Some(Err(panic)) => {
                anyhow::Error::new(panic).context("a task panicked; restart the process and report this")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_task_names_it() {
        let mut tasks = Tasks::default();
        tasks.spawn("the sleeper", std::future::pending());
        tasks.spawn_fallible("the watcher", async { Err(anyhow!("no such place")) });
        assert_eq!(format!("{:#}", tasks.first_end().await), "the watcher failed: no such place");
        tasks.spawn("the writer", async {});
        assert!(tasks.first_end().await.to_string().starts_with("the writer ended unexpectedly"));
    }
}
