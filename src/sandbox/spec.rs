//! What the server tells `sandbox-init`, over its standard input, before the command's own input.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The init gives up with this code, and a line on standard error, when it cannot start the command.
pub(super) const NOT_STARTED: i32 = 120;
/// What that line begins with.
pub(super) const COMPLAINT: &str = "sandbox-init: ";
/// No command line is longer than this.
const MAX_BYTES: u32 = 16 << 20;

/// All that the init does before it turns into the command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: PathBuf,
    pub(super) rlimits: Rlimits,
    pub(super) sockets: Sockets,
    /// Where to send a listener in the command's own network: a descriptor that is open.
    pub(super) listener_to: Option<RawFd>,
    pub(super) filter: Filter,
    /// The only paths that are left to it; nothing means that it does not restrict itself.
    pub(super) landlock: Option<Paths>,
    /// Stay as the parent of the command and end its whole tree. Not needed in a process namespace.
    pub(super) supervise: bool,
}

/// Limits that the kernel keeps for each process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rlimits {
    pub(super) cpu_seconds: Option<u64>,
    pub(super) memory: Option<u64>,
    pub(super) processes: Option<u64>,
    pub(super) file_size: Option<u64>,
}

/// Whether system calls are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Filter {
    /// They must be. Local sockets are let through: the file system shows none of the host's.
    Private,
    /// They must be, and local sockets are not let through either: the host's are in sight.
    Shared,
    /// As `Shared`, but the command runs also where the kernel has no filters.
    IfPossible,
}

/// Which sockets are left to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sockets {
    /// None to any network.
    None,
    /// Those of a network of its own.
    Own,
    /// Those of the host's.
    Host,
}

/// Paths of a Landlock ruleset.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Paths {
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
}

impl Spec {
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        let length = u32::try_from(text.len()).ok().filter(|length| *length <= MAX_BYTES);
        let length = length.ok_or_else(|| io::Error::other("the command line is too long"))?;
        Ok([&length.to_le_bytes()[..], &text].concat())
    }

    /// Reads exactly the spec from standard input: the byte after it belongs to the command.
    #[expect(unsafe_code, reason = "std's standard input is buffered and would read too far")]
    pub(super) fn receive() -> io::Result<Self> {
        // SAFETY: descriptor 0 is open; `ManuallyDrop` keeps it so.
        let file = unsafe { std::fs::File::from_raw_fd(io::stdin().as_raw_fd()) };
        let mut stdin = std::mem::ManuallyDrop::new(file);
        let mut length = [0; 4];
        stdin.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_BYTES {
            return Err(io::Error::other("the command line is too long"));
        }
        let mut text = vec![0; length as usize];
        stdin.read_exact(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}
