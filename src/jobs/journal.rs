//! Group commit: whatever is written about jobs goes through a few lanes, each of which writes all that has gathered
//! while its last transaction was under way.
//!
//! A report is repeated until it is on disk or rejected; a submission is answered at once when the database is away,
//! because somebody waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::Core;
use crate::error::{Error, Result, is_transient};
use crate::model::{JobId, ProcessId};
use crate::store::{Accepted, Batch, Report, Submission, Submitted};

/// Entries that may wait for a lane; beyond, whoever writes waits.
const WAITING: usize = 4096;

/// What may be written.
pub(super) enum Entry {
    /// A new job, and who waits for its fate.
    Submit(Box<Submission>, oneshot::Sender<Result<Submitted>>),
    /// A word about a running job, and who waits to hear whether it was taken.
    Report(Box<Report>, Option<oneshot::Sender<bool>>),
}

/// The way in.
pub(super) struct Journal {
    lanes: Vec<mpsc::Sender<Entry>>,
    next: AtomicU64,
}

impl Journal {
    /// A journal and the ends of its lanes, which [`run`] must empty.
    pub(super) fn new(lanes: usize) -> (Self, Vec<mpsc::Receiver<Entry>>) {
        let (senders, receivers) = (0..lanes.max(1)).map(|_| mpsc::channel(WAITING)).unzip();
        (Self { lanes: senders, next: AtomicU64::new(0) }, receivers)
    }

    /// Submits a job; returns once it is on disk, or was refused. When the lane does not get to it within `patience`,
    /// because the database is away, it is refused, and left out when the lane does get to it. One that was being written
    /// at that very moment may be on disk all the same: an `Idempotency-Key` makes asking again safe.
    pub(super) async fn submit(&self, submission: Submission, patience: Duration) -> Result<Submitted> {
        let (reply, answer) = oneshot::channel();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = &self.lanes[usize::try_from(turn % self.lanes.len() as u64).unwrap_or_default()];
        let answer = async {
            let sent = lane.send(Entry::Submit(Box::new(submission), reply)).await;
            sent.map_err(|_| Error::database_away())?;
            answer.await.unwrap_or_else(|_| Err(Error::database_away()))
        };
        tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(Error::database_away()))
    }

    /// Waits until there is room for a word about a job. Whoever decides what to say only then, under a lock of its
    /// own, keeps its words in order.
    pub(super) async fn room(&self, job: JobId) -> Option<Room<'_>> {
        // A closed lane means that the process is at its end; the job will be rescued.
        self.lane_of(job).reserve().await.ok().map(Room)
    }

    /// Room for a word about a job, if there is some at once.
    pub(super) fn room_at_once(&self, job: JobId) -> Option<Room<'_>> {
        self.lane_of(job).try_reserve().ok().map(Room)
    }

    /// All that is said of one job goes the same way, so that it stays in order.
    fn lane_of(&self, job: JobId) -> &mpsc::Sender<Entry> {
        let hash = job.0.as_u128() as u64;
        &self.lanes[usize::try_from(hash % self.lanes.len() as u64).unwrap_or_default()]
    }
}

/// Room in a lane.
pub(super) struct Room<'a>(mpsc::Permit<'a, Entry>);

impl Room<'_> {
    /// Passes a report on; `reply` hears whether it was taken.
    pub(super) fn report(self, report: Report, reply: Option<oneshot::Sender<bool>>) {
        self.0.send(Entry::Report(Box::new(report), reply));
    }
}

/// Starts one task for each lane.
pub(super) fn run(core: &std::sync::Arc<Core>, lanes: Vec<mpsc::Receiver<Entry>>, tasks: &TaskTracker) {
    for (number, entries) in (0..).zip(lanes) {
        let core = std::sync::Arc::downgrade(core);
        tasks.spawn(async move {
            let mut lane = Lane { entries, number, batches: 0 };
            while let Some(gathered) = lane.gather(&core).await {
                let Some(core) = core.upgrade() else { return };
                lane.write(&core, gathered).await;
            }
        });
    }
}

struct Lane {
    entries: mpsc::Receiver<Entry>,
    number: i32,
    batches: i64,
}

/// What will be written together.
#[derive(Default)]
struct Gathered {
    submissions: Vec<(Box<Submission>, oneshot::Sender<Result<Submitted>>)>,
    reports: Vec<Report>,
    /// For each job with a report, who waits to hear of it.
    waiting: HashMap<JobId, Vec<oneshot::Sender<bool>>>,
}

impl Lane {
    /// Waits for something to write and takes all that is there.
    async fn gather(&mut self, core: &std::sync::Weak<Core>) -> Option<Gathered> {
        let most = core.upgrade()?.config.engine.batch;
        let mut entries = Vec::with_capacity(most.min(64));
        if self.entries.recv_many(&mut entries, most).await == 0 {
            return None;
        }
        let mut gathered = Gathered::default();
        let mut places = HashMap::new();
        for entry in entries {
            match entry {
                // Nobody waits for it any more: it was answered that the database is away.
                Entry::Submit(_, reply) if reply.is_closed() => {}
                Entry::Submit(submission, reply) => gathered.submissions.push((submission, reply)),
                Entry::Report(report, reply) => {
                    gathered.waiting.entry(report.job).or_default().extend(reply);
                    gathered.add(*report, &mut places);
                }
            }
        }
        Some(gathered)
    }

    async fn write(&mut self, core: &Core, mut gathered: Gathered) {
        let process = core.process();
        self.batches += 1;
        let mut pause = Duration::from_millis(50);
        loop {
            match self.attempt(core, process, &gathered).await {
                Ok(Some(accepted)) => return gathered.settle(core, accepted),
                Ok(None) => return gathered.settle_unheard(core),
                Err(error) if is_transient(&error) => {
                    tracing::warn!(%error, reports = gathered.reports.len(), "a batch must be written again");
                    gathered.refuse_submissions();
                    if gathered.reports.is_empty() {
                        return;
                    }
                    tokio::time::sleep(pause + core.clock.jitter(pause)).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                Err(error) => return self.write_one_by_one(core, gathered, &error).await,
            }
        }
    }

    /// Writes what was gathered; `None`: a former attempt has, and its answer was lost.
    async fn attempt(
        &self,
        core: &Core,
        process: ProcessId,
        gathered: &Gathered,
    ) -> sqlx::Result<Option<Accepted>> {
        let submissions: Vec<_> = gathered.submissions.iter().map(|(submission, _)| &**submission).collect();
        core.store
            .write_batch(Batch {
                process,
                lane: self.number,
                number: self.batches,
                now: core.clock.now(),
                submissions: &submissions,
                reports: &gathered.reports,
            })
            .await
    }

    /// Something in the batch cannot be written: what can must not suffer for it.
    async fn write_one_by_one(&mut self, core: &Core, gathered: Gathered, error: &sqlx::Error) {
        if gathered.submissions.len() + gathered.reports.len() == 1 {
            tracing::error!(%error, "an entry cannot be written and is given up");
            return gathered.give_up(core);
        }
        let Gathered { submissions, reports, mut waiting } = gathered;
        let alone =
            submissions.into_iter().map(|one| Gathered { submissions: vec![one], ..Gathered::default() });
        let reports = reports.into_iter().map(|one| {
            let waiting = HashMap::from([(one.job, waiting.remove(&one.job).unwrap_or_default())]);
            Gathered { reports: vec![one], waiting, ..Gathered::default() }
        });
        for one in alone.chain(reports).collect::<Vec<_>>() {
            Box::pin(self.write(core, one)).await;
        }
    }
}

impl Gathered {
    /// Adds a report, after what is already gathered of the same claim.
    fn add(&mut self, report: Report, places: &mut HashMap<(JobId, i64), usize>) {
        let key = (report.job, report.fence);
        let Some(place) = places.get(&key) else {
            places.insert(key, self.reports.len());
            return self.reports.push(report);
        };
        self.reports[*place].add(report);
    }

    fn settle(self, core: &Core, accepted: Accepted) {
        for ((submission, reply), fate) in self.submissions.into_iter().zip(accepted.submitted) {
            if fate == Submitted::Created {
                core.announce_work(
                    &submission.job.queue,
                    submission.job.turn.is_some(),
                    submission.job.run_at,
                );
            }
            let _ = reply.send(Ok(fate));
        }
        for (job, replies) in self.waiting {
            let taken = accepted.reported.contains_key(&job);
            if !taken {
                core.running.lost(job);
            }
            answer(replies, taken);
        }
        core.publish(accepted.events);
        let parents = accepted.woken.iter().map(|parent| &parent.queue);
        parents.chain(&accepted.not_waiting).for_each(|queue| core.announce_any(queue));
    }

    /// The batch is on disk, but its numbers were lost with the answer: subscribers must look at the log.
    fn settle_unheard(self, core: &Core) {
        for (job, replies) in self.waiting {
            core.publish_unseen(job);
            answer(replies, true);
        }
    }

    fn refuse_submissions(&mut self) {
        for (_, reply) in self.submissions.drain(..) {
            let _ = reply.send(Err(Error::database_away()));
        }
    }

    fn give_up(self, core: &Core) {
        for (_, reply) in self.submissions {
            let _ = reply.send(Err(Error::Internal(anyhow::anyhow!("the job cannot be written"))));
        }
        for (job, replies) in self.waiting {
            core.running.lost(job);
            answer(replies, false);
        }
    }
}

fn answer(replies: Vec<oneshot::Sender<bool>>, taken: bool) {
    for reply in replies {
        // Nobody may be waiting any more.
        let _ = reply.send(taken);
    }
}
