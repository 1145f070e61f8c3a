//! The real binary as real processes: killed, stopped, cut off from its database, flooded; what it promised holds.

mod audit;
mod builds;
mod client;
mod disk;
mod drain;
mod gate;
mod hostile;
mod kills;
mod leases;
mod models;
mod outages;
mod reconnects;
mod server;
mod subscribers;

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that has no bound of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that tells by itself; fails with `what` when it does not.
#[track_caller]
fn within<T>(limit: Duration, what: impl Display, wait: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(limit, wait).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: not within {limit:?}: {what}"),
        }
    }
}

/// Looks at something outside of this process, which tells nobody when it changes, until it is as wanted.
async fn eventually<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(seen) if begun.elapsed() > limit => panic!("not within {limit:?}: {what}; last seen: {seen}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// `Ok` when it holds, else what is there instead.
fn holds(holds: bool, seen: impl Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen.to_string()) }
}
