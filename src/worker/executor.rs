//! One run as a value down a pipe: resolve → perform → decide → record → announce. The outcome is decided once, acted
//! on once, announced once.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Inner, Slot};
use crate::jobs::{Context, Failure, Outcome, Policy, Stop, StopReason, Verdict, decide};
use crate::kinds::Run;
use crate::store::Claimed;

/// Runs a claimed job to its end and holds the slot until that end is on disk.
pub(super) async fn run(worker: Arc<Inner>, job: Claimed, slot: Option<Slot>) {
    let request_id = job.request_id.as_deref();
    let span =
        tracing::info_span!("job", job_id = %job.job_id, request_id, kind = %job.kind, attempt = job.attempt);
    async {
        let begun = Instant::now();
        let (context, stop) = worker.jobs.attach(&job);
        let ended = match resolve(&worker, &job, &context) {
            Ok((policy, run)) => perform(&worker, policy, run, &context, &stop).await,
            Err(failure) => Err(failure),
        };
        let verdict = decide(ended, context.standing());
        let outcome = name_of(&verdict);
        log(&verdict);
        let recorded = context.conclude(verdict).await;
        worker.jobs.forget(job.job_id);
        announce(&job, if recorded { outcome } else { "lost" }, begun.elapsed());
        worker.take_turns(&job);
    }
    .instrument(span)
    .await;
    drop(slot);
}

/// Finds the kind and starts it; nothing of it has run yet.
fn resolve(worker: &Inner, job: &Claimed, context: &Context) -> Result<(Policy, Run), Failure> {
    let payload = job.payload.clone().unwrap_or_else(|| "null".to_owned());
    let unreadable = |error: serde_json::Error| Failure::fatal("PAYLOAD_UNREADABLE", error.to_string());
    let payload = RawValue::from_string(payload).map_err(unreadable)?;
    let policy = worker.registry.policy(&job.kind);
    let env = Arc::clone(&worker.env);
    // A kind may panic even here, while it reads its payload.
    let started = std::panic::catch_unwind(AssertUnwindSafe(|| {
        worker.registry.start(&job.kind, &payload, env, context.clone())
    }));
    match (policy, started) {
        (Some(policy), Ok(Some(run))) => Ok((policy, run)),
        (_, Err(panic)) => Err(panicked(&*panic)),
        _ => Err(Failure::fatal("UNKNOWN_KIND", format!("this server has no kind {}", job.kind))),
    }
}

/// Runs it, with a soft and a hard end; a panic is a failure of this attempt and of nothing else.
async fn perform(
    worker: &Inner,
    policy: Policy,
    run: Run,
    context: &Context,
    stop: &Stop,
) -> Result<Outcome, Failure> {
    if stop.reason().is_some() {
        return Err(context.stopped());
    }
    if !policy.prepares {
        context.begin().await;
    }
    let engine = &worker.config.engine;
    let soft = policy.soft_timeout.unwrap_or(Duration::from_secs(engine.soft_timeout_seconds));
    let hard = Duration::from_secs(engine.hard_timeout_seconds).saturating_sub(soft);
    let grace = Duration::from_secs(engine.cancel_grace_seconds);
    let mut run = std::pin::pin!(AssertUnwindSafe(run).catch_unwind());

    tokio::select! {
        ended = &mut run => return ended.unwrap_or_else(|panic| Err(panicked(&*panic))),
        () = stop.token().cancelled() => {}
        () = tokio::time::sleep(soft) => stop.ask(StopReason::TimedOut),
    }
    let patience = if stop.reason() == Some(StopReason::TimedOut) { hard } else { grace };
    match tokio::time::timeout(patience, run).await {
        Ok(ended) => ended.unwrap_or_else(|panic| Err(panicked(&*panic))),
        // Dropping the run drops what it holds, its process groups among it.
        Err(_) => Err(Failure::transient("DROPPED", "the job did not stop when it was asked to")),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = %text, "the job panicked");
    Failure::transient("PANICKED", "the job hit a defect of the server; its log has the details")
}

fn log(verdict: &Verdict) {
    match verdict {
        Verdict::Over { failure: Some(failure), .. } => {
            tracing::warn!(code = %failure.code, reason = %failure.message, "the job failed");
        }
        Verdict::Retry(failure, pause) => {
            tracing::info!(code = %failure.code, reason = %failure.message, ?pause, "the job will be tried again");
        }
        Verdict::Drop => tracing::warn!("the job belongs to another process by now"),
        _ => tracing::debug!(outcome = name_of(verdict), "the run is over"),
    }
}

fn name_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Over { status, .. } => status.as_str(),
        Verdict::Retry(..) => "retried",
        Verdict::Wait(_) => "waiting",
        Verdict::GiveBack(_) => "released",
        Verdict::Drop => "lost",
    }
}

fn announce(job: &Claimed, outcome: &'static str, took: Duration) {
    let kind = job.kind.clone();
    metrics::histogram!("codeyard_job_duration_seconds", "kind" => kind, "outcome" => outcome).record(took);
}

impl Inner {
    /// A job that takes turns has ended: the next of its key may start, here or elsewhere, now or when its rate allows.
    fn take_turns(&self, job: &Claimed) {
        let counted = self.config.queues.get(&job.queue).is_some_and(|queue| queue.concurrency > 0);
        if job.in_turn || counted {
            self.jobs.turn_ended(&job.queue);
        }
        if let Some(per_minute) = job.turn_per_minute {
            let pause = chrono::Duration::milliseconds(60_000 / i64::from(per_minute.max(1)));
            self.jobs.work().hint_at(&job.queue, true, self.clock.now() + pause);
        }
    }
}
