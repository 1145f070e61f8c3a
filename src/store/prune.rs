//! Retention: what is old goes, a bounded batch at a time.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Store;
use super::artifacts::LEAVE_REMAINS;
use super::db::{Column, hex_id, parameter, rows, with_db, with_tx};
use crate::model::JobId;

/// What one batch of the clean-up has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Ended jobs, with all that belongs to them.
    pub jobs: u64,
    /// Events of jobs that stay.
    pub events: u64,
    /// Keys, marks and other small rows.
    pub others: u64,
}

/// The tables whose rows belong to one job and go with it.
pub(super) const BELONGINGS: [&str; 7] =
    ["artifacts", "job_attachments", "job_bodies", "job_events", "job_keys", "job_tags", "job_uploads"];

impl Store {
    /// Removes up to `limit` jobs that ended before `before`; returns how many. Ids begin with their time, and a job
    /// ends after it was submitted, so the primary key finds the old ones.
    pub async fn prune_jobs(&self, before: DateTime<Utc>, limit: u32) -> sqlx::Result<u64> {
        let ids: Vec<JobId> = with_db!(&self.read, pool => sqlx::query_scalar::<DB, JobId>(
            "select id from jobs where id < $1 and finished_at < $2 order by id limit $3")
            .bind(first_id_at(before)).bind(before).bind(i64::from(limit)).fetch_all(pool).await)?;
        let tables = BELONGINGS.iter().map(|table| (*table, "job_id")).chain([("jobs", "id")]);
        let deletes = tables.map(|(table, key)| format!("delete from {table} where {key} in"));
        let deletes: Vec<_> = std::iter::once(LEAVE_REMAINS.to_owned()).chain(deletes).collect();
        self.on_each(&ids, &deletes).await
    }

    /// Removes the events of up to `limit` jobs that ended before `before` and still have some; returns how many
    /// events. The last event stays: it says how the job ended.
    pub async fn prune_events(&self, before: DateTime<Utc>, limit: u32) -> sqlx::Result<u64> {
        let ids: Vec<JobId> = with_db!(&self.read, pool => sqlx::query_scalar::<DB, JobId>(
            "select id from jobs where id < $1 and finished_at < $2 and first_seq < last_seq order by id limit $3")
            .bind(first_id_at(before)).bind(before).bind(i64::from(limit)).fetch_all(pool).await)?;
        let mark = "update jobs set first_seq = last_seq where outcome is not null and id in";
        let delete = "delete from job_events where seq < (select j.first_seq from jobs j where j.id = job_events.job_id)
            and job_id in";
        self.on_each(&ids, &[mark.to_owned(), delete.to_owned()]).await
    }

    /// Runs statements that end in `id in`, in one transaction; returns how many rows the last one has touched.
    async fn on_each(&self, ids: &[JobId], statements: &[String]) -> sqlx::Result<u64> {
        #[derive(Serialize)]
        struct Id {
            #[serde(serialize_with = "hex_id")]
            job_id: JobId,
        }
        if ids.is_empty() {
            return Ok(0);
        }
        let list = parameter(&ids.iter().map(|job_id| Id { job_id: *job_id }).collect::<Vec<_>>())?;
        let mut tx = self.write.begin().await?;
        let values = rows(tx.is_sqlite(), &[("job_id", Column::Id)]);
        let mut touched = 0;
        for statement in statements {
            let sql = format!("{statement} (select v.job_id from {values})");
            touched = with_tx!(&mut tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(list.as_str())
                .execute(c).await.map(|done| done.rows_affected()))?;
        }
        tx.commit().await?;
        Ok(touched)
    }

    /// Removes idempotency keys and archives without a job older than `keys`, rates that no longer hold anybody up,
    /// marks of processes that are gone, and what completed jobs have kept to go on from; returns how many rows.
    pub async fn prune_small(&self, keys: DateTime<Utc>, now: DateTime<Utc>) -> sqlx::Result<u64> {
        let statements = [
            ("delete from job_keys where scope <> 'unique' and created_at < $1", keys),
            ("delete from turn_rates where next_at < $1", now),
            (
                "delete from batches where $1 is not null and process_id not in (select id from processes)",
                now,
            ),
        ];
        // Archives of requests that were refused after all; not found by `created_at`, which stands behind the bytes.
        let mut gone = with_db!(&self.write, pool => sqlx::query::<DB>(
            "delete from job_uploads where job_id < $1 and not exists (select 1 from jobs j where j.id = job_id)")
            .bind(first_id_at(keys)).execute(pool).await.map(|done| done.rows_affected()))?;
        gone += with_db!(&self.write, pool => sqlx::query::<DB>(
            "delete from job_attachments where job_id in (select a.job_id from job_attachments a
                 join jobs j on j.id = a.job_id where j.outcome = 'completed')")
            .execute(pool).await.map(|done| done.rows_affected()))?;
        for (sql, time) in statements {
            gone += with_db!(&self.write, pool => sqlx::query::<DB>(sql).bind(time).execute(pool).await
                .map(|done| done.rows_affected()))?;
        }
        Ok(gone)
    }
}

/// The smallest UUIDv7 of a moment.
pub(super) fn first_id_at(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
