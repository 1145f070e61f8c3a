//! One run of a command: started, fed, read, watched, ended, with nothing left of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::cgroup::Group;
use super::output::Output;
use super::spec::{COMPLAINT, NOT_STARTED};
use super::{Command, Error, Finished, KilledBecause, Level, Stream, tree};

/// How long a supervisor may take to end the tree before it is killed itself.
const GRACE: Duration = Duration::from_millis(1500);
/// How long a process may take to stop: it does so at once, unless the machine is overwhelmed.
const UNTIL_STILL: Duration = Duration::from_millis(100);
/// How long the pipes may stay open once the tree is ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the size of the writable directories is looked at.
const DISK_WATCH: Duration = Duration::from_millis(200);

/// The process at the top of the tree. Whoever drops it ends the tree.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) level: Level,
    /// What limits the tree as a whole; removed when this is dropped.
    pub(super) group: Option<Group>,
}

impl Running {
    /// Feeds it, reads it and waits for its end, or brings that about.
    pub(super) async fn finish(
        mut self,
        head: Vec<u8>,
        command: &Command,
        stop: &CancellationToken,
        see: &(dyn Fn(Stream, &[u8]) + Sync),
    ) -> Result<Finished, Error> {
        let started = Instant::now();
        let group = self.group.take();
        let limits = &command.limits;
        let (stdout, stderr) =
            (Output::new(limits.output, limits.overflow), Output::new(limits.output, limits.overflow));
        let full = Notify::new();
        let pipes = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let (Some(to), Some(out), Some(err)) = pipes else {
            return Err(Error::NotStarted("a pipe is missing".to_owned()));
        };
        let mut talk = std::pin::pin!(async {
            tokio::join!(
                feed(to, &head, &command.stdin),
                stdout.read(Stream::Stdout, out, &full, see),
                stderr.read(Stream::Stderr, err, &full, see),
            )
        });
        let mut silent = false;
        let mut end = std::pin::pin!(self.wait(command, &full, stop));
        let (status, killed_because) = loop {
            tokio::select! {
                ended = &mut end => break ended?,
                _ = &mut talk, if !silent => silent = true,
            }
        };
        let escaped = !silent && tokio::time::timeout(LAST_WORDS, talk).await.is_err();
        let ((stdout, cut_out), (stderr, cut_err)) = (stdout.take(), stderr.take());
        let out_of_memory = || status != 0 && group.as_ref().is_some_and(Group::ran_out_of_memory);
        let killed_because = killed_because
            .or_else(|| killed_by_limit(status))
            .or_else(|| out_of_memory().then_some(KilledBecause::Memory));
        let wall = started.elapsed();
        let truncated = cut_out || cut_err;
        judge(Finished { status, stdout, stderr, truncated, wall, killed_because, escaped })
    }

    /// Waits until it ends or must end.
    async fn wait(
        &mut self,
        command: &Command,
        full: &Notify,
        stop: &CancellationToken,
    ) -> Result<(i32, Option<KilledBecause>), Error> {
        let because = tokio::select! {
            status = self.child.wait() => return Ok((code(status)?, None)),
            () = tokio::time::sleep(command.limits.wall) => KilledBecause::Wall,
            () = stop.cancelled() => KilledBecause::Stopped,
            () = full.notified() => KilledBecause::Output,
            () = outgrown(&command.writable, command.limits.disk) => KilledBecause::Disk,
        };
        self.signal();
        if let Ok(status) = tokio::time::timeout(GRACE, self.child.wait()).await {
            return Ok((code(status)?, Some(because)));
        }
        // It hangs, or the command has stopped it: then its part is ours.
        self.kill_descendants();
        self.child.start_kill().map_err(|error| Error::Io("kill the command", error))?;
        Ok((code(self.child.wait().await)?, Some(because)))
    }

    /// Ends the tree. A supervisor does that itself. Bubblewrap's death is that of its namespace, once it has
    /// made one: what it started before that is killed with it, and it is held still to start no more.
    fn signal(&self) {
        // `id` is nothing once the child was reaped, so the number is still its own.
        let Some(top) = self.child.id().map(u32::cast_signed) else { return };
        if self.level != Level::Bubblewrap {
            return send(top, libc::SIGTERM);
        }
        send(top, libc::SIGSTOP);
        // It stops when it next comes out of the kernel. Until then it may be starting a process, which would wait for
        // ever for a word from it.
        let asked = Instant::now();
        while !tree::is_still(top) && asked.elapsed() < UNTIL_STILL {
            std::thread::yield_now();
        }
        for pid in tree::descendants(top) {
            send(pid, libc::SIGKILL);
        }
        send(top, libc::SIGKILL);
    }

    /// Kills until no more are seen, or more often than an honest tree needs.
    fn kill_descendants(&self) {
        let Some(top) = self.child.id() else { return };
        for _ in 0..10 {
            let tree = tree::descendants(top.cast_signed());
            if tree.is_empty() {
                return;
            }
            for pid in tree {
                send(pid, libc::SIGKILL);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal();
    }
}

#[expect(unsafe_code, reason = "std can only send SIGKILL, which a supervisor cannot act on")]
fn send(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: sends a signal to a process whose ancestor was not reaped.
    unsafe { libc::kill(pid, signal) };
}

/// What the init is told, then what the command reads. A command need not read what it is given.
async fn feed(mut pipe: ChildStdin, head: &[u8], stdin: &[u8]) {
    if pipe.write_all(head).await.is_ok() {
        let _ = pipe.write_all(stdin).await;
    }
}

fn code(status: std::io::Result<std::process::ExitStatus>) -> Result<i32, Error> {
    use std::os::unix::process::ExitStatusExt;
    let status = status.map_err(|error| Error::Io("wait for the command", error))?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

fn killed_by_limit(status: i32) -> Option<KilledBecause> {
    match status - 128 {
        libc::SIGXCPU => Some(KilledBecause::Cpu),
        libc::SIGXFSZ => Some(KilledBecause::FileSize),
        _ => None,
    }
}

/// Tells a command that failed from one that never began.
fn judge(finished: Finished) -> Result<Finished, Error> {
    let said = String::from_utf8_lossy(&finished.stderr);
    let of_init = said.strip_prefix(COMPLAINT).filter(|_| finished.status == NOT_STARTED);
    let of_bubblewrap = said.starts_with("bwrap: ").then_some(&*said).filter(|_| finished.status == 1);
    match of_init.or(of_bubblewrap) {
        Some(reason) if finished.killed_because.is_none() => {
            Err(Error::NotStarted(reason.trim_end().to_owned()))
        }
        _ => Ok(finished),
    }
}

/// Returns when the directories hold more than they may.
async fn outgrown(folders: &[PathBuf], cap: Option<u64>) {
    let Some(cap) = cap else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(DISK_WATCH);
    loop {
        ticks.tick().await;
        let folders = folders.to_vec();
        let size = tokio::task::spawn_blocking(move || folders.iter().map(|f| size(f, cap)).sum::<u64>());
        if size.await.unwrap_or(0) > cap {
            return;
        }
    }
}

/// Bytes on disk below a directory, counted no further than the cap. What vanishes meanwhile counts nothing.
fn size(folder: &std::path::Path, cap: u64) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total: u64 = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            total = total.saturating_add(meta.blocks() * 512);
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
        if total > cap {
            return total;
        }
    }
    total
}
