//! What running jobs keep beside their checkpoints: files that grow, piece by piece.

use super::Store;
use super::db::{Tx, with_db};
use crate::model::JobId;

/// A piece of a file that a job goes on from.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Attachment {
    /// Its place among the pieces that were written under one claim.
    pub number: i32,
    /// The file that it is added to.
    pub name: String,
    /// What is added.
    pub bytes: Vec<u8>,
}

impl Store {
    /// The pieces of the files of a job whose names begin so, in order.
    pub async fn attachments(&self, job: JobId, names: &str) -> sqlx::Result<Vec<Attachment>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, Attachment>(
            "select number, name, bytes from job_attachments
             where job_id = $1 and substr(name, 1, length($2)) = $2 order by fence, number")
            .bind(job).bind(names).fetch_all(pool).await)
    }
}

/// Adds pieces, each with its job and the fencing token of the claim under which it was made.
pub(super) async fn add(tx: &mut Tx, pieces: Vec<(JobId, i64, &Attachment)>) -> sqlx::Result<()> {
    if pieces.is_empty() {
        return Ok(());
    }
    match tx {
        Tx::Postgres(tx) => {
            let jobs: Vec<_> = pieces.iter().map(|(job, ..)| job.0).collect();
            let fences: Vec<_> = pieces.iter().map(|(_, fence, _)| *fence).collect();
            let numbers: Vec<_> = pieces.iter().map(|(.., piece)| piece.number).collect();
            let names: Vec<_> = pieces.iter().map(|(.., piece)| piece.name.as_str()).collect();
            let bytes: Vec<_> = pieces.iter().map(|(.., piece)| piece.bytes.as_slice()).collect();
            sqlx::query(
                "insert into job_attachments (job_id, fence, number, name, bytes)
                 select * from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::bytea[])",
            )
            .bind(jobs)
            .bind(fences)
            .bind(numbers)
            .bind(names)
            .bind(bytes)
            .execute(&mut **tx)
            .await
            .map(drop)
        }
        // In its own process a statement costs next to nothing, and JSON would need bytes as text.
        Tx::Sqlite(tx) => {
            for (job, fence, piece) in pieces {
                sqlx::query(
                    "insert into job_attachments (job_id, fence, number, name, bytes) values ($1, $2, $3, $4, $5)",
                )
                .bind(job)
                .bind(fence)
                .bind(piece.number)
                .bind(&piece.name)
                .bind(&piece.bytes)
                .execute(&mut **tx)
                .await?;
            }
            Ok(())
        }
    }
}
