//! Which files a job has left behind; their bytes lie elsewhere.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::Store;
use super::db::with_db;
use crate::model::JobId;

/// A file that a job has left behind.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ArtifactRow {
    /// Its path, with `/` between its parts.
    pub path: String,
    /// In bytes.
    pub size: i64,
    /// What it is.
    pub media_type: String,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

const COLUMNS: &str = "path, size, media_type, sha256, created_at";

impl Store {
    /// Says that the bytes of a file are about to be written. False: the claim is lost, and they must not be.
    pub async fn announce_artifact(&self, job: JobId, fence: i64, file: &ArtifactRow) -> sqlx::Result<bool> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "insert into artifacts (job_id, path, size, media_type, sha256, created_at)
             select $1, $2, $3, $4, $5, $6
             where exists (select 1 from job_queue where job_id = $1 and fence = $7)
             on conflict (job_id, path) do update set size = excluded.size, media_type = excluded.media_type,
                 ready = artifacts.ready and artifacts.sha256 = excluded.sha256,
                 sha256 = excluded.sha256, created_at = excluded.created_at")
            .bind(job).bind(&file.path).bind(file.size).bind(&file.media_type).bind(&file.sha256)
            .bind(file.created_at).bind(fence).execute(pool).await.map(|done| done.rows_affected() > 0))
    }

    /// Says that the bytes are there. False: the job was deleted meanwhile, or the file replaced.
    pub async fn settle_artifact(&self, job: JobId, file: &ArtifactRow) -> sqlx::Result<bool> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "update artifacts set ready = true where job_id = $1 and path = $2 and sha256 = $3")
            .bind(job).bind(&file.path).bind(&file.sha256)
            .execute(pool).await.map(|done| done.rows_affected() > 0))
    }

    /// The files of a job, ordered by path.
    pub async fn artifacts(&self, job: JobId) -> sqlx::Result<Vec<ArtifactRow>> {
        let sql = format!("select {COLUMNS} from artifacts where job_id = $1 and ready order by path");
        with_db!(&self.read, pool => sqlx::query_as::<DB, ArtifactRow>(AssertSqlSafe(sql))
            .bind(job).fetch_all(pool).await)
    }

    /// One file of a job.
    pub async fn artifact(&self, job: JobId, path: &str) -> sqlx::Result<Option<ArtifactRow>> {
        let sql = format!("select {COLUMNS} from artifacts where job_id = $1 and path = $2 and ready");
        with_db!(&self.read, pool => sqlx::query_as::<DB, ArtifactRow>(AssertSqlSafe(sql))
            .bind(job).bind(path).fetch_optional(pool).await)
    }

    /// Up to `limit` jobs that are gone and whose bytes may still be there.
    pub async fn artifact_remains(&self, limit: u32) -> sqlx::Result<Vec<JobId>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, JobId>(
            "select job_id from artifact_remains order by job_id limit $1")
            .bind(i64::from(limit)).fetch_all(pool).await)
    }

    /// Says that the bytes of a job that is gone may still be there.
    pub async fn note_artifact_remains(&self, job: JobId) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "insert into artifact_remains (job_id) values ($1) on conflict (job_id) do nothing")
            .bind(job).execute(pool).await.map(drop))
    }

    /// Says that they are gone, too.
    pub async fn forget_artifact_remains(&self, job: JobId) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from artifact_remains where job_id = $1")
            .bind(job).execute(pool).await.map(drop))
    }

    /// Whether a job is there and has not completed: it runs, or somebody may retry it.
    pub async fn may_run_again(&self, job: JobId) -> sqlx::Result<bool> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, i64>(
            "select count(*) from jobs where id = $1 and (outcome is null or outcome <> 'completed')")
            .bind(job).fetch_one(pool).await.map(|count| count > 0))
    }

    /// Whether there is such a job.
    pub async fn job_exists(&self, job: JobId) -> sqlx::Result<bool> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, i64>("select count(*) from jobs where id = $1")
            .bind(job).fetch_one(pool).await.map(|count| count > 0))
    }
}

/// Remembers, in the transaction that deletes these jobs, whose bytes have to go after it. A list of ids follows.
pub(super) const LEAVE_REMAINS: &str =
    "insert into artifact_remains (job_id) select distinct job_id from artifacts where job_id in";
