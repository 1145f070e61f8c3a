//! Batches of submissions and reports, each batch one transaction.
//!
//! A batch with reports carries a number, which is written with it. A commit whose answer was lost may have happened,
//! or may happen yet: whoever repeats the batch waits for that, and finds the number taken. No event is written twice.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::AssertSqlSafe;

use super::db::{Column, Db, Tx, hex_id, parameter, rows, text_time, with_tx};
use super::ending::{self, Ended, LEFT, Left, Woken};
use super::submission;
use super::{Attachment, Store, attachments, bodies, events};
use crate::model::{Event, JobId, NewEvent, ProcessId, Status};

pub use super::submission::{Submission, Submitted};

/// What a running job, or the worker that runs it, has to say.
#[derive(Debug)]
pub struct Report {
    /// Which job.
    pub job: JobId,
    /// The fencing token of the claim under which it says so. A claim, a release and a rescue each make a new one, so
    /// that a job whose token it still is, is held under this very claim: the token implies the state.
    pub fence: i64,
    /// `Running`, when it has just begun.
    pub status: Option<Status>,
    /// Percent, if it moved.
    pub progress: Option<i32>,
    /// The step under way, if it changed.
    pub step: Option<String>,
    /// For the log, in order.
    pub events: Vec<NewEvent>,
    /// What to go on from after a crash, replacing what was there.
    pub checkpoint: Option<Box<RawValue>>,
    /// What belongs to the checkpoint besides.
    pub attachments: Vec<Attachment>,
    /// How the attempt ended, if it did.
    pub ending: Option<Ending>,
}

impl Report {
    /// Nothing, of a claim.
    #[must_use]
    pub fn new(job: JobId, fence: i64) -> Self {
        let (events, attachments) = (Vec::new(), Vec::new());
        Self {
            job,
            fence,
            status: None,
            progress: None,
            step: None,
            events,
            checkpoint: None,
            attachments,
            ending: None,
        }
    }

    /// Adds what the same claim has to say after this.
    pub fn add(&mut self, later: Self) {
        self.status = later.status.or(self.status);
        self.progress = later.progress.or(self.progress);
        self.step = later.step.or_else(|| self.step.take());
        self.events.extend(later.events);
        self.checkpoint = later.checkpoint.or_else(|| self.checkpoint.take());
        self.attachments.extend(later.attachments);
        self.ending = later.ending.or_else(|| self.ending.take());
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Ending {
    /// The job is over.
    Final {
        /// `Completed`, `Failed` or `Cancelled`.
        outcome: Status,
        /// Code and message, when it failed.
        error: Option<(String, String)>,
        /// JSON, when there is one.
        result: Option<Box<RawValue>>,
    },
    /// The worker lets go of it, and it goes on later.
    Released {
        /// `Queued` or `Waiting`.
        status: Status,
        /// Not before this time.
        run_at: DateTime<Utc>,
        /// How far back its place in the queue moves, in microseconds.
        rank_shift: i64,
        /// −1 gives the attempt back.
        attempt_change: i32,
        /// Whether the end of its last child wakes it.
        wakes_with_children: bool,
    },
}

/// What one transaction is to write.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Who writes.
    pub process: ProcessId,
    /// Which of its lanes.
    pub lane: i32,
    /// Counts up per process and lane.
    pub number: i64,
    /// When.
    pub now: DateTime<Utc>,
    /// Jobs to submit.
    pub submissions: &'a [&'a Submission],
    /// Reports; at most one per job.
    pub reports: &'a [Report],
}

/// What a transaction has written.
#[derive(Debug, Default)]
pub struct Accepted {
    /// One for each submission, in order.
    pub submitted: Vec<Submitted>,
    /// The jobs whose report was taken; a missing one was stale.
    pub reported: HashMap<JobId, Status>,
    /// Every event written, in order for each job.
    pub events: Vec<Event>,
    /// Parents that go on.
    pub woken: Vec<Woken>,
    /// Where jobs are that wanted to wait for children that had all ended already.
    pub not_waiting: Vec<String>,
}

impl Store {
    /// Writes a batch, whole or not at all. `None`: its reports were written before.
    pub async fn write_batch(&self, batch: Batch<'_>) -> sqlx::Result<Option<Accepted>> {
        let mut tx = self.write.begin().await?;
        if !batch.reports.is_empty() && !mark(&mut tx, &batch).await? {
            return Ok(None);
        }
        let mut accepted = Accepted::default();
        if !batch.submissions.is_empty() {
            accepted.submitted = submission::submit(&mut tx, batch.submissions).await?;
            let created = batch.submissions.iter().zip(&accepted.submitted);
            let created = created.filter(|(_, fate)| fate.created());
            accepted.events.extend(created.map(|(job, _)| job.first_event()));
        }
        if !batch.reports.is_empty() {
            report(&mut tx, &batch, &mut accepted).await?;
        }
        tx.commit().await?;
        Ok(Some(accepted))
    }
}

/// Takes the batch's number. False: it was taken, so the batch is on disk.
async fn mark(tx: &mut Tx, batch: &Batch<'_>) -> sqlx::Result<bool> {
    let taken = with_tx!(tx, c => sqlx::query::<DB>(
        "insert into batches (process_id, lane, number) values ($1, $2, $3)
         on conflict (process_id, lane) do update set number = excluded.number where batches.number < excluded.number")
        .bind(batch.process).bind(batch.lane).bind(batch.number).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(taken == 1)
}

async fn report(tx: &mut Tx, batch: &Batch<'_>, accepted: &mut Accepted) -> sqlx::Result<()> {
    let (ending, going_on): (Vec<_>, Vec<_>) =
        batch.reports.iter().partition(|report| matches!(report.ending, Some(Ending::Final { .. })));
    let (mut checkpoints, mut attached) = (Vec::new(), Vec::new());
    let updated = update_held(tx, &going_on).await?;
    for report in going_on {
        let Some(row) = updated.get(&report.job) else { continue };
        accepted.reported.insert(report.job, row.status);
        if row.status == Status::Queued
            && matches!(report.ending, Some(Ending::Released { wakes_with_children: true, .. }))
        {
            accepted.not_waiting.push(row.queue.clone());
        }
        let first = row.last_seq - i64::try_from(report.events.len()).unwrap_or_default() + 1;
        accepted.events.extend(
            report.events.iter().zip(first..).map(|(event, seq)| event.clone().numbered(report.job, seq)),
        );
        checkpoints.extend(report.checkpoint.as_ref().map(|body| (report.job, body.get())));
        attached.extend(report.attachments.iter().map(|piece| (report.job, report.fence, piece)));
    }
    bodies::put(tx, "checkpoint", checkpoints).await?;
    attachments::add(tx, attached).await?;
    events::insert(tx, &accepted.events[accepted.submitted_events()..]).await?;

    let mut left = remove_held(tx, &ending).await?;
    let ended: Vec<_> =
        ending.iter().filter_map(|report| Some(ended_of(report, left.remove(&report.job)?))).collect();
    accepted.reported.extend(ended.iter().map(|job| (job.left.job_id, job.outcome)));
    let (log, woken) = ending::conclude(tx, batch.now, ended).await?;
    accepted.events.extend(log);
    accepted.woken = woken;
    Ok(())
}

impl Accepted {
    /// How many of the events so far belong to submissions, which write theirs themselves.
    fn submitted_events(&self) -> usize {
        self.submitted.iter().filter(|fate| fate.created()).count()
    }
}

fn ended_of(report: &Report, left: Left) -> Ended {
    let (outcome, error, result) = match &report.ending {
        Some(Ending::Final { outcome, error, result }) => (*outcome, error.clone(), result.as_deref()),
        _ => (Status::Failed, None, None),
    };
    let result = result.map(|result| result.get().to_owned());
    let left = Left {
        step: report.step.clone().or(left.step),
        progress: report.progress.unwrap_or(left.progress),
        ..left
    };
    Ended { left, outcome, error, result, events: report.events.clone() }
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(serialize_with = "hex_id")]
    job_id: JobId,
    fence: i64,
    events: usize,
    status: Option<Status>,
    progress: Option<i32>,
    step: Option<&'a str>,
    released: bool,
    #[serde(serialize_with = "text_time")]
    run_at: Option<DateTime<Utc>>,
    rank_shift: i64,
    attempt_change: i32,
    wakes: bool,
}

const COLUMNS: [(&str, Column); 11] = [
    ("job_id", Column::Id),
    ("fence", Column::Big),
    ("events", Column::Int),
    ("status", Column::Text),
    ("progress", Column::Int),
    ("step", Column::Text),
    ("released", Column::Bool),
    ("run_at", Column::Time),
    ("rank_shift", Column::Big),
    ("attempt_change", Column::Int),
    ("wakes", Column::Bool),
];

#[derive(sqlx::FromRow)]
struct Updated {
    job_id: JobId,
    queue: String,
    status: Status,
    last_seq: i64,
}

/// Changes the rows of jobs that are still held under the same fencing token.
async fn update_held(tx: &mut Tx, reports: &[&Report]) -> sqlx::Result<HashMap<JobId, Updated>> {
    if reports.is_empty() {
        return Ok(HashMap::new());
    }
    let list: Vec<_> = reports.iter().map(|report| row_of(report)).collect();
    let sql = format!(
        "update job_queue set last_seq = job_queue.last_seq + v.events,
             status = case when v.wakes and job_queue.children_left <= 0 then 'queued'
                           else coalesce(v.status, job_queue.status) end,
             progress = coalesce(v.progress, job_queue.progress),
             step = coalesce(v.step, job_queue.step),
             process_id = case when v.released then null else job_queue.process_id end,
             deadline_at = case when v.released then null else job_queue.deadline_at end,
             run_at = case when v.wakes and job_queue.children_left <= 0 then job_queue.run_at
                           else coalesce(v.run_at, job_queue.run_at) end,
             rank = job_queue.rank + v.rank_shift,
             attempt = job_queue.attempt + v.attempt_change,
             fence = job_queue.fence + case when v.released then 1 else 0 end,
             wakes_with_children = v.wakes and job_queue.children_left > 0
         from {} where job_queue.job_id = v.job_id and job_queue.fence = v.fence
         returning job_queue.job_id, job_queue.queue, job_queue.status, job_queue.last_seq",
        rows(tx.is_sqlite(), &COLUMNS)
    );
    let list = parameter(&list)?;
    let updated: Vec<Updated> = with_tx!(tx, c => sqlx::query_as::<DB, Updated>(AssertSqlSafe(sql))
        .bind(list).fetch_all(c).await)?;
    Ok(updated.into_iter().map(|row| (row.job_id, row)).collect())
}

fn row_of(report: &Report) -> Row<'_> {
    let mut row = Row {
        job_id: report.job,
        fence: report.fence,
        events: report.events.len(),
        status: report.status,
        progress: report.progress,
        step: report.step.as_deref(),
        released: false,
        run_at: None,
        rank_shift: 0,
        attempt_change: 0,
        wakes: false,
    };
    if let Some(Ending::Released { status, run_at, rank_shift, attempt_change, wakes_with_children }) =
        &report.ending
    {
        row.released = true;
        row.status = Some(*status);
        (row.run_at, row.rank_shift) = (Some(*run_at), *rank_shift);
        (row.attempt_change, row.wakes) = (*attempt_change, *wakes_with_children);
    }
    row
}

/// Takes the rows of ended jobs out of the queue, if they are still held under the same fencing token.
async fn remove_held(tx: &mut Tx, reports: &[&Report]) -> sqlx::Result<HashMap<JobId, Left>> {
    #[derive(Serialize)]
    struct Claim {
        #[serde(serialize_with = "hex_id")]
        job_id: JobId,
        fence: i64,
    }
    if reports.is_empty() {
        return Ok(HashMap::new());
    }
    let claims: Vec<_> = reports.iter().map(|r| Claim { job_id: r.job, fence: r.fence }).collect();
    let sql = removal(tx.is_sqlite());
    let claims = parameter(&claims)?;
    let left: Vec<Left> = with_tx!(tx, c => sqlx::query_as::<DB, Left>(AssertSqlSafe(sql))
        .bind(claims).fetch_all(c).await)?;
    Ok(left.into_iter().map(|row| (row.job_id, row)).collect())
}

fn removal(sqlite: bool) -> String {
    let values = rows(sqlite, &[("job_id", Column::Id), ("fence", Column::Big)]);
    format!(
        "delete from job_queue where (job_id, fence) in (select v.job_id, v.fence from {values}) returning {LEFT}"
    )
}

/// How the database would go about it: for the tests that keep plans from going bad.
impl Store {
    /// The plan by which ended jobs leave the queue, as the database words it.
    pub async fn explain_removal(&self) -> sqlx::Result<String> {
        match &self.write {
            Db::Postgres(pool) => {
                let sql = format!("explain {}", removal(false));
                let lines =
                    sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind("[]").fetch_all(pool).await?;
                Ok(lines.join("\n"))
            }
            Db::Sqlite(pool) => {
                let sql = format!("explain query plan {}", removal(true));
                let rows = sqlx::query_as::<_, (i64, i64, i64, String)>(AssertSqlSafe(sql)).bind("[]");
                let rows = rows.fetch_all(pool).await?;
                Ok(rows.into_iter().map(|(.., detail)| detail).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}
