//! What people and watchdogs do to jobs: cancel, retry, resume, rescue, delete. Each is one transaction.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::AssertSqlSafe;

use super::artifacts::LEAVE_REMAINS;
use super::db::{Tx, with_db, with_tx};
use super::ending::{self, Ended, LEFT, Left, Woken};
use super::prune::BELONGINGS;
use super::{Store, events};
use crate::model::event::names;
use crate::model::{Event, JobId, NewEvent, ProcessId, Status, UserId};

/// What a verb has changed: what to publish, and whom to wake.
#[derive(Debug, Default)]
pub struct Change {
    /// Events, in order for each job.
    pub events: Vec<Event>,
    /// Parents that go on.
    pub woken: Vec<Woken>,
    /// Queues in which something can run that could not before.
    pub queues: Vec<String>,
}

/// What a request to cancel has done.
#[derive(Debug)]
pub enum CancelChange {
    /// It was not running: it is over.
    Ended(Change),
    /// It runs in this process, which has been asked.
    Asked(Change, ProcessId),
}

/// What one look around found.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Surroundings {
    /// A process has not been heard of.
    pub dead: bool,
    /// A job is held by nobody that lives, or for too long.
    pub lost: bool,
    /// A job that waited for a time is due.
    pub due: bool,
    /// How many processes there are, this one included.
    pub processes: i64,
}

/// What was taken from processes that died or from attempts that never ended.
#[derive(Debug, Default)]
pub struct Rescued {
    /// What to publish, and where there is work.
    pub change: Change,
    /// How many jobs run again.
    pub requeued: usize,
    /// How many are over: they kept killing their process, or were to be cancelled anyway.
    pub ended: usize,
}

impl Store {
    /// Ends a job that no worker holds, or asks the worker that holds it. `None`: nothing to do, because it is over,
    /// was asked already, or is not there (for `owner`).
    pub async fn request_cancel(
        &self,
        job: JobId,
        owner: Option<UserId>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<CancelChange>> {
        let mut tx = self.write.begin().await?;
        let sql = format!(
            "delete from job_queue where job_id = $1 and status in ('queued', 'waiting')
                 and ($2 is null or owner_id = $2) returning {LEFT}"
        );
        let left: Option<Left> = with_tx!(&mut tx, c => sqlx::query_as::<DB, Left>(AssertSqlSafe(sql))
            .bind(job).bind(owner).fetch_optional(c).await)?;
        let change = match left {
            Some(left) => {
                let left = Left { cancel_requested_at: Some(now), ..left };
                Some(CancelChange::Ended(end(&mut tx, now, vec![cancelled(left, now)]).await?))
            }
            None => ask(&mut tx, job, owner, now).await?,
        };
        tx.commit().await?;
        Ok(change)
    }

    /// The children of a job that are not over.
    pub async fn live_children(&self, parent: JobId) -> sqlx::Result<Vec<JobId>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, JobId>(
            "select j.id from jobs j where j.parent_id = $1 and j.outcome is null order by j.id")
            .bind(parent).fetch_all(pool).await)
    }

    /// Jobs of this process that somebody asked to cancel: the backstop for a wake-up that got lost.
    pub async fn cancel_requests(&self, process: ProcessId) -> sqlx::Result<Vec<JobId>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, JobId>(
            "select job_id from job_queue where process_id = $1 and cancel_requested_at is not null")
            .bind(process).fetch_all(pool).await)
    }

    /// Puts a failed or cancelled job back into its queue, with all its attempts before it. `None`: it is not in such
    /// a state, or not there (for `owner`).
    pub async fn retry_ended(
        &self,
        job: JobId,
        owner: Option<UserId>,
        now: DateTime<Utc>,
        rank: i64,
    ) -> sqlx::Result<Option<Change>> {
        let mut tx = self.write.begin().await?;
        let revived: Option<(String, i64)> = with_tx!(&mut tx, c => sqlx::query_as::<DB, (String, i64)>(
            "update jobs set outcome = null, finished_at = null, error_code = null, error_message = null,
                 cancel_requested_at = null, last_seq = last_seq + 1
             where id = $1 and outcome in ('failed', 'cancelled') and ($2 is null or owner_id = $2)
             returning queue, last_seq")
            .bind(job).bind(owner).fetch_optional(c).await)?;
        let Some((queue, last_seq)) = revived else { return Ok(None) };
        with_tx!(&mut tx, c => sqlx::query::<DB>(
            "insert into job_queue (job_id, queue, kind, owner_id, parent_id, status, rank, run_at, max_attempts, fence,
                 last_seq, started_at, turn_key, turn_concurrency, turn_per_minute)
             select id, queue, kind, owner_id, null, 'queued', $2, $3, max_attempts, fence, last_seq, started_at, turn_key,
                 turn_concurrency, turn_per_minute
             from jobs where id = $1")
            .bind(job).bind(rank).bind(now).execute(c).await.map(drop))?;
        with_tx!(&mut tx, c => sqlx::query::<DB>("delete from job_bodies where job_id = $1 and part = 'result'")
            .bind(job).execute(c).await.map(drop))?;
        let event = plain(names::QUEUED, Status::Queued, 0, now, "retried").numbered(job, last_seq);
        events::insert(&mut tx, std::slice::from_ref(&event)).await?;
        tx.commit().await?;
        Ok(Some(Change { events: vec![event], woken: Vec::new(), queues: vec![queue] }))
    }

    /// Lets a waiting job go on: a person has answered, or its time has come. The answer is kept in the event. `None`:
    /// it does not wait.
    pub async fn resume_waiting(
        &self,
        job: JobId,
        answer: Option<Box<RawValue>>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Change>> {
        let mut tx = self.write.begin().await?;
        let change = resume(&mut tx, "job_id = $2", Some(job), answer, now).await?;
        tx.commit().await?;
        Ok((!change.events.is_empty()).then_some(change))
    }

    /// Lets jobs go on whose time has come.
    pub async fn resume_due(&self, now: DateTime<Utc>) -> sqlx::Result<Change> {
        let mut tx = self.write.begin().await?;
        let change = resume(&mut tx, "$2 is null and run_at <= $1", None, None, now).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// One cheap look at whether anything needs doing: has a process not been heard of since `dead`, is a job held by
    /// nobody or past its deadline since `late`, is a waiting job due.
    pub async fn look_around(
        &self,
        now: DateTime<Utc>,
        dead: DateTime<Utc>,
        late: DateTime<Utc>,
    ) -> sqlx::Result<Surroundings> {
        let sql = format!(
            "select exists (select 1 from processes where beat_at < $1) as dead,
                 exists (select 1 from job_queue where process_id is not null and ({LOST})) as lost,
                 exists (select 1 from job_queue where status = 'waiting' and run_at <= $3) as due,
                 (select count(*) from processes) as processes"
        );
        with_db!(&self.read, pool => sqlx::query_as::<DB, Surroundings>(AssertSqlSafe(sql))
            .bind(dead).bind(late).bind(now).fetch_one(pool).await)
    }

    /// Takes back every job whose process is gone or whose deadline passed before `late`. A crash costs no attempt,
    /// but a job that lost its process `max_crashes` times is failed.
    pub async fn rescue(
        &self,
        now: DateTime<Utc>,
        late: DateTime<Utc>,
        max_crashes: i32,
    ) -> sqlx::Result<Rescued> {
        let mut tx = self.write.begin().await?;
        let over = format!(
            "delete from job_queue where process_id is not null and ({LOST})
                 and (crashes + 1 >= $1 or cancel_requested_at is not null) returning {LEFT}"
        );
        let over: Vec<Left> = with_tx!(&mut tx, c => sqlx::query_as::<DB, Left>(AssertSqlSafe(over))
            .bind(max_crashes).bind(late).fetch_all(c).await)?;
        let over: Vec<_> = over.into_iter().map(|left| lost_for_good(left, now)).collect();
        let ended = over.len();
        let mut change = end(&mut tx, now, over).await?;

        let again = format!(
            "update job_queue set status = 'queued', process_id = null, deadline_at = null, fence = fence + 1,
                 attempt = attempt - 1, crashes = crashes + 1, run_at = $1, last_seq = last_seq + 1
             where process_id is not null and ({LOST}) returning job_id, queue, last_seq, progress"
        );
        let again: Vec<Woken> = with_tx!(&mut tx, c => sqlx::query_as::<DB, Woken>(AssertSqlSafe(again))
            .bind(now).bind(late).fetch_all(c).await)?;
        let log: Vec<_> =
            again.iter().map(|job| back_in_queue(job, names::RESCUED, now, "its process died")).collect();
        events::insert(&mut tx, &log).await?;
        tx.commit().await?;
        change.events.extend(log);
        let requeued = again.len();
        change.queues.extend(again.into_iter().map(|job| job.queue));
        Ok(Rescued { change, requeued, ended })
    }

    /// Removes an ended job and all that belongs to it. False: it is not over, or not there (for `owner`).
    pub async fn delete_ended(&self, job: JobId, owner: Option<UserId>) -> sqlx::Result<bool> {
        let mut tx = self.write.begin().await?;
        let gone = with_tx!(&mut tx, c => sqlx::query::<DB>(
            "delete from jobs where id = $1 and outcome is not null and ($2 is null or owner_id = $2)")
            .bind(job).bind(owner).execute(c).await.map(|done| done.rows_affected()))?;
        if gone == 0 {
            return Ok(false);
        }
        let leave = format!("{LEAVE_REMAINS} ($1)");
        with_tx!(&mut tx, c => sqlx::query::<DB>(AssertSqlSafe(leave)).bind(job).execute(c).await.map(drop))?;
        for table in BELONGINGS {
            let sql = format!("delete from {table} where job_id = $1");
            with_tx!(&mut tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(job).execute(c).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Held by a process that is not registered any more, or past the deadline ($2).
const LOST: &str = "process_id not in (select id from processes) or deadline_at < $2";

async fn ask(
    tx: &mut Tx,
    job: JobId,
    owner: Option<UserId>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<CancelChange>> {
    let asked: Option<(ProcessId, i64, Status, i32)> = with_tx!(tx, c =>
        sqlx::query_as::<DB, (ProcessId, i64, Status, i32)>(
            "update job_queue set cancel_requested_at = $3, last_seq = last_seq + 1
             where job_id = $1 and status in ('initializing', 'running') and cancel_requested_at is null
                 and ($2 is null or owner_id = $2)
             returning process_id, last_seq, status, progress")
            .bind(job).bind(owner).bind(now).fetch_optional(c).await)?;
    let Some((process, seq, status, progress)) = asked else { return Ok(None) };
    let event = plain(names::CANCEL_REQUESTED, status, progress, now, "asked to stop").numbered(job, seq);
    events::insert(tx, std::slice::from_ref(&event)).await?;
    Ok(Some(CancelChange::Asked(Change { events: vec![event], ..Change::default() }, process)))
}

async fn resume(
    tx: &mut Tx,
    which: &str,
    job: Option<JobId>,
    answer: Option<Box<RawValue>>,
    now: DateTime<Utc>,
) -> sqlx::Result<Change> {
    let sql = format!(
        "update job_queue set status = 'queued', run_at = $1, wakes_with_children = false, last_seq = last_seq + 1
         where status = 'waiting' and {which} returning job_id, queue, last_seq, progress"
    );
    let rows: Vec<Woken> = with_tx!(tx, c => sqlx::query_as::<DB, Woken>(AssertSqlSafe(sql))
        .bind(now).bind(job).fetch_all(c).await)?;
    let data = answer.map(|answer| String::from(Box::<str>::from(answer)));
    let goes_on = |job| Event { data: data.clone(), ..back_in_queue(job, names::RESUMED, now, "goes on") };
    let log: Vec<_> = rows.iter().map(goes_on).collect();
    events::insert(tx, &log).await?;
    let queues = rows.into_iter().map(|job| job.queue).collect();
    Ok(Change { events: log, woken: Vec::new(), queues })
}

async fn end(tx: &mut Tx, now: DateTime<Utc>, ended: Vec<Ended>) -> sqlx::Result<Change> {
    let (events, woken) = ending::conclude(tx, now, ended).await?;
    Ok(Change { events, woken, queues: Vec::new() })
}

fn cancelled(left: Left, now: DateTime<Utc>) -> Ended {
    let events = vec![plain(names::CANCELLED, Status::Cancelled, left.progress, now, "cancelled")];
    Ended { left, outcome: Status::Cancelled, error: None, result: None, events }
}

fn lost_for_good(left: Left, now: DateTime<Utc>) -> Ended {
    if left.cancel_requested_at.is_some() {
        return cancelled(left, now);
    }
    let message = "the process that ran it died every time; it is likely the cause";
    let error = Some(("WORKER_CRASHED".to_owned(), message.to_owned()));
    let data = RawValue::from_string(r#"{"error_code":"WORKER_CRASHED"}"#.to_owned()).ok();
    let failed = plain(names::FAILED, Status::Failed, left.progress, now, message);
    let events = vec![NewEvent { data, ..failed }];
    Ended { left, outcome: Status::Failed, error, result: None, events }
}

fn back_in_queue(job: &Woken, name: &str, now: DateTime<Utc>, message: &str) -> Event {
    plain(name, Status::Queued, job.progress, now, message).numbered(job.job_id, job.last_seq)
}

fn plain(name: &str, status: Status, progress: i32, at: DateTime<Utc>, message: &str) -> NewEvent {
    NewEvent { at, name: name.to_owned(), status, progress, message: Some(message.to_owned()), data: None }
}
