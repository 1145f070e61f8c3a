//! How much a command may use.

use std::time::Duration;

use codeyard::sandbox::{Command, Finished, KilledBecause, Level, Limits, Overflow, Sandbox};

use super::{at, levels, run, script, settings, text};

async fn limited(level: Level, text: &str, limits: &Limits) -> Finished {
    let sandbox = at(level);
    let workspace = sandbox.workspace().unwrap();
    let finished = run(&sandbox, &script(text, workspace.path()).limits(limits.clone())).await.unwrap();
    assert!(!finished.escaped, "{level:?}: {finished:?}");
    finished
}

#[tokio::test]
async fn the_end_of_a_long_output_is_kept() {
    let limits = Limits { output: 12, ..Limits::default() };
    for level in levels() {
        let finished = limited(level, "seq 1 100000; echo error >&2", &limits).await;
        assert_eq!(
            (text(&finished.stdout), text(&finished.stderr)),
            ("9999\n100000\n", "error\n"),
            "{level:?}"
        );
        assert!(finished.truncated && finished.succeeded());
    }
}

#[tokio::test]
async fn an_output_of_use_only_as_a_whole_ends_the_command() {
    let limits = Limits { output: 4, overflow: Overflow::Kill, ..Limits::default() };
    for level in levels() {
        let finished = limited(level, "yes", &limits).await;
        assert_eq!(
            (text(&finished.stdout), finished.killed_because),
            ("y\ny\n", Some(KilledBecause::Output)),
            "{level:?}"
        );
        let finished = limited(level, "echo abc", &limits).await;
        assert_eq!((finished.truncated, finished.killed_because), (false, None));
    }
}

#[tokio::test]
async fn time_ends() {
    let limits = Limits { wall: Duration::from_millis(100), ..Limits::default() };
    for level in levels() {
        let finished = limited(level, "exec sleep 1000", &limits).await;
        assert_eq!(finished.killed_because, Some(KilledBecause::Wall), "{level:?}");
    }
}

#[tokio::test]
async fn processor_time_ends() {
    let limits = Limits { cpu: Some(Duration::from_secs(1)), ..Limits::default() };
    for level in levels() {
        let finished = limited(level, "while :; do :; done", &limits).await;
        assert_eq!(finished.killed_because, Some(KilledBecause::Cpu), "{level:?}: {finished:?}");
    }
}

#[tokio::test]
async fn a_file_and_all_files_together_stay_small() {
    let limits = Limits { file_size: Some(1 << 20), disk: Some(3 << 20), ..Limits::default() };
    for level in levels() {
        let finished = limited(level, "exec head -c 2000000 /dev/zero > x", &limits).await;
        assert_eq!(finished.killed_because, Some(KilledBecause::FileSize), "{level:?}: {finished:?}");
        let many =
            "n=0; while [ $n -lt 8 ]; do head -c 1000000 /dev/zero > $n; n=$((n+1)); done; exec sleep 1000";
        let finished = limited(level, many, &limits).await;
        assert_eq!(finished.killed_because, Some(KilledBecause::Disk), "{level:?}: {finished:?}");
    }
}

/// `tail` keeps a line that does not end in its memory.
#[tokio::test]
async fn memory_is_refused_beyond_the_limit() {
    let limits = Limits { memory: Some(64 << 20), ..Limits::default() };
    for level in levels() {
        for (bytes, works) in [(1 << 20, true), (200 << 20, false)] {
            let finished =
                limited(level, &format!("head -c {bytes} /dev/zero | tail > /dev/null"), &limits).await;
            assert_eq!(finished.succeeded(), works, "{level:?}: {finished:?}");
        }
    }
}

/// Landlock hides what says so, but the init that writes it is the same.
#[tokio::test]
async fn when_the_machine_runs_out_of_memory_a_command_goes_first() {
    for level in levels().into_iter().filter(|level| *level != Level::Landlock) {
        let finished = limited(level, "cat /proc/self/oom_score_adj", &Limits::default()).await;
        assert_eq!(text(&finished.stdout), "1000\n", "{level:?}: {finished:?}");
    }
}

#[tokio::test]
async fn memory_of_all_processes_together_is_limited_where_there_are_control_groups() {
    let sandbox = Sandbox::detect(&settings()).await.unwrap();
    if !sandbox.report().notes.iter().any(|note| note.contains("control groups")) {
        eprintln!("no control groups can be made here");
        return;
    }
    let workspace = sandbox.workspace().unwrap();
    // Each of the four has less than it may, all of them have more.
    let script = "import os, sys, time
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        held = b'x' * (150 << 20)
        time.sleep(2)
        os._exit(0)
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))";
    let limits = Limits { memory: Some(400 << 20), ..Limits::default() };
    let command = Command::new("python3", workspace.path()).args(["-c", script]).limits(limits);
    let finished = run(&sandbox, &command).await.unwrap();
    assert_eq!(finished.killed_because, Some(KilledBecause::Memory), "{finished:?}");
}
