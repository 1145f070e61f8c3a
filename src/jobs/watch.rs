//! Following a job: first what is in its log, then what comes, each event once and in order.

use std::sync::Arc;

use crate::error::Result;
use crate::hub::{Ahead, Hub, Line, Subscription};
use crate::model::{Event, JobId};
use crate::store::Store;

/// Events read from the log at once.
const PAGE: u32 = 500;

/// One subscriber's way through the log of a job.
pub struct Watch {
    job: JobId,
    store: Store,
    subscription: Subscription,
    seen: i64,
    /// Whether the log has been read to its end once; from then on there are wake-ups.
    caught_up: bool,
}

impl Watch {
    /// Registers interest, then begins after number `after`.
    pub(super) fn new(store: Store, hub: &Hub, job: JobId, after: i64) -> Self {
        Self { job, store, subscription: hub.subscribe(job), seen: after, caught_up: false }
    }

    /// Number of the last event handed out.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// The events that come next: at least one, in order. Those that retention has removed are passed over, which
    /// shows as a jump in the numbers. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Vec<Arc<Line>>> {
        loop {
            if let Some(lines) = self.at_hand().await? {
                return Ok(lines);
            }
            self.subscription.woken().await;
        }
    }

    /// The events that are there already, if any.
    pub async fn at_hand(&mut self) -> Result<Option<Vec<Arc<Line>>>> {
        if !self.caught_up {
            let lines = read(&self.store, self.job, self.seen).await?;
            if !lines.is_empty() {
                return Ok(Some(self.handed_out(lines)));
            }
            self.caught_up = true;
        }
        loop {
            match self.subscription.after(self.seen) {
                Ahead::Nothing => return Ok(None),
                Ahead::Lines(lines) => return Ok(Some(self.handed_out(lines))),
                Ahead::InTheLog => match self.read_for_all().await? {
                    Read::Lines(lines) => return Ok(Some(self.handed_out(lines))),
                    Read::Nothing => return Ok(None),
                    Read::AtHand => {}
                },
            }
        }
    }

    /// Reads the log on behalf of all subscribers.
    async fn read_for_all(&self) -> Result<Read> {
        let reader = self.subscription.reader().await;
        if !matches!(self.subscription.after(self.seen), Ahead::InTheLog) {
            return Ok(Read::AtHand);
        }
        let from = reader.begin(self.seen);
        let lines = read(&self.store, self.job, from).await?;
        reader.found(&lines);
        Ok(match lines.is_empty() {
            _ if from > self.seen => Read::AtHand,
            false => Read::Lines(lines),
            // The hint was wrong, or the job is gone.
            true => Read::Nothing,
        })
    }

    fn handed_out(&mut self, lines: Vec<Arc<Line>>) -> Vec<Arc<Line>> {
        self.seen = lines.last().map_or(self.seen, |line| line.event.seq);
        lines
    }
}

enum Read {
    Lines(Vec<Arc<Line>>),
    AtHand,
    Nothing,
}

async fn read(store: &Store, job: JobId, after: i64) -> Result<Vec<Arc<Line>>> {
    let events: Vec<Event> = store.events_after(job, after, PAGE).await?;
    Ok(events.into_iter().map(Line::new).collect())
}
