//! What can go wrong while code is taken in, and whose fault it is.

use std::io;

use crate::sandbox;

/// Why a source was not taken in. Its text is a sentence for the caller: it holds no secret and no path of
/// the server, and where a cap was met it names the cap and its setting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was sent makes no sense: a bad path, a file that is no archive, an address that is none.
    #[error("{0}")]
    Invalid(String),
    /// The source is larger than this server takes in.
    #[error("{what}: the limit is {cap} ({setting})")]
    TooLarge {
        /// What is too large, for example `the archive unpacks to more bytes than allowed`.
        what: String,
        /// The cap, with its unit.
        cap: String,
        /// The name of the setting that raises it.
        setting: &'static str,
    },
    /// The source is understood, but this server does not go there.
    #[error("{0}")]
    Forbidden(String),
    /// Another server did not give us what was asked for.
    #[error("{message}")]
    Remote {
        /// What it said, cleaned.
        message: String,
        /// Whether the same request may succeed later: the network failed, not the request.
        transient: bool,
    },
    /// It took too long.
    #[error("{what} took longer than {seconds} s ({setting})")]
    TimedOut {
        /// What took so long.
        what: String,
        /// The limit.
        seconds: u64,
        /// The name of the setting that raises it.
        setting: &'static str,
    },
    /// Somebody asked for it to stop.
    #[error("stopped on request")]
    Cancelled,
    /// A command could not be run.
    #[error("cannot run a command: {0}")]
    Sandbox(#[from] sandbox::Error),
    /// This server's disk or memory failed.
    #[error("cannot {0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

impl Error {
    /// Whether the same request will fail again until the caller changes it.
    #[must_use]
    pub fn is_callers_fault(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::TooLarge { .. } | Self::Forbidden(_) => true,
            Self::Remote { transient, .. } => !transient,
            Self::TimedOut { .. } | Self::Cancelled | Self::Sandbox(_) | Self::Io(..) => false,
        }
    }

    /// Whether it makes sense to try the same again later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Remote { transient, .. } => *transient,
            Self::TimedOut { .. } | Self::Sandbox(_) | Self::Io(..) => true,
            Self::Invalid(_) | Self::TooLarge { .. } | Self::Forbidden(_) | Self::Cancelled => false,
        }
    }
}
