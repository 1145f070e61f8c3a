//! Nothing of a command is left when its run is over, however it ends.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use codeyard::sandbox::{KilledBecause, Level, Limits, Sandbox, Settings};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

use super::{at, levels, run, script, settings};

/// Starts a daemon that leaves its parent and its session, closes its output, and keeps a pipe open: the pipe
/// ends when the last of the tree is dead, and not before.
const DAEMON: &str = "mkfifo pipe; (setsid sh -c 'exec 3<>pipe; exec >/dev/null 2>&1; touch up; exec sleep 1000' &); \
                      while [ ! -e up ]; do :; done; exec 3<>pipe; echo ready; ";

/// Waits until nobody holds the pipe any more.
async fn wait_for_the_last(pipe: &Path) {
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(pipe).unwrap();
    match file.read(&mut [0; 64]) {
        Ok(0) => {}
        // Somebody still holds it; the end of the last of them is an event.
        _ => drop(Receiver::from_file(file).unwrap().read_to_end(&mut Vec::new()).await.unwrap()),
    }
}

async fn gone(sandbox: &Sandbox, level: Level, pipe: &Path) {
    let waited = tokio::time::timeout(Duration::from_secs(10), wait_for_the_last(pipe)).await;
    assert!(waited.is_ok(), "{level:?}: {sandbox:?}");
}

#[tokio::test]
async fn a_daemon_ends_with_the_command_that_started_it() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let finished = run(&sandbox, &script(&format!("{DAEMON} exit 3"), workspace.path())).await.unwrap();
        assert_eq!((finished.status, finished.escaped), (3, false), "{level:?}: {finished:?}");
        gone(&sandbox, level, &workspace.path().join("pipe")).await;
    }
}

#[tokio::test]
async fn a_daemon_ends_when_the_time_is_up() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let limits = Limits { wall: Duration::from_millis(500), ..Limits::default() };
        let command = script(&format!("{DAEMON} exec sleep 1000"), workspace.path()).limits(limits);
        let finished = run(&sandbox, &command).await.unwrap();
        assert_eq!(finished.killed_because, Some(KilledBecause::Wall), "{level:?}: {finished:?}");
        gone(&sandbox, level, &workspace.path().join("pipe")).await;
    }
}

#[tokio::test]
async fn a_daemon_ends_when_the_caller_stops_waiting() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let command = script(&format!("{DAEMON} exec sleep 1000"), workspace.path());
        let (ready, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let never = CancellationToken::new();
        let see = |_, _: &[u8]| ready.send(()).unwrap();
        tokio::select! {
            finished = sandbox.run_seeing(&command, &never, &see) => panic!("{level:?}: {finished:?}"),
            seen = seen.recv() => assert!(seen.is_some()),
        }
        gone(&sandbox, level, &workspace.path().join("pipe")).await;
    }
}

/// Twenty daemons, each of which has left its parent and its session and holds the pipe: two seconds are the bar.
#[tokio::test]
async fn a_whole_tree_is_gone_within_two_seconds_of_the_word() {
    let tree = "mkfifo pipe; n=0; while [ $n -lt 20 ]; do n=$((n+1)); \
                (setsid sh -c 'exec 3<>pipe; exec >/dev/null 2>&1; touch up'$n'; setsid sleep 1000 & exec sleep 1000' &); \
                while [ ! -e up$n ]; do :; done; done; exec 3<>pipe; echo ready; exec sleep 1000";
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let stop = CancellationToken::new();
        let see = |_, _: &[u8]| stop.cancel();
        let command = script(tree, workspace.path());
        let end = async {
            stop.cancelled().await;
            let pipe = workspace.path().join("pipe");
            tokio::time::timeout(Duration::from_secs(2), wait_for_the_last(&pipe)).await
        };
        let (finished, gone) = tokio::join!(sandbox.run_seeing(&command, &stop, &see), end);
        assert!(gone.is_ok(), "{level:?}: somebody is left after two seconds: {finished:?}");
        assert_eq!(finished.unwrap().killed_because, Some(KilledBecause::Stopped), "{level:?}");
    }
}

/// However far the sandbox has come with setting itself up.
#[tokio::test]
async fn a_run_that_is_stopped_while_it_begins_leaves_nobody() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        for step in 0..150 {
            let limits = Limits { wall: Duration::from_micros(step * 80), ..Limits::default() };
            let command = script("exec sleep 1000", workspace.path()).limits(limits);
            // Too early, it may say that it has not begun.
            let _ = run(&sandbox, &command).await;
        }
        let gone = async {
            while somebody_is_in(workspace.path()) {
                tokio::task::yield_now().await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(5), gone).await.is_ok(),
            "{level:?}: somebody is left"
        );
    }
}

/// Whether a process names this place in its command line, as bubblewrap does, or works in it.
fn somebody_is_in(place: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let named = |process: &Path| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(place.to_str().unwrap())
    };
    let works = |process: &Path| std::fs::read_link(process.join("cwd")).is_ok_and(|at| at == place);
    let is_process = |process: &std::path::PathBuf| process.join("cmdline").exists();
    processes.into_iter().filter(is_process).any(|process| named(&process) || works(&process))
}

#[tokio::test]
async fn a_command_that_stops_its_supervisor_ends_all_the_same() {
    let sandbox = at(Level::ProcessOnly);
    let workspace = sandbox.workspace().unwrap();
    let limits = Limits { wall: Duration::from_millis(500), ..Limits::default() };
    let command = script(&format!("{DAEMON} kill -STOP $PPID; exec sleep 1000"), workspace.path());
    let finished = run(&sandbox, &command.limits(limits)).await.unwrap();
    assert_eq!(
        (finished.killed_because, finished.escaped),
        (Some(KilledBecause::Wall), false),
        "{finished:?}"
    );
    gone(&sandbox, Level::ProcessOnly, &workspace.path().join("pipe")).await;
}

/// The server's part in the next test: it runs a command at each level until it is killed.
#[tokio::test]
#[ignore = "only the next test starts it, as a process of its own"]
async fn stand_in_for_a_server() {
    let scratch = std::env::var_os("CODEYARD_TEST_SCRATCH").unwrap();
    let settings = Settings { scratch: scratch.clone().into(), ..settings() };
    let running = levels().into_iter().map(|level| {
        let sandbox = Sandbox::untested(&settings, level).unwrap();
        let told = Path::new(&scratch).join(format!("{level:?}"));
        async move {
            let workspace = sandbox.workspace().unwrap();
            let command = script(&format!("{DAEMON} exec sleep 1000"), workspace.path());
            let see = |_, _: &[u8]| {
                std::os::unix::fs::symlink(workspace.path(), &told).unwrap();
                println!("ready {level:?}");
            };
            sandbox.run_seeing(&command, &CancellationToken::new(), &see).await
        }
    });
    futures::future::join_all(running).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_is_killed() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let mut server = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "sandbox::trees::stand_in_for_a_server"])
        .env("CODEYARD_TEST_SCRATCH", scratch.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(server.stdout.take().unwrap()).lines();
    let mut ready = 0;
    while ready < levels().len() {
        ready += usize::from(lines.next_line().await.unwrap().unwrap().contains("ready "));
    }
    server.kill().await.unwrap();
    let sandbox = at(Level::ProcessOnly);
    for level in levels() {
        gone(&sandbox, level, &scratch.path().join(format!("{level:?}/pipe"))).await;
    }
    let left = || {
        let names = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with("codeyard-sandbox-")).count()
    };
    assert_eq!(left(), levels().len());
    let next = Settings { scratch: scratch.path().into(), ..settings() };
    let (one, _two) = [(); 2].map(|()| Sandbox::untested(&next, Level::ProcessOnly).unwrap()).into();
    assert_eq!(left(), 2, "what the dead left is cleared away, and what the living use is not");
    drop(one);
    assert_eq!(left(), 1);
}

#[tokio::test]
async fn one_run_does_not_end_the_other() {
    for level in levels() {
        let sandbox = at(level);
        let (one, two) = (sandbox.workspace().unwrap(), sandbox.workspace().unwrap());
        let stop = CancellationToken::new();
        let never = CancellationToken::new();
        // The first, with a daemon of its own, ends only when it reads from the pipe after the second was ended.
        let lasting = script(&format!("{DAEMON} read line <&3; exit 5"), one.path());
        let see = |_, _: &[u8]| stop.cancel();
        let second = script(&format!("{DAEMON} exec sleep 1000"), two.path());
        let ended = async {
            let finished = sandbox.run(&second, &stop).await.unwrap();
            std::fs::write(one.path().join("pipe"), "go on\n").unwrap();
            finished
        };
        let (first, second) = tokio::join!(sandbox.run_seeing(&lasting, &never, &see), ended);
        assert_eq!(first.unwrap().status, 5, "{level:?}");
        assert_eq!(second.killed_because, Some(KilledBecause::Stopped), "{level:?}");
    }
}
