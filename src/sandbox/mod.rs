//! Runs a command with nothing it does not need.
//!
//! Three levels, the strongest that passes its own self-test is used: bubblewrap (namespaces of the command's
//! own), Landlock (the kernel takes files, network and signals away), and a plain process (its own session and
//! user, a clean environment, limits). At every level a small init of ours runs between the server and the
//! command ([`sandbox_init`]), and the whole tree of processes ends with the run.

mod bubblewrap;
mod cgroup;
mod command;
mod init;
mod landlock;
mod output;
mod probe;
mod run;
mod seccomp;
mod self_test;
mod served;
mod spawner;
mod spec;
mod toolchains;
mod tree;
mod workspace;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use bubblewrap::Bubblewrap;
use cgroup::{Group, Groups};
pub use command::{Command, Error, Finished, KilledBecause, Limits, Network, Overflow, Serve};
pub use init::sandbox_init;
use run::Running;
pub use self_test::{Check, Report, TierReport};
use served::Handover;
pub use served::SERVED_AT;
use spawner::Spawner;
use spec::{Filter, Paths, Rlimits, Sockets, Spec};
use workspace::Passage;
pub use workspace::Workspace;

/// How strong a sandbox is, the weakest first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A process like any other, with limits. No protection against code that wants to do harm.
    ProcessOnly,
    /// Files, network and signals are taken away by the kernel; processes are shared.
    Landlock,
    /// Namespaces of its own: it does not see what it must not touch.
    Bubblewrap,
}

/// A stream that a command writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Landlock => "landlock",
            Self::ProcessOnly => "process",
        })
    }
}

/// How to set the sandbox up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own program, which knows `sandbox-init`.
    pub init: PathBuf,
    /// Where workspaces lie. A root server needs a place that other users can pass through.
    pub scratch: PathBuf,
    /// The strongest level to try.
    pub strongest: Level,
    /// Where programs are looked for, inside and outside.
    pub search_path: String,
    /// The user and group that commands of a root server run as.
    pub job_user: (u32, u32),
    /// What every command may read besides the system's programs: toolchains, say.
    pub readable: Vec<PathBuf>,
}

impl Settings {
    /// The defaults, around our own program.
    pub fn new(init: impl Into<PathBuf>) -> Self {
        Self {
            init: init.into(),
            scratch: PathBuf::from("/tmp"),
            strongest: Level::Bubblewrap,
            search_path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            job_user: (65_534, 65_534),
            readable: Vec::new(),
        }
    }

    /// Gives commands a toolchain that lies outside of the system's directories: to read, and its `bin` to search.
    pub fn add_toolchain(&mut self, root: PathBuf) {
        self.search_path = format!("{}:{}", root.join("bin").display(), self.search_path);
        self.readable.push(root);
    }

    /// Gives commands every toolchain that this server has on its path and that they can reach.
    pub fn add_toolchains_of_this_machine(&mut self) {
        toolchains::find(is_root()).into_iter().for_each(|root| self.add_toolchain(root));
    }
}

/// Runs commands at one level.
#[derive(Debug)]
pub struct Sandbox {
    level: Level,
    report: Report,
    settings: Settings,
    init: PathBuf,
    /// Why the init is none, if it is none: then nothing is ever run.
    no_init: Option<String>,
    bubblewrap: Option<Bubblewrap>,
    job_user: Option<(u32, u32)>,
    groups: Option<Groups>,
    spawner: Spawner,
    passage: Passage,
}

impl Sandbox {
    /// Tries the levels from the strongest down, and takes the first that holds against every attack. Takes
    /// some tenths of a second: a server does it beside its start.
    pub async fn detect(settings: &Settings) -> Result<Self, Error> {
        let mut report = Report::default();
        for level in [Level::Bubblewrap, Level::Landlock] {
            if level <= settings.strongest {
                let sandbox = Self::tested(settings, level, &mut report).await?;
                if report.tiers.last().is_some_and(|tier| tier.holds) {
                    return Ok(sandbox.with(report));
                }
            }
        }
        Ok(Self::tested(settings, Level::ProcessOnly, &mut report).await?.with(report))
    }

    async fn tested(settings: &Settings, level: Level, report: &mut Report) -> Result<Self, Error> {
        let sandbox = Self::untested(settings, level)?;
        report.tiers.push(sandbox.self_test().await);
        Ok(sandbox)
    }

    fn with(mut self, report: Report) -> Self {
        self.report = Report { notes: self.notes(), ..report };
        self
    }

    /// A sandbox at this level, whether it holds or not.
    pub fn untested(settings: &Settings, level: Level) -> Result<Self, Error> {
        let failed = |error| Error::Io("set up the sandbox", error);
        let passage = Passage::create(&settings.scratch).map_err(failed)?;
        for (name, line) in OWN_ETC {
            let file = passage.path().join(name);
            fs::write(&file, line).map_err(failed)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).map_err(failed)?;
        }
        let job_user = is_root().then_some(settings.job_user);
        let init = reachable(&settings.init, passage.path(), job_user.is_some()).map_err(failed)?;
        Ok(Self {
            level,
            report: Report::default(),
            no_init: init::greet(&init).err(),
            init,
            bubblewrap: find_bubblewrap(&settings.search_path),
            job_user,
            groups: Groups::find(),
            spawner: Spawner::start().map_err(failed)?,
            passage,
            settings: settings.clone(),
        })
    }

    /// How strong it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// What the self-test found.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// An empty directory for a command to work in, which is gone when the answer is dropped.
    pub fn workspace(&self) -> Result<Workspace, Error> {
        Workspace::create(self.passage.path(), self.job_user)
            .map_err(|error| Error::Io("make a workspace", error))
    }

    /// Hands files that the server wrote into a workspace to the user that commands run as.
    pub fn hand_over(&self, path: &Path) -> Result<(), Error> {
        let Some(owner) = self.job_user else { return Ok(()) };
        workspace::hand_over(path, owner).map_err(|error| Error::Io("hand a workspace over", error))
    }

    /// Runs a command to its end, and leaves nothing of it: not when its time is up, not when `stop` is
    /// cancelled, not when the caller stops waiting.
    pub async fn run(&self, command: &Command, stop: &CancellationToken) -> Result<Finished, Error> {
        self.run_seeing(command, stop, &|_, _| ()).await
    }

    /// As [`Sandbox::run`]; `see` is shown what the command writes, as it comes.
    pub async fn run_seeing(
        &self,
        command: &Command,
        stop: &CancellationToken,
        see: &(dyn Fn(Stream, &[u8]) + Sync),
    ) -> Result<Finished, Error> {
        if let Some(reason) = &self.no_init {
            return Err(Error::NotStarted(reason.clone()));
        }
        let Network::Served(serve) = &command.network else {
            return self.run_through(None, command, stop, see).await;
        };
        if !self.can_serve() {
            return Err(Error::NotStarted(format!("{} ({})", Self::CANNOT_SERVE, self.level)));
        }
        let handover = Handover::new().map_err(|error| Error::Io("make a network", error))?;
        let running = self.run_through(Some(handover.theirs()), command, stop, see);
        tokio::select! {
            finished = running => finished,
            never = handover.serve(serve) => never,
        }
    }

    /// Whether commands can be given a network of their own ([`Network::Served`]).
    #[must_use]
    pub fn can_serve(&self) -> bool {
        self.level == Level::Bubblewrap
    }

    /// Why not.
    pub const CANNOT_SERVE: &str =
        "this server's sandbox cannot let commands reach some hosts and no others: that takes bubblewrap";

    /// `listener_to` is where the init sends the listener of the command's own network.
    async fn run_through(
        &self,
        listener_to: Option<RawFd>,
        command: &Command,
        stop: &CancellationToken,
        see: &(dyn Fn(Stream, &[u8]) + Sync),
    ) -> Result<Finished, Error> {
        let spec = Spec { listener_to, ..self.spec(command) };
        let head = spec.encode().map_err(|error| Error::Io("prepare the command", error))?;
        let group = self.groups.as_ref().map(|groups| groups.make(&command.limits)).transpose();
        let group = group.map_err(|error| Error::Io("make a control group", error))?;
        let child = self.spawner.spawn(self.outer(command, group.as_ref(), listener_to)?).await;
        let child = child.map_err(|error| Error::Io("start the sandbox", error))?;
        Running { child, level: self.level, group }.finish(head, command, stop, see).await
    }

    /// What the server itself starts: bubblewrap, or the init as supervisor. Its environment is empty, and so
    /// is what others could read of it.
    fn outer(
        &self,
        command: &Command,
        group: Option<&Group>,
        kept_open: Option<RawFd>,
    ) -> Result<tokio::process::Command, Error> {
        let mut outer = match self.level {
            Level::Bubblewrap => {
                let missing = || Error::NotStarted("bubblewrap (bwrap) is not installed".to_owned());
                let bubblewrap = self.bubblewrap.as_ref().ok_or_else(missing)?;
                let readable = &self.settings.readable;
                let mut outer = tokio::process::Command::new(&bubblewrap.program);
                outer.args(bubblewrap.args(command, &self.init, self.passage.path(), readable));
                outer.arg(bubblewrap::INIT);
                outer
            }
            Level::Landlock | Level::ProcessOnly => tokio::process::Command::new(&self.init),
        };
        outer.args(["sandbox-init", "run"]);
        outer.env_clear().current_dir("/").process_group(0);
        outer.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some((uid, gid)) = self.job_user {
            outer.uid(uid).gid(gid);
        }
        enter(&mut outer, group, kept_open);
        Ok(outer)
    }

    fn spec(&self, command: &Command) -> Spec {
        let limits = &command.limits;
        let rlimits = Rlimits {
            cpu_seconds: limits.cpu.map(|cpu| cpu.as_secs().max(1)),
            memory: limits.memory,
            processes: limits.processes,
            file_size: limits.file_size,
        };
        let filter = match self.level {
            Level::Bubblewrap => Filter::Private,
            Level::Landlock => Filter::Shared,
            Level::ProcessOnly => Filter::IfPossible,
        };
        Spec {
            program: command.program.clone(),
            args: command.args.clone(),
            env: self.environment(command),
            cwd: command.cwd.clone(),
            rlimits,
            sockets: match command.network {
                Network::None => Sockets::None,
                Network::Served(_) => Sockets::Own,
                Network::Host => Sockets::Host,
            },
            listener_to: None,
            filter,
            landlock: (self.level == Level::Landlock).then(|| self.paths(command)),
            supervise: self.level != Level::Bubblewrap,
        }
    }

    /// What was given, and what hardly any program can do without.
    fn environment(&self, command: &Command) -> Vec<(OsString, OsString)> {
        let own = self.level == Level::Bubblewrap;
        let home = command.writable.first().unwrap_or(&command.cwd);
        let temporary = if own { Path::new("/tmp") } else { home };
        let defaults: [(OsString, OsString); 4] = [
            ("PATH".into(), self.settings.search_path.as_str().into()),
            ("HOME".into(), home.into()),
            ("TMPDIR".into(), temporary.into()),
            ("LANG".into(), "C.UTF-8".into()),
        ];
        let missing = |name: &OsString| !command.env.iter().any(|(given, _)| given == name);
        let defaults = defaults.into_iter().filter(|(name, _)| missing(name));
        defaults.chain(command.env.iter().cloned()).collect()
    }

    /// What Landlock leaves to a command.
    fn paths(&self, command: &Command) -> Paths {
        let network = bubblewrap::etc_network(&command.network);
        let system = ["/usr"].iter().chain(bubblewrap::SYSTEM).chain(bubblewrap::ETC).chain(network);
        let mut readable: Vec<PathBuf> = system.chain(READ_DEVICES).map(PathBuf::from).collect();
        readable.push(self.init.clone());
        readable.extend(self.settings.readable.iter().chain(&command.readable).cloned());
        let devices = WRITE_DEVICES.iter().map(PathBuf::from);
        Paths { readable, writable: command.writable.iter().cloned().chain(devices).collect() }
    }

    /// Where a command finds the init.
    fn init_inside(&self) -> PathBuf {
        if self.level == Level::Bubblewrap { PathBuf::from(bubblewrap::INIT) } else { self.init.clone() }
    }

    fn passage(&self) -> &Path {
        self.passage.path()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some((uid, _)) = self.job_user {
            notes.push(format!("the server runs as root; commands run as user {uid}"));
        }
        if let Some(groups) = &self.groups {
            let version = groups.version();
            notes.push(format!("memory and processes are limited by control groups (version {version})"));
        }
        if self.bubblewrap.is_none() {
            notes
                .push("bubblewrap (bwrap) is not installed: install it for the strongest sandbox".to_owned());
        }
        if self.level == Level::ProcessOnly {
            notes.push(
                "commands run as plain processes: nothing keeps them from reading what the server's \
                        user can read; do not run code that you do not trust"
                    .to_owned(),
            );
        }
        notes
    }
}

/// Files of `/etc` as commands see them.
const OWN_ETC: [(&str, &str); 3] = [
    ("passwd", "root:x:0:0::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"),
    ("group", "root:x:0:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];
const READ_DEVICES: &[&str] =
    &["/dev/random", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/filesystems"];
const WRITE_DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full"];

/// The init where the job user can start it: a root server may lie in root's own home.
fn reachable(init: &Path, passage: &Path, is_root: bool) -> io::Result<PathBuf> {
    let init = init.canonicalize()?;
    let open = |path: &Path| path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    if !is_root || init.ancestors().all(open) {
        return Ok(init);
    }
    let copy = passage.join("init");
    fs::copy(&init, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

fn find_bubblewrap(search_path: &str) -> Option<Bubblewrap> {
    let program =
        search_path.split(':').map(|folder| Path::new(folder).join("bwrap")).find(|p| p.is_file())?;
    let help = std::process::Command::new(&program).arg("--help").env_clear().output().ok()?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned() + &String::from_utf8_lossy(&help.stderr);
    Some(Bubblewrap { program, is_recent: help.contains("--disable-userns") && help.contains("--size") })
}

/// What the process does before it becomes bubblewrap or the init: it goes into its control group, and it dies with the
/// server from its first moment, not only from when it has said so itself.
#[expect(unsafe_code, reason = "std knows no hook between fork and exec that is safe")]
fn enter(outer: &mut tokio::process::Command, group: Option<&Group>, kept_open: Option<RawFd>) {
    let doors = group.map(Group::doors).unwrap_or_default();
    let server = std::process::id();
    let before = move || {
        // SAFETY: plain settings and queries of this process.
        let (set, parent) =
            unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0), libc::getppid()) };
        // The server may have died just before.
        let alive = set == 0 && parent.cast_unsigned() == server;
        if !alive {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        for door in &doors {
            // SAFETY: writes one byte of a constant to a descriptor that the group keeps open.
            if unsafe { libc::write(*door, b"0".as_ptr().cast(), 1) } != 1 {
                return Err(io::Error::last_os_error());
            }
        }
        // What the server's own parents left open is nobody's here; whoever outlives us must not hold it either.
        // SAFETY: marks descriptors of this process, which is no more than a fork yet. An old kernel does not know how.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        if let Some(fd) = kept_open {
            // SAFETY: changes a flag of a descriptor in this process alone, which is no more than a fork yet.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only makes system calls; nothing in it allocates.
    unsafe { outer.pre_exec(before) };
}

#[expect(unsafe_code, reason = "std does not tell the user")]
fn is_root() -> bool {
    // SAFETY: a plain query.
    unsafe { libc::geteuid() == 0 }
}
