//! Keeps the lease, and looks after those who lost theirs.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Inner;
use crate::error::Result;

/// Extends this process's lease until the end; a lease that was lost is answered by a new life.
pub(super) async fn beat(worker: Arc<Inner>) {
    let every = Duration::from_secs(worker.config.engine.heartbeat_seconds);
    while worker.pause(every).await {
        if let Err(error) = worker.beat_once().await {
            tracing::warn!(%error, "a heartbeat failed");
        }
    }
}

/// Looks for processes that died, jobs they held, and jobs whose time has come.
pub(super) async fn look_around(worker: Arc<Inner>) {
    let every = Duration::from_secs(worker.config.engine.rescue_seconds);
    loop {
        if let Err(error) = worker.look_once().await {
            tracing::warn!(%error, "looking after other processes failed");
        }
        if !worker.pause(every).await {
            return;
        }
    }
}

impl Inner {
    /// Waits; false when the process is at its end.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.end.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    async fn beat_once(&self) -> Result<()> {
        let now = self.clock.now();
        match within(self.config.engine.lease(), self.store.beat(self.jobs.process(), now)).await? {
            Some(held) => self.jobs.give_back_unheard(held).await?,
            None => {
                tracing::warn!("this process was declared dead; its jobs belong to others, it begins anew");
                let process = self.jobs.new_process();
                self.register(process).await?;
            }
        }
        self.beat_at.store(now.timestamp_micros(), Ordering::Relaxed);
        self.jobs.catch_up_on_cancels().await
    }

    async fn look_once(&self) -> Result<()> {
        let now = self.clock.now();
        let dead = now - chrono::Duration::from_std(self.config.engine.lease()).unwrap_or_default();
        // A job past its deadline whose process lives: the process has had its grace.
        let late = now - chrono::Duration::seconds(30);
        let found = self.store.look_around(now, dead, late).await?;
        self.jobs.set_company(found.processes > 1);
        if found.dead {
            let buried = self.store.bury(dead).await?;
            tracing::warn!(processes = buried, "processes were not heard of; their jobs run again");
        }
        self.rescue(found.dead || found.lost, found.due, late).await
    }

    async fn rescue(&self, lost: bool, due: bool, late: DateTime<Utc>) -> Result<()> {
        if !lost && !due {
            return Ok(());
        }
        let rescued = self.jobs.rescue(lost, due, late).await?;
        let (requeued, ended) = (rescued.requeued, rescued.ended);
        if requeued + ended > 0 {
            tracing::warn!(requeued, ended, "took back jobs of processes that died");
            metrics::counter!("codeyard_rescued_jobs_total").increment(requeued as u64);
        }
        Ok(())
    }
}

/// A database call that must not take longer than the lease it extends.
async fn within<T>(limit: Duration, call: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    Ok(tokio::time::timeout(limit, call).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?)
}
