//! From a goal to a tested project: analyze → plan → (a person's word) → generate → test → mend, until the tests pass or
//! a limit is met.
//!
//! The state is saved after every answer of the model and after every call that changes something, and before every
//! call that starts a program. A process that dies in between does the step under way again, from the files of the last
//! saved step: an answer that came is not asked for again, a file that was written is written again, and a program that
//! was started and whose end nobody saw is told to the model as interrupted.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::attached::{self, KEPT_OUTPUTS};
use super::bench::{self, Bench, Shared};
use super::checks;
use super::fence::fence;
use super::prompts::{Prompt, Prompts};
use super::state::{Cost, Decision, Ended, Phase, State};
use super::task::{Limit, Task};
use super::testing::Verdict;
use super::tools::{self, Plan, Requirements};
use super::transcript::{self, Transcript};
use super::voice::Voice;
use super::workspace;
use crate::jobs::{Context, Failure, Level};
use crate::llm::{Llm, Message, Role, Spender};
use crate::sandbox::Sandbox;
use crate::source;

/// How often a model that is stuck is helped before it is given up.
const RECOVERIES: u32 = 2;
/// The tests are run once more at the very end, also when the time is up.
const LAST_TEST: Duration = Duration::from_secs(60);

/// What a build has around it.
pub struct Site<'a> {
    /// The job.
    pub context: &'a Context,
    /// The models.
    pub llm: &'a Llm,
    /// Whose money is spent.
    pub spender: Spender,
    /// Where commands run.
    pub sandbox: &'a Sandbox,
    /// The project, with the files as of [`State::commit`].
    pub workspace: Shared,
    /// The build's directory on this server, for the outputs of its commands.
    pub home: PathBuf,
    /// What models are told.
    pub prompts: &'a Prompts,
    /// How much is taken in, and from which addresses.
    pub intake: &'a source::Limits,
    /// Writes the state down, with what is added to the files beside it ([`Context::save_with`]); returns once it is on
    /// disk. False: the job belongs to another process by now.
    pub save: &'a (dyn Fn(&State, Files) -> BoxFuture<'static, bool> + Send + Sync),
}

/// Names of files, and what is added to them.
pub type Files = Vec<(String, Vec<u8>)>;

/// How a run of the workflow ended.
#[derive(Debug)]
pub enum Run {
    /// The build is over, well or not: [`State::ended`] says how. What there is can be packaged.
    Over(Box<State>),
    /// A person is asked; the job waits for a signal, and is run again when there is an answer.
    Waiting,
}

/// Builds, from the beginning or from a saved state.
pub async fn run(task: &Task, site: &Site<'_>, state: State) -> Result<Run, Failure> {
    let voice = Voice::new(site.context);
    let pieces = site.context.saved_files(transcript::FILE).await;
    let pieces = pieces.map_err(|error| Failure::transient("DATABASE_UNAVAILABLE", error.to_string()))?;
    let (transcript, messages) = Transcript::resume(&pieces);
    drop(pieces);
    let (millis_before, begun) = (state.cost.millis, Instant::now());
    let (files, cost_told, keeps_all) = (Files::new(), None, true);
    let mut workflow = Workflow {
        task,
        site,
        voice: &voice,
        transcript,
        files,
        state,
        millis_before,
        begun,
        cost_told,
        keeps_all,
    };
    if workflow.state.messages.is_empty() {
        workflow.state.messages = messages;
    } else {
        // A state of a version that had the conversation in it.
        workflow.write_conversation(0);
    }
    // What is told goes with the state that it belongs to.
    let _held_back = site.context.hold_back();
    workflow.run().await
}

/// One run of a build.
pub(super) struct Workflow<'a> {
    pub(super) task: &'a Task,
    pub(super) site: &'a Site<'a>,
    pub(super) voice: &'a Voice<'a>,
    transcript: Transcript,
    /// Other files that are to be written down with the state.
    files: Files,
    pub(super) state: State,
    millis_before: u64,
    begun: Instant,
    cost_told: Option<Instant>,
    /// Whether other servers can go on with all that there is.
    keeps_all: bool,
}

/// What becomes of a phase.
pub(super) enum Next {
    /// It goes on.
    Same,
    /// The model has handed something in.
    Submitted(Value),
    /// A person is asked.
    Wait,
    /// The build is over.
    End(Ended),
}

impl Workflow<'_> {
    async fn run(&mut self) -> Result<Run, Failure> {
        if !self.transcript.has_begun() {
            let Task { project, goal, limits, .. } = self.task;
            self.write(
                "build",
                json!({ "project": project, "goal": goal, "limits": limits,
                "prompts": self.site.prompts.version(), "server": env!("CARGO_PKG_VERSION") }),
            );
        }
        while self.state.phase != Phase::Finalize {
            self.tell_progress().await;
            let next = match self.state.phase {
                Phase::Analyze | Phase::Plan | Phase::Generate | Phase::Mend => self.turn().await?,
                Phase::Approve => self.approve().await?,
                Phase::Test => self.test().await?,
                Phase::Finalize => Next::Same,
            };
            match next {
                Next::Same => {}
                Next::Submitted(value) => self.took(value).await?,
                Next::Wait => return Ok(Run::Waiting),
                Next::End(ended) => self.end(ended).await?,
            }
        }
        self.tell_progress().await;
        Ok(Run::Over(Box::new(std::mem::take(&mut self.state))))
    }

    /// What the model has handed in begins the next phase.
    async fn took(&mut self, value: Value) -> Result<(), Failure> {
        match self.state.phase {
            Phase::Analyze => {
                let requirements: Requirements = serde_json::from_value(value).unwrap_or_default();
                self.voice.say("requirements", Some(&requirements.summary), &json!(requirements)).await;
                self.state.requirements = Some(requirements);
                self.enter(Phase::Plan);
            }
            Phase::Plan => {
                let plan: Plan = serde_json::from_value(value).unwrap_or_default();
                self.voice.say("plan", Some(&plan.summary), &json!(plan)).await;
                self.state.plan = Some(plan);
                self.enter(if self.task.require_approval { Phase::Approve } else { Phase::Generate });
            }
            _ => {
                self.state.summary = value.as_str().unwrap_or_default().to_owned();
                self.enter(Phase::Test);
            }
        }
        self.save().await
    }

    /// Asks a person whether the plan is good; with a no, it is made again.
    async fn approve(&mut self) -> Result<Next, Failure> {
        if self.state.open_approval().is_none() {
            let id = format!("plan-{}", self.state.approvals.len() + 1);
            self.ask(id, "Is this plan good?".to_owned()).await?;
            return Ok(Next::Wait);
        }
        let Some(decision) = self.answer().await? else { return Ok(Next::Wait) };
        self.enter(if decision.approved { Phase::Generate } else { Phase::Plan });
        self.save().await?;
        Ok(Next::Same)
    }

    /// Asks a person something; the job waits from then on.
    pub(super) async fn ask(&mut self, id: String, question: String) -> Result<(), Failure> {
        let data = json!({ "approval_id": id, "question": question, "plan": self.state.plan });
        self.state.approvals.push(super::state::Approval { id, question: question.clone(), answer: None });
        self.voice.say("awaiting_approval", Some(&question), &data).await;
        self.save().await
    }

    /// What a person said to the open question, if anything by now.
    pub(super) async fn answer(&mut self) -> Result<Option<Decision>, Failure> {
        let said = self.site.context.answer().await;
        let said = said.map_err(|error| Failure::transient("DATABASE_UNAVAILABLE", error.to_string()))?;
        let decision = said.and_then(|said| serde_json::from_str::<Decision>(&said).ok());
        let Some(open) = self.state.approvals.last_mut() else { return Ok(None) };
        // An answer to an earlier question is no answer to this one.
        let decision = decision.filter(|decision| decision.approval_id == open.id);
        open.answer.clone_from(&decision);
        Ok(decision)
    }

    /// Runs the tests, whatever the model says of them.
    async fn test(&mut self) -> Result<Next, Failure> {
        let before = self.state.tests.as_ref().map(|tests| tests.verdict);
        if before == Some(Verdict::Failed)
            && self.state.tested == self.state.commit
            && self.state.mendings > 0
        {
            self.state.phase = Phase::Mend;
            return self
                .recover("`finish` was called again, but nothing was changed since the tests failed")
                .await;
        }
        self.run_tests(Duration::ZERO).await?;
        let Some(tests) = &self.state.tests else { return Ok(Next::Same) };
        let (verdict, sentence) = (tests.verdict, tests.sentence());
        let failures = checks::failures(tests);
        match verdict {
            Verdict::Passed => return Ok(Next::End(Ended::TestsPassed)),
            Verdict::NotRun if before == Some(Verdict::NotRun) => return Ok(Next::End(Ended::NoTests)),
            Verdict::NotRun | Verdict::Failed => {}
        }
        self.state.mendings += 1;
        let failures = if failures.is_empty() { failures } else { self.fence("the tests", &failures) };
        let round = self.state.mendings.to_string();
        let values = [("verdict", sentence.as_str()), ("failures", &failures), ("round", &round)];
        let message = self.site.prompts.fill(Prompt::Mend, &values);
        self.enter(Phase::Mend);
        self.push(Message::text(Role::User, message));
        self.save().await?;
        Ok(Next::Same)
    }

    async fn run_tests(&mut self, at_least: Duration) -> Result<(), Failure> {
        self.voice.expect_output_of("tests");
        let mut bench = self.bench();
        bench.time_left = bench.time_left.max(at_least);
        let tested = self.voice.during(checks::test(&bench, None)).await;
        let tested = tested.map_err(|error| self.infrastructure(&error))?;
        self.write("tests", json!({ "tests": tested }));
        self.state.tests = Some(tested);
        // What the tests left behind is no part of the project unless it is kept; then it is a step.
        self.keep("Run the tests").await?;
        self.state.tested = self.state.commit;
        Ok(())
    }

    /// Tells a model that is stuck what is wrong, with a fresh look at where things stand; or gives up.
    pub(super) async fn recover(&mut self, problem: &str) -> Result<Next, Failure> {
        if self.state.recoveries >= RECOVERIES {
            let pattern = self.state.turns.pattern().unwrap_or(super::stuck::Pattern::Repeating);
            return Ok(Next::End(Ended::Stuck { pattern }));
        }
        self.state.recoveries += 1;
        self.state.useless = 0;
        self.state.turns.clear();
        let step = format!("Recovering: {problem}");
        self.site.context.progress(0, &step).await;
        let files = bench::with(&self.site.workspace, |workspace| workspace.list()).await.unwrap_or_default();
        let mut state = format!("The workspace has {} files:\n", files.len());
        files.iter().take(200).for_each(|path| state += &format!("{path}\n"));
        if let Some(tests) = &self.state.tests {
            state += &format!("When the tests were last run independently: {}.\n", tests.sentence());
        }
        let state = self.fence("the workspace", &state);
        let message = self.site.prompts.fill(Prompt::Recover, &[("problem", problem), ("state", &state)]);
        self.push(Message::text(Role::User, message));
        self.save().await?;
        Ok(Next::Same)
    }

    /// Takes down why the build is over. One that has made nothing has failed.
    async fn end(&mut self, ended: Ended) -> Result<(), Failure> {
        let unfinished = !matches!(ended, Ended::TestsPassed | Ended::NoTests);
        let has_files = bench::with(&self.site.workspace, |workspace| workspace.list()).await;
        let has_files = has_files.is_ok_and(|files| !files.is_empty());
        if unfinished && (!has_files || self.state.phase < Phase::Generate) {
            // Whoever retries the job wants another try, not the same end again.
            self.state.recoveries = 0;
            self.state.turns.clear();
            self.save().await?;
            return Err(ended.failure());
        }
        if unfinished && (self.state.tests.is_none() || self.state.tested != self.state.commit) {
            self.site.context.progress(0, "Running the tests").await;
            self.run_tests(LAST_TEST).await?;
        }
        self.write("ended", json!({ "ended": ended, "cost": self.cost() }));
        self.state.ended = Some(ended);
        self.tell_cost(true).await;
        self.enter(Phase::Finalize);
        self.save().await
    }

    /// A new phase.
    fn enter(&mut self, phase: Phase) {
        self.state.enter(phase);
        self.write("phase", json!({ "phase": phase }));
    }

    /// Adds to the conversation, and to the transcript.
    pub(super) fn push(&mut self, message: Message) {
        self.write("message", json!({ "message": message }));
        self.state.messages.push(message);
    }

    pub(super) fn write(&mut self, sort: &str, line: Value) {
        let at = self.site.context.clock().now();
        self.transcript.write(at, sort, line);
    }

    /// Writes the state down, with all that was told since the last time. It is an error if the job is not ours any more.
    pub(super) async fn save(&mut self) -> Result<(), Failure> {
        self.state.cost.millis = self.millis_before + self.millis();
        let mut files = self.news().await;
        files.append(&mut self.files);
        files.extend(self.transcript.take_news());
        if (self.site.save)(&self.state, files).await { Ok(()) } else { Err(self.site.context.stopped()) }
    }

    /// Has the whole output of the last command written down, if it was kept.
    pub(super) fn attach_output(&mut self) {
        let name = format!("{KEPT_OUTPUTS}/{}", attached::output(self.state.outputs));
        let output = std::fs::read(self.site.home.join(&name));
        self.files.extend(output.ok().map(|bytes| (name, bytes)));
    }

    /// What came to the history.
    async fn news(&mut self) -> Files {
        let mut workspace = self.site.workspace.lock().await;
        let (news, keeps_all) = (workspace.take_news(), workspace.all_is_told());
        drop(workspace);
        if self.keeps_all && !keeps_all {
            let what = "the project's history is too large for the database: only this server can go on with the build";
            self.site.context.log(Level::Warn, what).await;
            self.keeps_all = false;
        }
        news
    }

    /// Writes the state down if something was said or heard since the last time.
    pub(super) async fn save_news(&mut self) -> Result<(), Failure> {
        if self.transcript.is_saved() {
            self.site.context.tell().await;
            return Ok(());
        }
        self.save().await
    }

    /// Keeps what has changed in the workspace as a step; shows it, and tells its number.
    pub(super) async fn keep(&mut self, name: &str) -> Result<Option<usize>, Failure> {
        let (name, known) = (name.to_owned(), self.state.commit);
        let step = bench::with(&self.site.workspace, move |workspace| match workspace.commit(&name)? {
            None if workspace.head() != known => workspace.step(workspace.steps()).map(Some),
            step => Ok(step),
        });
        let step = step.await.map_err(|error| Failure::transient("WORKSPACE_FAILED", error.to_string()))?;
        let Some(step) = step else { return Ok(None) };
        self.state.commit = Some(step.commit);
        self.show_changes(&step).await;
        Ok(Some(step.number))
    }

    async fn show_changes(&mut self, step: &workspace::Step) {
        const SHOWN: usize = 20;
        for change in step.changes.iter().take(SHOWN) {
            let planned = self.state.plan.as_ref();
            if planned.is_some_and(|plan| plan.files.iter().any(|file| file.path == change.path)) {
                self.state.written.insert(change.path.clone());
            }
            let diff = super::clip::clip(&change.diff, 16 << 10, "the history of the build has all of it");
            let data = json!({ "path": change.path, "change": change.change, "added": change.added,
                "removed": change.removed, "diff": diff, "truncated": diff.len() != change.diff.len(),
                "step": step.number, "commit": step.commit });
            self.voice.say("file_changed", Some(&change.path), &data).await;
        }
        if step.changes.len() > SHOWN {
            let more: Vec<&str> =
                step.changes[SHOWN..].iter().take(500).map(|change| change.path.as_str()).collect();
            let message = format!("{} more files", step.changes.len() - SHOWN);
            let data = json!({ "paths": more, "step": step.number });
            self.voice.say("file_changed", Some(&message), &data).await;
        }
    }

    /// What tools work with.
    pub(super) fn bench(&self) -> Bench<'_> {
        let used = Duration::from_millis(self.millis_before + self.millis());
        Bench {
            workspace: &self.site.workspace,
            sandbox: self.site.sandbox,
            voice: self.voice,
            task: self.task,
            stop: self.site.context.stop(),
            intake: self.site.intake,
            outputs: self.site.home.join(KEPT_OUTPUTS),
            next_output: self.state.outputs,
            time_left: Duration::from_secs(self.task.limits.seconds).saturating_sub(used),
            planned_tests: self.state.plan.as_ref().and_then(|plan| plan.test_command.as_deref()),
        }
    }

    pub(super) fn fence(&self, from: &str, text: &str) -> String {
        fence(self.site.context.job().0.as_bytes(), from, text)
    }

    pub(super) fn met_limit(&self) -> Option<Limit> {
        let cost = Cost { millis: self.millis_before, ..self.state.cost.clone() };
        cost.met(&self.task.limits, self.millis())
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn cost(&self) -> Cost {
        Cost { millis: self.millis_before + self.millis(), ..self.state.cost.clone() }
    }

    /// Tells what was spent, at most once a second unless it `must` be told.
    pub(super) async fn tell_cost(&mut self, must: bool) {
        let lately = self.cost_told.is_some_and(|told| told.elapsed() < Duration::from_secs(1));
        if must || !lately {
            self.cost_told = Some(Instant::now());
            self.voice.say("cost", None, &json!(self.cost())).await;
        }
    }

    /// A failure of the machine, not of the model.
    pub(super) fn infrastructure(&self, error: &tools::Error) -> Failure {
        match error {
            tools::Error::Stopped => self.site.context.stopped(),
            other => Failure::transient("BUILD_FAILED", other.to_string()),
        }
    }

    /// How far it is. The shares are what builds of this sort take; inside a phase it approaches the next.
    async fn tell_progress(&self) {
        let State { phase, plan, written, mendings, cost, .. } = &self.state;
        let planned = plan.as_ref().map_or(0, |plan| plan.files.len());
        let share = |done: f64, of: f64| (done / of.max(1.0)).clamp(0.0, 1.0);
        let (from, to, done, step) = match phase {
            Phase::Analyze => (1, 4, 0.0, "Working out what is asked for".to_owned()),
            Phase::Plan => (4, 9, 0.0, "Making a plan".to_owned()),
            Phase::Approve => (9, 10, 0.0, "Waiting for approval of the plan".to_owned()),
            Phase::Generate if planned > 0 => {
                let step = format!("Writing: {} of {planned} planned files", written.len());
                (10, 62, share(written.len() as f64, planned as f64), step)
            }
            Phase::Generate => {
                let calls = f64::from(cost.tool_calls);
                (10, 62, calls / (calls + 8.0), format!("Writing: {} calls so far", cost.tool_calls))
            }
            Phase::Test => (64, 70, 0.0, "Running the tests".to_owned()),
            Phase::Mend => {
                let rounds = f64::from(*mendings);
                let verdict =
                    self.state.tests.as_ref().map(super::testing::Tested::sentence).unwrap_or_default();
                (70, 90, rounds / (rounds + 2.0), format!("Mending, round {mendings}; {verdict}"))
            }
            Phase::Finalize => (92, 92, 0.0, "Finishing".to_owned()),
        };
        let percent = f64::from(from) + f64::from(to - from) * done;
        self.site.context.progress(percent as i32, &step).await;
    }
}
