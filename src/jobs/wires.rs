//! Wake-ups between processes that share a PostgreSQL, over `listen` and `notify`. Hints only: what is lost here is
//! found by looking, a little later.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Core;
use crate::model::{JobId, ProcessId};

const CHANNEL: &str = "codeyard";

/// How long wake-ups are gathered before they are sent together.
const GATHER: Duration = Duration::from_millis(4);

/// Ids in one message; PostgreSQL takes 8,000 bytes.
const IDS: usize = 200;

/// A wake-up for other processes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    /// This job's log has grown.
    Log(JobId),
    /// There is something to claim in this queue.
    Work(String),
    /// This job is to stop, if it runs with you.
    Cancel(JobId),
}

/// The way out to other processes.
pub(super) struct Wires {
    out: mpsc::Sender<Wake>,
    /// Whether there is anybody to wake.
    company: AtomicBool,
}

impl Wires {
    pub(super) fn new() -> (Self, mpsc::Receiver<Wake>) {
        let (out, outbox) = mpsc::channel(16_384);
        (Self { out, company: AtomicBool::new(false) }, outbox)
    }

    /// Whether other processes share the database.
    pub(super) fn set_company(&self, company: bool) {
        self.company.store(company, Ordering::Relaxed);
    }

    /// Sends a wake-up, if there is anybody to wake; when too many are on their way, it is left out.
    pub(super) fn send(&self, wake: impl FnOnce() -> Wake) {
        if self.company.load(Ordering::Relaxed) {
            let _ = self.out.try_send(wake());
        }
    }
}

/// Sends what `outbox` has, gathered; a statement of its own, never part of somebody's transaction.
pub(super) async fn send(
    core: Weak<Core>,
    pool: PgPool,
    mut outbox: mpsc::Receiver<Wake>,
    end: CancellationToken,
) {
    loop {
        let mut gathered = Vec::new();
        tokio::select! {
            () = end.cancelled() => return,
            count = outbox.recv_many(&mut gathered, 4096) => if count == 0 { return },
        }
        tokio::time::sleep(GATHER).await;
        while gathered.len() < 16_384 && outbox.try_recv().map(|wake| gathered.push(wake)).is_ok() {}
        let Some(core) = core.upgrade() else { return };
        for message in messages(core.process(), gathered.into_iter().collect()) {
            let sent =
                sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(message).execute(&pool).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "a wake-up was not sent");
            }
        }
    }
}

/// One line: who sends it, then `l<id>`, `w<queue>` or `c<id>`, separated by spaces. (`h` is a newcomer's hello.)
fn messages(from: ProcessId, wakes: BTreeSet<Wake>) -> Vec<String> {
    let words: Vec<_> = wakes
        .into_iter()
        .map(|wake| match wake {
            Wake::Log(job) => format!("l{}", job.0.simple()),
            Wake::Work(queue) => format!("w{queue}"),
            Wake::Cancel(job) => format!("c{}", job.0.simple()),
        })
        .collect();
    words.chunks(IDS).map(|words| format!("{} {}", from.0.simple(), words.join(" "))).collect()
}

/// Listens until `end`. After a connection was lost, everything is looked at once.
pub(super) async fn listen(core: Weak<Core>, pool: PgPool, end: CancellationToken) {
    let mut pause = Duration::from_millis(100);
    loop {
        let heard = tokio::select! {
            () = end.cancelled() => return,
            heard = hear(&core, &pool) => heard,
        };
        let Some(core) = core.upgrade() else { return };
        match heard {
            Ok(()) => pause = Duration::from_millis(100),
            Err(error) => tracing::warn!(%error, "wake-ups from other processes are cut off for the moment"),
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(pause + core.clock.jitter(pause)) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Listens on one connection until it is lost.
async fn hear(core: &Weak<Core>, pool: &PgPool) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    if let Some(core) = core.upgrade() {
        // Others learn that they are not alone before they next look around.
        let hello = format!("{} h", core.process().0.simple());
        sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(hello).execute(pool).await?;
        core.look_at_everything();
    }
    while let Some(message) = listener.try_recv().await? {
        let Some(core) = core.upgrade() else { return Ok(()) };
        understand(&core, message.payload());
    }
    Ok(())
}

fn understand(core: &Arc<Core>, message: &str) {
    let mut words = message.split(' ');
    if words.next() == Some(core.process().0.simple().to_string().as_str()) {
        return;
    }
    for word in words {
        let Some((sort, rest)) = word.split_at_checked(1) else { continue };
        match (sort, rest.parse::<JobId>()) {
            ("l", Ok(job)) => core.hub.hint(job),
            ("c", Ok(job)) => core.running.cancel(job),
            ("w", _) => core.hint_any(rest),
            ("h", _) => core.wires.set_company(true),
            _ => {}
        }
    }
}
