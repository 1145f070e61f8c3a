//! What goes in and what comes out.

use codeyard::sandbox::{Command, Error, Limits, Network, Stream};
use tokio_util::sync::CancellationToken;

use super::{at, levels, run, script, text};

#[tokio::test]
async fn a_command_gets_its_arguments_and_input_and_its_end_is_told() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let command =
            script("cat; echo \"$1\" >&2; exit 7", workspace.path()).args(["sh", "a b"]).stdin("hello");
        let finished = run(&sandbox, &command).await.unwrap();
        assert_eq!(
            (finished.status, text(&finished.stdout), text(&finished.stderr)),
            (7, "hello", "a b\n"),
            "{level:?}"
        );
        assert_eq!((finished.killed_because, finished.truncated, finished.escaped), (None, false, false));
        assert!(!finished.succeeded());
    }
}

#[tokio::test]
async fn much_input_and_much_output_at_once_do_not_lock() {
    let input = "0123456789abcde\n".repeat(1 << 17);
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let limits = Limits { output: 4 << 20, ..Limits::default() };
        let command = Command::new("cat", workspace.path()).stdin(input.clone()).limits(limits);
        let finished = run(&sandbox, &command).await.unwrap();
        assert!(finished.succeeded(), "{level:?}: {finished:?}");
        assert!(finished.stdout == input.as_bytes());
    }
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_is_no_failure() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let command = Command::new("true", workspace.path()).stdin(vec![b'x'; 1 << 20]);
        assert!(run(&sandbox, &command).await.unwrap().succeeded(), "{level:?}");
    }
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_no_more() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let command = Command::new("env", workspace.path()).env("ANSWER", "42").env("LANG", "de_DE");
        let finished = run(&sandbox, &command).await.unwrap();
        let mut names: Vec<&str> =
            text(&finished.stdout).lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["ANSWER", "HOME", "LANG", "PATH", "TMPDIR"], "{level:?}");
        assert!(text(&finished.stdout).contains("LANG=de_DE\n"));
    }
}

#[tokio::test]
async fn a_workspace_keeps_what_commands_write_and_vanishes_in_the_end() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let path = workspace.path().to_owned();
        std::fs::write(path.join("in"), "from the server").unwrap();
        sandbox.hand_over(&path).unwrap();
        let command =
            script("cat in > out && chmod 600 in && mkdir closed && touch closed/x && chmod 0 closed", &path);
        let finished = run(&sandbox, &command).await.unwrap();
        assert!(finished.succeeded(), "{level:?}: {finished:?}");
        assert_eq!(std::fs::read_to_string(path.join("out")).unwrap(), "from the server");
        drop(workspace);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_an_error_that_says_so() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let command = Command::new("no-such-program", workspace.path());
        let error = run(&sandbox, &command).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotStarted(why) if why.contains("no-such-program")),
            "{level:?}: {error}"
        );
        let mut command = Command::new("true", workspace.path());
        command.cwd = "/no/such/folder".into();
        assert!(matches!(run(&sandbox, &command).await, Err(Error::NotStarted(_))), "{level:?}");
    }
}

#[tokio::test]
async fn output_is_seen_as_it_comes() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let stop = CancellationToken::new();
        // It would never end by itself: what stops it is that its first words were seen.
        let see = |stream: Stream, piece: &[u8]| {
            assert_eq!((stream, piece), (Stream::Stderr, &b"ready\n"[..]));
            stop.cancel();
        };
        let command = script("echo ready >&2; exec sleep 1000", workspace.path());
        let finished = sandbox.run_seeing(&command, &stop, &see).await.unwrap();
        assert_eq!(finished.killed_because, Some(codeyard::sandbox::KilledBecause::Stopped), "{level:?}");
    }
}

#[tokio::test]
async fn a_command_that_may_use_the_network_reaches_it_and_no_other_does() {
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo in");
        let command = Command::new("bash", workspace.path()).args(["-c", &connect]);
        let finished = run(&sandbox, &command).await.unwrap();
        assert!(!finished.succeeded(), "{level:?}: {finished:?}");
        let finished = run(&sandbox, &command.network(Network::Host)).await.unwrap();
        assert_eq!(text(&finished.stdout), "in\n", "{level:?}: {finished:?}");
    }
}

/// What build tools need of a system must be there: processes, threads, temporary files, the runtime's own
/// local sockets.
#[tokio::test]
async fn ordinary_programs_work() {
    let python = "import subprocess, threading, tempfile, ssl
t = threading.Thread(target=lambda: subprocess.run(['true'], check=True)); t.start(); t.join()
tempfile.TemporaryFile().write(b'x')
print('fine')";
    let node = "require('child_process').execFileSync('true'); console.log('fine')";
    for level in levels() {
        let sandbox = at(level);
        let workspace = sandbox.workspace().unwrap();
        for (program, flag, text_) in [("/usr/bin/python3", "-c", python), ("/usr/bin/node", "-e", node)] {
            if std::fs::exists(program).unwrap() {
                let finished =
                    run(&sandbox, &Command::new(program, workspace.path()).args([flag, text_])).await;
                let finished = finished.unwrap();
                assert_eq!(text(&finished.stdout), "fine\n", "{level:?}: {}", text(&finished.stderr));
            }
        }
    }
}

#[tokio::test]
async fn many_commands_run_at_once_and_keep_their_words_apart() {
    for level in levels() {
        let sandbox = at(level);
        let runs = (0..40).map(|number| {
            let sandbox = &sandbox;
            async move {
                let workspace = sandbox.workspace().unwrap();
                let command = script("echo $0; cat", workspace.path()).args([number.to_string()]).stdin("in");
                let finished = run(sandbox, &command).await.unwrap();
                assert_eq!(text(&finished.stdout), format!("{number}\nin"), "{level:?}: {finished:?}");
            }
        });
        futures::future::join_all(runs).await;
    }
}
