//! What happens, in the same transaction, when a job leaves the queue for good.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::db::{Column, Tx, hex_id, parameter, rows, text_time, with_tx};
use super::{bodies, events};
use crate::model::event::names;
use crate::model::{Event, JobId, NewEvent, Status};

/// A row that was just deleted from the queue, as `returning` gave it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Left {
    pub job_id: JobId,
    pub parent_id: Option<JobId>,
    pub attempt: i32,
    pub progress: i32,
    pub step: Option<String>,
    pub fence: i64,
    pub last_seq: i64,
    pub started_at: Option<DateTime<Utc>>,
    pub cancel_requested_at: Option<DateTime<Utc>>,
    pub unique_key: Option<String>,
}

/// The columns of [`Left`], for `returning`.
pub(super) const LEFT: &str = "job_id, parent_id, attempt, progress, step, fence, last_seq, started_at, \
                               cancel_requested_at, unique_key";

/// A job that has left the queue, and how.
pub(super) struct Ended {
    pub left: Left,
    pub outcome: Status,
    pub error: Option<(String, String)>,
    pub result: Option<String>,
    pub events: Vec<NewEvent>,
}

/// A job that goes on because the last of its children has ended.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Woken {
    /// The parent.
    pub job_id: JobId,
    /// Where it waits for a slot now.
    pub queue: String,
    pub(super) last_seq: i64,
    pub(super) progress: i32,
}

/// Writes outcomes, results and events, frees unique keys and wakes parents. Returns the events in the order of
/// their numbers and the parents that go on.
pub(super) async fn conclude(
    tx: &mut Tx,
    now: DateTime<Utc>,
    ended: Vec<Ended>,
) -> sqlx::Result<(Vec<Event>, Vec<Woken>)> {
    if ended.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    write_outcomes(tx, now, &ended).await?;
    let results = ended.iter().filter_map(|job| Some((job.left.job_id, job.result.as_deref()?)));
    bodies::put(tx, "result", results.collect()).await?;
    free_unique_keys(tx, &ended).await?;
    let woken = wake_parents(tx, now, &ended).await?;

    let mut log = Vec::new();
    for job in ended {
        let (id, last) = (job.left.job_id, job.left.last_seq);
        log.extend(job.events.into_iter().zip(last + 1..).map(|(event, seq)| event.numbered(id, seq)));
    }
    log.extend(woken.iter().map(|parent| resumed(parent, now)));
    events::insert(tx, &log).await?;
    Ok((log, woken))
}

fn resumed(parent: &Woken, at: DateTime<Utc>) -> Event {
    let message = Some("all children have ended".to_owned());
    let (name, status, progress) = (names::RESUMED.to_owned(), Status::Queued, parent.progress);
    NewEvent { at, name, status, progress, message, data: None }.numbered(parent.job_id, parent.last_seq)
}

#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(serialize_with = "hex_id")]
    job_id: JobId,
    outcome: &'static str,
    attempt: i32,
    progress: i32,
    step: Option<&'a str>,
    fence: i64,
    last_seq: i64,
    #[serde(serialize_with = "text_time")]
    started_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "text_time")]
    finished_at: DateTime<Utc>,
    #[serde(serialize_with = "text_time")]
    cancel_requested_at: Option<DateTime<Utc>>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
}

const OUTCOME: [(&str, Column); 12] = [
    ("job_id", Column::Id),
    ("outcome", Column::Text),
    ("attempt", Column::Int),
    ("progress", Column::Int),
    ("step", Column::Text),
    ("fence", Column::Big),
    ("last_seq", Column::Big),
    ("started_at", Column::Time),
    ("finished_at", Column::Time),
    ("cancel_requested_at", Column::Time),
    ("error_code", Column::Text),
    ("error_message", Column::Text),
];

async fn write_outcomes(tx: &mut Tx, now: DateTime<Utc>, ended: &[Ended]) -> sqlx::Result<()> {
    let list: Vec<_> = ended.iter().map(|job| outcome_of(job, now)).collect();
    let sql = format!(
        "update jobs set outcome = v.outcome, attempt = v.attempt, progress = v.progress, step = v.step,
             fence = v.fence, last_seq = v.last_seq, started_at = v.started_at, finished_at = v.finished_at,
             cancel_requested_at = v.cancel_requested_at, error_code = v.error_code, error_message = v.error_message
         from {} where jobs.id = v.job_id and jobs.outcome is null",
        rows(tx.is_sqlite(), &OUTCOME)
    );
    let list = parameter(&list)?;
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(list).execute(c).await.map(drop))
}

fn outcome_of(job: &Ended, now: DateTime<Utc>) -> Outcome<'_> {
    let events = i64::try_from(job.events.len()).unwrap_or_default();
    Outcome {
        job_id: job.left.job_id,
        outcome: job.outcome.as_str(),
        attempt: job.left.attempt,
        progress: job.events.last().map_or(job.left.progress, |event| event.progress),
        step: job.left.step.as_deref(),
        fence: job.left.fence,
        last_seq: job.left.last_seq + events,
        started_at: job.left.started_at,
        finished_at: now,
        cancel_requested_at: job.left.cancel_requested_at,
        error_code: job.error.as_ref().map(|(code, _)| code.as_str()),
        error_message: job.error.as_ref().map(|(_, message)| message.as_str()),
    }
}

async fn free_unique_keys(tx: &mut Tx, ended: &[Ended]) -> sqlx::Result<()> {
    #[derive(Serialize)]
    struct Key<'a> {
        name: &'a str,
    }
    let keys: Vec<_> =
        ended.iter().filter_map(|job| Some(Key { name: job.left.unique_key.as_deref()? })).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let values = rows(tx.is_sqlite(), &[("name", Column::Text)]);
    let sql = format!("delete from job_keys where scope = 'unique' and name in (select name from {values})");
    let keys = parameter(&keys)?;
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(keys).execute(c).await.map(drop))
}

/// Counts the ended children off their parents; the row lock makes the last of two that end at once see the other.
async fn wake_parents(tx: &mut Tx, now: DateTime<Utc>, ended: &[Ended]) -> sqlx::Result<Vec<Woken>> {
    #[derive(Serialize)]
    struct Count {
        #[serde(serialize_with = "hex_id")]
        job_id: JobId,
        ended: i32,
    }
    let mut counts = BTreeMap::<JobId, i32>::new();
    for parent in ended.iter().filter_map(|job| job.left.parent_id) {
        *counts.entry(parent).or_default() += 1;
    }
    if counts.is_empty() {
        return Ok(Vec::new());
    }
    let counts: Vec<_> = counts.into_iter().map(|(job_id, ended)| Count { job_id, ended }).collect();
    let values = rows(tx.is_sqlite(), &[("job_id", Column::Id), ("ended", Column::Int)]);
    let count_off = format!(
        "update job_queue set children_left = children_left - v.ended from {values} where job_queue.job_id = v.job_id"
    );
    let counts = parameter(&counts)?;
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(count_off)).bind(counts.as_str()).execute(c).await.map(drop))?;
    let wake = format!(
        "update job_queue set status = 'queued', wakes_with_children = false, run_at = $2, last_seq = last_seq + 1
         from {values} where job_queue.job_id = v.job_id and job_queue.status = 'waiting'
             and job_queue.wakes_with_children and job_queue.children_left <= 0
         returning job_queue.job_id, job_queue.queue, job_queue.last_seq, job_queue.progress"
    );
    with_tx!(tx, c => sqlx::query_as::<DB, Woken>(AssertSqlSafe(wake)).bind(counts).bind(now).fetch_all(c).await)
}
