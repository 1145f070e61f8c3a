//! Git repositories, really cloned, from servers honest and not.

use std::time::Duration;

use codeyard::model::Status;
use codeyard::source::{Error, Limits, Source, Tree, take_in};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::git_server::{GitServer, Manner};
use super::{paths, skipped};
use crate::sandbox::{at, levels};
use crate::support::TestApp;

fn open() -> Limits {
    Limits { allow_private_addresses: true, ..Limits::default() }
}

async fn clone(url: &str, reference: Option<&str>, limits: &Limits) -> Result<Tree, Error> {
    let sandbox = at(levels()[0]);
    let source = Source::Repository { url: url.to_owned(), reference: reference.map(str::to_owned) };
    take_in(source, limits, &sandbox, &CancellationToken::new(), &|_| ()).await
}

#[tokio::test]
async fn a_repository_is_fetched_at_every_level() {
    let server = GitServer::start(Manner::Honest).await;
    server.write("src/main.py", b"print(1)\n");
    server.write("node_modules/x.js", b"x");
    server.write("logo.png", b"\x89PNG\0");
    let commit = server.publish();
    for level in levels() {
        let sandbox = at(level);
        let source = Source::Repository { url: server.url(), reference: None };
        let notes = std::sync::Mutex::new(Vec::new());
        let note = |text: &str| notes.lock().unwrap().push(text.to_owned());
        let tree = take_in(source, &open(), &sandbox, &CancellationToken::new(), &note).await.unwrap();
        assert_eq!(paths(&tree), ["src/main.py"], "{level:?}");
        assert_eq!(tree.files[0].content, b"print(1)\n");
        assert_eq!(skipped(&tree), [("logo.png", "a binary file"), ("node_modules", "installed packages")]);
        assert_eq!(tree.revision.as_deref(), Some(commit.as_str()));
        assert_eq!(*notes.lock().unwrap(), ["Fetching the repository", "Reading the files"]);
    }
}

#[tokio::test]
async fn a_branch_a_tag_and_a_commit_can_be_named() {
    let server = GitServer::start(Manner::Honest).await;
    server.write("a.py", b"1");
    let first = server.publish();
    server.git("work", &["tag", "-a", "v1", "-m", "x"]);
    server.git("work", &["checkout", "--quiet", "-b", "feature/x"]);
    server.write("a.py", b"2");
    server.publish();
    server.git("work", &["checkout", "--quiet", "main"]);
    server.write("a.py", b"3");
    let third = server.publish();
    let url = server.url();
    for (reference, content) in [
        (None, b"3"),
        (Some("main"), b"3"),
        (Some("v1"), b"1"),
        (Some("feature/x"), b"2"),
        (Some(third.as_str()), b"3"),
        (Some(first.as_str()), b"1"),
    ] {
        let tree = clone(&url, reference, &open()).await.unwrap();
        assert_eq!(tree.files[0].content, content, "{reference:?}");
    }
    let error = clone(&url, Some("nowhere"), &open()).await.unwrap_err();
    assert_eq!(error.to_string(), "the repository has no such branch, tag or commit");
    assert!(error.is_callers_fault());
}

#[tokio::test]
async fn links_submodules_and_hooks_of_a_repository_are_nothing_but_notes() {
    let server = GitServer::start(Manner::Honest).await;
    server.write("a.py", b"x");
    std::os::unix::fs::symlink("/etc/passwd", server.work().join("link.py")).unwrap();
    server.write(".gitmodules", b"[submodule \"m\"]\n\tpath = m\n\turl = http://127.0.0.1:1/m\n");
    server.write(".gitattributes", b"*.py filter=evil\n");
    let commit = server.publish();
    server.git("work", &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},m")]);
    server.git("work", &["commit", "--quiet", "--message=m"]);
    server.serve();
    let tree = clone(&server.url(), None, &open()).await.unwrap();
    assert_eq!(paths(&tree), [".gitattributes", ".gitmodules", "a.py"]);
    assert_eq!(tree.files[2].content, b"x");
    assert_eq!(
        skipped(&tree),
        [
            ("link.py", "a symbolic link; links are not followed"),
            ("m", "a submodule; submodules are not fetched")
        ]
    );
}

#[tokio::test]
async fn the_caps_hold_for_a_repository() {
    let server = GitServer::start(Manner::Honest).await;
    let noise: Vec<u8> = (0..400_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    server.write("a.txt", b"12");
    server.write("b.txt", b"34");
    server.write("noise.bin", &noise);
    server.publish();
    for (limits, setting) in [
        (Limits { max_files: 1, ..open() }, "intake.max_files"),
        (Limits { max_total_bytes: 3, max_file_bytes: 2, ..open() }, "intake.max_total_bytes"),
        (Limits { max_archive_entries: 2, ..open() }, "intake.max_archive_entries"),
        (Limits { max_clone_bytes: 500_000, ..open() }, "intake.max_clone_bytes"),
    ] {
        let error = clone(&server.url(), None, &limits).await.unwrap_err();
        assert!(error.to_string().contains(setting), "{setting}: {error}");
        assert!(error.is_callers_fault());
    }
    let tree = clone(&server.url(), None, &Limits { max_file_bytes: 10, ..open() }).await.unwrap();
    assert_eq!(skipped(&tree), [("noise.bin", "larger than 10 bytes (intake.max_file_bytes)")]);
}

/// Ten folders that each hold the next ten times over: ten thousand million files in eleven objects.
#[tokio::test]
async fn a_tree_that_multiplies_itself_is_refused_by_its_entries() {
    let server = GitServer::start(Manner::Honest).await;
    server.write("a", b"x");
    server.publish();
    let mut object = server.git("work", &["rev-parse", "HEAD:a"]);
    for depth in 0..10 {
        let (mode, kind) = if depth == 0 { ("100644", "blob") } else { ("040000", "tree") };
        let list: String = (0..10).map(|n| format!("{mode} {kind} {object}\t{n}\n")).collect();
        let file = server.work().join("list");
        std::fs::write(&file, list).unwrap();
        let script = "git mktree < list";
        let made = std::process::Command::new("sh").args(["-c", script]).current_dir(server.work()).output();
        object = String::from_utf8(made.unwrap().stdout).unwrap().trim().to_owned();
    }
    let commit = server.git("work", &["commit-tree", &object, "-m", "bomb"]);
    server.git("work", &["update-ref", "refs/heads/main", &commit]);
    server.serve();
    let error = clone(&server.url(), None, &open()).await.unwrap_err();
    assert!(error.to_string().contains("intake.max_archive_entries"), "{error}");
}

#[tokio::test]
async fn a_private_address_is_refused_and_never_asked() {
    let server = GitServer::start(Manner::Honest).await;
    server.publish();
    let url = server.url().replace("http:", "https:");
    let error = clone(&url, None, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error}");
    // A name that means a private address is refused as well, once it is resolved.
    let named = format!("https://localhost:{}/project.git", server.port);
    let error = clone(&named, None, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

/// Git itself could not find this name: it goes where the check said, or nowhere.
#[tokio::test]
async fn a_name_means_the_address_that_was_checked() {
    let server = GitServer::start(Manner::Honest).await;
    server.write("a.py", b"x");
    server.publish();
    let url = server.url().replace("127.0.0.1", "git.example.test");
    let hosts = vec![("git.example.test".to_owned(), [127, 0, 0, 1].into())];
    let tree = clone(&url, None, &Limits { hosts: hosts.clone(), ..open() }).await.unwrap();
    assert_eq!(paths(&tree), ["a.py"]);
    let url = url.replace("http:", "https:");
    let error = clone(&url, None, &Limits { hosts, ..Limits::default() }).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error}");
}

#[tokio::test]
async fn https_works_at_every_level_with_a_certificate_that_is_trusted_and_with_no_other() {
    let (server, certificate) = GitServer::start_tls(Manner::Honest).await;
    server.write("a.py", b"x");
    server.publish();
    let url = format!("https://git.example.test:{}/project.git", server.port);
    let hosts = vec![("git.example.test".to_owned(), [127, 0, 0, 1].into())];
    let unknown = Limits { hosts, ..open() };
    let trusted = Limits { git_ca_file: Some(certificate), ..unknown.clone() };
    for level in levels() {
        let sandbox = at(level);
        let source = Source::Repository { url: url.clone(), reference: None };
        let never = CancellationToken::new();
        let tree = take_in(source.clone(), &trusted, &sandbox, &never, &|_| ()).await.unwrap();
        assert_eq!(paths(&tree), ["a.py"], "{level:?}");
        let asked = server.asked().len();
        let error = take_in(source, &unknown, &sandbox, &never, &|_| ()).await.unwrap_err();
        assert!(error.to_string().contains("intake.git_ca_file"), "{level:?}: {error}");
        assert_eq!(server.asked().len(), asked);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_to_anywhere() {
    let inner = GitServer::start(Manner::Honest).await;
    inner.publish();
    let outer = GitServer::start(Manner::Redirects(format!("{}/info/refs", inner.url()))).await;
    let error = clone(&outer.url(), None, &open()).await.unwrap_err();
    assert!(error.to_string().contains("redirects elsewhere"), "{error}");
    assert!(error.is_callers_fault());
    assert_eq!(outer.asked().len(), 1);
    assert_eq!(inner.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_insists_on_the_suffix_gets_it() {
    let server = GitServer::start(Manner::RedirectsToSuffix).await;
    server.write("a.py", b"x");
    server.publish();
    let tree = clone(server.url().trim_end_matches(".git"), None, &open()).await.unwrap();
    assert_eq!(paths(&tree), ["a.py"]);
}

/// Without the protocol a server could name other servers to fetch from (`info/http-alternates`).
#[tokio::test]
async fn a_server_without_the_protocol_is_not_followed() {
    let inner = GitServer::start(Manner::Dumb).await;
    inner.publish();
    let outer = GitServer::start(Manner::Dumb).await;
    outer.publish();
    let info = outer.work().join("../project.git/objects/info");
    std::fs::create_dir_all(&info).unwrap();
    std::fs::write(info.join("http-alternates"), format!("{}/objects\n", inner.url())).unwrap();
    let error = clone(&outer.url(), None, &open()).await.unwrap_err();
    assert!(matches!(error, Error::Remote { transient: false, .. }), "{error}");
    assert_eq!(inner.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_repository_that_is_not_there_says_so_and_one_that_fails_may_be_tried_again() {
    let missing = GitServer::start(Manner::Honest).await;
    let error = clone(&missing.url(), None, &open()).await.unwrap_err();
    assert!(error.is_callers_fault() && error.to_string().contains("no such repository"), "{error}");
    for (status, transient) in [(401, false), (403, false), (404, false), (500, true), (503, true)] {
        let server = GitServer::start(Manner::Status(status)).await;
        let error = clone(&server.url(), None, &open()).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{status}: {error}");
        assert_eq!(error.is_callers_fault(), !transient, "{status}: {error}");
        assert!(!error.to_string().contains("/tmp/"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_when_the_time_is_up() {
    let server = GitServer::start(Manner::Silent).await;
    let limits = Limits { git_timeout: Duration::from_millis(500), ..open() };
    let error = clone(&server.url(), None, &limits).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { setting: "intake.git_timeout_seconds", .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_fetch_stops_when_it_is_asked_to() {
    let server = GitServer::start(Manner::Silent).await;
    let sandbox = at(levels()[0]);
    let stop = CancellationToken::new();
    let note = |text: &str| assert_eq!(text, "Fetching the repository");
    let source = Source::Repository { url: server.url(), reference: None };
    let limits = open();
    let fetching = take_in(source, &limits, &sandbox, &stop, &note);
    let stopping = async {
        while server.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (answer, ()) = tokio::join!(fetching, stopping);
    assert!(matches!(answer, Err(Error::Cancelled)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_is_compared_with_another_commit_of_its_repository() {
    let server = GitServer::start(Manner::Honest).await;
    server.write("a.py", b"eval(a)\nexec(b)\n");
    server.write("old/c.py", b"eval(c)\n");
    let first = server.publish();
    server.write("a.py", b"import os\neval(a)\nos.system('ls ' + c)\n");
    server.write("codeyard.toml", b"[analysis]\nexclude = ['old/']\n");
    let second = server.publish();
    let app = TestApp::with(&[("intake.allow_private_addresses", "true")]).await;
    let ann = app.sign_up("ann@example.com").await;
    let submit = async |reference: &str, status| {
        let baseline = format!("ref:{reference}");
        let asked = json!({"repository": {"url": server.url()}, "options": {"baseline": baseline}});
        let sent = app.post("/api/analysis/", asked).bearer(&ann.access).await.expect(202);
        app.until(sent["task_id"].as_str().unwrap().parse().unwrap(), status).await
    };
    let job = submit(&first, Status::Completed).await;
    let report = app.get(&format!("/api/analysis/{}", job.id)).bearer(&ann.access).await.expect(200);
    assert_eq!(report["revision"], second);
    let baseline = &report["baseline"];
    assert_eq!(baseline["against"], format!("commit {first}"));
    let counts = ["new", "unchanged", "moved"].map(|state| baseline[state].as_u64().unwrap());
    assert_eq!(counts, [1, 0, 1], "{baseline}");
    assert_eq!(baseline["fixed"].as_array().unwrap().len(), 1, "what is excluded is so in both commits");
    assert_eq!(report["gate"]["conditions"][0]["found"], "1 new finding is high or worse");

    let failed = submit("nowhere", Status::Failed).await;
    assert_eq!(failed.error_code.as_deref(), Some("SOURCE_UNUSABLE"));
    let hostile =
        json!({"repository": {"url": server.url()}, "options": {"baseline": "ref:--upload-pack=id"}});
    let refused = app.post("/api/analysis/", hostile).bearer(&ann.access).await.expect(422);
    assert_eq!(refused["error"]["details"]["fields"][0]["field"], "options.baseline");
}
