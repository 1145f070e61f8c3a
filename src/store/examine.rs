//! What an operator should know of a PostgreSQL before a server is pointed at it.

use chrono::{DateTime, Utc};

use super::{Db, Store};

/// How a PostgreSQL is set up.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Examination {
    /// As it calls itself, such as `16.4`.
    pub version: String,
    /// The same as a number, such as `160004`.
    pub version_number: i64,
    /// What its clock shows.
    pub now: DateTime<Utc>,
    /// Whether it takes no writes: a standby, or set so.
    pub read_only: bool,
    /// Whether no Codeyard has been here yet.
    pub is_new: bool,
    /// How many connections it takes, from all clients together.
    pub max_connections: i64,
}

impl Store {
    /// Asks a PostgreSQL how it is set up; `None` on SQLite.
    pub async fn examine(&self) -> sqlx::Result<Option<Examination>> {
        let Db::Postgres(pool) = &self.read else { return Ok(None) };
        let text = "select current_setting('server_version') as version,
                   current_setting('server_version_num')::bigint as version_number,
                   clock_timestamp() as now,
                   pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as read_only,
                   to_regclass('_sqlx_migrations') is null as is_new,
                   current_setting('max_connections')::bigint as max_connections";
        sqlx::query_as(text).fetch_one(pool).await.map(Some)
    }
}
