//! SQL and nothing else: one text for PostgreSQL and SQLite, one file per family of tables.

mod accounts;
mod artifacts;
mod attachments;
mod bodies;
mod control;
mod db;
mod ending;
mod events;
mod examine;
mod jobs;
mod journal;
mod llm;
mod llm_usage;
mod locks;
mod migrate;
mod processes;
mod prune;
mod queue;
mod submission;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::Config;
pub use accounts::{
    KeyHash, KeyRow, RefreshRow, Rotation, SecretHash, TicketRow, Updated, UserChange, UserRow,
};
pub use artifacts::ArtifactRow;
pub use attachments::Attachment;
pub use control::{CancelChange, Change, Rescued, Surroundings};
use db::with_db;
pub use db::{Db, Tx};
pub use ending::Woken;
pub use events::LogBounds;
pub use examine::Examination;
pub use jobs::{Filter, JobPage};
pub use journal::{Accepted, Batch, Ending, Report, Submission, Submitted};
pub use llm::{BudgetFilter, BudgetRow, LlmEnd, LlmHold, LlmKeyRow, NewLlmCall};
pub use llm_usage::{LlmUsageBy, LlmUsageFilter, LlmUsageRow};
pub use locks::DataDirLock;
pub use migrate::MigrateError;
pub use processes::ProcessRow;
pub use prune::Pruned;
pub use queue::{Claim, Claimed, QueueDepth};

/// When a job goes on that waits for anything but a time.
pub const FAR_AWAY: DateTime<Utc> = DateTime::from_timestamp(253_370_764_800, 0).unwrap();
/// Before anything that can happen here.
const LONG_AGO: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// The database: a way to write and a way to read, which are the same pool on PostgreSQL.
#[derive(Clone, Debug)]
pub struct Store {
    write: Db,
    read: Db,
}

impl Store {
    /// Opens what `config` names; no statement is sent yet.
    pub fn open(config: &Config) -> sqlx::Result<Self> {
        if config.uses_postgres() {
            let pool = Db::postgres(config)?;
            return Ok(Self { write: pool.clone(), read: pool });
        }
        std::fs::create_dir_all(&config.data_dir)?;
        Ok(Self { write: Db::sqlite(config, true), read: Db::sqlite(config, false) })
    }

    /// Whether several processes can share this database.
    pub fn is_shared(&self) -> bool {
        !self.write.is_sqlite()
    }

    /// `postgresql` or `sqlite`.
    pub fn name(&self) -> &'static str {
        if self.is_shared() { "postgresql" } else { "sqlite" }
    }

    /// Asks the database for an answer, and gives up after `limit`.
    pub async fn ping(&self, limit: Duration) -> sqlx::Result<()> {
        let answer =
            async { with_db!(&self.read, pool => sqlx::query("select 1").execute(pool).await.map(drop)) };
        tokio::time::timeout(limit, answer).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Whether the database takes a write, found out without changing anything.
    pub async fn check_writable(&self) -> sqlx::Result<()> {
        let tx = self.write.begin().await?;
        drop(tx);
        Ok(())
    }

    /// Connections open and idle, for writing and reading together.
    pub fn connections(&self) -> (u32, usize) {
        let (size, idle) = self.write.connections();
        if self.is_shared() {
            return (size, idle);
        }
        let (readers, idle_readers) = self.read.connections();
        (size + readers, idle + idle_readers)
    }

    /// The pool of PostgreSQL, for what only it can do (`listen`).
    pub fn postgres(&self) -> Option<&sqlx::PgPool> {
        match &self.write {
            Db::Postgres(pool) => Some(pool),
            Db::Sqlite(_) => None,
        }
    }

    /// Closes all connections once they are free.
    pub async fn close(&self) {
        for db in [&self.read, &self.write] {
            with_db!(db, pool => pool.close().await);
        }
    }
}
