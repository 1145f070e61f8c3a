//! Who waits for which job: a wake-up, and the newest events at hand; never the truth, which is the log.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::{Event, JobId};

/// How many of the newest events of a watched job are kept at hand.
const TAIL: usize = 1024;

/// Who waits for which job. Cheap to clone; clones share everything.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Default)]
struct Inner {
    channels: Mutex<HashMap<JobId, Weak<Channel>>>,
    /// How many are in `channels`: publishing to nobody costs one load.
    watched: AtomicUsize,
    closing: CancellationToken,
}

/// An event as subscribers share it: its frame is rendered once, by whoever needs it first.
#[derive(Debug)]
pub struct Line {
    /// The event, as it is on disk.
    pub event: Event,
    frame: OnceLock<Utf8Bytes>,
}

impl Line {
    /// A line that is not rendered yet.
    pub fn new(event: Event) -> Arc<Self> {
        Arc::new(Self { event, frame: OnceLock::new() })
    }

    /// Whether somebody has rendered it.
    pub fn is_rendered(&self) -> bool {
        self.frame.get().is_some()
    }

    /// The frame, rendered by `render` unless somebody has done so.
    pub fn frame(&self, render: impl FnOnce(&Event) -> String) -> Utf8Bytes {
        self.frame.get_or_init(|| render(&self.event).into()).clone()
    }
}

/// All that wait for one job.
struct Channel {
    job: JobId,
    hub: Weak<Inner>,
    tail: Mutex<Tail>,
    /// Counts wake-ups.
    wake: watch::Sender<u64>,
    /// One of the subscribers reads the log for all.
    reading: tokio::sync::Mutex<()>,
}

/// The newest events, without a hole between them.
#[derive(Default)]
struct Tail {
    lines: VecDeque<Arc<Line>>,
    /// The log may be ahead of `lines`: another process has written.
    stale: bool,
}

/// What the tail knows of the events after a number.
pub enum Ahead {
    /// These come next.
    Lines(Vec<Arc<Line>>),
    /// There may be more, in the log.
    InTheLog,
    /// Nothing yet.
    Nothing,
}

/// One subscriber's place in a channel.
pub struct Subscription {
    channel: Arc<Channel>,
    wake: watch::Receiver<u64>,
}

impl Hub {
    /// Registers interest. Do so before looking at the log, or what happens in between is missed.
    pub fn subscribe(&self, job: JobId) -> Subscription {
        let mut channels = lock(&self.0.channels);
        let known = channels.get(&job).and_then(Weak::upgrade);
        let channel = known.unwrap_or_else(|| {
            let (wake, _) = watch::channel(0);
            let hub = Arc::downgrade(&self.0);
            let (tail, reading) = (Mutex::default(), tokio::sync::Mutex::default());
            let channel = Arc::new(Channel { job, hub, tail, wake, reading });
            channels.insert(job, Arc::downgrade(&channel));
            self.0.watched.store(channels.len(), Ordering::Release);
            channel
        });
        let wake = channel.wake.subscribe();
        Subscription { channel, wake }
    }

    /// Tells subscribers of events that this process has just committed.
    pub fn publish(&self, events: Vec<Event>) {
        if self.0.watched.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut touched: Vec<Arc<Channel>> = Vec::new();
        {
            let channels = lock(&self.0.channels);
            for event in events {
                let Some(channel) = channels.get(&event.job_id).and_then(Weak::upgrade) else { continue };
                lock(&channel.tail).push(Line::new(event));
                if !touched.iter().any(|known| Arc::ptr_eq(known, &channel)) {
                    touched.push(channel);
                }
            }
        }
        touched.iter().for_each(|channel| channel.wake.send_modify(|count| *count += 1));
    }

    /// Tells subscribers that another process may have written to this job's log.
    pub fn hint(&self, job: JobId) {
        let channel = lock(&self.0.channels).get(&job).and_then(Weak::upgrade);
        channel.into_iter().for_each(|channel| channel.mark_stale());
    }

    /// Tells all subscribers to look at the log: hints may have been lost.
    pub fn hint_all(&self) {
        let channels: Vec<_> = lock(&self.0.channels).values().filter_map(Weak::upgrade).collect();
        channels.iter().for_each(|channel| channel.mark_stale());
    }

    /// How many jobs somebody waits for.
    pub fn watched(&self) -> usize {
        self.0.watched.load(Ordering::Relaxed)
    }

    /// Tells all subscribers that this process goes away.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    /// Cancelled when this process goes away.
    pub fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }
}

impl Subscription {
    /// What is at hand after number `seen`.
    pub fn after(&self, seen: i64) -> Ahead {
        lock(&self.channel.tail).after(seen)
    }

    /// Waits for the next wake-up; one that came since the last call counts.
    pub async fn woken(&mut self) {
        // The sender lives in the channel that this subscription holds.
        let _ = self.wake.changed().await;
    }

    /// The right to read the log for all subscribers of this job. Ask [`Subscription::after`] again once you have it.
    pub async fn reader(&self) -> Reader<'_> {
        Reader { _turn: self.channel.reading.lock().await, channel: &self.channel }
    }
}

/// The right to read the log for all subscribers of one job.
pub struct Reader<'a> {
    _turn: tokio::sync::MutexGuard<'a, ()>,
    channel: &'a Channel,
}

impl Reader<'_> {
    /// Call this before reading: what is written from now on will be hinted at again. Returns the number to read on
    /// from for a subscriber that has seen `seen`.
    pub fn begin(&self, seen: i64) -> i64 {
        let mut tail = lock(&self.channel.tail);
        tail.stale = false;
        match (tail.lines.front(), tail.lines.back()) {
            (Some(first), Some(last)) if first.event.seq <= seen + 1 => last.event.seq.max(seen),
            _ => seen,
        }
    }

    /// Puts what was read at everybody's hand.
    pub fn found(&self, lines: &[Arc<Line>]) {
        let mut tail = lock(&self.channel.tail);
        lines.iter().for_each(|line| tail.push(Arc::clone(line)));
        drop(tail);
        if !lines.is_empty() {
            self.channel.wake.send_modify(|count| *count += 1);
        }
    }
}

impl Tail {
    fn push(&mut self, line: Arc<Line>) {
        match self.lines.back().map(|last| last.event.seq) {
            Some(last) if line.event.seq <= last => return,
            // Two commits may be announced in the other order; the log has the one that is missing here.
            Some(last) if line.event.seq > last + 1 => self.lines.clear(),
            _ => {}
        }
        if self.lines.len() == TAIL {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn after(&self, seen: i64) -> Ahead {
        let first = self.lines.front().map_or(i64::MAX, |line| line.event.seq);
        let last = self.lines.back().map_or(0, |line| line.event.seq);
        if first <= seen + 1 && last > seen {
            let passed = usize::try_from(seen + 1 - first).unwrap_or_default();
            return Ahead::Lines(self.lines.iter().skip(passed).cloned().collect());
        }
        if last > seen || self.stale { Ahead::InTheLog } else { Ahead::Nothing }
    }
}

impl Channel {
    fn mark_stale(&self) {
        lock(&self.tail).stale = true;
        self.wake.send_modify(|count| *count += 1);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut channels = lock(&hub.channels);
        // Somebody may have subscribed anew while the last one was leaving.
        if channels.get(&self.job).is_some_and(|channel| channel.strong_count() == 0) {
            channels.remove(&self.job);
        }
        hub.watched.store(channels.len(), Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
