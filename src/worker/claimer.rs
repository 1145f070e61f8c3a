//! Takes as many jobs as there are free slots, whenever there may be some.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Inner, Slot, Slots, executor};
use crate::jobs::Hint;
use crate::model::Priority;
use crate::store::{Claim, Claimed};

/// Claims until the process closes.
pub(super) async fn claim(worker: Arc<Inner>) {
    let every = Duration::from_secs(worker.config.engine.poll_seconds);
    let mut next_poll = Instant::now();
    loop {
        let now = Instant::now();
        if now >= next_poll {
            poll(&worker).await;
            next_poll = now + every + worker.clock.jitter(every / 4);
        }
        let mut more = false;
        for (queue, slots) in &worker.slots {
            more |= fill(&worker, queue, slots).await;
        }
        if more {
            continue;
        }
        tokio::select! {
            () = worker.closing.cancelled() => return,
            () = worker.jobs.work().changed() => {}
            () = tokio::time::sleep_until(next_poll.min(next_time(&worker))) => {}
        }
    }
}

/// Looks for work that no hint announced: one statement for all queues.
async fn poll(worker: &Inner) {
    let queues: Vec<_> = worker.slots.keys().cloned().collect();
    match worker.store.queues_with_work(&queues, worker.clock.now(), highest_rank(worker)).await {
        Ok(found) => found.iter().for_each(|(queue, in_turn)| worker.jobs.work().hint(queue, *in_turn)),
        Err(error) => tracing::warn!(%error, "looking for work failed"),
    }
}

/// Fills the free slots of a queue. True: there may be more to claim, and a slot for it.
async fn fill(worker: &Arc<Inner>, queue: &str, slots: &Slots) -> bool {
    let free = u32::try_from(slots.free.available_permits()).unwrap_or(u32::MAX);
    if free == 0 || worker.closing.is_cancelled() {
        return false;
    }
    let hint = worker.jobs.work().take(queue, worker.clock.now());
    let mut more = false;
    if hint.in_turn {
        // Half of the slots, if others want some too.
        let limit = if hint.plain { free.div_ceil(2) } else { free };
        more |= take(worker, queue, slots, Hint { in_turn: true, plain: false }, limit).await;
    }
    if hint.plain {
        let free = u32::try_from(slots.free.available_permits()).unwrap_or(u32::MAX);
        more |= take(worker, queue, slots, Hint { in_turn: false, plain: true }, free).await;
    }
    more && slots.free.available_permits() > 0
}

/// Claims up to `limit` jobs of one sort and starts them. True: there may be more.
async fn take(worker: &Arc<Inner>, queue: &str, slots: &Slots, sort: Hint, limit: u32) -> bool {
    let most = u32::try_from(worker.config.engine.batch).unwrap_or(u32::MAX);
    let limit = limit.min(most);
    if limit == 0 {
        worker.jobs.work().hint(queue, sort.in_turn);
        return false;
    }
    let (now, process) = (worker.clock.now(), worker.jobs.process());
    let longest = worker.config.engine.hard_timeout_seconds + worker.config.engine.cancel_grace_seconds;
    let deadline = now + chrono::Duration::seconds(i64::try_from(longest).unwrap_or(i64::from(u32::MAX)));
    let claim = Claim { queue, process, limit, now, deadline, highest_rank: highest_rank(worker) };
    let concurrency = worker.config.queues.get(queue).map_or(0, |queue| queue.concurrency);
    let claimed = if sort.in_turn || concurrency > 0 {
        worker.store.claim_in_turn(claim, concurrency).await
    } else {
        worker.store.claim(claim).await
    };
    match claimed {
        Ok(jobs) => {
            let more = jobs.len() >= limit as usize;
            jobs.into_iter().for_each(|job| start(worker, slots, job));
            if more {
                worker.jobs.work().hint(queue, sort.in_turn);
            }
            more
        }
        Err(error) => {
            tracing::warn!(%error, queue, "claiming failed; the next look will try again");
            false
        }
    }
}

fn start(worker: &Arc<Inner>, slots: &Slots, job: Claimed) {
    // There is one claimer, so a permit that was there still is; if not, the job would run one too many.
    let permit = Arc::clone(&slots.free).try_acquire_owned().ok();
    let slot = permit.map(|permit| Slot { _permit: permit, jobs: worker.jobs.clone() });
    worker.runs.spawn(executor::run(Arc::clone(worker), job, slot));
}

/// Ranks are times less the head start of a priority, so nothing that is due ranks above now plus the largest setback.
fn highest_rank(worker: &Inner) -> i64 {
    let setback = worker.config.engine.ageing() * Priority::RANGE.start().unsigned_abs();
    let setback = i64::try_from(setback.as_micros()).unwrap_or(i64::MAX / 4);
    worker.clock.now().timestamp_micros() + setback
}

fn next_time(worker: &Inner) -> Instant {
    let wait =
        worker.jobs.work().next_time().map(|time| (time - worker.clock.now()).to_std().unwrap_or_default());
    Instant::now() + wait.unwrap_or(Duration::from_secs(3600))
}
