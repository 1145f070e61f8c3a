//! Whether the server says how it is.

use std::time::Duration;

use crate::support::TestApp;
use crate::support::postgres::Cluster;

#[tokio::test]
async fn health_is_answered_at_every_promised_path_with_and_without_its_slash() {
    let app = TestApp::start().await;
    for path in ["/api/health/", "/api/health", "/health", "/health/"] {
        let body = app.get(path).await.expect(200);
        assert_eq!(body["status"], "healthy", "{path}");
        assert!(body["timestamp"].is_string() && body["version"].is_string(), "{path}: {body}");
    }
    assert_eq!(app.get("/api/health/live").await.expect(200)["status"], "alive");
    assert_eq!(app.get("/health/live/").await.expect(200)["status"], "alive");
}

#[tokio::test]
async fn ready_and_status_know_the_database() {
    for app in TestApp::on_each_database().await {
        let ready = app.get("/api/health/ready").await.expect(200);
        assert_eq!(ready["checks"][0]["detail"], app.database_name());
        let status = app.get("/api/health/status").await.expect(200);
        assert_eq!(
            (&status["status"], &status["components"][0]["status"]),
            (&"healthy".into(), &"healthy".into())
        );
        assert_eq!(app.get("/api/v1/health").await.expect(200)["database"]["detail"], app.database_name());
    }
}

#[tokio::test]
async fn a_server_whose_database_is_gone_is_alive_but_not_ready() {
    for app in TestApp::on_each_database().await {
        app.app.store.close().await;
        let answer = app.get("/health/ready").await.expect(503);
        assert_eq!(
            (&answer["status"], &answer["checks"][0]["status"]),
            (&"not_ready".into(), &"unhealthy".into())
        );
        assert_eq!(app.get("/api/health/status").await.expect(200)["status"], "degraded");
        app.get("/health/live").await.expect(200);
    }
}

// On threads of its own, the app goes on while this one waits for the cluster: a backend that waits for a client that
// does not run would hold up the shutdown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_again_when_its_database_is_back() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let Some(cluster) = Cluster::start_in(&dir.path().join("cluster")) else { return };
    let app = TestApp::with(&[("database_url", &cluster.url("postgres"))]).await;
    app.get("/health/ready").await.expect(200);
    cluster.stop("immediate");
    app.app.clock.advance(Duration::from_secs(2));
    app.get("/health/ready").await.expect(503);
    cluster.start();
    app.app.clock.advance(Duration::from_secs(2));
    app.get("/health/ready").await.expect(200);
    cluster.stop("immediate");
}
