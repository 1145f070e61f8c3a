//! What a command tries that it must not.

use std::os::unix::fs::PermissionsExt;

use codeyard::sandbox::{Command, Level, Sandbox, Settings, TierReport};
use tokio_util::sync::CancellationToken;

use super::{at, levels, run, script, settings, text};

fn broken(report: &TierReport) -> Vec<&str> {
    report.checks.iter().filter(|check| !check.held).map(|check| check.name.as_str()).collect()
}

#[tokio::test]
async fn every_attack_fails_at_both_strong_levels() {
    for level in levels().into_iter().filter(|level| *level > Level::ProcessOnly) {
        let report = at(level).self_test().await;
        assert!(report.holds, "{level:?}: {report:#?}");
        let checks = if level == Level::Bubblewrap { 24 } else { 19 };
        assert_eq!(report.checks.len(), checks, "{report:#?}");
    }
}

/// This is also the proof that the attacks are real: where nothing stops them, they succeed.
#[tokio::test]
async fn a_plain_process_limits_but_does_not_hide() {
    let report = at(Level::ProcessOnly).self_test().await;
    let broken = broken(&report);
    assert!(broken.contains(&"reads_host_secret") && broken.contains(&"writes_server_files"), "{report:#?}");
    for held in [
        "works_at_all",
        "own_environment_is_clean",
        "gains_privileges",
        "exceeds_memory",
        "exceeds_file_size",
        "exceeds_processes",
        "exceeds_time",
        "daemon_survives",
    ] {
        assert!(!broken.contains(&held), "{held}: {report:#?}");
    }
}

#[tokio::test]
async fn the_strongest_level_that_holds_is_taken_and_the_operator_may_lower_it() {
    let sandbox = Sandbox::detect(&settings()).await.unwrap();
    assert_eq!(sandbox.level(), levels()[0], "{:#?}", sandbox.report());
    assert!(sandbox.report().tiers.last().unwrap().holds);
    let lowered = Settings { strongest: Level::ProcessOnly, ..settings() };
    let sandbox = Sandbox::detect(&lowered).await.unwrap();
    assert_eq!(sandbox.level(), Level::ProcessOnly);
    assert!(!sandbox.report().tiers[0].holds);
    assert!(sandbox.report().notes.iter().any(|note| note.contains("plain processes")));
}

#[tokio::test]
async fn without_bubblewrap_the_next_level_is_taken() {
    let hidden = Settings { search_path: "/nowhere".into(), ..settings() };
    let sandbox = Sandbox::detect(&hidden).await.unwrap();
    assert_eq!(sandbox.level(), Level::Landlock, "{:#?}", sandbox.report());
    assert!(!sandbox.report().tiers[0].holds);
    assert!(sandbox.report().notes.iter().any(|note| note.contains("install it")));
}

/// As in a container that may not make namespaces.
#[tokio::test]
async fn where_bubblewrap_cannot_work_the_report_says_why_and_the_next_level_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let fake = folder.path().join("bwrap");
    std::fs::write(&fake, "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
        .unwrap();
    std::fs::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
    let search_path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path().display());
    let sandbox = Sandbox::detect(&Settings { search_path, ..settings() }).await.unwrap();
    assert_eq!(sandbox.level(), Level::Landlock, "{:#?}", sandbox.report());
    let first = &sandbox.report().tiers[0];
    assert_eq!((first.level, first.holds), (Level::Bubblewrap, false));
    assert!(first.checks[0].detail.contains("No permissions"), "{first:#?}");
}

#[tokio::test]
async fn the_servers_environment_is_out_of_reach() {
    let own = std::fs::read("/proc/self/environ").unwrap();
    // Of these the command has its own, which may be the same.
    let given =
        |line: &&[u8]| [&b"PATH="[..], b"HOME=", b"TMPDIR=", b"LANG="].iter().any(|n| line.starts_with(n));
    let lines = own.split(|byte| *byte == 0).filter(|line| line.len() > 8);
    let secrets: Vec<&[u8]> = lines.filter(|line| !given(line)).collect();
    assert!(!secrets.is_empty());
    for level in levels().into_iter().filter(|level| *level > Level::ProcessOnly) {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let command = script("cat /proc/[0-9]*/environ; echo tried", workspace.path());
        let finished = run(&sandbox, &command).await.unwrap();
        assert!(finished.stdout.ends_with(b"tried\n"));
        for secret in &secrets {
            let leaked = finished.stdout.windows(secret.len()).any(|window| window == *secret);
            assert!(!leaked, "{level:?}: {}", text(secret));
        }
    }
}

/// What whoever started the server has left open is not even in the hands of bubblewrap and its like.
#[tokio::test]
#[expect(unsafe_code, reason = "std lets nothing be inherited")]
async fn nothing_that_the_server_holds_open_is_inherited() {
    use std::os::fd::AsRawFd;
    let file = tempfile::NamedTempFile::new().unwrap();
    // SAFETY: clears a flag of a descriptor of this process.
    assert_eq!(unsafe { libc::fcntl(file.as_file().as_raw_fd(), libc::F_SETFD, 0) }, 0);
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let stop = CancellationToken::new();
        let holders = std::sync::Mutex::new(Vec::new());
        let see = |_, _: &[u8]| {
            holders.lock().unwrap().extend(processes_holding(file.path()));
            stop.cancel();
        };
        let command = script("echo ready; exec sleep 1000", workspace.path());
        sandbox.run_seeing(&command, &stop, &see).await.unwrap();
        assert_eq!(*holders.lock().unwrap(), [std::process::id().to_string()], "{level:?}");
    }
}

fn processes_holding(path: &std::path::Path) -> Vec<String> {
    let holds = |process: &std::path::Path| {
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        open.map(|entry| std::fs::read_link(entry.path())).any(|at| at.is_ok_and(|at| at == path))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let named = processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    named.filter(|entry| holds(&entry.path())).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn the_servers_files_are_out_of_reach() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "password").unwrap();
    std::fs::set_permissions(secret.path(), PermissionsExt::from_mode(0o644)).unwrap();
    let path = secret.path().to_str().unwrap();
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let link = workspace.path().join("link");
        std::os::unix::fs::symlink(path, &link).unwrap();
        let direct = run(&sandbox, &Command::new("cat", workspace.path()).args([path])).await.unwrap();
        let through_link =
            run(&sandbox, &Command::new("cat", workspace.path()).args(["link"])).await.unwrap();
        let hidden = level > Level::ProcessOnly;
        for finished in [direct, through_link] {
            assert_eq!(finished.stdout.is_empty(), hidden, "{level:?}: {finished:?}");
        }
        if hidden {
            let finished = run(&sandbox, &Command::new("cat", workspace.path()).args(["/etc/shadow"])).await;
            assert_eq!(finished.unwrap().stdout, b"");
        }
    }
}

#[tokio::test]
async fn one_workspace_is_out_of_reach_of_another() {
    for level in levels().into_iter().filter(|level| *level > Level::ProcessOnly) {
        let sandbox = at(level);
        let (one, two) = (sandbox.workspace().unwrap(), sandbox.workspace().unwrap());
        std::fs::write(one.path().join("mine"), "x").unwrap();
        sandbox.hand_over(one.path()).unwrap();
        let command = script(&format!("cat {0}/mine; touch {0}/yours", one.path().display()), two.path());
        let finished = run(&sandbox, &command).await.unwrap();
        assert_eq!(finished.stdout, b"", "{level:?}");
        assert!(!one.path().join("yours").exists(), "{level:?}");
        // It is there for whom it was given to.
        let mut command = script(&format!("cat {}/mine", one.path().display()), two.path());
        command.readable.push(one.path().to_owned());
        assert_eq!(run(&sandbox, &command).await.unwrap().stdout, b"x", "{level:?}");
    }
}

/// A root server may lie where only root can go: in its home, say. Its commands run as another user.
#[tokio::test]
async fn a_server_in_a_closed_folder_starts_its_commands_all_the_same() {
    let closed = tempfile::tempdir().unwrap();
    let init = closed.path().join("codeyard");
    std::fs::copy(settings().init, &init).unwrap();
    for level in levels() {
        let sandbox = Sandbox::untested(&Settings { init: init.clone(), ..settings() }, level).unwrap();
        let workspace = sandbox.workspace().unwrap();
        let finished = run(&sandbox, &Command::new("true", workspace.path())).await.unwrap();
        assert!(finished.succeeded(), "{level:?}: {finished:?}");
    }
}

/// This test binary, for one, which would run tests by those names.
#[tokio::test]
async fn a_program_that_is_not_ours_is_never_started_as_the_init() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let started = folder.path().join("started");
    let script = format!("#!/bin/sh\n[ \"$2\" = greet ] || touch {}\n", started.display());
    std::fs::write(&other, script).unwrap();
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o755)).unwrap();
    let sandbox = Sandbox::detect(&Settings::new(other)).await.unwrap();
    assert_eq!(sandbox.level(), Level::ProcessOnly);
    assert!(sandbox.report().tiers.iter().all(|tier| !tier.holds), "{:#?}", sandbox.report());
    let command = Command::new("true", folder.path());
    let error = run(&sandbox, &command).await.unwrap_err();
    assert!(error.to_string().contains("knows no `sandbox-init`"), "{error}");
    assert!(!started.exists());
}
