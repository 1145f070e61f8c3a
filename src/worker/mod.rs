//! Runs jobs: slots, leases, the run as a pipe, rescue, drain.

mod claimer;
mod executor;
mod keeper;
mod periodic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::jobs::Jobs;
use crate::kinds::{Env, Registry};
use crate::model::ProcessId;
use crate::store::{ProcessRow, Store};

/// The part of a process that runs jobs. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

/// What a worker works with.
#[expect(missing_docs, reason = "the types say it")]
pub struct Parts {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub store: Store,
    pub jobs: Jobs,
    pub registry: Registry,
    pub env: Arc<Env>,
}

struct Inner {
    config: Arc<Config>,
    clock: Clock,
    store: Store,
    jobs: Jobs,
    registry: Registry,
    env: Arc<Env>,
    slots: BTreeMap<String, Slots>,
    /// Stops claiming.
    closing: CancellationToken,
    /// Ends heartbeats and looking around.
    end: CancellationToken,
    loops: TaskTracker,
    runs: TaskTracker,
    /// When the last heartbeat was answered, in microseconds since 1970.
    beat_at: AtomicI64,
    host: String,
}

/// The slots of one queue in this process.
struct Slots {
    free: Arc<Semaphore>,
    all: u32,
}

/// A slot in use; free again when dropped, and the claimer hears of it.
struct Slot {
    _permit: OwnedSemaphorePermit,
    jobs: Jobs,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.jobs.work().nudge();
    }
}

/// How many of a queue's slots are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotUse {
    /// The queue.
    pub queue: String,
    /// Slots in this process.
    pub all: u32,
    /// Those that run a job.
    pub used: u32,
}

impl Worker {
    /// Registers this process and begins to claim. `host` is what the process calls its machine.
    pub async fn start(parts: Parts, host: String) -> Result<Self> {
        let Parts { config, clock, store, jobs, registry, env } = parts;
        let slots = config.queues.iter().map(|(name, queue)| {
            let free = Arc::new(Semaphore::new(queue.slots as usize));
            (name.clone(), Slots { free, all: queue.slots })
        });
        let slots = slots.collect();
        let (closing, end, loops, runs) = Default::default();
        let beat_at = AtomicI64::new(clock.now().timestamp_micros());
        let inner = Inner {
            config,
            clock,
            store,
            jobs,
            registry,
            env,
            slots,
            closing,
            end,
            loops,
            runs,
            beat_at,
            host,
        };
        let worker = Self(Arc::new(inner));
        worker.0.register(worker.0.jobs.process()).await?;
        worker.0.take_over_if_alone().await?;
        worker.spawn_loops();
        Ok(worker)
    }

    fn spawn_loops(&self) {
        let inner = &self.0;
        inner.loops.spawn(keeper::beat(Arc::clone(inner)));
        // Also where no jobs run: it tells whether there are others to wake.
        inner.loops.spawn(keeper::look_around(Arc::clone(inner)));
        if inner.config.engine.run_jobs {
            inner.loops.spawn(claimer::claim(Arc::clone(inner)));
            inner.loops.spawn(periodic::submit(Arc::clone(inner)));
        }
    }

    /// The slots of each queue.
    pub fn slots(&self) -> Vec<SlotUse> {
        let used = |slots: &Slots| {
            slots.all.saturating_sub(u32::try_from(slots.free.available_permits()).unwrap_or(0))
        };
        self.0
            .slots
            .iter()
            .map(|(queue, slots)| SlotUse { queue: queue.clone(), all: slots.all, used: used(slots) })
            .collect()
    }

    /// Whether this process has its lease and takes jobs on.
    pub fn is_up(&self) -> bool {
        !self.0.closing.is_cancelled() && self.0.since_beat() < self.0.config.engine.lease()
    }

    /// Ends well: claims nothing more, lets jobs finish, asks the rest to stop, gives back what does not, and takes
    /// this process off the list.
    pub async fn drain(&self) {
        let inner = &self.0;
        inner.closing.cancel();
        inner.runs.close();
        let grace = Duration::from_secs(inner.config.engine.drain_grace_seconds);
        if tokio::time::timeout(grace, inner.runs.wait()).await.is_err() {
            tracing::info!(jobs = inner.jobs.running(), "asking jobs to stop");
            inner.jobs.ask_all_to_stop();
            let grace = Duration::from_secs(inner.config.engine.cancel_grace_seconds + 2);
            if tokio::time::timeout(grace, inner.runs.wait()).await.is_err() {
                tracing::warn!(jobs = inner.jobs.running(), "jobs did not stop; others will take them over");
            }
        }
        inner.end.cancel();
        inner.loops.close();
        inner.loops.wait().await;
        if let Err(error) = inner.store.retire_process(inner.jobs.process()).await {
            tracing::warn!(%error, "this process could not be taken off the list");
        }
        inner.jobs.close().await;
    }
}

impl Inner {
    async fn register(&self, id: ProcessId) -> Result<()> {
        let (now, version) = (self.clock.now(), env!("CARGO_PKG_VERSION").to_owned());
        let row = ProcessRow { id, host: self.host.clone(), version, started_at: now, beat_at: now };
        Ok(self.store.register_process(&row).await?)
    }

    /// On an embedded database every other process on the list is dead: its jobs need not wait for a lease to end.
    async fn take_over_if_alone(&self) -> Result<()> {
        if self.store.is_shared() {
            return Ok(());
        }
        for process in self.store.processes().await? {
            if process.id != self.jobs.process() {
                self.store.retire_process(process.id).await?;
            }
        }
        let rescued = self.jobs.rescue(true, true, self.clock.now()).await?;
        if rescued.requeued + rescued.ended > 0 {
            tracing::info!(
                jobs = rescued.requeued,
                "the last run of this server ended early; its jobs run again"
            );
        }
        Ok(())
    }

    fn since_beat(&self) -> Duration {
        let micros = self.clock.now().timestamp_micros() - self.beat_at.load(Ordering::Relaxed);
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    }
}
