//! How a run of a kind ends, in the kind's own words, and what the engine makes of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::Status;

/// What a run returns when nothing went wrong.
#[derive(Debug)]
pub enum Outcome {
    /// The job is done; JSON for whoever asked.
    Done(Option<Box<RawValue>>),
    /// The job steps aside and holds no slot. It will run again from the beginning, with its checkpoint.
    Wait(Wait),
}

/// What a job steps aside for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The end of all its children.
    Children,
    /// A time.
    Until(DateTime<Utc>),
    /// Somebody's word: [`super::Jobs::resume`].
    Signal,
}

/// What a run returns when something went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// A stable name, such as `REPOSITORY_UNREACHABLE`.
    pub code: String,
    /// For a person; no secrets, no insides.
    pub message: String,
    /// Whether trying again may help.
    pub retry: bool,
    /// When to try again, if the kind knows better than the engine's backoff.
    pub after: Option<Duration>,
}

impl Outcome {
    /// Done, with a value that turns into JSON.
    pub fn done<T: Serialize>(value: &T) -> Result<Self, Failure> {
        match serde_json::value::to_raw_value(value) {
            Ok(json) => Ok(Self::Done(Some(json))),
            Err(error) => Err(Failure::fatal("RESULT_UNREADABLE", error.to_string())),
        }
    }
}

impl Failure {
    /// Trying again may help.
    pub fn transient(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retry: true, after: None }
    }

    /// Trying again would end the same way.
    pub fn fatal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retry: false, after: None }
    }
}

/// Why a run was asked to stop, or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled the job.
    Cancelled,
    /// The attempt took too long.
    TimedOut,
    /// This process goes away.
    Draining,
    /// The job belongs to another process by now; nothing may be written about it.
    Lost,
}

/// What the engine makes of a run, decided once.
#[derive(Debug)]
pub enum Verdict {
    /// The job is over.
    Over {
        /// `Completed`, `Failed` or `Cancelled`.
        status: Status,
        /// Why, when it failed.
        failure: Option<Failure>,
        /// JSON, when it completed.
        result: Option<Box<RawValue>>,
    },
    /// It will be tried again after a while.
    Retry(Failure, Duration),
    /// It steps aside.
    Wait(Wait),
    /// Another claim takes it on, and this attempt does not count. Why, for a person.
    GiveBack(&'static str),
    /// Nothing may be written.
    Drop,
}

/// Where a job stands when its run ends.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// This attempt, from 1.
    pub attempt: i32,
    /// How often it may be tried.
    pub max_attempts: i32,
    /// Whether and why the run was asked to stop.
    pub stop: Option<StopReason>,
    /// A number from 0 to 1, for the jitter.
    pub dice: f64,
}

/// Decides what becomes of a job. A run that ended well in spite of having been asked to stop has ended well.
pub fn decide(run: Result<Outcome, Failure>, standing: Standing) -> Verdict {
    match (run, standing.stop) {
        (_, Some(StopReason::Lost)) => Verdict::Drop,
        (Ok(Outcome::Done(result)), _) => Verdict::Over { status: Status::Completed, failure: None, result },
        (_, Some(StopReason::Cancelled)) => {
            Verdict::Over { status: Status::Cancelled, failure: None, result: None }
        }
        (Ok(Outcome::Wait(wait)), _) => Verdict::Wait(wait),
        (Err(_), Some(StopReason::Draining)) => Verdict::GiveBack("its process is shutting down"),
        (Err(_), Some(StopReason::TimedOut)) => {
            retry_or_fail(Failure::transient("TIMED_OUT", "the attempt took longer than it may"), standing)
        }
        (Err(failure), None) => retry_or_fail(failure, standing),
    }
}

fn retry_or_fail(failure: Failure, standing: Standing) -> Verdict {
    if failure.retry && standing.attempt < standing.max_attempts {
        let pause = failure.after.unwrap_or_else(|| backoff(standing.attempt, standing.dice));
        return Verdict::Retry(failure, pause);
    }
    Verdict::Over { status: Status::Failed, failure: Some(failure), result: None }
}

/// 2ⁿ seconds after attempt `n`, up to an hour, spread by a quarter to both sides.
pub(super) fn backoff(attempt: i32, dice: f64) -> Duration {
    let exponent = u32::try_from(attempt.clamp(0, 12)).unwrap_or_default();
    let base = Duration::from_secs(2_u64.pow(exponent).min(3600));
    base.mul_f64(0.75 + 0.5 * dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(attempt: i32, stop: Option<StopReason>) -> Standing {
        Standing { attempt, max_attempts: 3, stop, dice: 0.5 }
    }

    #[test]
    fn a_failure_is_retried_until_the_attempts_are_used_up() {
        let fail = || Err(Failure::transient("X", "x"));
        assert!(
            matches!(decide(fail(), standing(2, None)), Verdict::Retry(_, pause) if pause == Duration::from_secs(4))
        );
        assert!(matches!(decide(fail(), standing(3, None)), Verdict::Over { status: Status::Failed, .. }));
        let fatal = Err(Failure::fatal("X", "x"));
        assert!(matches!(decide(fatal, standing(1, None)), Verdict::Over { status: Status::Failed, .. }));
    }

    #[test]
    fn what_ended_well_has_ended_well_whoever_asked_it_to_stop() {
        for stop in [StopReason::Cancelled, StopReason::TimedOut, StopReason::Draining] {
            let verdict = decide(Ok(Outcome::Done(None)), standing(1, Some(stop)));
            assert!(matches!(verdict, Verdict::Over { status: Status::Completed, .. }));
        }
        assert!(matches!(
            decide(Ok(Outcome::Done(None)), standing(1, Some(StopReason::Lost))),
            Verdict::Drop
        ));
    }

    #[test]
    fn a_cancelled_run_is_cancelled_a_drained_one_is_given_back_and_a_slow_one_retried() {
        let fail = || Err(Failure::fatal("STOPPED", "stopped"));
        let cancelled = decide(fail(), standing(1, Some(StopReason::Cancelled)));
        assert!(matches!(cancelled, Verdict::Over { status: Status::Cancelled, failure: None, .. }));
        assert!(matches!(decide(fail(), standing(3, Some(StopReason::Draining))), Verdict::GiveBack(_)));
        let slow = decide(fail(), standing(1, Some(StopReason::TimedOut)));
        assert!(matches!(slow, Verdict::Retry(failure, _) if failure.code == "TIMED_OUT"));
    }

    #[test]
    fn backoff_doubles_is_spread_and_has_a_ceiling() {
        assert_eq!(backoff(1, 0.0), Duration::from_millis(1500));
        assert_eq!(backoff(1, 1.0), Duration::from_millis(2500));
        assert_eq!(backoff(60, 0.5), Duration::from_secs(3600));
    }
}
