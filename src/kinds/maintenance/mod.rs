//! What the server does for itself: cleaning up what is old, and looking whether all is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Context, Env, Failure, Kind, Outcome, Policy, build};
use crate::store::Pruned;

/// Removes what is older than `[retention]` says, in bounded batches.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {}

impl Kind for Cleanup {
    const POLICY: Policy = maintenance("cleanup");

    async fn run(self, env: Arc<Env>, context: Context) -> Result<Outcome, Failure> {
        let (retention, store) = (&env.config.retention, &env.store);
        let now = context.clock().now();
        let ago = |hours: u32| now - chrono::Duration::hours(hours.into());
        let (jobs_before, events_before) = (ago(retention.jobs_days * 24), ago(retention.events_days * 24));
        let mut pruned = Pruned::default();

        context.progress(0, "jobs").await;
        loop {
            let gone =
                store.prune_jobs(jobs_before, retention.batch).await.map_err(|error| database(&error))?;
            pruned.jobs += gone;
            if gone == 0 || context.stop().is_cancelled() {
                break;
            }
        }
        context.progress(50, "events").await;
        loop {
            let gone =
                store.prune_events(events_before, retention.batch).await.map_err(|error| database(&error))?;
            pruned.events += gone;
            if gone == 0 || context.stop().is_cancelled() {
                break;
            }
        }
        context.progress(80, "files").await;
        pruned.others += clear_files(&env, &context).await?;
        context.progress(90, "keys").await;
        pruned.others += store
            .prune_small(ago(retention.idempotency_hours), now)
            .await
            .map_err(|error| database(&error))?;
        pruned.others += store.prune_accounts(now).await.map_err(|error| database(&error))?;
        store.expire_llm_calls(now, retention.batch).await.map_err(|error| database(&error))?;
        loop {
            let before = ago(retention.llm_calls_days * 24);
            let gone = store.prune_llm(before, retention.batch).await.map_err(|error| database(&error))?;
            pruned.others += gone;
            if gone == 0 || context.stop().is_cancelled() {
                break;
            }
        }
        metrics::counter!("codeyard_pruned_rows_total", "table" => "jobs").increment(pruned.jobs);
        metrics::counter!("codeyard_pruned_rows_total", "table" => "events").increment(pruned.events);
        metrics::counter!("codeyard_pruned_rows_total", "table" => "others").increment(pruned.others);
        if context.stop().is_cancelled() {
            return Err(context.stopped());
        }
        Outcome::done(&pruned)
    }
}

/// Removes the files of jobs that are gone, and what this machine keeps for builds that need it no more; returns of how
/// many.
async fn clear_files(env: &Env, context: &Context) -> Result<u64, Failure> {
    let mut gone = 0;
    while !context.stop().is_cancelled() {
        match env.artifacts.clear_some(env.config.retention.batch).await {
            Ok(0) => break,
            Ok(cleared) => gone += cleared,
            Err(error) => {
                tracing::warn!(%error, "the files of deleted jobs cannot be removed");
                return Err(Failure::transient(
                    "ARTIFACTS_UNAVAILABLE",
                    "the files of jobs cannot be reached",
                ));
            }
        }
    }
    for job in build::homes(&env.config.data_dir) {
        if !env.store.may_run_again(job).await.map_err(|error| database(&error))? {
            build::forget(&env.config.data_dir, job);
            gone += 1;
        }
    }
    Ok(gone)
}

/// Looks whether the database answers and takes writes, and whether every queue moves.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {}

/// What a health check found.
#[derive(Debug, Serialize)]
struct Findings {
    database_ms: u128,
    queued: i64,
    running: i64,
    oldest_wait_seconds: i64,
    processes: usize,
}

impl Kind for HealthCheck {
    const POLICY: Policy = maintenance("health_check");

    async fn run(self, env: Arc<Env>, context: Context) -> Result<Outcome, Failure> {
        let started = Instant::now();
        env.store.check_writable().await.map_err(|error| database(&error))?;
        let database_ms = started.elapsed().as_millis();
        let now = context.clock().now();
        let depths = env.store.queue_depths(now).await.map_err(|error| database(&error))?;
        let waits = depths.iter().filter_map(|depth| Some((now - depth.oldest_due?).num_seconds()));
        let findings = Findings {
            database_ms,
            queued: depths.iter().map(|depth| depth.queued).sum(),
            running: depths.iter().map(|depth| depth.running).sum(),
            oldest_wait_seconds: waits.max().unwrap_or_default(),
            processes: env.store.processes().await.map_err(|error| database(&error))?.len(),
        };
        tracing::info!(?findings, "health check");
        Outcome::done(&findings)
    }
}

const fn maintenance(kind: &'static str) -> Policy {
    Policy {
        kind,
        queue: "maintenance",
        max_attempts: 3,
        prepares: false,
        soft_timeout: Some(Duration::from_secs(600)),
    }
}

fn database(error: &sqlx::Error) -> Failure {
    tracing::warn!(%error, "maintenance could not use the database");
    Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer")
}
