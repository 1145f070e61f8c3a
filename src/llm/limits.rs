//! How much may be asked of whom: buckets of requests and tokens, and a breaker that spares a broken provider and those
//! who would wait for it.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache;

use crate::clock::Clock;
use crate::model::UserId;

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    /// Of a user's use, or of a key's; the server has its own.
    pub(super) side: Side,
    /// The provider, with its address.
    pub(super) provider: String,
    /// The model.
    pub(super) model: String,
}

/// What a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// What a tenant asks for, whoever's key it is.
    Tenant(Option<UserId>),
    /// What is asked for with the key of this user, or the server's.
    Key(Option<UserId>),
}

/// A bucket and how much goes through it: requests and tokens per minute, 0 without limit.
pub(super) type Rate = (Bucket, u32, u32);

/// All buckets of this process.
pub(super) struct Limits {
    clock: Clock,
    buckets: Cache<Bucket, Arc<Mutex<Levels>>>,
    breakers: Cache<String, Arc<Mutex<Breaker>>>,
}

/// When a bucket will be full again, by what it counts, and until when nothing is taken from it at all. A bucket holds
/// what is let through in a minute. (Generic cell rate algorithm, ITU-T I.371, with the time of full recovery as state.)
#[derive(Debug)]
struct Levels {
    requests_full: DateTime<Utc>,
    tokens_full: DateTime<Utc>,
    closed_until: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    open_until: Option<DateTime<Utc>>,
}

const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// Buckets beyond this are forgotten, the longest unused first.
const MOST: u64 = 20_000;

impl Limits {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, buckets: Cache::new(MOST), breakers: Cache::new(MOST) }
    }

    /// Takes one request and so many tokens from all these buckets; returns how long to wait until they are there. If
    /// that were longer than `most`, nothing is taken, and how long it would be is the error.
    pub(super) fn take(&self, rates: &[Rate], tokens: i64, most: Duration) -> Result<Duration, Duration> {
        let now = self.clock.now();
        let most = TimeDelta::from_std(most).unwrap_or(TimeDelta::MAX);
        let buckets: Vec<_> = rates.iter().map(|(bucket, ..)| self.bucket(bucket)).collect();
        let mut locked: Vec<_> =
            buckets.iter().map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        let after: Vec<_> = locked
            .iter()
            .zip(rates)
            .map(|(levels, (_, requests, per_minute))| {
                let requests = drained(levels.requests_full, now, 1, *requests);
                (requests, drained(levels.tokens_full, now, tokens, *per_minute), levels.closed_until)
            })
            .collect();
        let waits = after.iter().flat_map(|((_, one), (_, other), closed)| [*one, *other, *closed - now]);
        let wait = waits.max().unwrap_or_default().max(TimeDelta::zero());
        let as_std = wait.to_std().unwrap_or_default();
        if wait > most {
            return Err(as_std);
        }
        for (levels, ((requests, _), (tokens, _), _)) in locked.iter_mut().zip(after) {
            (levels.requests_full, levels.tokens_full) = (requests, tokens);
        }
        Ok(as_std)
    }

    /// Corrects what was taken when it is known how many tokens there were.
    pub(super) fn correct(&self, rates: &[Rate], taken: i64, used: i64) {
        for (bucket, _, per_minute) in rates.iter().filter(|(_, _, per_minute)| *per_minute > 0) {
            let bucket = self.bucket(bucket);
            let mut levels = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            levels.tokens_full += time_for(used - taken, *per_minute);
        }
    }

    /// Lets nothing through for a while: the provider has said so.
    pub(super) fn close(&self, bucket: &Bucket, wait: Duration) {
        let until = self.clock.now() + TimeDelta::from_std(wait).unwrap_or(MINUTE);
        let bucket = self.bucket(bucket);
        let mut levels = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        levels.closed_until = levels.closed_until.max(until);
    }

    fn bucket(&self, bucket: &Bucket) -> Arc<Mutex<Levels>> {
        self.buckets.get_with_by_ref(bucket, || {
            let long_ago = DateTime::UNIX_EPOCH;
            let levels = Levels { requests_full: long_ago, tokens_full: long_ago, closed_until: long_ago };
            Arc::new(Mutex::new(levels))
        })
    }

    /// Whether a provider may be asked; if not, when somebody will try. Whoever is let through after such a time is the
    /// one who tries: the others wait until it is known how that went.
    pub(super) fn may_ask(&self, provider: &str, rest: Duration) -> Result<(), Duration> {
        let Some(breaker) = self.breakers.get(provider) else { return Ok(()) };
        let mut breaker = breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        match breaker.open_until {
            Some(until) if until > now => Err((until - now).to_std().unwrap_or_default()),
            Some(_) => {
                breaker.open_until = Some(now + rest);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Notes that a provider failed; after `most` failures in a row it has a rest. True: it is not asked any more.
    pub(super) fn failed(&self, provider: &str, most: u32, rest: Duration) -> bool {
        let breaker = self.breakers.get_with_by_ref(provider, Arc::default);
        let mut breaker = breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.failures = breaker.failures.saturating_add(1);
        let opens = most > 0 && breaker.failures >= most;
        if opens {
            breaker.open_until = Some(self.clock.now() + rest);
        }
        opens
    }

    /// Notes that a provider is well.
    pub(super) fn answered(&self, provider: &str) {
        self.breakers.invalidate(provider);
    }
}

/// When a bucket will be full again after `amount` was taken, and how long until there is that much in it. What is more
/// than a whole bucket goes out of a full one, which then owes it.
fn drained(
    full: DateTime<Utc>,
    now: DateTime<Utc>,
    amount: i64,
    per_minute: u32,
) -> (DateTime<Utc>, TimeDelta) {
    if per_minute == 0 {
        return (full, TimeDelta::zero());
    }
    let from = full.max(now);
    let room = i64::from(per_minute).min(amount);
    let wait = (from + time_for(room, per_minute) - now - MINUTE).max(TimeDelta::zero());
    (from + time_for(amount, per_minute), wait)
}

/// How long so much takes to come in.
fn time_for(amount: i64, per_minute: u32) -> TimeDelta {
    let micros = i128::from(amount) * 60_000_000 / i128::from(per_minute.max(1));
    TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(requests: u32, tokens: u32) -> Rate {
        let bucket = Bucket { side: Side::Tenant(None), provider: "p".to_owned(), model: "m".to_owned() };
        (bucket, requests, tokens)
    }

    /// Whole seconds: the clock goes on by itself.
    fn seconds(wait: Result<Duration, Duration>) -> Result<u64, u64> {
        wait.map(|wait| wait.as_secs_f64().round() as u64).map_err(|wait| wait.as_secs_f64().round() as u64)
    }

    #[test]
    fn a_minutes_worth_is_there_at_once_and_the_rest_waits_its_turn() {
        let (clock, rates) = (Clock::seeded(1), [rate(6, 0)]);
        let limits = Limits::new(clock.clone());
        let take = || seconds(limits.take(&rates, 1_000_000, 25 * SECOND));
        assert_eq!([take(), take(), take(), take(), take(), take()], [Ok(0); 6]);
        assert_eq!([take(), take(), take()], [Ok(10), Ok(20), Err(30)]);
        clock.advance(20 * SECOND);
        assert_eq!([take(), take()], [Ok(10), Ok(20)]);
    }

    #[test]
    fn tokens_are_counted_beside_requests_and_corrected_afterwards() {
        let (clock, rates) = (Clock::seeded(1), [rate(0, 600)]);
        let limits = Limits::new(clock.clone());
        let take = |tokens| seconds(limits.take(&rates, tokens, 60 * SECOND));
        assert_eq!((take(600), take(100)), (Ok(0), Ok(10)));
        limits.correct(&rates, 700, 200);
        assert_eq!(take(400), Ok(0));
        clock.advance(60 * SECOND);
        assert_eq!(
            (take(6_000), take(1)),
            (Ok(0), Err(540)),
            "more than a bucket goes only out of a full one"
        );
    }

    #[test]
    fn a_bucket_is_closed_when_the_provider_says_so() {
        let (clock, rates) = (Clock::seeded(1), [rate(0, 0)]);
        let limits = Limits::new(clock.clone());
        limits.close(&rates[0].0, 7 * SECOND);
        assert_eq!(seconds(limits.take(&rates, 1, SECOND)), Err(7));
        clock.advance(7 * SECOND);
        assert_eq!(seconds(limits.take(&rates, 1, SECOND)), Ok(0));
    }

    #[test]
    fn a_broken_provider_is_left_alone_and_then_tried_by_one() {
        let clock = Clock::seeded(1);
        let limits = Limits::new(clock.clone());
        let may = || limits.may_ask("p", 30 * SECOND).is_ok();
        assert!(!limits.failed("p", 2, 30 * SECOND) && may());
        assert!(limits.failed("p", 2, 30 * SECOND) && !may());
        clock.advance(30 * SECOND);
        assert!(may() && !may());
        limits.answered("p");
        assert!(may() && may() && !limits.failed("p", 2, 30 * SECOND));
        assert!(!limits.failed("q", 0, SECOND), "0 is never");
    }
}
