//! A build from the request to its files, over HTTP: what it leaves behind, who gets it, and what of it goes when.

use std::io::{Cursor, Read};
use std::time::Duration;

use codeyard::kinds::{Cleanup, request};
use codeyard::model::{JobId, Status};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bucket::Bucket;
use crate::http::analyses::{form, zip as packed};
use crate::support::{SignedIn, TestApp};

const FILES: [&str; 8] = [
    "analysis.json",
    "build.log",
    "project.bundle",
    "project.tar.gz",
    "project.zip",
    "result.json",
    "tests.xml",
    "trajectory.jsonl",
];

fn words(parameters: &Value) -> Value {
    let goal = "a command line tool that counts words in files";
    json!({"project_name": "word-count", "goal": goal, "parameters": parameters})
}

async fn submit(app: &TestApp, who: &SignedIn, build: &Value) -> JobId {
    let accepted = app.post("/api/build/", build).bearer(&who.access).await.expect(202);
    accepted["task_id"].as_str().unwrap().parse().unwrap()
}

async fn built(app: &TestApp, who: &SignedIn, build: &Value) -> JobId {
    let id = submit(app, who, build).await;
    app.until(id, Status::Completed).await;
    id
}

async fn zip_of(app: &TestApp, who: &SignedIn, id: JobId) -> Vec<u8> {
    let answer = app.get(&format!("/api/build/{id}/artifacts/project.zip")).bearer(&who.access).await;
    assert_eq!(answer.status, 200);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_model_a_build_ends_with_a_project_whose_tests_pass() {
    for app in TestApp::on_each_database().await {
        let ann = app.sign_up("ann@example.com").await;
        let id = built(&app, &ann, &words(&json!({"language": "python"}))).await;
        let seen = app.get(&format!("/api/build/{id}")).bearer(&ann.access).await.expect(200);
        let result = &seen["results"];
        assert_eq!(
            (&result["provider"], &result["tests"]["verdict"]),
            (&json!("scaffold"), &json!("passed")),
            "{result}"
        );
        assert!(result["tests"]["summary"]["passed"].as_u64().unwrap() >= 8, "{result}");
        assert!(result["quality_score"].as_f64().unwrap() > 8.0, "{result}");
        assert_eq!(seen["artifacts"].as_array().unwrap().len(), FILES.len());

        let list = app.get(&format!("/api/build/{id}/artifacts")).bearer(&ann.access).await.expect(200);
        let paths: Vec<_> =
            list["artifacts"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
        assert_eq!((paths.as_slice(), &list["total"]), (&FILES[..], &json!(8)));
        for file in list["artifacts"].as_array().unwrap() {
            let answer = app.get(file["url"].as_str().unwrap()).bearer(&ann.access).await;
            assert_eq!(hex::encode(Sha256::digest(&answer.body)), file["sha256"].as_str().unwrap());
            assert_eq!(answer.header("etag"), format!("\"{}\"", file["sha256"].as_str().unwrap()));
            assert!(answer.header("content-disposition").starts_with("attachment; "));
        }
        let mut archive = zip::ZipArchive::new(Cursor::new(zip_of(&app, &ann, id).await)).unwrap();
        let mut readme = String::new();
        archive.by_name("word-count/README.md").unwrap().read_to_string(&mut readme).unwrap();
        assert!(readme.contains("> a command line tool that counts words in files"), "{readme}");

        let names = app.event_names(id).await;
        for name in ["file_changed", "command", "test_result", "artifact"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        let progress: Vec<_> = app.log(id).await.iter().map(|event| event.progress).collect();
        assert!(progress.is_sorted() && progress.last() == Some(&100), "{progress:?}");
        let text = |path: &str| app.get(&format!("/api/v1/jobs/{id}/artifacts/{path}")).bearer(&ann.access);
        let lines = text("trajectory.jsonl").await.text();
        let sorts: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
        assert_eq!((sorts.first(), sorts.last()), (Some(&json!("build")), Some(&json!("end"))), "{lines}");
        assert!(text("build.log").await.text().contains("Ran "));
        assert!(text("tests.xml").await.text().starts_with("<?xml"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_build_gives_the_same_bytes() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    let (one, two) =
        (built(&app, &ann, &words(&json!({}))).await, built(&app, &ann, &words(&json!({}))).await);
    for path in ["project.zip", "project.tar.gz", "project.bundle"] {
        let body =
            async |id| app.get(&format!("/api/v1/jobs/{id}/artifacts/{path}")).bearer(&ann.access).await.body;
        assert_eq!(body(one).await, body(two).await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_can_start_from_files_and_from_a_former_build() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    let files = json!({"files": [{"path": "README.md", "content": "mine\n"}, {"path": "notes/a.txt", "content": "a\n"}]});
    let first = built(&app, &ann, &words(&json!({"source": files}))).await;
    let second = built(&app, &ann, &words(&json!({"source": {"build": first}}))).await;
    for id in [first, second] {
        let mut archive = zip::ZipArchive::new(Cursor::new(zip_of(&app, &ann, id).await)).unwrap();
        let mut text = String::new();
        archive.by_name("word-count/README.md").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "mine\n");
        assert!(
            archive.by_name("word-count/notes/a.txt").is_ok()
                && archive.by_name("word-count/pyproject.toml").is_ok()
        );
    }
    let bob = app.sign_up("bob@example.com").await;
    let stolen = submit(&app, &bob, &words(&json!({"source": {"build": first}}))).await;
    let failed = app.until(stolen, Status::Failed).await;
    assert_eq!(failed.error_code.as_deref(), Some("SOURCE_UNUSABLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_can_start_from_an_archive_that_a_form_sends() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    let archive = packed(&[("README.md", b"mine\n")]);
    let send = async |parts: &[(&str, Option<&str>, &[u8])]| {
        let (kind, body) = form(parts);
        app.ask("POST".parse().unwrap(), "/api/build/").body(&kind, body).bearer(&ann.access).await
    };
    let (name, goal) =
        (("project_name", None, &b"word-count"[..]), ("goal", None, &b"count words in python"[..]));
    let file = ("file", Some("mine.zip"), archive.as_slice());
    let parameters = ("parameters", None, &br#"{"template": "cli"}"#[..]);
    let sent = send(&[name, goal, parameters, ("tag", None, b"nightly"), file]).await.expect(202);
    let id: JobId = sent["task_id"].as_str().unwrap().parse().unwrap();
    app.until(id, Status::Completed).await;
    let mut project = zip::ZipArchive::new(Cursor::new(zip_of(&app, &ann, id).await)).unwrap();
    let mut text = String::new();
    project.by_name("word-count/README.md").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "mine\n");
    let seen = app.get(&format!("/api/build/{id}")).bearer(&ann.access).await.expect(200);
    assert_eq!((&seen["parameters"]["source"], &seen["tags"]), (&json!("upload"), &json!(["nightly"])));

    let field = async |parts: &[(&str, Option<&str>, &[u8])]| {
        send(parts).await.expect(422)["error"]["details"]["fields"][0]["field"].clone()
    };
    assert_eq!(field(&[name, goal]).await, "file");
    assert_eq!(field(&[name, goal, ("file", Some("x"), b"no archive")]).await, "file");
    assert_eq!(field(&[goal, file]).await, "project_name");
    assert_eq!(field(&[name, goal, file, ("colour", None, b"red")]).await, "colour");
    let twice = ("parameters", None, &br#"{"source": {"zip": ""}}"#[..]);
    assert_eq!(field(&[name, goal, file, twice]).await, "parameters.source");
    let none = app.post("/api/build/", words(&json!({"source": "upload"}))).bearer(&ann.access).await;
    assert_eq!(none.expect(422)["error"]["details"]["fields"][0]["field"], "parameters.source");
    let text =
        app.ask("POST".parse().unwrap(), "/api/build/").body("text/plain", "x").bearer(&ann.access).await;
    assert_eq!(text.refused(415), "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_takes_nothing_shows_in_the_status_and_not_in_readiness() {
    let bucket = Bucket::start().await;
    let settings = bucket.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (refuses, status, word) in [(false, "healthy", "healthy"), (true, "degraded", "unhealthy")] {
        bucket.refuse(refuses);
        let app = TestApp::with(&settings).await;
        let seen = app.get("/api/health/status").await.expect(200);
        assert_eq!(seen["status"], status, "{seen}");
        let components = seen["components"].as_array().unwrap();
        let artifacts = components.iter().find(|part| part["name"] == "artifacts").unwrap();
        assert_eq!(artifacts["status"], word, "{seen}");
        app.get("/api/health/ready").await.expect(200);
        assert!(bucket.keys().is_empty(), "the probe is gone again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_build_can_do_is_refused_field_by_field() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    for (parameters, field) in [
        (json!({"langauge": "python"}), "parameters.langauge"),
        (json!({"language": "cobol"}), "parameters.language"),
        (json!({"template": "game"}), "parameters.template"),
        (json!({"provider": "oracle"}), "parameters.provider"),
        (json!({"test_command": " "}), "parameters.test_command"),
        (json!({"limits": {"test_seconds": 0}}), "parameters.limits.test_seconds"),
        (json!({"source": {"files": [{"path": "../x", "content": ""}]}}), "parameters.source"),
        (json!({"source": {"repository": {"url": "file:///etc"}}}), "parameters.source"),
    ] {
        let refused = app.post("/api/build/", words(&parameters)).bearer(&ann.access).await.expect(422);
        assert_eq!(refused["error"]["details"]["fields"][0]["field"], field, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_tags_and_refusals_of_a_file_are_what_http_wants() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    let bob = app.sign_up("bob@example.com").await;
    let id = built(&app, &ann, &words(&json!({}))).await;
    let path = format!("/api/build/{id}/artifacts/project.zip");
    let whole = app.get(&path).bearer(&ann.access).await;
    let etag = whole.header("etag").to_owned();
    assert_eq!((whole.header("accept-ranges"), whole.header("content-type")), ("bytes", "application/zip"));
    assert!(whole.header("repr-digest").starts_with("sha-256=:"));

    let part = async |range: &str| app.get(&path).bearer(&ann.access).header("range", range).await;
    let some = part("bytes=2-5").await;
    assert_eq!((some.status, some.body.as_slice()), (206, &whole.body[2..6]));
    assert_eq!(some.header("content-range"), format!("bytes 2-5/{}", whole.body.len()));
    assert_eq!(part("bytes=-4").await.body, whole.body[whole.body.len() - 4..]);
    let beyond = part("bytes=99999999-").await;
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", whole.body.len()));
    assert_eq!(beyond.refused(416), "RANGE_NOT_SATISFIABLE");
    let stale =
        app.get(&path).bearer(&ann.access).header("range", "bytes=0-1").header("if-range", "\"x\"").await;
    assert_eq!((stale.status, stale.body.len()), (200, whole.body.len()));
    let same = app.get(&path).bearer(&ann.access).header("if-none-match", &etag).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let head = app.ask(axum::http::Method::HEAD, &path).bearer(&ann.access).await;
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, whole.header("content-length"), 0)
    );

    for other in [
        "missing.zip",
        "../result.json",
        "..%2F..%2Fcodeyard.db",
        "%2e%2e/codeyard.db",
        "/etc/passwd",
        "a%00b",
    ] {
        let path = format!("/api/v1/jobs/{id}/artifacts/{other}");
        assert_eq!(app.get(&path).bearer(&ann.access).await.status, 404, "{other}");
    }
    for path in [
        path.clone(),
        format!("/api/build/{id}/artifacts"),
        format!("/api/v1/jobs/{id}/artifacts/project.zip"),
    ] {
        assert_eq!(app.get(&path).bearer(&bob.access).await.refused(404), "NOT_FOUND");
        assert_eq!(app.get(&path).await.refused(401), "UNAUTHENTICATED");
    }
}

async fn clean_up(app: &TestApp) {
    let job = app.app.jobs.submit(request(&Cleanup {}, None).unwrap()).await.unwrap();
    app.until(job.id, Status::Completed).await;
}

fn entries(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_go_with_the_job_deleted_or_old() {
    for app in TestApp::on_each_database_with(&[("retention.jobs_days", "10")]).await {
        let ann = app.sign_up("ann@example.com").await;
        let (artifacts, homes) = (app.data_dir().join("artifacts"), app.data_dir().join("builds"));
        let (deleted, old) =
            (built(&app, &ann, &words(&json!({}))).await, built(&app, &ann, &words(&json!({}))).await);
        assert_eq!((entries(&artifacts), entries(&homes)), (2, 2));
        assert_eq!(app.delete(&format!("/api/v1/jobs/{deleted}")).bearer(&ann.access).await.status, 204);
        assert_eq!((entries(&artifacts), entries(&homes)), (1, 1));
        clean_up(&app).await;
        assert_eq!((entries(&artifacts), entries(&homes)), (1, 0), "a completed build needs no workspace");
        app.app.clock.advance(Duration::from_secs(11 * 24 * 3600));
        clean_up(&app).await;
        assert_eq!(entries(&artifacts), 0, "{old}");
        assert!(app.app.store.artifact_remains(10).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_lost_leaves_nothing_behind() {
    for app in TestApp::on_each_database().await {
        let ann = app.sign_up("ann@example.com").await;
        let id = built(&app, &ann, &words(&json!({}))).await;
        let before = app.app.env.artifacts.list(id).await.unwrap();
        let now = app.app.clock.now();
        let late = app.app.env.artifacts.put((id, 1), "late.txt", "text/plain", "x".into(), now).await;
        assert!(matches!(late, Err(codeyard::artifacts::Error::Lost)), "{late:?}");
        assert_eq!(app.app.env.artifacts.list(id).await.unwrap(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_does_what_the_disk_does() {
    let bucket = Bucket::start().await;
    let settings = bucket.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = TestApp::with(&settings).await;
    let ann = app.sign_up("ann@example.com").await;
    let id = built(&app, &ann, &words(&json!({}))).await;
    assert_eq!(bucket.keys().len(), FILES.len());
    assert!(
        bucket.keys().iter().all(|key| key.starts_with(&format!("some/prefix/{id}/"))),
        "{:?}",
        bucket.keys()
    );
    let whole = zip_of(&app, &ann, id).await;
    let path = format!("/api/build/{id}/artifacts/project.zip");
    let part = app.get(&path).bearer(&ann.access).header("range", "bytes=10-19").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &whole[10..20]));
    bucket.refuse(true);
    assert_eq!(app.get(&path).bearer(&ann.access).await.refused(503), "ARTIFACTS_UNAVAILABLE");
    assert_eq!(app.delete(&format!("/api/v1/jobs/{id}")).bearer(&ann.access).await.status, 204);
    bucket.refuse(false);
    assert!(!bucket.keys().is_empty(), "what could not be removed is still there");
    clean_up(&app).await;
    assert_eq!(bucket.keys(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_while_a_command_runs_leaves_nothing_of_it() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    // A number that no other process has among its arguments.
    let mark = format!("9{}.125", std::process::id());
    let command = format!("echo begun; (setsid sleep {mark} &); sleep {mark}");
    let id = submit(&app, &ann, &words(&json!({"test_command": command}))).await;
    app.until_event(id, "command").await;
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).starts_with(&format!("sleep\0{mark}"))).count()
    };
    let begun = std::time::Instant::now();
    while running() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the command does not begin");
        tokio::task::yield_now().await;
    }
    let asked = std::time::Instant::now();
    app.delete(&format!("/api/build/{id}")).bearer(&ann.access).await.expect(200);
    app.until(id, Status::Cancelled).await;
    assert_eq!(running(), 0);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(entries(&app.data_dir().join("artifacts")), 0);
}
