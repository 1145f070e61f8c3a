//! How often somebody may knock: per user, or per address when nobody is signed in.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock as _, Reference};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::identity::Passage;
use crate::auth::network_of;
use crate::clock::Clock;
use crate::config;
use crate::error::{Error, Result};
use crate::model::UserId;

/// Looked at for keys to forget after so many checks.
const SWEEP_EVERY: u32 = 4096;
/// Fewer keys than this are not worth a sweep.
const SWEEP_ABOVE: usize = 8192;

/// The limits of this process.
pub struct Limits {
    requests: Option<Limit>,
    builds: Option<Limit>,
    analyses: Option<Limit>,
}

/// What a user may submit only so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submit {
    /// `limits.builds_per_minute`
    Build,
    /// `limits.analyses_per_minute`
    Analysis,
}

impl Limits {
    /// From the settings.
    pub fn new(limits: &config::Limits, clock: &Clock) -> Self {
        let limit = |per_minute| Limit::new(per_minute, clock);
        Self {
            requests: limit(limits.requests_per_minute),
            builds: limit(limits.builds_per_minute),
            analyses: limit(limits.analyses_per_minute),
        }
    }

    /// Counts a submit, unless it is one too many.
    pub fn submit(&self, what: Submit, user: UserId) -> Result<()> {
        let limit = match what {
            Submit::Build => &self.builds,
            Submit::Analysis => &self.analyses,
        };
        let Some(limit) = limit else { return Ok(()) };
        limit.check(Key::User(user)).map(drop).map_err(|(retry_after, _)| Error::TooMany { retry_after })
    }

    /// Counts a request, unless it is one too many: then how long to wait. `None`: there is no limit.
    pub(super) fn request(&self, passage: &Passage) -> Result<Option<Standing>, (Duration, Standing)> {
        let Some(limit) = &self.requests else { return Ok(None) };
        let key = match passage.known.get() {
            Some(user) => Key::User(*user),
            None => Key::Address(network_of(passage.address)),
        };
        limit.check(key).map(Some)
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

/// How somebody stands: the `RateLimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    reset_seconds: u64,
}

impl Standing {
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
        const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
        const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset_seconds));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(UserId),
    Address(IpAddr),
}

type Keyed = RateLimiter<Key, DashMapStateStore<Key>, Ticks, StateInformationMiddleware>;

struct Limit {
    per_minute: NonZeroU32,
    keyed: Keyed,
    clock: Ticks,
    checks: AtomicU32,
}

impl Limit {
    fn new(per_minute: u32, clock: &Clock) -> Option<Self> {
        let per_minute = NonZeroU32::new(per_minute)?;
        let clock = Ticks(clock.clone());
        let keyed: Keyed =
            RateLimiter::new(Quota::per_minute(per_minute), DashMapStateStore::default(), clock.clone());
        Some(Self { per_minute, keyed, clock, checks: AtomicU32::new(0) })
    }

    fn check(&self, key: Key) -> Result<Standing, (Duration, Standing)> {
        self.sweep_now_and_then();
        match self.keyed.check_key(&key) {
            Ok(snapshot) => Ok(self.standing(&snapshot)),
            Err(refusal) => {
                let wait = refusal.wait_time_from(self.clock.now());
                Err((wait, self.standing_with(0)))
            }
        }
    }

    fn standing(&self, snapshot: &StateSnapshot) -> Standing {
        self.standing_with(snapshot.remaining_burst_capacity())
    }

    fn standing_with(&self, remaining: u32) -> Standing {
        let limit = self.per_minute.get();
        let used = u64::from(limit.saturating_sub(remaining));
        Standing { limit, remaining, reset_seconds: (used * 60).div_ceil(limit.into()) }
    }

    /// Forgets keys that stand as if they had never come, so that memory stays bounded however many knock.
    fn sweep_now_and_then(&self) {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        if checks % SWEEP_EVERY == SWEEP_EVERY - 1 && self.keyed.len() > SWEEP_ABOVE {
            self.keyed.retain_recent();
            self.keyed.shrink_to_fit();
        }
    }
}

/// Our clock, as governor wants it.
#[derive(Clone, Debug)]
struct Ticks(Clock);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tick(u64);

impl governor::clock::Clock for Ticks {
    type Instant = Tick;

    fn now(&self) -> Tick {
        Tick(u64::try_from(self.0.now().timestamp_micros()).unwrap_or_default().saturating_mul(1000))
    }
}

impl std::ops::Add<Nanos> for Tick {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0.saturating_add(other.as_u64()))
    }
}

impl Reference for Tick {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.as_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_of_a_minute_is_let_in_and_the_next_must_wait() {
        let clock = Clock::seeded(1);
        let limit = Limit::new(3, &clock).unwrap();
        let key = Key::Address("1.2.3.4".parse().unwrap());
        let remaining: Vec<_> = (0..3).map(|_| limit.check(key).unwrap().remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let (wait, standing) = limit.check(key).unwrap_err();
        assert!(wait <= Duration::from_secs(20) && wait > Duration::from_secs(19), "{wait:?}");
        assert_eq!(standing, Standing { limit: 3, remaining: 0, reset_seconds: 60 });
        assert!(limit.check(Key::Address("1.2.3.5".parse().unwrap())).is_ok());
        clock.advance(Duration::from_secs(20));
        assert!(limit.check(key).is_ok());
    }

    #[test]
    fn memory_stays_bounded_however_many_knock() {
        let clock = Clock::seeded(1);
        let limit = Limit::new(60_000, &clock).unwrap();
        for n in 0..100_000_u32 {
            limit.check(Key::Address(IpAddr::V4(n.into()))).unwrap();
            clock.advance(Duration::from_millis(1));
        }
        assert!(limit.keyed.len() <= SWEEP_ABOVE + SWEEP_EVERY as usize, "{}", limit.keyed.len());
    }
}
