//! Where there is work: hints for the claimer, from this process and from others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

/// Times that are remembered; beyond, the claimer's slow poll finds the job.
const REMEMBERED: usize = 100_000;

/// Hints at work, by queue. A hint may be wrong or missing: looking is what counts.
#[derive(Default)]
pub struct Work {
    hints: Mutex<Hints>,
    changed: Notify,
}

#[derive(Default)]
struct Hints {
    now: BTreeMap<String, Hint>,
    later: BinaryHeap<Reverse<(DateTime<Utc>, String, bool)>>,
}

/// What there may be in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Jobs that take no turns.
    pub plain: bool,
    /// Jobs that take turns.
    pub in_turn: bool,
}

impl Work {
    /// There may be something to claim.
    pub fn hint(&self, queue: &str, in_turn: bool) {
        self.lock().add(queue, in_turn);
        self.changed.notify_one();
    }

    /// There will be something to claim.
    pub fn hint_at(&self, queue: &str, in_turn: bool, time: DateTime<Utc>) {
        let mut hints = self.lock();
        if hints.later.len() < REMEMBERED {
            hints.later.push(Reverse((time, queue.to_owned(), in_turn)));
        }
        drop(hints);
        self.changed.notify_one();
    }

    /// A slot is free, or something else has changed that makes looking worthwhile.
    pub fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Waits for a change; one that came since the last call counts.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// When the next remembered time comes.
    pub fn next_time(&self) -> Option<DateTime<Utc>> {
        self.lock().later.peek().map(|Reverse((time, ..))| *time)
    }

    /// Takes the hint for a queue; what is hinted at from now on comes anew.
    pub fn take(&self, queue: &str, now: DateTime<Utc>) -> Hint {
        let mut hints = self.lock();
        while hints.later.peek().is_some_and(|Reverse((time, ..))| *time <= now) {
            if let Some(Reverse((_, queue, in_turn))) = hints.later.pop() {
                hints.add(&queue, in_turn);
            }
        }
        hints.now.get_mut(queue).map(std::mem::take).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Hints> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hints {
    fn add(&mut self, queue: &str, in_turn: bool) {
        if !self.now.contains_key(queue) {
            self.now.insert(queue.to_owned(), Hint::default());
        }
        if let Some(hint) = self.now.get_mut(queue) {
            hint.plain |= !in_turn;
            hint.in_turn |= in_turn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_taken_once_and_a_later_one_when_its_time_comes() {
        let (work, start) = (Work::default(), DateTime::UNIX_EPOCH);
        let then = start + chrono::Duration::seconds(5);
        work.hint("builds", false);
        work.hint_at("builds", true, then);
        assert_eq!(work.take("builds", start), Hint { plain: true, in_turn: false });
        assert_eq!(work.take("builds", start), Hint::default());
        assert_eq!(work.next_time(), Some(then));
        assert_eq!(work.take("builds", then), Hint { plain: false, in_turn: true });
    }
}
