//! Back-pressure: how much waits in each queue, known well enough to refuse in time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::store::Store;

/// How long a count is good for, with what this process has added to it since.
const FRESH: Duration = Duration::from_secs(1);

/// Counts of what waits, by queue.
#[derive(Default)]
pub(super) struct Depths(Mutex<HashMap<String, Depth>>);

#[derive(Clone, Copy)]
struct Depth {
    queued: u64,
    counted_at: DateTime<Utc>,
}

impl Depths {
    /// Lets a job in, or says that the queue is full. A queue that looks full is counted again before anybody is
    /// turned away.
    pub(super) async fn admit(
        &self,
        store: &Store,
        queue: &str,
        most: u64,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if self.add_if_known(queue, most, now) {
            return Ok(());
        }
        let queued = u64::try_from(store.queued_in(queue).await?).unwrap_or_default();
        let depth = Depth { queued: queued + 1, counted_at: now };
        if queued >= most {
            return Err(Error::Unavailable {
                code: "QUEUE_FULL",
                message: format!("{queued} jobs wait in the queue {queue}; try again later"),
                retry_after: Duration::from_secs(5),
            });
        }
        self.lock().insert(queue.to_owned(), depth);
        Ok(())
    }

    fn add_if_known(&self, queue: &str, most: u64, now: DateTime<Utc>) -> bool {
        let mut depths = self.lock();
        let Some(depth) = depths.get_mut(queue) else { return false };
        let fresh = (now - depth.counted_at).to_std().is_ok_and(|age| age < FRESH);
        let fits = fresh && depth.queued < most;
        depth.queued += u64::from(fits);
        fits
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Depth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
