//! The asynchronous runtimes, and what the process asks of the kernel for them.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// For a server: one thread per processor.
pub(super) fn server() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_name("codeyard").build()
}

/// For a command that does one thing after the other.
pub(super) fn small() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// How many files the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenFiles {
    /// What holds now.
    pub(super) soft: u64,
    /// What the process may raise it to.
    pub(super) hard: u64,
}

impl OpenFiles {
    /// Asks the kernel.
    #[expect(unsafe_code, reason = "std does not know limits")]
    pub(super) fn now() -> io::Result<Self> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is ours and outlives the call.
        match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
            0 => Ok(Self { soft: limit.rlim_cur, hard: limit.rlim_max }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Raises the soft limit to the hard one: every socket is a file.
    #[expect(unsafe_code, reason = "std does not know limits")]
    pub(super) fn raise() -> io::Result<()> {
        let hard = Self::now()?.hard;
        let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: the structure is ours and outlives the call.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
