//! Brings the schema up to date, under a lock, and refuses a database that is newer than this binary.

use sqlx::migrate::{Migrate, Migrator};

use super::{Db, Store};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Why the schema cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Another, newer version of Codeyard has been here.
    #[error(
        "the database has schema version {found}, this binary knows up to {known}: run a newer Codeyard, or restore a backup"
    )]
    Newer {
        /// The version found.
        found: i64,
        /// The newest version this binary knows.
        known: i64,
    },
    /// The database does not answer, or a statement failed.
    #[error("migrations: {0}")]
    Failed(#[from] sqlx::migrate::MigrateError),
    /// The database does not answer.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Store {
    /// Applies what is missing; several processes may call it at once, and one does the work. Returns how many
    /// migrations were applied.
    pub async fn migrate(&self) -> Result<usize, MigrateError> {
        let before = self.applied().await?;
        let migrator = self.migrator();
        let known = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
        if let Some(found) = before.iter().copied().max().filter(|found| *found > known) {
            return Err(MigrateError::Newer { found, known });
        }
        match &self.write {
            Db::Postgres(pool) => migrator.run(pool).await?,
            Db::Sqlite(pool) => migrator.run(pool).await?,
        }
        Ok(self.applied().await?.len() - before.len())
    }

    /// Whether every migration this binary knows is applied, and none besides.
    pub async fn is_migrated(&self) -> sqlx::Result<bool> {
        let applied = self.applied().await?;
        Ok(applied.len() == self.migrator().iter().count())
    }

    fn migrator(&self) -> &'static Migrator {
        if self.is_shared() { &POSTGRES } else { &SQLITE }
    }

    async fn applied(&self) -> sqlx::Result<Vec<i64>> {
        macro_rules! list {
            ($pool:expr) => {{
                let mut connection = $pool.acquire().await?;
                let table = "_sqlx_migrations";
                connection.ensure_migrations_table(table).await.map_err(unwrapped)?;
                connection.list_applied_migrations(table).await.map_err(unwrapped)?
            }};
        }
        let applied = match &self.write {
            Db::Postgres(pool) => list!(pool),
            Db::Sqlite(pool) => list!(pool),
        };
        Ok(applied.into_iter().map(|migration| migration.version).collect())
    }
}

fn unwrapped(error: sqlx::migrate::MigrateError) -> sqlx::Error {
    match error {
        sqlx::migrate::MigrateError::Execute(error) => error,
        other => sqlx::Error::Configuration(other.into()),
    }
}
