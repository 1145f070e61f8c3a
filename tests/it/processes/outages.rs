//! PostgreSQL is restarted and its backends are terminated under load: what was answered 202 is done, once.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::audit::Audit;
use super::client::{Client, TRUTH, some_code};
use super::server::{Recipe, SHORT_LEASES, Server};
use super::{PATIENCE, eventually, holds, within};
use crate::support::postgres::Cluster;

const SUBMITTERS: usize = 4;
/// Submits that are taken on between two blows.
const STRIDE: i64 = 40;

/// Submits without end over both replicas.
struct Load {
    accepted: Arc<AtomicI64>,
    refused: Arc<AtomicU64>,
    stop: CancellationToken,
    submitters: Vec<tokio::task::JoinHandle<()>>,
}

#[tokio::test]
async fn what_was_accepted_is_done_once_while_postgresql_restarts_and_its_backends_are_terminated() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let Some(cluster) = Cluster::start_in(&dir.path().join("cluster")) else { return };
    cluster.sql("postgres", "create database yard");
    let more = [("CODEYARD_ENGINE_MAX_CRASHES", "1000"), ("CODEYARD_LOG_FILTER", "warn")];
    let recipe = Recipe::shared(&cluster.url("yard"), &SHORT_LEASES).with(&more);
    let servers = [recipe.start().await, recipe.start().await];
    let client = Client::register(servers[0].url()).await;

    let load = Load::start(&client, &servers);
    for mode in ["fast", "immediate"] {
        load.until_more().await;
        let refused = load.refused.load(Ordering::Relaxed);
        cluster.stop(mode);
        until_ready_says(503, &client, &servers).await;
        load.until_refused(refused).await;
        cluster.start();
        until_ready_says(200, &client, &servers).await;
    }
    for _ in 0..5 {
        load.until_more().await;
        let others =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid()
             and datname = 'yard' and application_name = 'codeyard'";
        assert_ne!(cluster.sql("yard", others), "0");
    }
    load.until_more().await;
    let accepted = load.stop().await;

    let audit = Audit::of(&cluster.url("yard")).await;
    audit.check(accepted).await;
    for server in servers {
        server.signal("TERM").await;
        let status = server.ended(PATIENCE).await;
        assert!(status.success(), "{status}");
    }
    cluster.stop("immediate");
}

impl Load {
    fn start(client: &Client, servers: &[Server; 2]) -> Self {
        let (accepted, refused, stop): (Arc<AtomicI64>, Arc<AtomicU64>, CancellationToken) =
            Default::default();
        let urls = servers.each_ref().map(|server| server.url().to_owned());
        let next = Arc::new(AtomicUsize::new(0));
        let submitter = |which: usize| {
            let (client, url, stop, next) =
                (client.clone(), urls[which % 2].clone(), stop.clone(), Arc::clone(&next));
            let (accepted, refused) = (Arc::clone(&accepted), Arc::clone(&refused));
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    submit(&client, &url, number, &refused).await;
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let submitters = (0..SUBMITTERS).map(submitter).collect();
        Self { accepted, refused, stop, submitters }
    }

    async fn until_more(&self) {
        let wanted = self.accepted.load(Ordering::Relaxed) + STRIDE;
        eventually(PATIENCE, "submits are taken on", async || {
            let accepted = self.accepted.load(Ordering::Relaxed);
            holds(accepted >= wanted, format!("{accepted} of {wanted}"))
        })
        .await;
    }

    async fn until_refused(&self, before: u64) {
        eventually(PATIENCE, "submits are turned away", async || {
            let refused = self.refused.load(Ordering::Relaxed);
            holds(refused > before, refused)
        })
        .await;
    }

    /// Submits no more; returns how many were taken on.
    async fn stop(self) -> i64 {
        self.stop.cancel();
        for submitter in self.submitters {
            within(PATIENCE, "a submit is answered", submitter).await.unwrap();
        }
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Submits one analysis. Turned away, it comes back under the same key, which makes one job of it even if the commit
/// happened and only its answer was lost.
async fn submit(client: &Client, url: &str, number: usize, refused: &AtomicU64) {
    let (key, code) = (format!("job-{number}"), some_code(number));
    loop {
        let reply = client
            .try_submit(url, &key, &code)
            .await
            .expect("the server answers, whatever its database does");
        if reply.was_accepted() {
            return;
        }
        refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_ready_says(status: u16, client: &Client, servers: &[Server; 2]) {
    for server in servers {
        eventually(TRUTH, &format!("readiness is answered {status}"), async || {
            let reply = client.get(server.url(), "/api/health/ready").await;
            holds(reply.status == status, format!("{reply:?}"))
        })
        .await;
        client.get(server.url(), "/api/health/live").await.expect(200);
    }
}
