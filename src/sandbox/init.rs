//! The program between the server and a command: it gives up all that the command must not have, and then
//! becomes it. It runs in a process of its own with one thread, so that every step is safe to take.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{fs, ptr};

use super::spec::{COMPLAINT, NOT_STARTED, Rlimits, Spec};
use super::{landlock, probe, seccomp, served, tree};

/// The hidden entry `codeyard sandbox-init`: `main` calls it with the arguments that follow, before it does
/// anything else.
pub fn sandbox_init(mut args: impl Iterator<Item = OsString>) -> ! {
    match args.next().as_deref().and_then(|verb| verb.to_str()) {
        Some("run") => match Spec::receive() {
            Ok(spec) if spec.supervise => supervise(&spec),
            Ok(spec) => become_command(&spec),
            Err(error) => give_up(&format!("cannot read what to run: {error}")),
        },
        Some("probe") => probe::run(&mut args),
        Some("greet") => {
            print!("{GREETING}");
            exit(0)
        }
        _ => give_up("this is for the server's own use"),
    }
}

/// What an init of this version answers. The number goes up when what it is told changes.
const GREETING: &str = "codeyard sandbox-init 2";

/// How long another thread may take to start a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks a program whether it is our init. Any other must not be started as one: a test binary would take the
/// arguments for names of tests and run them, a binary put in our place by an upgrade may expect other words.
pub(super) fn greet(program: &Path) -> Result<(), String> {
    let ask =
        || Command::new(program).args(["sandbox-init", "greet"]).env_clear().stdin(Stdio::null()).output();
    let (asked, mut answer) = (Instant::now(), ask());
    // Our copy may still be open for writing in a process that another thread is about to start.
    while answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ExecutableFileBusy)
        && asked.elapsed() < PATIENCE
    {
        std::thread::yield_now();
        answer = ask();
    }
    let answer = answer.map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
    if answer.stdout == GREETING.as_bytes() {
        return Ok(());
    }
    Err(format!("`{}` is not this version of Codeyard: it knows no `sandbox-init`", program.display()))
}

/// Restricts this process and turns it into the command.
fn become_command(spec: &Spec) -> ! {
    let reason = match restrict(spec) {
        Ok(()) => {
            let error = Command::new(&spec.program)
                .args(&spec.args)
                .env_clear()
                .envs(spec.env.iter().map(|(name, value)| (name, value)))
                .exec();
            format!("cannot start `{}`: {error}", Path::new(&spec.program).display())
        }
        Err(reason) => reason,
    };
    give_up(&reason)
}

/// The order matters: what comes later needs what is taken away by what stands above it least.
#[expect(unsafe_code, reason = "std can neither close what was inherited nor give up privileges")]
fn restrict(spec: &Spec) -> Result<(), String> {
    if let Some(to) = spec.listener_to {
        served::hand_over(to).map_err(|error| format!("cannot listen in the command's network: {error}"))?;
    }
    // Nothing that the server held open may be inherited, whatever its flags.
    // SAFETY: closes descriptors that nobody in this process uses.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    // When the machine runs out of memory this is what must go, and not the server. Whether it can be said is up
    // to the machine.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    std::env::set_current_dir(&spec.cwd).map_err(|error| format!("cannot enter the directory: {error}"))?;
    limit(&spec.rlimits, spec.supervise)?;
    // SAFETY: a plain setting of this process.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(format!("cannot give up privileges: {}", io::Error::last_os_error()));
    }
    if let Some(paths) = &spec.landlock {
        landlock::restrict(paths, spec.sockets).map_err(|error| format!("Landlock: {error}"))?;
    }
    seccomp::restrict(spec.sockets, spec.filter).map_err(|error| format!("seccomp: {error}"))
}

fn limit(limits: &Rlimits, shares_user: bool) -> Result<(), String> {
    // The kernel counts all processes of the user. In a namespace those are the command's own; outside, what
    // is there already is not its fault.
    let others = if shares_user { tree::tasks_of_this_user() } else { 0 };
    let all = [
        ("processor time", libc::RLIMIT_CPU, limits.cpu_seconds),
        ("memory", libc::RLIMIT_AS, limits.memory),
        ("processes", libc::RLIMIT_NPROC, limits.processes.map(|limit| limit + others)),
        ("file size", libc::RLIMIT_FSIZE, limits.file_size),
        ("core dumps", libc::RLIMIT_CORE, Some(0)),
        ("open files", libc::RLIMIT_NOFILE, Some(4096)),
    ];
    for (what, resource, value) in all {
        let Some(value) = value else { continue };
        set_limit(resource, value).map_err(|error| format!("cannot limit {what}: {error}"))?;
    }
    Ok(())
}

/// The C libraries do not agree on its type.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

#[expect(unsafe_code, reason = "std does not set limits")]
fn set_limit(resource: Resource, value: u64) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid resource and a valid structure.
    unsafe {
        if libc::getrlimit(resource, &raw mut now) != 0 {
            return Err(io::Error::last_os_error());
        }
        // Whoever started the server may have set less. The second that the hard limit of processor time lies
        // above the soft one leaves room for the signal that says why.
        let spare = u64::from(resource == libc::RLIMIT_CPU);
        let hard = value.saturating_add(spare).min(now.rlim_max);
        let new = libc::rlimit { rlim_cur: value.min(hard), rlim_max: hard };
        if libc::setrlimit(resource, &raw const new) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Starts the command as a child, and ends all that comes of it when it ends, when the server asks, and when
/// the server is gone. Processes that leave their parent become children of this one, and no other job's.
#[expect(unsafe_code, reason = "std does not fork")]
fn supervise(spec: &Spec) -> ! {
    let awaited = block_signals();
    // SAFETY: plain settings of this process.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0);
    }
    // SAFETY: this process has one thread, so the child may do anything.
    let child = match unsafe { libc::fork() } {
        -1 => give_up(&format!("cannot fork: {}", io::Error::last_os_error())),
        0 => {
            // SAFETY: plain settings of this process. It must not outlive its supervisor.
            unsafe {
                libc::setsid();
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            }
            become_command(spec)
        }
        child => child,
    };
    loop {
        let mut signal = 0;
        // SAFETY: waits for one of the blocked signals.
        unsafe { libc::sigwait(&raw const awaited, &raw mut signal) };
        if signal != libc::SIGCHLD {
            kill_descendants();
            exit(128 + signal);
        }
        if let Some(code) = reap(child) {
            kill_descendants();
            exit(code);
        }
    }
}

/// Signals are waited for, not handled: they arrive also if they come before the wait.
#[expect(unsafe_code, reason = "std does not wait for signals")]
fn block_signals() -> libc::sigset_t {
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        set
    }
}

/// Reaps whoever has ended; the exit code of `child` if it was among them.
#[expect(unsafe_code, reason = "std only waits for children that it started")]
fn reap(child: libc::pid_t) -> Option<i32> {
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: waits for children of this process without blocking.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if ended <= 0 {
            return code;
        }
        if ended == child {
            code = Some(match libc::WIFSIGNALED(status) {
                true => 128 + libc::WTERMSIG(status),
                false => libc::WEXITSTATUS(status),
            });
        }
    }
}

/// Kills until nobody is left. Whoever is orphaned by it becomes a child of this process, and is next.
#[expect(unsafe_code, reason = "std only kills children that it started")]
fn kill_descendants() {
    loop {
        for pid in tree::descendants(std::process::id().cast_signed()) {
            // SAFETY: the process is a descendant that nobody has reaped, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        // SAFETY: waits for any child.
        if unsafe { libc::waitpid(-1, ptr::null_mut(), 0) } < 0 {
            return;
        }
        reap(0);
    }
}

fn give_up(reason: &str) -> ! {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "{COMPLAINT}{reason}");
    exit(NOT_STARTED)
}
