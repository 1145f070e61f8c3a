//! The large parts of a job, beside the small ones: payload, result, checkpoint.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::Store;
use super::db::{Column, Tx, hex_id, parameter, rows, with_db, with_tx};
use crate::model::JobId;

impl Store {
    /// What a job last wrote down to go on from, if anything.
    pub async fn checkpoint(&self, job: JobId) -> sqlx::Result<Option<String>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, String>(
            "select body from job_bodies where job_id = $1 and part = 'checkpoint'")
            .bind(job).fetch_optional(pool).await)
    }

    /// What came of a job, as JSON, if anything.
    pub async fn result(&self, job: JobId) -> sqlx::Result<Option<String>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, String>(
            "select body from job_bodies where job_id = $1 and part = 'result'")
            .bind(job).fetch_optional(pool).await)
    }
}

/// Archives that came with a request.
impl Store {
    /// Keeps an archive for a job that is about to be submitted.
    pub async fn put_upload(&self, job: JobId, bytes: &[u8], now: DateTime<Utc>) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "insert into job_uploads (job_id, bytes, created_at) values ($1, $2, $3)")
            .bind(job).bind(bytes).bind(now).execute(pool).await.map(drop))
    }

    /// The archive that came with a job, if one did.
    pub async fn upload(&self, job: JobId) -> sqlx::Result<Option<Vec<u8>>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, Vec<u8>>("select bytes from job_uploads where job_id = $1")
            .bind(job).fetch_optional(pool).await)
    }

    /// Forgets the archive of a job that was not submitted after all.
    pub async fn drop_upload(&self, job: JobId) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from job_uploads where job_id = $1")
            .bind(job).execute(pool).await.map(drop))
    }
}

/// Writes one part of each of these jobs; a former one is replaced.
pub(super) async fn put(tx: &mut Tx, part: &str, bodies: Vec<(JobId, &str)>) -> sqlx::Result<()> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(serialize_with = "hex_id")]
        job_id: JobId,
        body: &'a str,
    }
    if bodies.is_empty() {
        return Ok(());
    }
    let values = rows(tx.is_sqlite(), &[("job_id", Column::Id), ("body", Column::Text)]);
    let sql = format!(
        "insert into job_bodies (job_id, part, body) select job_id, $2, body from {values} where true
         on conflict (job_id, part) do update set body = excluded.body"
    );
    let bodies: Vec<_> = bodies.into_iter().map(|(job_id, body)| Row { job_id, body }).collect();
    let bodies = parameter(&bodies)?;
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(bodies).bind(part).execute(c).await.map(drop))
}
