//! What can go wrong, said by what happens next: who can mend it, and whether trying again helps.

use std::time::Duration;

/// The result of everything that a caller waits for.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a caller does not get what it asked for. Status codes stand in `http::error` alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request does not parse.
    #[error("{0}")]
    Malformed(String),
    /// The request parses, but these fields cannot be meant.
    #[error("some fields are not valid: {}", fields_of(.0))]
    Invalid(Vec<FieldError>),
    /// Nobody in particular is calling, or a proof of identity does not hold.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The caller is known and may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing, or not for this caller.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The thing is in a state in which this cannot be done.
    #[error("{message}")]
    Conflict {
        /// A stable name, such as `ALREADY_ENDED`.
        code: &'static str,
        /// For a person.
        message: String,
    },
    /// More than the caller may send.
    #[error("{0}")]
    TooLarge(String),
    /// Too often; trying again after the time given helps.
    #[error("too many requests")]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Not now; trying again after the time given may help.
    #[error("{message}")]
    Unavailable {
        /// A stable name, such as `QUEUE_FULL`.
        code: &'static str,
        /// For a person.
        message: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// Something of ours is broken; the caller can do nothing about it and learns nothing of the inside.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

/// One field that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where, as a path: `options.rules[2]`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl Error {
    /// One field that cannot be meant.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// One field that does not read, in the words of serde: an unknown or missing field is reported for the object
    /// around it, and its name stands in the message.
    pub fn unreadable(path: &str, message: &str) -> Self {
        // The position says nothing that the path does not say better.
        let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
        let around = if path == "." || path == "?" { "" } else { path };
        let named = ["unknown field `", "missing field `", "duplicate field `"]
            .iter()
            .find_map(|start| message.strip_prefix(start)?.split_once('`'))
            .map(|(name, _)| name);
        let field = match named {
            Some(name) if around.is_empty() => name.to_owned(),
            Some(name) if around != name && !around.ends_with(&format!(".{name}")) => {
                format!("{around}.{name}")
            }
            _ => around.to_owned(),
        };
        Self::invalid(if field.is_empty() { "body".to_owned() } else { field }, message)
    }

    /// A state in which this cannot be done.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict { code, message: message.into() }
    }

    /// The database did not answer in time, or at all.
    pub fn database_away() -> Self {
        Self::Unavailable {
            code: "DATABASE_UNAVAILABLE",
            message: "the database does not answer; nothing was changed that was not confirmed".to_owned(),
            retry_after: Duration::from_secs(2),
        }
    }
}

impl From<sqlx::Error> for Error {
    /// A database that is away will be back; everything else is a fault of ours.
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            tracing::warn!(%error, "the database does not answer");
            return Self::database_away();
        }
        Self::Internal(error.into())
    }
}

/// Whether the same statement may succeed when it is sent again: the connection or the server went away, a
/// deadlock or serialization failure was resolved at our cost, or the file was busy. (SQLSTATE classes from
/// PostgreSQL's appendix "Error Codes"; SQLite's primary result codes for busy, locked, read-only, IO error and full.)
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let postgres =
                ["08", "40", "53", "57", "58", "55P03"].iter().any(|class| code.starts_with(class));
            let sqlite = code.parse::<i32>().is_ok_and(|code| [5, 6, 8, 10, 13].contains(&(code & 0xff)));
            if code.len() == 5 { postgres } else { sqlite }
        }
        _ => false,
    }
}

fn fields_of(fields: &[FieldError]) -> String {
    fields.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("; ")
}
