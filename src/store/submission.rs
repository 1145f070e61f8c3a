//! New jobs: their rows, their bodies, their first event, and the keys that make two submits one.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::db::{Column, Tx, hex_id, parameter, rows, text_time, with_tx};
use crate::model::event::names;
use crate::model::{Event, Job, JobId, NewEvent, NewJob, Status, UserId};

/// A job on its way into the queue.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What to run.
    pub job: NewJob,
    /// When it was submitted.
    pub at: DateTime<Utc>,
    /// Its place in the queue.
    pub rank: i64,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the queue.
    Created,
    /// The key already stands for this job.
    Existing(JobId),
    /// The `Idempotency-Key` stands for a different request.
    OtherRequest,
    /// The key's job ended in this very moment; submitting again will succeed.
    Again,
}

impl Submitted {
    pub(super) fn created(&self) -> bool {
        *self == Self::Created
    }
}

impl Submission {
    /// The job as it stands when it is in the queue and nothing else has happened.
    pub fn job_as_created(&self) -> Job {
        let job = self.job.clone();
        Job {
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            owner_id: job.owner,
            label: job.label,
            project: job.filing.project,
            tags: job.filing.tags,
            parent_id: job.parent,
            status: Status::Queued,
            priority: job.priority.get(),
            attempt: 0,
            max_attempts: job.max_attempts,
            progress: 0,
            step: None,
            last_seq: 1,
            created_at: self.at,
            run_at: Some(job.run_at),
            started_at: None,
            finished_at: None,
            cancel_requested_at: None,
            error_code: None,
            error_message: None,
        }
    }

    /// The event that opens the log.
    pub(super) fn first_event(&self) -> Event {
        let (at, name) = (self.at, names::QUEUED.to_owned());
        let event = NewEvent { at, name, status: Status::Queued, progress: 0, message: None, data: None };
        event.numbered(self.job.id, 1)
    }

    fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        let (job_id, created_at) = (self.job.id, self.at);
        let unique = self.job.unique_key.as_deref();
        let unique =
            unique.map(|name| Key { scope: "unique".into(), name, job_id, fingerprint: None, created_at });
        let scope = self.job.owner.map_or_else(|| "system".to_owned(), |owner| owner.to_string());
        let asked = self.job.idempotency.as_ref().map(|asked| Key {
            scope,
            name: &asked.key,
            job_id,
            fingerprint: Some(&asked.fingerprint),
            created_at,
        });
        unique.into_iter().chain(asked)
    }
}

/// Writes what is new and says of each submission, in order, what became of it.
pub(super) async fn submit(tx: &mut Tx, submissions: &[&Submission]) -> sqlx::Result<Vec<Submitted>> {
    let lost = take_keys(tx, submissions).await?;
    let new: Vec<_> = submissions.iter().filter(|s| !lost.contains_key(&s.job.id)).copied().collect();
    insert(tx, &new).await?;
    Ok(submissions.iter().map(|s| lost.get(&s.job.id).cloned().unwrap_or(Submitted::Created)).collect())
}

#[derive(Serialize)]
struct Key<'a> {
    scope: String,
    name: &'a str,
    #[serde(serialize_with = "hex_id")]
    job_id: JobId,
    fingerprint: Option<&'a str>,
    #[serde(serialize_with = "text_time")]
    created_at: DateTime<Utc>,
}

const KEY: [(&str, Column); 5] = [
    ("scope", Column::Text),
    ("name", Column::Text),
    ("job_id", Column::Id),
    ("fingerprint", Column::Text),
    ("created_at", Column::Time),
];

/// Takes the keys of all submissions; returns the fate of those that came second.
async fn take_keys(tx: &mut Tx, submissions: &[&Submission]) -> sqlx::Result<HashMap<JobId, Submitted>> {
    let keys: Vec<_> = submissions.iter().flat_map(|s| s.keys()).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let values = rows(tx.is_sqlite(), &KEY);
    // In one order everywhere, so that two processes with the same keys wait for each other and do not deadlock.
    let sql = format!(
        "insert into job_keys (scope, name, job_id, fingerprint, created_at)
         select scope, name, job_id, fingerprint, created_at from {values} where true order by scope, name, job_id
         on conflict (scope, name) do nothing returning scope, name"
    );
    let list = parameter(&keys)?;
    let taken: Vec<(String, String)> = with_tx!(tx, c =>
        sqlx::query_as::<DB, (String, String)>(AssertSqlSafe(sql)).bind(list).fetch_all(c).await)?;
    let mut lost = HashMap::new();
    if taken.len() < keys.len() {
        lost = holders(tx, &keys).await?;
        give_back(tx, &keys, &lost).await?;
    }
    Ok(lost)
}

/// Who holds the keys that others took first.
async fn holders(tx: &mut Tx, keys: &[Key<'_>]) -> sqlx::Result<HashMap<JobId, Submitted>> {
    #[derive(sqlx::FromRow)]
    struct Holder {
        scope: String,
        name: String,
        job_id: JobId,
        fingerprint: Option<String>,
    }
    let values = rows(tx.is_sqlite(), &KEY);
    let sql = format!(
        "select distinct k.scope, k.name, k.job_id, k.fingerprint from job_keys k
         join {values} on v.scope = k.scope and v.name = k.name"
    );
    let list = parameter(keys)?;
    let found: Vec<Holder> = with_tx!(tx, c =>
        sqlx::query_as::<DB, Holder>(AssertSqlSafe(sql)).bind(list).fetch_all(c).await)?;
    let found: HashMap<_, _> = found.iter().map(|h| ((h.scope.as_str(), h.name.as_str()), h)).collect();
    let mut lost = HashMap::new();
    for key in keys {
        let fate = match found.get(&(key.scope.as_str(), key.name)) {
            None => Submitted::Again,
            Some(holder) if holder.job_id == key.job_id => continue,
            Some(holder) if holder.fingerprint.as_deref() != key.fingerprint => Submitted::OtherRequest,
            Some(holder) => Submitted::Existing(holder.job_id),
        };
        lost.entry(key.job_id).or_insert(fate);
    }
    Ok(lost)
}

/// A submission that lost one key must not keep its other one.
async fn give_back(tx: &mut Tx, keys: &[Key<'_>], lost: &HashMap<JobId, Submitted>) -> sqlx::Result<()> {
    let both: Vec<_> = keys.iter().filter(|key| lost.contains_key(&key.job_id)).collect();
    let values = rows(tx.is_sqlite(), &KEY);
    let sql = format!(
        "delete from job_keys where (scope, name, job_id) in (select v.scope, v.name, v.job_id from {values})"
    );
    let list = parameter(&both)?;
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(list).execute(c).await.map(drop))
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(serialize_with = "hex_id")]
    id: JobId,
    kind: &'a str,
    queue: &'a str,
    #[serde(serialize_with = "hex_id")]
    owner_id: Option<UserId>,
    label: Option<&'a str>,
    project: Option<&'a str>,
    request_id: Option<&'a str>,
    #[serde(serialize_with = "hex_id")]
    parent_id: Option<JobId>,
    priority: i32,
    max_attempts: i32,
    unique_key: Option<&'a str>,
    turn_key: Option<&'a str>,
    turn_concurrency: Option<i32>,
    turn_per_minute: Option<i32>,
    #[serde(serialize_with = "text_time")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "text_time")]
    run_at: DateTime<Utc>,
    rank: i64,
    payload: &'a str,
}

const COLUMNS: [(&str, Column); 18] = [
    ("id", Column::Id),
    ("kind", Column::Text),
    ("queue", Column::Text),
    ("owner_id", Column::Id),
    ("label", Column::Text),
    ("project", Column::Text),
    ("request_id", Column::Text),
    ("parent_id", Column::Id),
    ("priority", Column::Int),
    ("max_attempts", Column::Int),
    ("unique_key", Column::Text),
    ("turn_key", Column::Text),
    ("turn_concurrency", Column::Int),
    ("turn_per_minute", Column::Int),
    ("created_at", Column::Time),
    ("run_at", Column::Time),
    ("rank", Column::Big),
    ("payload", Column::Text),
];

const INSERTS: [&str; 4] = [
    "insert into jobs (id, kind, queue, owner_id, label, project, parent_id, priority, max_attempts, unique_key, turn_key,
         turn_concurrency, turn_per_minute, created_at)
     select id, kind, queue, owner_id, label, project, parent_id, priority, max_attempts, unique_key, turn_key,
         turn_concurrency, turn_per_minute, created_at from",
    "insert into job_bodies (job_id, part, body) select id, 'payload', payload from",
    "insert into job_queue (job_id, queue, kind, owner_id, parent_id, status, rank, run_at, max_attempts, unique_key,
         turn_key, turn_concurrency, turn_per_minute, request_id)
     select id, queue, kind, owner_id, parent_id, 'queued', rank, run_at, max_attempts, unique_key,
         turn_key, turn_concurrency, turn_per_minute, request_id from",
    "insert into job_events (job_id, seq, at, name, status, progress)
     select id, 1, created_at, 'queued', 'queued', 0 from",
];

async fn insert(tx: &mut Tx, new: &[&Submission]) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = new.iter().map(|submission| row_of(submission)).collect();
    let list = parameter(&list)?;
    let values = rows(tx.is_sqlite(), &COLUMNS);
    match tx {
        // One round trip and one parse of the parameter.
        Tx::Postgres(tx) => {
            let [jobs, bodies, queue, log] = INSERTS;
            let sql = format!(
                "with v as materialized (select * from {values}), jobs_in as ({jobs} v), bodies_in as ({bodies} v),
                 queue_in as ({queue} v) {log} v"
            );
            sqlx::query(AssertSqlSafe(sql)).bind(list).execute(&mut **tx).await?;
        }
        Tx::Sqlite(tx) => {
            for insert in INSERTS {
                sqlx::query(AssertSqlSafe(format!("{insert} {values}")))
                    .bind(&list)
                    .execute(&mut **tx)
                    .await?;
            }
        }
    }
    file(tx, new).await?;
    // In one order everywhere: these are row locks.
    let mut parents = BTreeMap::<JobId, i64>::new();
    new.iter()
        .filter_map(|submission| submission.job.parent)
        .for_each(|id| *parents.entry(id).or_default() += 1);
    for (parent, children) in parents {
        adopt(tx, parent, children).await?;
    }
    Ok(())
}

/// Writes the tags of new jobs.
async fn file(tx: &mut Tx, new: &[&Submission]) -> sqlx::Result<()> {
    #[derive(Serialize)]
    struct Tag<'a> {
        #[serde(serialize_with = "hex_id")]
        job_id: JobId,
        tag: &'a str,
    }
    let filed = new.iter().map(|submission| &submission.job);
    let tags = filed.flat_map(|job| job.filing.tags.iter().map(|tag| Tag { job_id: job.id, tag }));
    let tags: Vec<_> = tags.collect();
    if tags.is_empty() {
        return Ok(());
    }
    let values = rows(tx.is_sqlite(), &[("job_id", Column::Id), ("tag", Column::Text)]);
    let sql = format!("insert into job_tags (job_id, tag) select job_id, tag from {values}");
    let list = parameter(&tags)?;
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(list).execute(c).await.map(drop))
}

/// Counts new children to their parent.
async fn adopt(tx: &mut Tx, parent: JobId, children: i64) -> sqlx::Result<()> {
    with_tx!(tx, c => sqlx::query::<DB>("update job_queue set children_left = children_left + $2 where job_id = $1")
        .bind(parent).bind(children).execute(c).await.map(drop))
}

fn row_of(submission: &Submission) -> Row<'_> {
    let job = &submission.job;
    Row {
        id: job.id,
        kind: &job.kind,
        queue: &job.queue,
        owner_id: job.owner,
        label: job.label.as_deref(),
        project: job.filing.project.as_deref(),
        request_id: job.request_id.as_deref(),
        parent_id: job.parent,
        priority: job.priority.get(),
        max_attempts: job.max_attempts,
        unique_key: job.unique_key.as_deref(),
        turn_key: job.turn.as_ref().map(|turn| turn.name.as_str()),
        turn_concurrency: job.turn.as_ref().map(|turn| turn.concurrency),
        turn_per_minute: job.turn.as_ref().and_then(|turn| turn.per_minute),
        created_at: submission.at,
        run_at: job.run_at,
        rank: submission.rank,
        payload: job.payload.get(),
    }
}
