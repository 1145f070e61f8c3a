//! What to run, with how much, and how it ended.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// A command and all it may have. What is not named here it does not get: no variable of ours, no file besides
/// the system's programs and libraries, no network.
#[derive(Clone, Debug)]
pub struct Command {
    /// A program's name, looked for in the sandbox's search path, or its absolute path.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it runs; it must lie in a readable or writable directory.
    pub cwd: PathBuf,
    /// Its environment, besides `PATH`, `HOME`, `TMPDIR` and `LANG`, which have defaults.
    pub env: Vec<(OsString, OsString)>,
    /// What it reads from its standard input.
    pub stdin: Vec<u8>,
    /// Whom it may talk to.
    pub network: Network,
    /// How much it may use.
    pub limits: Limits,
    /// Directories it may change.
    pub writable: Vec<PathBuf>,
    /// Directories and files it may read, besides the system's.
    pub readable: Vec<PathBuf>,
}

impl Command {
    /// A command that may change the directory it runs in and nothing else.
    pub fn new(program: impl Into<OsString>, cwd: impl Into<PathBuf>) -> Self {
        let cwd = cwd.into();
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: Vec::new(),
            network: Network::None,
            limits: Limits::default(),
            writable: vec![cwd.clone()],
            readable: Vec::new(),
            cwd,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets its limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whom it may talk to.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }
}

/// Whom a command may talk to.
#[derive(Clone, Debug, Default)]
pub enum Network {
    /// Nobody, not even this machine.
    #[default]
    None,
    /// Itself, and whoever this is, at [`SERVED_AT`](super::SERVED_AT) of a network of its own. Only bubblewrap makes one.
    Served(Serve),
    /// Whomever this machine reaches. Only for programs that check where they go.
    Host,
}

type Server = dyn Fn(TcpListener) -> BoxFuture<'static, ()> + Send + Sync;

/// Answers what connects to a listener. What it does ends with the command: its future is dropped.
#[derive(Clone)]
pub struct Serve(Arc<Server>);

impl Serve {
    /// By calling this for each command.
    pub fn new(serve: impl Fn(TcpListener) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(serve))
    }

    pub(super) async fn with(&self, listener: TcpListener) {
        (self.0)(listener).await;
    }
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Serve")
    }
}

/// How much a command may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of each process.
    pub cpu: Option<Duration>,
    /// Time until the whole tree is killed.
    pub wall: Duration,
    /// Address space of each process, in bytes, and memory of all together where there are control groups. Node needs 1 GiB and more, the JVM and Go still more.
    pub memory: Option<u64>,
    /// Processes and threads, all together.
    pub processes: Option<u64>,
    /// Bytes of each file it writes.
    pub file_size: Option<u64>,
    /// Bytes in all its writable directories together, looked at several times a second.
    pub disk: Option<u64>,
    /// Bytes kept of standard output and of standard error, each.
    pub output: usize,
    /// What happens when it writes more than that.
    pub overflow: Overflow,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Some(Duration::from_secs(300)),
            wall: Duration::from_secs(600),
            memory: Some(4 << 30),
            processes: Some(256),
            file_size: Some(1 << 30),
            disk: Some(4 << 30),
            output: 1 << 20,
            overflow: Overflow::KeepTail,
        }
    }
}

/// What happens when a command writes more than is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The end is kept: that is where errors stand.
    #[default]
    KeepTail,
    /// The beginning is kept and the command is killed: its output is of use only as a whole.
    Kill,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; 128 and the number of the signal if one ended it.
    pub status: i32,
    /// What it wrote, or the part that was kept.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, or the part that was kept.
    pub stderr: Vec<u8>,
    /// Whether something of its output was dropped.
    pub truncated: bool,
    /// How long it ran.
    pub wall: Duration,
    /// Why it was killed, if it was.
    pub killed_because: Option<KilledBecause>,
    /// Whether a process of it still held its output open when its tree was ended. Only the weakest level can
    /// let one escape.
    pub escaped: bool,
}

impl Finished {
    /// Whether it came to its own end and says all went well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == 0 && self.killed_because.is_none()
    }
}

/// Why a command was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KilledBecause {
    /// It ran too long.
    Wall,
    /// It computed too long.
    Cpu,
    /// All its processes together used too much memory.
    Memory,
    /// It wrote too large a file.
    FileSize,
    /// Its directories grew too large.
    Disk,
    /// It wrote too much.
    Output,
    /// Somebody asked for it to stop.
    Stopped,
}

/// Why a command was not run. How a command that did run ended is never an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox could not be set up, or the program is not there.
    #[error("{0}")]
    NotStarted(String),
    /// The system failed.
    #[error("cannot {0}: {1}")]
    Io(&'static str, #[source] std::io::Error),
}
