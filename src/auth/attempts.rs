//! Failed logins, counted for each account and each address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::secret;
use crate::error::{Error, Result};

/// More keys than this are looked through for some to forget.
const SWEEP_ABOVE: usize = 10_000;

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// An account, whether there is one or not: the hash of its address.
    Account([u8; 32]),
    /// Whose password was forgotten: counted apart from guesses, which come before.
    Forgetful([u8; 32]),
    /// Where the attempt comes from.
    Address(IpAddr),
}

impl Who {
    pub(super) fn account(email: &str) -> Self {
        Self::Account(secret::hash(&email.to_lowercase()))
    }

    pub(super) fn forgetful(email: &str) -> Self {
        Self::Forgetful(secret::hash(&email.to_lowercase()))
    }

    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(network_of(address))
    }
}

/// Counts attempts: each is taken up front and given back when it succeeds, so that a burst of guesses sent at once
/// gets no further than one sent in a row.
#[derive(Debug)]
pub(super) struct Attempts {
    most: i64,
    /// When each has paid for its attempts, in microseconds since 1970.
    paid_at: Mutex<HashMap<Who, i64>>,
}

impl Attempts {
    /// At most so many a minute; 0 is no limit.
    pub(super) fn new(per_minute: u32) -> Self {
        Self { most: per_minute.into(), paid_at: Mutex::default() }
    }

    /// Takes an attempt of each, or says how long one of them must wait.
    pub(super) fn take(&self, who: &[Who], now: DateTime<Utc>) -> Result<()> {
        if self.most == 0 {
            return Ok(());
        }
        let now = now.timestamp_micros();
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if paid_at.len() > SWEEP_ABOVE {
            paid_at.retain(|_, paid| *paid > now);
        }
        let latest = now + (self.most - 1) * self.price();
        for who in who {
            let paid = paid_at.get(who).copied().unwrap_or(now);
            if paid > latest {
                let wait = u64::try_from(paid - latest).unwrap_or_default();
                return Err(Error::TooMany { retry_after: Duration::from_micros(wait) });
            }
        }
        for who in who {
            let paid = paid_at.entry(*who).or_insert(now);
            *paid = now.max(*paid) + self.price();
        }
        Ok(())
    }

    /// Gives an attempt back: it was no guess.
    pub(super) fn give_back(&self, who: &[Who]) {
        if self.most == 0 {
            return;
        }
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        for who in who {
            if let Some(paid) = paid_at.get_mut(who) {
                *paid -= self.price();
            }
        }
    }

    fn price(&self) -> i64 {
        60_000_000 / self.most
    }
}

/// The network that an address stands for: who has one IPv6 address has 2⁶⁴ of them.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_guess_of_two_waits_and_what_succeeded_does_not_count() {
        let attempts = Attempts::new(2);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let who = [Who::account("Ada@example.com"), Who::address("1.2.3.4".parse().unwrap())];
        for _ in 0..20 {
            attempts.take(&who, now).unwrap();
            attempts.give_back(&who);
        }
        attempts.take(&who, now).unwrap();
        attempts.take(&who, now).unwrap();
        let refused = attempts.take(&who[..1], now).unwrap_err();
        assert!(matches!(refused, Error::TooMany { retry_after } if retry_after == Duration::from_secs(30)));
        assert!(
            attempts.take(&[Who::account("ada@EXAMPLE.com")], now).is_err(),
            "written otherwise, still the same"
        );
        assert!(attempts.take(&[Who::address("1.2.3.5".parse().unwrap())], now).is_ok());
        assert!(attempts.take(&who, now + Duration::from_secs(30)).is_ok());
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:1.2.3.4"), network("1.2.3.4"));
    }
}
