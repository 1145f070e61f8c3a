//! Which server processes live: one heartbeat stands for all the jobs of a process.

use chrono::{DateTime, Utc};

use super::Store;
use super::db::with_db;
use crate::model::ProcessId;

/// A server process that has been heard of lately.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ProcessRow {
    /// Its id, for this life.
    pub id: ProcessId,
    /// The machine it runs on.
    pub host: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    pub beat_at: DateTime<Utc>,
}

impl Store {
    /// Announces a process.
    pub async fn register_process(&self, row: &ProcessRow) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "insert into processes (id, host, version, started_at, beat_at) values ($1, $2, $3, $4, $5)")
            .bind(row.id).bind(&row.host).bind(&row.version).bind(row.started_at).bind(row.beat_at)
            .execute(pool).await.map(drop))
    }

    /// Extends the lease of a process and returns how many jobs it holds. `None`: it was declared dead, and its jobs
    /// belong to others by now.
    pub async fn beat(&self, id: ProcessId, now: DateTime<Utc>) -> sqlx::Result<Option<i64>> {
        with_db!(&self.write, pool => sqlx::query_scalar::<DB, i64>(
            "update processes set beat_at = $2 where id = $1
             returning (select count(*) from job_queue where process_id = $1)")
            .bind(id).bind(now).fetch_optional(pool).await)
    }

    /// Declares dead whoever was not heard of since `dead`; returns how many.
    pub async fn bury(&self, dead: DateTime<Utc>) -> sqlx::Result<u64> {
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from processes where beat_at < $1")
            .bind(dead).execute(pool).await.map(|done| done.rows_affected()))
    }

    /// Takes a process off the list: it has let go of all its jobs, or it is known to be dead.
    pub async fn retire_process(&self, id: ProcessId) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from batches where process_id = $1")
            .bind(id).execute(pool).await.map(drop))?;
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from processes where id = $1")
            .bind(id).execute(pool).await.map(drop))
    }

    /// Every process on the list.
    pub async fn processes(&self) -> sqlx::Result<Vec<ProcessRow>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, ProcessRow>(
            "select id, host, version, started_at, beat_at from processes order by id").fetch_all(pool).await)
    }
}
