//! The embedded database's disk is full, or cannot be written, or belongs to somebody else.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::client::{Client, TRUTH, some_code};
use super::server::{Recipe, Server};
use super::{eventually, holds};

/// Ignores the signal that comes with a file that grows too large, as shells can say and Rust's std cannot.
const IGNORE_SIGXFSZ: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

#[tokio::test]
async fn a_full_disk_turns_submits_away_whole_and_room_lets_them_in_again() {
    let dir = tempfile::tempdir().unwrap();
    // A small disk that only this process has; it goes away with it.
    let mount = format!("mount -t tmpfs -o size=24m codeyard-test '{}' && exec \"$@\"", dir.path().display());
    if !can_unshare().await {
        return eprintln!("skipped: this user may not mount a disk of its own");
    }
    let recipe = Recipe::embedded(dir.path(), &[]).through(&["unshare", "--mount", "sh", "-c", &mount, "sh"]);
    let server = recipe.start().await;
    let client = Client::register(server.url()).await;
    let before = completed(&client, &server, 1).await;
    // The disk as the process sees it.
    let filler = format!("/proc/{}/root{}/filler", server.pid(), dir.path().display());

    fill(Path::new(&filler));
    let refused = until_refused(&client, &server).await;
    still_reads(&client, &server, &before, refused.accepted.len()).await;

    std::fs::remove_file(&filler).unwrap();
    recovers(&client, &server, refused).await;
}

#[tokio::test]
async fn a_database_that_cannot_be_written_turns_submits_away_whole_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let server = Recipe::embedded(dir.path(), &[]).through(&IGNORE_SIGXFSZ).start().await;
    let client = Client::register(server.url()).await;
    let before = completed(&client, &server, 1).await;

    limit_files(&server, "1").await;
    let refused = until_refused(&client, &server).await;
    assert!(refused.accepted.is_empty(), "accepted although nothing can be written: {:?}", refused.accepted);
    still_reads(&client, &server, &before, 0).await;

    limit_files(&server, "unlimited").await;
    recovers(&client, &server, refused).await;
}

#[tokio::test]
async fn a_second_process_on_the_same_data_directory_is_refused_and_told_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = Recipe::embedded(dir.path(), &[]);
    let first = recipe.start().await;

    let Err((status, said)) = recipe.try_start().await else { panic!("two processes on one directory") };

    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("another process uses the data directory"), "{said}");
    assert!(said.contains(dir.path().to_str().unwrap()) && said.contains("CODEYARD_DATABASE_URL"), "{said}");
    let client = Client::register(first.url()).await;
    completed(&client, &first, 1).await;
    first.kill().await;
    recipe.start().await.kill().await;
}

#[tokio::test]
async fn a_read_only_data_directory_is_refused_with_a_message_that_names_it() {
    if !can_unshare().await {
        return eprintln!("skipped: this user may not mount a disk of its own");
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o ro codeyard-test '{}' && exec \"$@\"", dir.path().display());
    let recipe = Recipe::embedded(dir.path(), &[]).through(&["unshare", "--mount", "sh", "-c", &mount, "sh"]);

    let Err((status, said)) = recipe.try_start().await else { panic!("it started without writing anything") };

    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains(dir.path().to_str().unwrap()), "the message names no directory: {said}");
}

/// What became of submits while nothing could be written.
struct Refused {
    accepted: Vec<String>,
    key: String,
    number: usize,
}

/// Submits until one is turned away, as a disk that is full has room for a few bytes more.
async fn until_refused(client: &Client, server: &Server) -> Refused {
    let mut accepted = Vec::new();
    for number in 0..500 {
        let key = format!("full-{number}");
        let reply = client.try_submit(server.url(), &key, &some_code(number)).await.unwrap();
        if !reply.was_accepted() {
            return Refused { accepted, key, number };
        }
        accepted.push(reply.accepted());
    }
    panic!("500 submits were accepted by a server that cannot write");
}

/// Reads are answered as before, and what was turned away has left nothing behind.
async fn still_reads(client: &Client, server: &Server, before: &str, accepted: usize) {
    client.get(server.url(), "/api/health/").await.expect(200);
    let seen = client.get(server.url(), &format!("/api/analysis/{before}")).await.expect(200);
    assert_eq!(seen["status"], "completed", "{seen}");
    assert!(seen["quality_score"].is_number(), "{seen}");
    let listed = client.get(server.url(), "/api/analysis/").await.expect(200);
    assert_eq!(listed["total"], accepted + 1, "half-written: {listed}");
}

/// The same request under the same key is one job now, and everything accepted completes.
async fn recovers(client: &Client, server: &Server, refused: Refused) {
    let Refused { mut accepted, key, number } = refused;
    let job = eventually(TRUTH, "a submit is accepted again", async || {
        let reply = client.try_submit(server.url(), &key, &some_code(number)).await.unwrap();
        if reply.was_accepted() { Ok(reply.accepted()) } else { Err(format!("{reply:?}")) }
    })
    .await;
    accepted.push(job);
    for job in &accepted {
        let end = client.until(server.url(), job, &["completion", "error"]).await;
        assert_eq!(end["status"], "completed", "{end}");
        client.log(server.url(), job).await;
    }
    let listed = client.get(server.url(), "/api/analysis/").await.expect(200);
    assert_eq!(listed["total"], accepted.len() + 1, "{listed}");
    eventually(Duration::from_secs(5), "it says that it is ready", async || {
        let reply = client.get(server.url(), "/api/health/ready").await;
        holds(reply.status == 200, format!("{reply:?}"))
    })
    .await;
}

/// Submits an analysis and waits until it has completed.
async fn completed(client: &Client, server: &Server, number: usize) -> String {
    let job = client.submit(server.url(), &some_code(number)).await;
    let end = client.until(server.url(), &job, &["completion", "error"]).await;
    assert_eq!(end["status"], "completed", "{end}");
    job
}

/// Writes until there is no room.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 10, 1] {
        while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
    }
}

/// Sets how large files may be that the process writes to.
async fn limit_files(server: &Server, bytes: &str) {
    let (pid, limit) = (server.pid().to_string(), format!("--fsize={bytes}:"));
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().await.unwrap();
    assert!(status.success(), "{status}");
}

async fn can_unshare() -> bool {
    let asked = Command::new("unshare").args(["--mount", "true"]).output().await;
    asked.is_ok_and(|out| out.status.success())
}
