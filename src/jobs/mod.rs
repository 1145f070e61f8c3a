//! The verbs: the only writer of jobs, the only publisher of events.

mod context;
mod depth;
mod journal;
mod outcome;
mod running;
mod watch;
mod wires;
mod work;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::model::{
    Caller, Event, Filing, Idempotency, Job, JobId, JobWithBodies, NewJob, Priority, ProcessId, TurnKey,
    UserId,
};
use crate::store::{CancelChange, Change, Claimed, Filter, JobPage, Rescued, Store, Submission, Submitted};

pub use crate::store::Attachment;
pub use context::{Context, Level};
pub use outcome::{Failure, Outcome, StopReason, Verdict, Wait, decide};
pub use running::Stop;
pub use watch::Watch;
pub use work::{Hint, Work};

/// The verbs on jobs. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Jobs {
    core: Arc<Core>,
    tasks: TaskTracker,
    end: CancellationToken,
}

/// What the verbs, the journal and running jobs share.
pub(crate) struct Core {
    config: Arc<Config>,
    clock: Clock,
    store: Store,
    hub: Hub,
    journal: journal::Journal,
    running: running::Running,
    depths: depth::Depths,
    wires: wires::Wires,
    work: Work,
    process: RwLock<ProcessId>,
}

/// A job to submit, before it has an id.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// Its id, if something was already written down for it.
    pub id: Option<JobId>,
    /// Which kind runs it, where, and how often.
    pub policy: Policy,
    /// Whose it is; `None` for the server's own.
    pub owner: Option<UserId>,
    /// What it is called in lists.
    pub label: Option<String>,
    /// What it is filed under.
    pub filing: Filing,
    /// What the log calls the request that submits it.
    pub request_id: Option<String>,
    /// Who goes first.
    pub priority: Priority,
    /// Not before this time; `None`: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// While a job with this key lives, a second submit gets that job instead.
    pub unique_key: Option<String>,
    /// The caller's `Idempotency-Key`.
    pub idempotency: Option<Idempotency>,
    /// Takes turns with others of this key.
    pub turn: Option<TurnKey>,
    /// What the kind parses.
    pub payload: Box<RawValue>,
}

/// What a kind says about its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The kind's name.
    pub kind: &'static str,
    /// Where its jobs wait.
    pub queue: &'static str,
    /// How often a job may be tried.
    pub max_attempts: i32,
    /// Whether the kind itself says when its preparations are over ([`Context::begin`]).
    pub prepares: bool,
    /// When a job is asked to stop, if not after `engine.soft_timeout_seconds`.
    pub soft_timeout: Option<Duration>,
}

/// A job that another one submits and may wait for.
#[derive(Clone, Debug)]
pub struct NewChild {
    /// Which kind runs it.
    pub policy: Policy,
    /// What it is called in lists.
    pub label: Option<String>,
    /// What the kind parses.
    pub payload: Box<RawValue>,
}

impl NewRequest {
    /// A request with nothing special about it.
    pub fn new(policy: Policy, owner: Option<UserId>, payload: Box<RawValue>) -> Self {
        let (label, run_at, unique_key, idempotency, turn) = (None, None, None, None, None);
        let (filing, priority) = Default::default();
        Self {
            id: None,
            policy,
            owner,
            label,
            filing,
            request_id: None,
            priority,
            run_at,
            unique_key,
            idempotency,
            turn,
            payload,
        }
    }
}

impl Jobs {
    /// The verbs over a store, with the tasks that write and wake; [`Jobs::close`] ends them.
    pub fn start(config: Arc<Config>, clock: Clock, store: Store, hub: Hub) -> Self {
        let lanes = if store.is_shared() { config.engine.lanes } else { 1 };
        let (journal, receivers) = journal::Journal::new(lanes);
        let (wires, outbox) = wires::Wires::new();
        let process = RwLock::new(ProcessId(clock.new_id()));
        let (running, depths, work) = Default::default();
        let core =
            Arc::new(Core { config, clock, store, hub, journal, running, depths, wires, work, process });
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        journal::run(&core, receivers, &tasks);
        if let Some(pool) = core.store.postgres() {
            let weak = Arc::downgrade(&core);
            tasks.spawn(wires::send(weak.clone(), pool.clone(), outbox, end.clone()));
            tasks.spawn(wires::listen(weak, pool.clone(), end.clone()));
        }
        Self { core, tasks, end }
    }

    /// Puts a job into its queue, on disk, and returns it; the second of two equal submits gets the first's job.
    pub async fn submit(&self, request: NewRequest) -> Result<Job> {
        self.core.submit(request, None).await
    }

    /// A job with what it was asked and what came of it, if the caller may see it.
    pub async fn find(&self, id: JobId, caller: &Caller) -> Result<JobWithBodies> {
        self.core.store.find_job(id, caller.confined_to()).await?.ok_or(Error::NotFound("job"))
    }

    /// Fails unless the caller may see the job.
    pub async fn check(&self, id: JobId, caller: &Caller) -> Result<Job> {
        self.core.store.peek_job(id, caller.confined_to()).await?.ok_or(Error::NotFound("job"))
    }

    /// A page of jobs, newest first, and how many there are in all.
    pub async fn list(&self, filter: &Filter, page: JobPage) -> Result<(Vec<Job>, i64)> {
        let jobs = self.core.store.list_jobs(filter, page).await?;
        Ok((jobs, self.core.store.count_jobs(filter).await?))
    }

    /// Asks a job to stop. Asking twice is the same as asking once.
    ///
    /// A job that nobody runs is cancelled on the spot, and so are its children. A running one keeps its state until
    /// its worker has let go of it: "cancelled" must never be shown while it still works.
    pub async fn cancel(&self, id: JobId, caller: &Caller) -> Result<Job> {
        let owner = caller.confined_to();
        let asked = self.core.cancel(id, owner).await?;
        let job = self.core.store.peek_job(id, owner).await?.ok_or(Error::NotFound("job"))?;
        if !asked && job.status.is_final() {
            return Err(Error::conflict(
                "ALREADY_ENDED",
                format!("the job is {} already", job.status.as_str()),
            ));
        }
        Ok(job)
    }

    /// Puts a failed or cancelled job back into its queue, with all its attempts before it.
    pub async fn retry(&self, id: JobId, caller: &Caller) -> Result<Job> {
        let (owner, now) = (caller.confined_to(), self.core.clock.now());
        let change = self.core.store.retry_ended(id, owner, now, now.timestamp_micros()).await?;
        let retried = change.is_some();
        self.core.announce(change.unwrap_or_default());
        let job = self.core.store.peek_job(id, owner).await?.ok_or(Error::NotFound("job"))?;
        if retried {
            return Ok(job);
        }
        Err(Error::conflict(
            "NOT_RETRYABLE",
            format!("only a failed or cancelled job can be retried; this one is {}", job.status.as_str()),
        ))
    }

    /// Removes an ended job and all that belongs to it.
    pub async fn delete(&self, id: JobId, caller: &Caller) -> Result<()> {
        let owner = caller.confined_to();
        if self.core.store.delete_ended(id, owner).await? {
            return Ok(());
        }
        let job = self.core.store.peek_job(id, owner).await?.ok_or(Error::NotFound("job"))?;
        Err(Error::conflict("NOT_ENDED", format!("the job is {}; cancel it first", job.status.as_str())))
    }

    /// Lets a job go on that waits for somebody's word, and gives it the word, a JSON object. It is an error when it
    /// does not wait.
    pub async fn resume(&self, id: JobId, answer: Option<Box<RawValue>>, caller: &Caller) -> Result<Job> {
        let job = self.core.store.peek_job(id, caller.confined_to()).await?.ok_or(Error::NotFound("job"))?;
        let change = self.core.store.resume_waiting(id, answer, self.core.clock.now()).await?;
        let change = change.ok_or_else(|| {
            Error::conflict("NOT_WAITING", format!("the job is {}, not waiting", job.status.as_str()))
        })?;
        self.core.announce(change);
        self.core.store.peek_job(id, caller.confined_to()).await?.ok_or(Error::NotFound("job"))
    }

    /// Follows a job's log after number `after`, if the caller may see the job, which is returned as it stands now.
    pub async fn watch(&self, id: JobId, after: i64, caller: &Caller) -> Result<(Job, Watch)> {
        // Interest first, the look second.
        let watch = Watch::new(self.core.store.clone(), &self.core.hub, id, after);
        Ok((self.check(id, caller).await?, watch))
    }

    /// Stops or lets go on the claiming from a queue, in all processes.
    pub async fn set_paused(&self, queue: &str, paused: bool) -> Result<()> {
        self.core.store.set_paused(queue, paused).await?;
        self.core.announce_any(queue);
        Ok(())
    }

    /// Ends the tasks that write and wake, once all that was said is written.
    pub async fn close(&self) {
        self.end.cancel();
        self.tasks.close();
    }

    /// How many jobs run in this process.
    pub fn running(&self) -> usize {
        self.core.running.len()
    }
}

/// What only the worker does.
impl Jobs {
    /// Where there is work.
    pub fn work(&self) -> &Work {
        &self.core.work
    }

    /// The id of this process, for as long as it keeps its lease.
    pub fn process(&self) -> ProcessId {
        self.core.process()
    }

    /// Begins a new life after the lease was lost: whatever runs belongs to others.
    pub fn new_process(&self) -> ProcessId {
        let id = ProcessId(self.core.clock.new_id());
        *self.core.process.write().unwrap_or_else(PoisonError::into_inner) = id;
        self.core.running.ask_all(StopReason::Lost);
        id
    }

    /// The context for the run of a claimed job; it can be reached from now on, until [`Jobs::forget`].
    pub fn attach(&self, claimed: &Claimed) -> (Context, Stop) {
        let stop = Stop::default();
        if claimed.cancel_requested {
            stop.ask(StopReason::Cancelled);
        }
        self.core.running.insert(claimed.job_id, stop.clone());
        (Context::new(Arc::clone(&self.core), claimed, stop.clone()), stop)
    }

    /// The run is over.
    pub fn forget(&self, job: JobId) {
        self.core.running.remove(job);
    }

    /// Asks everything that runs here to stop, because this process goes away.
    pub fn ask_all_to_stop(&self) {
        self.core.running.ask_all(StopReason::Draining);
    }

    /// Asks those jobs to stop that somebody wanted cancelled while the wake-up got lost.
    pub async fn catch_up_on_cancels(&self) -> Result<()> {
        if self.core.running.len() > 0 {
            let jobs = self.core.store.cancel_requests(self.process()).await?;
            jobs.into_iter().for_each(|job| self.core.running.cancel(job));
        }
        Ok(())
    }

    /// Gives back claims whose answer got lost: the database says that this process holds `held` jobs, and fewer were
    /// begun here. A claim under way looks the same, so only what looked so the last time, too, is given back.
    pub async fn give_back_unheard(&self, held: i64) -> Result<()> {
        let running = &self.core.running;
        let mut unheard = Vec::new();
        if held > i64::try_from(running.len()).unwrap_or(i64::MAX) {
            unheard = self.core.store.held_by(self.process()).await?;
            unheard.retain(|claim| !running.contains(claim.job_id));
        }
        for claim in running.seen_twice(unheard) {
            tracing::warn!(job_id = %claim.job_id, "a claim was never heard of and is given back");
            let context = Context::new(Arc::clone(&self.core), &claim, Stop::default());
            context.conclude(Verdict::GiveBack("the claim on it got lost")).await;
        }
        Ok(())
    }

    /// Takes back the jobs of processes that died, and lets jobs go on whose time has come.
    pub async fn rescue(&self, lost: bool, due: bool, late: DateTime<Utc>) -> Result<Rescued> {
        let now = self.core.clock.now();
        let mut rescued = Rescued::default();
        if lost {
            rescued = self.core.store.rescue(now, late, self.core.config.engine.max_crashes).await?;
            self.core.announce(std::mem::take(&mut rescued.change));
        }
        if due {
            self.core.announce(self.core.store.resume_due(now).await?);
        }
        Ok(rescued)
    }

    /// A job that was counted has ended: another may start, here or elsewhere.
    pub fn turn_ended(&self, queue: &str) {
        self.core.announce_any(queue);
    }

    /// Whether other processes share the database: only then are wake-ups sent.
    pub fn set_company(&self, company: bool) {
        self.core.wires.set_company(company);
    }
}

impl Core {
    fn process(&self) -> ProcessId {
        *self.process.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn submit(&self, request: NewRequest, parent: Option<JobId>) -> Result<Job> {
        let now = self.clock.now();
        self.depths.admit(&self.store, request.policy.queue, self.config.engine.max_queued, now).await?;
        let mut submission = self.submission(request, parent, now);
        let patience = Duration::from_secs(self.config.database.acquire_timeout_seconds);
        loop {
            match self.journal.submit(submission.clone(), patience).await? {
                Submitted::Created => return Ok(submission.job_as_created()),
                Submitted::Existing(id) => {
                    let job = self.store.peek_job(id, None).await?;
                    return job.ok_or_else(|| {
                        Error::conflict("JOB_GONE", "the first job with this key was deleted")
                    });
                }
                Submitted::OtherRequest => {
                    return Err(Error::invalid(
                        "Idempotency-Key",
                        "was used before, with a different request",
                    ));
                }
                Submitted::Again => submission.job.id = JobId(self.clock.new_id()),
            }
        }
    }

    fn submission(&self, request: NewRequest, parent: Option<JobId>, now: DateTime<Utc>) -> Submission {
        let run_at = request.run_at.unwrap_or(now);
        let head_start = self.config.engine.ageing() * request.priority.get().unsigned_abs();
        let head_start = i64::try_from(head_start.as_micros()).unwrap_or(i64::MAX);
        let rank = run_at.timestamp_micros() - head_start * i64::from(request.priority.get().signum());
        let turn = request.turn.or_else(|| self.turn_of_owner(request.policy.queue, request.owner));
        let job = NewJob {
            id: request.id.unwrap_or_else(|| JobId(self.clock.new_id())),
            kind: request.policy.kind.to_owned(),
            queue: request.policy.queue.to_owned(),
            owner: request.owner,
            label: request.label,
            filing: request.filing,
            request_id: request.request_id,
            parent,
            priority: request.priority,
            max_attempts: request.policy.max_attempts,
            run_at,
            unique_key: request.unique_key,
            idempotency: request.idempotency,
            turn,
            payload: request.payload,
        };
        Submission { job, at: now, rank }
    }

    /// A queue may limit how much of one user runs at once.
    fn turn_of_owner(&self, queue: &str, owner: Option<UserId>) -> Option<TurnKey> {
        let per_user = self.config.queues.get(queue)?.per_user;
        let concurrency = i32::try_from(per_user).ok().filter(|most| *most > 0)?;
        Some(TurnKey { name: format!("user:{}", owner?), concurrency, per_minute: None })
    }

    async fn submit_child(
        &self,
        parent: JobId,
        owner: Option<UserId>,
        request_id: Option<String>,
        name: &str,
        child: NewChild,
    ) -> Result<JobId> {
        let mut request = NewRequest::new(child.policy, owner, child.payload);
        request.request_id = request_id;
        request.label = child.label;
        // A child is filed where its parent is.
        let filed = self.store.peek_job(parent, None).await?;
        request.filing = filed.map(|job| Filing { project: job.project, tags: job.tags }).unwrap_or_default();
        let fingerprint = String::new();
        request.idempotency = Some(Idempotency { key: format!("child:{parent}:{name}"), fingerprint });
        Ok(self.submit(request, Some(parent)).await?.id)
    }

    /// Cancels a job and all below it. False: there was nothing to do.
    async fn cancel(&self, id: JobId, owner: Option<UserId>) -> Result<bool> {
        let mut asked = false;
        let mut family = vec![id];
        while let Some(member) = family.pop() {
            let change = self.store.request_cancel(member, owner, self.clock.now()).await?;
            asked |= member == id && change.is_some();
            match change {
                Some(CancelChange::Ended(change)) => self.announce(change),
                Some(CancelChange::Asked(change, process)) => {
                    self.announce(change);
                    self.running.cancel(member);
                    if process != self.process() {
                        self.wires.send(|| wires::Wake::Cancel(member));
                    }
                }
                None => continue,
            }
            family.extend(self.store.live_children(member).await?);
        }
        Ok(asked)
    }

    /// Tells subscribers here and elsewhere what was just committed.
    fn publish(&self, events: Vec<Event>) {
        if let Some(lag) = events.first().and_then(|event| (self.clock.now() - event.at).to_std().ok()) {
            metrics::histogram!("codeyard_event_lag_seconds").record(lag);
        }
        for event in &events {
            self.wires.send(|| wires::Wake::Log(event.job_id));
        }
        self.hub.publish(events);
    }

    /// Tells subscribers that the log has grown by something that only the log knows.
    fn publish_unseen(&self, job: JobId) {
        self.wires.send(|| wires::Wake::Log(job));
        self.hub.hint(job);
    }

    fn announce(&self, change: Change) {
        self.publish(change.events);
        let parents = change.woken.into_iter().map(|parent| parent.queue);
        for queue in change.queues.into_iter().chain(parents) {
            self.announce_any(&queue);
        }
    }

    /// There is something to claim, now or later, here and elsewhere.
    fn announce_work(&self, queue: &str, in_turn: bool, run_at: DateTime<Utc>) {
        if run_at > self.clock.now() {
            return self.work.hint_at(queue, in_turn, run_at);
        }
        self.work.hint(queue, in_turn);
        self.wires.send(|| wires::Wake::Work(queue.to_owned()));
    }

    /// There may be something of any sort to claim, here and elsewhere.
    fn announce_any(&self, queue: &str) {
        self.hint_any(queue);
        self.wires.send(|| wires::Wake::Work(queue.to_owned()));
    }

    fn hint_any(&self, queue: &str) {
        self.work.hint(queue, false);
        self.work.hint(queue, true);
    }

    /// Wake-ups may have been lost: look at every queue and every watched log.
    fn look_at_everything(&self) {
        self.hub.hint_all();
        self.config.queues.keys().for_each(|queue| self.hint_any(queue));
    }
}
