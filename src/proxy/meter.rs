//! Counts what passes and what is refused, and says when it is enough.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::refusal::Refusal;

/// Hosts that are counted each for itself; all others together. Whoever asks for a million is not kept in mind.
const MOST_HOSTS: usize = 100;
const OTHERS: &str = "others";

/// What passed to and from one host, or did not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// `host:port`; `others` where there are too many.
    pub host: String,
    /// Connections and requests that were let through.
    pub passed: u64,
    /// Those that were not.
    pub refused: u64,
    /// Why the last of them was not: `not_granted`, `private_address`, `bytes_used_up`, `not_tls`, `malformed`,
    /// `unknown_host`, `unreachable`, `silent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// Bytes that went there.
    pub sent: u64,
    /// Bytes that came back.
    pub received: u64,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

#[derive(Debug)]
pub(super) struct Meter {
    left: AtomicU64,
    hosts: Mutex<BTreeMap<String, Traffic>>,
}

impl Meter {
    pub(super) fn new(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes), hosts: Mutex::default() }
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    pub(super) fn passed(&self, host: &str) {
        self.count(host, |traffic| traffic.passed += 1);
    }

    pub(super) fn refused(&self, host: &str, refusal: &Refusal) {
        self.count(host, |traffic| {
            traffic.refused += 1;
            traffic.why = Some(refusal.code());
        });
    }

    /// Takes bytes from what is left; where that is too little, nothing is left.
    pub(super) fn spend(&self, host: &str, way: Way, bytes: usize) -> Result<(), Refusal> {
        let bytes = bytes as u64;
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
        if before.is_ok_and(|left| left < bytes) {
            self.refused(host, &Refusal::UsedUp);
            return Err(Refusal::UsedUp);
        }
        self.count(host, |traffic| match way {
            Way::Out => traffic.sent += bytes,
            Way::In => traffic.received += bytes,
        });
        Ok(())
    }

    pub(super) fn take(&self) -> Vec<Traffic> {
        std::mem::take(&mut *self.hosts()).into_values().collect()
    }

    fn count(&self, host: &str, change: impl FnOnce(&mut Traffic)) {
        let mut hosts = self.hosts();
        let is_one_too_many = hosts.len() >= MOST_HOSTS && !hosts.contains_key(host);
        let host = if is_one_too_many { OTHERS } else { host };
        let traffic = hosts.entry(host.to_owned()).or_default();
        if traffic.host.is_empty() {
            host.clone_into(&mut traffic.host);
        }
        change(traffic);
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Traffic>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_shared_and_ends() {
        let meter = Meter::new(10);
        assert!(meter.spend("a:80", Way::Out, 4).is_ok() && meter.spend("b:80", Way::In, 6).is_ok());
        assert!(meter.is_used_up() && meter.spend("a:80", Way::In, 1).is_err());
        let seen: Vec<_> = meter.take().into_iter().map(|t| (t.host, t.sent, t.received, t.why)).collect();
        assert_eq!(seen, [("a:80".to_owned(), 4, 0, Some("bytes_used_up")), ("b:80".to_owned(), 0, 6, None)]);
        assert!(meter.take().is_empty());
    }

    #[test]
    fn a_million_hosts_are_not_kept_in_mind() {
        let meter = Meter::new(1);
        for number in 0..1000 {
            meter.refused(&format!("{number}.test:80"), &Refusal::UnknownHost);
        }
        let seen = meter.take();
        assert_eq!(seen.len(), MOST_HOSTS + 1);
        assert_eq!(seen.iter().map(|traffic| traffic.refused).sum::<u64>(), 1000);
    }
}
