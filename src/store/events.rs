//! The log of every job: written with what it tells of, read from a number on.

use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::Store;
use super::db::{Column, Tx, hex_id, parameter, rows, text_time, with_db, with_tx};
use crate::model::{Event, JobId};

/// What a reader needs to know of a log before it reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LogBounds {
    /// Number of the first event that retention has left.
    pub first_seq: i64,
    /// Number of the last event.
    pub last_seq: i64,
    /// Whether the job is over.
    pub ended: bool,
}

impl Store {
    /// The events of a job after number `after`, in order, `limit` at the most.
    pub async fn events_after(&self, job: JobId, after: i64, limit: u32) -> sqlx::Result<Vec<Event>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, Event>(
            "select job_id, seq, at, name, status, progress, message, data from job_events
             where job_id = $1 and seq > $2 order by seq limit $3")
            .bind(job).bind(after).bind(i64::from(limit)).fetch_all(pool).await)
    }

    /// The events of a job with this name after number `after`, in order, `limit` at the most.
    pub async fn events_named(
        &self,
        job: JobId,
        name: &str,
        after: i64,
        limit: u32,
    ) -> sqlx::Result<Vec<Event>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, Event>(
            "select job_id, seq, at, name, status, progress, message, data from job_events
             where job_id = $1 and seq > $2 and name = $3 order by seq limit $4")
            .bind(job).bind(after).bind(name).bind(i64::from(limit)).fetch_all(pool).await)
    }

    /// The last event of a job with this name, if there is one.
    pub async fn last_event(&self, job: JobId, name: &str) -> sqlx::Result<Option<Event>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, Event>(
            "select job_id, seq, at, name, status, progress, message, data from job_events
             where job_id = $1 and name = $2 order by seq desc limit 1")
            .bind(job).bind(name).fetch_optional(pool).await)
    }

    /// Where a job's log begins and ends; `None` when there is no such job.
    pub async fn log_bounds(&self, job: JobId) -> sqlx::Result<Option<LogBounds>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, LogBounds>(
            "select j.first_seq, coalesce(q.last_seq, j.last_seq) as last_seq, q.job_id is null as ended
             from jobs j left join job_queue q on q.job_id = j.id where j.id = $1")
            .bind(job).fetch_optional(pool).await)
    }
}

const COLUMNS: [(&str, Column); 8] = [
    ("job_id", Column::Id),
    ("seq", Column::Big),
    ("at", Column::Time),
    ("name", Column::Text),
    ("status", Column::Text),
    ("progress", Column::Int),
    ("message", Column::Text),
    ("data", Column::Text),
];

#[derive(Serialize)]
struct Row<'a> {
    #[serde(serialize_with = "hex_id")]
    job_id: JobId,
    seq: i64,
    #[serde(serialize_with = "text_time")]
    at: chrono::DateTime<chrono::Utc>,
    name: &'a str,
    status: &'static str,
    progress: i32,
    message: Option<&'a str>,
    data: Option<&'a str>,
}

/// Appends events whose numbers were already taken in this transaction.
pub(super) async fn insert(tx: &mut Tx, events: &[Event]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = events.iter().map(row_of).collect();
    let values = rows(tx.is_sqlite(), &COLUMNS);
    let sql = format!(
        "insert into job_events (job_id, seq, at, name, status, progress, message, data)
         select job_id, seq, at, name, status, progress, message, data from {values}"
    );
    let list = parameter(&list)?;
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(list).execute(c).await.map(drop))
}

fn row_of(event: &Event) -> Row<'_> {
    Row {
        job_id: event.job_id,
        seq: event.seq,
        at: event.at,
        name: &event.name,
        status: event.status.as_str(),
        progress: event.progress,
        message: event.message.as_deref(),
        data: event.data.as_deref(),
    }
}
