//! The jobs that run in this process, and how to reach them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use super::StopReason;
use crate::model::JobId;
use crate::store::Claimed;

/// The jobs that run in this process, and claims (job and fencing token) of it that nobody here seems to have heard of.
#[derive(Default)]
pub(super) struct Running {
    stops: Mutex<HashMap<JobId, Stop>>,
    suspects: Mutex<HashSet<(JobId, i64)>>,
}

/// Asks one run to stop, and says why; the first reason counts.
#[derive(Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl Stop {
    /// Asks.
    pub fn ask(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Why it was asked, if it was.
    pub fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// Cancelled when it was asked.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Running {
    pub(super) fn insert(&self, job: JobId, stop: Stop) {
        self.lock().insert(job, stop);
    }

    pub(super) fn remove(&self, job: JobId) {
        self.lock().remove(&job);
    }

    /// Asks a job to stop, if it runs here.
    pub(super) fn cancel(&self, job: JobId) {
        self.ask(job, StopReason::Cancelled);
    }

    /// A word about it was rejected: others have it.
    pub(super) fn lost(&self, job: JobId) {
        self.ask(job, StopReason::Lost);
    }

    /// Asks all to stop.
    pub(super) fn ask_all(&self, reason: StopReason) {
        self.lock().values().for_each(|stop| stop.ask(reason));
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn contains(&self, job: JobId) -> bool {
        self.lock().contains_key(&job)
    }

    /// Those of the claims that were among them the last time.
    pub(super) fn seen_twice(&self, claims: Vec<Claimed>) -> Vec<Claimed> {
        let now = claims.iter().map(|claim| (claim.job_id, claim.fence)).collect();
        let before =
            std::mem::replace(&mut *self.suspects.lock().unwrap_or_else(PoisonError::into_inner), now);
        claims.into_iter().filter(|claim| before.contains(&(claim.job_id, claim.fence))).collect()
    }

    fn ask(&self, job: JobId, reason: StopReason) {
        if let Some(stop) = self.lock().get(&job).cloned() {
            stop.ask(reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Stop>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
