//! The jobs that run in this process, and how to reach them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use super::StopReason;
use crate::model::JobId;

/// The jobs that run in this process.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<JobId, Stop>>);

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

    fn ask(&self, job: JobId, reason: StopReason) {
        if let Some(stop) = self.lock().get(&job).cloned() {
            stop.ask(reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Stop>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
