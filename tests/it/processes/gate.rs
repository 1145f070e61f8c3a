//! A git server that never answers: an analysis of a repository there runs until the test lets it go.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::{PATIENCE, within};

/// Lets jobs wait at a port of this machine.
pub(super) struct Gate {
    listener: TcpListener,
}

/// A job that is running: the connection of its git.
pub(super) struct Waiting(TcpStream);

/// What a server must be told so that its jobs may come here.
pub(super) const OPEN_TO_LOOPBACK: (&str, &str) = ("CODEYARD_INTAKE_ALLOW_PRIVATE_ADDRESSES", "true");

impl Gate {
    pub(super) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// An analysis that waits here.
    pub(super) fn job(&self) -> Value {
        let port = self.listener.local_addr().unwrap().port();
        json!({"repository": {"url": format!("http://127.0.0.1:{port}/project.git")}})
    }

    /// The next job that has come here, and so runs.
    pub(super) async fn arrival(&self) -> Waiting {
        self.arrival_within(PATIENCE).await
    }

    pub(super) async fn arrival_within(&self, limit: Duration) -> Waiting {
        let (connection, _) = within(limit, "a job runs", self.listener.accept()).await.unwrap();
        Waiting(connection)
    }
}

impl Waiting {
    /// Waits until the job's git is gone.
    pub(super) async fn gone(mut self) {
        let mut rest = Vec::new();
        // Reset or closed: both are the end of it.
        let _ = within(PATIENCE, "git ends with its job", self.0.read_to_end(&mut rest)).await;
    }
}
