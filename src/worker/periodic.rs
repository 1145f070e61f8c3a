//! Maintenance at regular times, once across all replicas: each time slot is an idempotency key.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Inner;
use crate::error::Result;
use crate::jobs::NewRequest;
use crate::kinds::{Cleanup, HealthCheck, request};
use crate::model::Idempotency;

/// Submits what is due, until the end. A slot that was missed while nothing ran is made up for once.
pub(super) async fn submit(worker: Arc<Inner>) {
    let maintenance = &worker.config.maintenance;
    let every = [maintenance.cleanup_minutes.max(1), maintenance.health_check_minutes.max(1)];
    let mut last = [0; 2];
    loop {
        let now = worker.clock.now();
        for (which, minutes) in every.into_iter().enumerate() {
            let slot = slot_of(now, minutes);
            if slot != last[which] {
                match submit_one(&worker, which, slot).await {
                    Ok(()) => last[which] = slot,
                    Err(error) => tracing::warn!(%error, "maintenance could not be submitted"),
                }
            }
        }
        tokio::select! {
            () = worker.closing.cancelled() => return,
            () = tokio::time::sleep(until_next(now, &every) + worker.clock.jitter(Duration::from_secs(1))) => {}
        }
    }
}

async fn submit_one(worker: &Inner, which: usize, slot: i64) -> Result<()> {
    let request: NewRequest = match which {
        0 => request(&Cleanup {}, None)?,
        _ => request(&HealthCheck {}, None)?,
    };
    let key = format!("{}@{slot}", request.policy.kind);
    let idempotency = Some(Idempotency { key, fingerprint: String::new() });
    worker.jobs.submit(NewRequest { idempotency, ..request }).await.map(drop)
}

/// The number of the time slot of this length that `now` is in.
fn slot_of(now: DateTime<Utc>, minutes: u64) -> i64 {
    now.timestamp().div_euclid(seconds(minutes))
}

/// How long until the next slot of any of these lengths begins.
fn until_next(now: DateTime<Utc>, every: &[u64]) -> Duration {
    let left = |minutes: &u64| seconds(*minutes) - now.timestamp().rem_euclid(seconds(*minutes));
    Duration::from_secs(every.iter().map(left).min().and_then(|left| u64::try_from(left).ok()).unwrap_or(60))
}

fn seconds(minutes: u64) -> i64 {
    i64::try_from(minutes.saturating_mul(60)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_slot_begins_where_this_one_ends() {
        let now = DateTime::from_timestamp(1_800_000_123, 0).unwrap();
        let then = now + until_next(now, &[5]);
        assert_eq!(slot_of(now, 5) + 1, slot_of(then, 5));
        assert_eq!(slot_of(then - Duration::from_secs(1), 5), slot_of(now, 5));
    }
}
