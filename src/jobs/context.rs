//! What a running job can say and ask: its only way to the engine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::journal::Room;
use super::outcome::{Standing, Verdict, Wait};
use super::running::Stop;
use super::{Core, Failure, NewChild, StopReason};
use crate::clock::Clock;
use crate::error::Result;
use crate::model::event::names;
use crate::model::{JobId, NewEvent, Status, UserId};
use crate::store::{Attachment, Claimed, Ending, FAR_AWAY, Report};

/// A claim on a job, as its run sees it. Cheap to clone; what is said through a claim that was lost is dropped.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    job: JobId,
    fence: i64,
    queue: String,
    in_turn: bool,
    owner: Option<UserId>,
    request_id: Option<String>,
    attempt: i32,
    max_attempts: i32,
    run_at: DateTime<Utc>,
    stop: Stop,
    said: Mutex<Said>,
}

/// What was said last, and how much.
struct Said {
    status: Status,
    progress: i32,
    step: Option<String>,
    events: i64,
    /// Pieces of attachments.
    attached: i32,
    /// What goes with the next word that is not held back.
    held: Option<Report>,
    holds: bool,
}

/// See [`Context::hold_back`]. Dropped, the job speaks at once again.
#[must_use = "dropped, nothing is held back"]
pub struct HeldBack<'a>(&'a Context);

/// How urgent a line of a job's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

#[derive(Serialize)]
struct LogData<'a> {
    level: Level,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
}

impl Context {
    pub(super) fn new(core: Arc<Core>, claimed: &Claimed, stop: Stop) -> Self {
        let said = Said {
            status: Status::Initializing,
            progress: claimed.progress,
            step: None,
            events: claimed.last_seq,
            attached: 0,
            held: None,
            holds: false,
        };
        Self(Arc::new(Inner {
            core,
            job: claimed.job_id,
            fence: claimed.fence,
            queue: claimed.queue.clone(),
            in_turn: claimed.in_turn,
            owner: claimed.owner_id,
            request_id: claimed.request_id.clone(),
            attempt: claimed.attempt,
            max_attempts: claimed.max_attempts,
            run_at: claimed.run_at,
            stop,
            said: Mutex::new(said),
        }))
    }

    /// Which job.
    pub fn job(&self) -> JobId {
        self.0.job
    }

    /// The number of this claim: what a former claim still wants to write is refused by it.
    pub fn fence(&self) -> i64 {
        self.0.fence
    }

    /// Whose job; `None` for the server's own.
    pub fn owner(&self) -> Option<UserId> {
        self.0.owner
    }

    /// This attempt, from 1.
    pub fn attempt(&self) -> i32 {
        self.0.attempt
    }

    /// The clock that everything here goes by.
    pub fn clock(&self) -> &Clock {
        &self.0.core.clock
    }

    /// Cancelled when the job is to stop. A job that has stopped for this reason may return any failure.
    pub fn stop(&self) -> &CancellationToken {
        self.0.stop.token()
    }

    /// Why the job is to stop, if it is.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.0.stop.reason()
    }

    /// A failure to return when [`Context::stop`] was the reason.
    pub fn stopped(&self) -> Failure {
        Failure::transient("STOPPED", "the job was asked to stop")
    }

    /// Says that preparations are over and the job itself begins. The worker says so for kinds that do not prepare.
    pub async fn begin(&self) {
        let Some(room) = self.room().await else { return };
        self.enter(room, names::STARTED, None, None, |said| {
            let begins = said.status == Status::Initializing;
            said.status = Status::Running;
            begins
        });
    }

    /// Says how far the job is, in percent, and at what. Percent never goes back; saying the same again is free.
    pub async fn progress(&self, percent: i32, step: &str) {
        if let Some(room) = self.room().await {
            self.say_progress(room, percent, step);
        }
    }

    /// As [`Context::progress`], from a thread that must not wait: left out when the engine is busy.
    pub fn try_progress(&self, percent: i32, step: &str) {
        if let Some(room) = self.0.core.journal.room_at_once(self.0.job) {
            self.say_progress(room, percent, step);
        }
    }

    fn say_progress(&self, room: Room<'_>, percent: i32, step: &str) {
        self.enter(room, names::PROGRESS, Some(step.to_owned()), None, |said| {
            let percent = percent.clamp(0, 100).max(said.progress);
            let news = percent > said.progress || said.step.as_deref() != Some(step);
            (said.progress, said.step) = (percent, Some(step.to_owned()));
            news
        });
    }

    /// Adds a line to the job's log.
    pub async fn log(&self, level: Level, message: &str) {
        let data = to_raw_value(&LogData { level, message, stream: None }).ok();
        self.say(names::LOG, Some(message.to_owned()), data).await;
    }

    /// Adds an event of the kind's own sort (`thinking`, `tool_call`, …).
    pub async fn event(&self, name: &str, message: Option<&str>, data: &impl Serialize) {
        self.say(name, message.map(str::to_owned), to_raw_value(data).ok()).await;
    }

    async fn say(&self, name: &str, message: Option<String>, data: Option<Box<RawValue>>) {
        let Some(room) = self.room().await else { return };
        self.enter(room, name, message, data, |_| true);
    }

    /// From here on, what is said goes with the next [`Context::save`], [`Context::tell`] or ending: in one transaction
    /// with it, so that what was saved was told, and what is done again because it was not saved is told once. Whoever
    /// holds back sees to it that one of them comes soon.
    pub fn hold_back(&self) -> HeldBack<'_> {
        self.said().holds = true;
        HeldBack(self)
    }

    /// Says what is held back.
    pub async fn tell(&self) {
        if self.said().held.is_none() {
            return;
        }
        let Some(room) = self.room().await else { return };
        let mut said = self.said();
        if let Some(report) = said.held.take() {
            room.report(report, None);
        }
    }

    /// Writes down what to go on from if this process dies; returns once it is on disk. False: the claim is lost.
    pub async fn save(&self, checkpoint: &impl Serialize) -> bool {
        self.save_with(checkpoint, Vec::new()).await
    }

    /// As [`Context::save`], and in the same transaction adds to files that the job goes on from: names, and the bytes
    /// that are added. They stay until the job has completed or is deleted.
    pub async fn save_with(&self, checkpoint: &impl Serialize, files: Vec<(String, Vec<u8>)>) -> bool {
        let Ok(checkpoint) = to_raw_value(checkpoint) else { return false };
        let (reply, answer) = oneshot::channel();
        let Some(room) = self.room().await else { return false };
        {
            let mut said = self.said();
            let attachments = files.into_iter().map(|(name, bytes)| {
                said.attached += 1;
                Attachment { number: said.attached, name, bytes }
            });
            let attachments = attachments.collect();
            let report = Report { checkpoint: Some(checkpoint), attachments, ..self.report(Vec::new()) };
            room.report(said.with_held(report), Some(reply));
        }
        answer.await.unwrap_or(false)
    }

    /// The pieces of the files that were written with [`Context::save_with`], in this attempt or a former one, in
    /// order: those of all files whose names begin so.
    pub async fn saved_files(&self, names: &str) -> Result<Vec<Attachment>> {
        Ok(self.0.core.store.attachments(self.0.job, names).await?)
    }

    /// What [`Context::save`] last wrote, in this attempt or a former one, as JSON.
    pub async fn saved(&self) -> Result<Option<String>> {
        Ok(self.0.core.store.checkpoint(self.0.job).await?)
    }

    /// The word with which the job was last resumed ([`super::Jobs::resume`]), as JSON. It may be the answer to an
    /// earlier question: whoever asks gives each question a name, and looks for it in the answer.
    pub async fn answer(&self) -> Result<Option<String>> {
        Ok(self.0.core.store.last_event(self.0.job, names::RESUMED).await?.and_then(|event| event.data))
    }

    /// Submits a job that this one is the parent of. Return [`Wait::Children`] to go on when all of them have ended.
    /// A name makes it safe to repeat: the same name gives the same child.
    pub async fn spawn(&self, name: &str, child: NewChild) -> Result<JobId> {
        let request_id = self.0.request_id.clone();
        self.0.core.submit_child(self.0.job, self.0.owner, request_id, name, child).await
    }

    async fn room(&self) -> Option<Room<'_>> {
        self.0.core.journal.room(self.0.job).await
    }

    /// Adds an event to the log, if there is one to write: `change` says whether. All of it happens under one lock, so
    /// that what was said first is written first.
    fn enter(
        &self,
        room: Room<'_>,
        name: &str,
        message: Option<String>,
        data: Option<Box<RawValue>>,
        change: impl FnOnce(&mut Said) -> bool,
    ) {
        let mut said = self.said();
        if !change(&mut said) {
            return;
        }
        let most = i64::from(self.0.core.config.engine.max_events_per_job);
        said.events += 1;
        let events = match said.events - most {
            ..0 => vec![self.new_event(&said, name, message, data)],
            0 => {
                let message = format!("more than {most} events: the rest is left out");
                vec![self.new_event(&said, names::LOG, Some(message), None)]
            }
            // Progress itself still counts, only nobody is told.
            _ if name == names::PROGRESS || name == names::STARTED => Vec::new(),
            _ => return,
        };
        let mut report = self.report(events);
        match name {
            names::STARTED => report.status = Some(Status::Running),
            names::PROGRESS => (report.progress, report.step) = (Some(said.progress), said.step.clone()),
            _ => {}
        }
        let report = said.with_held(report);
        if said.holds {
            said.held = Some(report);
        } else {
            room.report(report, None);
        }
    }

    fn new_event(
        &self,
        said: &Said,
        name: &str,
        message: Option<String>,
        data: Option<Box<RawValue>>,
    ) -> NewEvent {
        let (at, name) = (self.0.core.clock.now(), name.to_owned());
        NewEvent { at, name, status: said.status, progress: said.progress, message, data }
    }

    fn report(&self, events: Vec<NewEvent>) -> Report {
        Report { events, ..Report::new(self.0.job, self.0.fence) }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the job stands, for the verdict on its run.
    pub(crate) fn standing(&self) -> Standing {
        let Inner { attempt, max_attempts, .. } = *self.0;
        Standing { attempt, max_attempts, stop: self.stop_reason(), dice: self.clock().roll() }
    }

    /// Writes down what became of the run; returns once it is on disk. False: the claim was lost, others decide.
    pub(crate) async fn conclude(&self, verdict: Verdict) -> bool {
        let Some((ending, event)) = self.ending(verdict) else { return false };
        let later = match &ending {
            Ending::Released { status: Status::Queued, run_at, .. } => Some(*run_at),
            _ => None,
        };
        let (reply, answer) = oneshot::channel();
        let Some(room) = self.room().await else { return false };
        let report = Report { ending: Some(ending), ..self.report(vec![event]) };
        let report = self.said().with_held(report);
        room.report(report, Some(reply));
        let taken = answer.await.unwrap_or(false);
        if let Some(run_at) = later.filter(|_| taken) {
            self.0.core.announce_work(&self.0.queue, self.0.in_turn, run_at);
        }
        taken
    }

    fn ending(&self, verdict: Verdict) -> Option<(Ending, NewEvent)> {
        let now = self.clock().now();
        let mut said = self.said();
        let mut event = |status, name, message: Option<String>, data| {
            said.status = status;
            self.new_event(&said, name, message, data)
        };
        let released =
            |status, run_at: DateTime<Utc>, attempt_change, wakes_with_children| Ending::Released {
                status,
                run_at,
                rank_shift: if status == Status::Queued {
                    (run_at - self.0.run_at).num_microseconds().unwrap_or(0)
                } else {
                    0
                },
                attempt_change,
                wakes_with_children,
            };
        Some(match verdict {
            Verdict::Drop => return None,
            Verdict::Over { status: Status::Completed, result, .. } => {
                said.progress = 100;
                said.status = Status::Completed;
                let event = self.new_event(&said, names::COMPLETED, None, None);
                (Ending::Final { outcome: Status::Completed, error: None, result }, event)
            }
            Verdict::Over { status: Status::Failed, failure, .. } => {
                let failure = failure.unwrap_or_else(|| Failure::fatal("FAILED", "the job failed"));
                let data = to_raw_value(&serde_json::json!({ "error_code": failure.code })).ok();
                let event = event(Status::Failed, names::FAILED, Some(failure.message.clone()), data);
                let error = Some((failure.code, failure.message));
                (Ending::Final { outcome: Status::Failed, error, result: None }, event)
            }
            Verdict::Over { .. } => {
                let event = event(Status::Cancelled, names::CANCELLED, Some("cancelled".to_owned()), None);
                (Ending::Final { outcome: Status::Cancelled, error: None, result: None }, event)
            }
            Verdict::Retry(failure, pause) => {
                let run_at = now + chrono::Duration::from_std(pause).unwrap_or_default();
                let data = serde_json::json!({ "error_code": failure.code, "attempt": self.0.attempt, "next_at": run_at });
                let event =
                    event(Status::Queued, names::RETRYING, Some(failure.message), to_raw_value(&data).ok());
                (released(Status::Queued, run_at, 0, false), event)
            }
            Verdict::Wait(wait) => {
                let until = if let Wait::Until(time) = wait { time } else { FAR_AWAY };
                let event = event(Status::Waiting, names::WAITING, None, None);
                (released(Status::Waiting, until, -1, wait == Wait::Children), event)
            }
            Verdict::GiveBack(why) => (
                released(Status::Queued, now, -1, false),
                event(Status::Queued, names::RELEASED, Some(why.to_owned()), None),
            ),
        })
    }
}

impl Said {
    /// A report, after what is held back.
    fn with_held(&mut self, report: Report) -> Report {
        match self.held.take() {
            Some(mut held) => {
                held.add(report);
                held
            }
            None => report,
        }
    }
}

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        let context = self.0;
        let room = context.0.core.journal.room_at_once(context.0.job);
        let mut said = context.said();
        said.holds = false;
        // Without room it goes with what is said next: the ending, if nothing else.
        if let Some(room) = room
            && let Some(report) = said.held.take()
        {
            room.report(report, None);
        }
    }
}
