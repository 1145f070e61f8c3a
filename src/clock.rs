//! Time and chance, as arguments.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;
use uuid::timestamp::context::ContextV7;

/// Tells the time, makes ids and rolls dice. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    /// Microseconds to add to the machine's time; only a test moves it.
    offset: AtomicI64,
    ids: Mutex<ContextV7>,
    dice: Mutex<StdRng>,
}

impl Clock {
    /// The machine's clock, and chance from the operating system.
    pub fn system() -> Self {
        Self::with_dice(StdRng::from_os_rng())
    }

    /// The machine's clock, and dice that fall the same way for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self::with_dice(StdRng::seed_from_u64(seed))
    }

    fn with_dice(dice: StdRng) -> Self {
        let (offset, ids) = (AtomicI64::new(0), Mutex::new(ContextV7::new()));
        Self(Arc::new(Inner { offset, ids, dice: Mutex::new(dice) }))
    }

    /// The time, cut to the microseconds that PostgreSQL keeps, so that a value read back equals the one written.
    pub fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
        let micros = Utc::now().timestamp_micros() + self.0.offset.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// Moves this clock forward: what tests do instead of sleeping.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.offset.fetch_add(micros, Ordering::Relaxed);
    }

    /// A UUIDv7; ids made one after the other by one clock sort in that order.
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let ids = self.0.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(uuid::Timestamp::from_unix(&*ids, seconds, now.timestamp_subsec_nanos()))
    }

    /// A duration between nothing and `most`, evenly spread: jitter, so that processes do not march in step.
    pub fn jitter(&self, most: Duration) -> Duration {
        most.mul_f64(self.roll())
    }

    /// A number from 0 to just below 1.
    pub fn roll(&self) -> f64 {
        let mut dice = self.0.dice.lock().unwrap_or_else(PoisonError::into_inner);
        f64::from(dice.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_in_the_order_they_were_made() {
        let clock = Clock::system();
        let ids: Vec<_> = (0..5_000).map(|_| clock.new_id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_advanced_clock_is_ahead_and_the_same_seed_rolls_the_same() {
        let (clock, other) = (Clock::seeded(7), Clock::seeded(7));
        clock.advance(Duration::from_secs(3600));
        assert!(clock.now() - other.now() > chrono::Duration::seconds(3590));
        assert_eq!(clock.roll().to_bits(), other.roll().to_bits());
    }
}
