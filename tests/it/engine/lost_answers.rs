//! A commit whose answer never arrives has happened all the same: nothing may be written twice for it, and a job whose
//! claim got lost that way must not wait for its deadline.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use codeyard::model::Status;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::TestApp;
use crate::support::postgres::TestDatabase;
use crate::support::stage::Stage;

const JOBS: usize = 8;

/// Stands between Codeyard and PostgreSQL and, once it is armed, hangs up instead of passing on every third word that
/// a transaction was committed.
#[derive(Default)]
struct Wire {
    armed: std::sync::atomic::AtomicBool,
    commits: AtomicU32,
    cut: AtomicU32,
}

impl Wire {
    fn listen(self: &Arc<Self>, socket: &Path, server: &Path) {
        let listener = UnixListener::bind(socket).unwrap();
        let (wire, server) = (Arc::clone(self), server.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (wire, server) = (Arc::clone(&wire), server.clone());
                tokio::spawn(
                    async move { wire.carry(client, UnixStream::connect(server).await.unwrap()).await },
                );
            }
        });
    }

    async fn carry(&self, client: UnixStream, server: UnixStream) {
        let (mut asks, mut hears) = client.into_split();
        let (mut answers, mut obeys) = server.into_split();
        let answering = async {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = answers.read(&mut chunk).await {
                if self.cuts(&chunk[..length]) || hears.write_all(&chunk[..length]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = tokio::io::copy(&mut asks, &mut obeys) => {}
            () = answering => {}
        }
    }

    fn cuts(&self, answer: &[u8]) -> bool {
        if !self.armed.load(Ordering::Relaxed) || !answer.windows(7).any(|word| word == b"COMMIT\0") {
            return false;
        }
        let cut = self.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
        self.cut.fetch_add(u32::from(cut), Ordering::Relaxed);
        cut
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_without_an_answer_is_neither_forgotten_nor_written_again() {
    let Some(database) = TestDatabase::create().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let wire = Arc::new(Wire::default());
    wire.listen(&dir.path().join(".s.PGSQL.5432"), &database.socket());
    let url = database.url_at(dir.path());
    let stage = Stage::new();
    // Few at once, so that there are many batches.
    let settings = [
        ("database_url", url.as_str()),
        ("queues.builds.concurrency", "2"),
        ("engine.heartbeat_seconds", "1"),
        ("engine.poll_seconds", "1"),
    ];
    let app = TestApp::on_stage_in(database, &stage, &settings).await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(app.play(&json!({"play": "gate"})).await);
    }

    wire.armed.store(true, Ordering::Relaxed);
    stage.gate.add_permits(JOBS);
    for job in &jobs {
        app.until(*job, Status::Completed).await;
    }
    assert!(wire.cut.load(Ordering::Relaxed) > 2, "too few answers were lost for a test");
    wire.armed.store(false, Ordering::Relaxed);
    for job in jobs {
        let mut names = app.event_names(job).await;
        // A claim that nobody heard of is given back.
        names.retain(|name| name != "released");
        assert_eq!(names, ["queued", "started", "completed"]);
    }
}
