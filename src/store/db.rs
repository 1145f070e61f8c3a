//! Two databases, one text: the pools, the macros that run the same SQL on both, and rows as a parameter.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous as Synchronous,
};
use sqlx::{ConnectOptions, Connection, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use crate::config::{Config, SqliteSynchronous};

/// A pool of connections to one of the two databases.
#[derive(Clone, Debug)]
pub enum Db {
    /// Any number of processes share it.
    Postgres(PgPool),
    /// One process has it to itself.
    Sqlite(SqlitePool),
}

/// A transaction on one of the two databases.
pub enum Tx {
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
    /// On SQLite; it holds the write lock from its first moment.
    Sqlite(Transaction<'static, Sqlite>),
}

/// `with_db!(db, pool => expression)`: the expression once per database, with `DB` as the database's type.
macro_rules! with_db {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            $crate::store::Db::Postgres($pool) => {
                type DB = sqlx::Postgres;
                const _: Option<DB> = None;
                $body
            }
            $crate::store::Db::Sqlite($pool) => {
                type DB = sqlx::Sqlite;
                const _: Option<DB> = None;
                $body
            }
        }
    };
}

/// `with_tx!(tx, connection => expression)`: as [`with_db`], inside of a transaction.
macro_rules! with_tx {
    ($tx:expr, $connection:ident => $body:expr) => {
        match $tx {
            $crate::store::Tx::Postgres(tx) => {
                type DB = sqlx::Postgres;
                let $connection = &mut **tx;
                $body
            }
            $crate::store::Tx::Sqlite(tx) => {
                type DB = sqlx::Sqlite;
                let $connection = &mut **tx;
                $body
            }
        }
    };
}

pub(super) use {with_db, with_tx};

impl Db {
    /// A pool for PostgreSQL; nothing is connected yet.
    pub(super) fn postgres(config: &Config) -> sqlx::Result<Self> {
        let settings = &config.database;
        let timeout = format!("{}s", settings.statement_timeout_seconds);
        let options = PgConnectOptions::from_str(&config.database_url)?
            .application_name("codeyard")
            .options([("statement_timeout", timeout.as_str()), ("lock_timeout", timeout.as_str())])
            .statement_cache_capacity(256)
            .log_statements(log::LevelFilter::Trace)
            .log_slow_statements(log::LevelFilter::Warn, Duration::from_millis(settings.slow_query_ms));
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(Duration::from_secs(settings.acquire_timeout_seconds))
            // Asking every connection before every use would double the round trips. One that has rested longer than
            // between two heartbeats is asked, so that those of a server that was restarted fail nobody's request.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > Duration::from_secs(5) {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self::Postgres(pool))
    }

    /// A pool for the file that `config` names: one connection that writes, or a few that read.
    pub(super) fn sqlite(config: &Config, writes: bool) -> Self {
        let settings = &config.database;
        let synchronous = match settings.sqlite_synchronous {
            SqliteSynchronous::Full => Synchronous::Full,
            SqliteSynchronous::Normal => Synchronous::Normal,
        };
        let options = SqliteConnectOptions::new()
            .filename(config.data_dir.join("codeyard.db"))
            .create_if_missing(writes)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true)
            .pragma("temp_store", "memory")
            .statement_cache_capacity(256)
            .log_statements(log::LevelFilter::Trace)
            .log_slow_statements(log::LevelFilter::Warn, Duration::from_millis(settings.slow_query_ms));
        let pool = SqlitePoolOptions::new()
            .max_connections(if writes { 1 } else { 4 })
            .acquire_timeout(Duration::from_secs(settings.acquire_timeout_seconds.max(10)))
            .test_before_acquire(false)
            // SQLite ends a transaction by itself when the disk is full or a write fails. Then sqlx's rollback finds
            // none, and its count of open ones stays up: such a connection could never begin another.
            .after_release(|connection, _| {
                Box::pin(async move {
                    if connection.is_in_transaction() {
                        // Behind the rollback that is on its way.
                        connection.ping().await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_lazy_with(options);
        Self::Sqlite(pool)
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Connections that are open, and those of them that nobody uses.
    pub fn connections(&self) -> (u32, usize) {
        with_db!(self, pool => (pool.size(), pool.num_idle()))
    }

    pub(super) async fn begin(&self) -> sqlx::Result<Tx> {
        match self {
            Self::Postgres(pool) => Ok(Tx::Postgres(pool.begin().await?)),
            // Reading first and writing later could find the lock taken in between.
            Self::Sqlite(pool) => Ok(Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?)),
        }
    }
}

impl Tx {
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Postgres(tx) => tx.commit().await,
            Self::Sqlite(tx) => tx.commit().await,
        }
    }

    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// The type of a column in [`rows`].
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// 16 bytes, sent as 32 hexadecimal digits ([`hex_id`]).
    Id,
    /// A string; no NUL in it, which PostgreSQL does not keep.
    Text,
    /// A 32-bit number.
    Int,
    /// A 64-bit number.
    Big,
    /// A time, sent as [`text_time`] writes it.
    Time,
    /// True or false.
    Bool,
}

/// A `from` item named `v` whose rows come as one JSON parameter, `$1`: an array of objects with these columns.
/// One text however many rows there are, so that the statement is parsed once and planned once.
pub(super) fn rows(sqlite: bool, columns: &[(&str, Column)]) -> String {
    let list = |each: &dyn Fn(&str, Column) -> String| {
        columns.iter().map(|(name, column)| each(name, *column)).collect::<Vec<_>>().join(", ")
    };
    if sqlite {
        let list = list(&|name, column| match column {
            Column::Id => format!("unhex(value ->> '{name}') as {name}"),
            _ => format!("value ->> '{name}' as {name}"),
        });
        return format!("(select {list} from json_each($1)) as v");
    }
    let list = list(&|name, column| {
        let kind = match column {
            Column::Id => "uuid",
            Column::Text => "text",
            Column::Int => "integer",
            Column::Big => "bigint",
            Column::Time => "timestamptz",
            Column::Bool => "boolean",
        };
        format!("{name} {kind}")
    });
    format!("json_to_recordset($1::text::json) as v({list})")
}

/// Rows for [`rows`], as its parameter. NUL, which PostgreSQL cannot keep in text, becomes U+FFFD.
pub(super) fn parameter<T: Serialize>(rows: &[T]) -> sqlx::Result<String> {
    let text = serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(if text.contains("\\u0000") { replace_nul(&text) } else { text })
}

/// Replaces the escape of NUL, but not an escaped backslash that is followed by `u0000`.
fn replace_nul(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let escape = if rest[at + 1..].starts_with('u') { 6 } else { 2 };
        let end = (at + escape).min(rest.len());
        text.push_str(&rest[..at]);
        text.push_str(if &rest[at..end] == "\\u0000" { "\\ufffd" } else { &rest[at..end] });
        rest = &rest[end..];
    }
    text + rest
}

/// Writes an id as [`Column::Id`] wants it.
pub(super) fn hex_id<S: Serializer>(id: &impl HexId, to: S) -> Result<S::Ok, S::Error> {
    match id.hex() {
        Some(hex) => to.serialize_str(&hex),
        None => to.serialize_none(),
    }
}

/// What [`hex_id`] can write.
pub(super) trait HexId {
    /// 32 hexadecimal digits, or nothing.
    fn hex(&self) -> Option<String>;
}

impl HexId for uuid::Uuid {
    fn hex(&self) -> Option<String> {
        Some(self.simple().to_string())
    }
}

macro_rules! hex_ids {
    ($($id:ty),*) => { $(impl HexId for $id {
        fn hex(&self) -> Option<String> {
            self.0.hex()
        }
    })* };
}
hex_ids!(crate::model::JobId, crate::model::UserId, crate::model::ProcessId);

impl<T: HexId> HexId for Option<T> {
    fn hex(&self) -> Option<String> {
        self.as_ref().and_then(HexId::hex)
    }
}

/// Writes a time exactly as sqlx binds it for SQLite, where times are compared as text.
pub(super) fn text_time<S: Serializer>(time: &impl MaybeTime, to: S) -> Result<S::Ok, S::Error> {
    match time.time() {
        Some(time) => to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, false)),
        None => to.serialize_none(),
    }
}

/// What [`text_time`] can write.
pub(super) trait MaybeTime {
    /// The time, if there is one.
    fn time(&self) -> Option<DateTime<Utc>>;
}

impl MaybeTime for DateTime<Utc> {
    fn time(&self) -> Option<DateTime<Utc>> {
        Some(*self)
    }
}

impl MaybeTime for Option<DateTime<Utc>> {
    fn time(&self) -> Option<DateTime<Utc>> {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_and_an_escaped_backslash_before_u0000_is_not() {
        let rows = ["a\0b", "\\u0000", "\\\\u0000\0", "\u{1}\n\"é"];
        let read: Vec<String> = serde_json::from_str(&parameter(&rows).unwrap()).unwrap();
        assert_eq!(read, ["a\u{fffd}b", "\\u0000", "\\\\u0000\u{fffd}", "\u{1}\n\"é"]);
    }
}
