//! A project from the catalogue: written step by step, tested, and honest about what it is.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::voice::{tell_step, tell_tests};
use super::{Made, SCAFFOLD, Shared, Site, broken, with};
use crate::agent::testing::{self, Framework, Tested};
use crate::agent::workspace::{self, Step};
use crate::agent::{CommitId, Files, TEST_LOG, Voice};
use crate::jobs::{Failure, Level};
use crate::scaffold::{self, Order, Project};

/// What is done, written down after every step.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// The last commit that counts.
    commit: Option<CommitId>,
    /// Whether the files to start from are in.
    started: bool,
    /// Steps of the project that are in.
    steps: usize,
    /// What the tests said.
    tested: Option<Tested>,
    /// The lines of the transcript.
    transcript: Vec<Value>,
}

/// Percent when the project is written, and when it is tested.
const WRITTEN: i32 = 35;
const TESTED: i32 = 75;

/// Makes the project, or goes on where a former run of the job was.
pub(super) async fn make(site: &Site<'_>) -> Result<Made, Failure> {
    let build = site.build;
    let language = build.parameters.scaffold_language();
    let template = build.parameters.template;
    let project =
        scaffold::make(&Order { project_name: &build.project_name, goal: &build.goal, language, template });
    let (state, workspace) = open(site).await?;
    let mut work = Work { site, voice: Voice::new(site.context), state, workspace };
    site.context.begin().await;
    work.start().await?;
    work.write(&project).await?;
    let tested = work.test().await?;
    Ok(Made {
        workspace: work.workspace,
        tested,
        provider: SCAFFOLD.to_owned(),
        language: word(&project.language),
        template: word(&project.template),
        summary: project.summary,
        transcript: lines(&work.state.transcript),
        workflow: None,
    })
}

/// The state that was saved last, with its files; the beginning, if they are not on this machine.
async fn open(site: &Site<'_>) -> Result<(State, Shared), Failure> {
    let saved = site.context.saved().await;
    let saved =
        saved.map_err(|_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer"))?;
    let state: State = saved.and_then(|saved| serde_json::from_str(&saved).ok()).unwrap_or_default();
    let (workspace, is_lost) = site.open(state.commit).await?;
    Ok((if is_lost { State::default() } else { state }, workspace))
}

struct Work<'a> {
    site: &'a Site<'a>,
    voice: Voice<'a>,
    state: State,
    workspace: Shared,
}

impl Work<'_> {
    /// Takes in what the project is to start from.
    async fn start(&mut self) -> Result<(), Failure> {
        if self.state.started {
            return Ok(());
        }
        let build = self.site.build;
        self.note(json!({ "type": "build", "project": build.project_name, "goal": build.goal, "provider": SCAFFOLD }));
        if let Some(tree) = self.site.start().await? {
            let step = with(&self.workspace, move |workspace| {
                workspace.fill(&tree)?;
                workspace.commit("Take the source in")
            });
            let step = step.await?;
            self.tell(step).await;
        }
        self.state.started = true;
        self.save().await
    }

    /// Writes what is not there yet. Files that the project started from stay as they are.
    async fn write(&mut self, project: &Project) -> Result<(), Failure> {
        let total = i32::try_from(project.steps.len()).unwrap_or(1).max(1);
        for (done, step) in (0..).zip(&project.steps).skip(self.state.steps) {
            self.site.context.progress(5 + done * (WRITTEN - 5) / total, &step.name).await;
            let (name, files) = (step.name.clone(), step.files.clone());
            let kept = with(&self.workspace, move |workspace| {
                for (path, text) in &files {
                    if matches!(workspace.read(path), Err(workspace::Error::NotThere(_))) {
                        workspace.write(path, text.as_bytes())?;
                    }
                }
                workspace.commit(&name)
            });
            let kept = kept.await?;
            self.tell(kept).await;
            self.state.steps += 1;
            self.save().await?;
        }
        Ok(())
    }

    /// Runs the tests, unless they were.
    async fn test(&mut self) -> Result<Tested, Failure> {
        if let Some(tested) = &self.state.tested {
            let mut tested = tested.clone();
            tested.output = tokio::fs::read(self.output()).await.unwrap_or_default();
            return Ok(tested);
        }
        let context = self.site.context;
        context.progress(WRITTEN + 5, "Running the tests").await;
        let tested = self.run_tests().await?;
        if context.stop_reason().is_some() {
            return Err(context.stopped());
        }
        // Where the rest of the build is interrupted, the log needs it again.
        let _ = tokio::fs::write(self.output(), &tested.output).await;
        tell_tests(&self.voice, &tested).await;
        self.note(json!({ "type": "tests", "verdict": tested.verdict, "reason": tested.reason,
            "command": tested.command, "summary": tested.summary, "seconds": tested.seconds }));
        self.state.tested = Some(tested.clone());
        self.save_with(vec![(TEST_LOG.to_owned(), tested.output.clone())]).await?;
        context.progress(TESTED, &tested.sentence()).await;
        Ok(tested)
    }

    async fn run_tests(&self) -> Result<Tested, Failure> {
        let parameters = &self.site.build.parameters;
        let workspace = self.workspace.lock().await;
        let framework = match &parameters.test_command {
            Some(line) => Some(Framework::Command(line.clone())),
            None => {
                let files = workspace.list().map_err(|error| broken(&error))?;
                testing::detect(&files, &|path| String::from_utf8(workspace.read(path).ok()?).ok())
            }
        };
        let Some(framework) = framework else {
            return Ok(Tested::not_run("", "no tests were found; `test_command` can name what runs them"));
        };
        let (wall, stop) = (parameters.limits.test_wall(), self.site.context.stop());
        self.site.context.log(Level::Info, &format!("$ {}", framework.shown())).await;
        self.voice.expect_output_of("tests");
        let see = |stream, piece: &[u8]| self.voice.see(stream, piece);
        let run = testing::run(&workspace, &framework, wall, self.site.sandbox, stop, &see);
        let tested = self.voice.during(run).await;
        self.voice.tell_traffic(&workspace.take_traffic()).await;
        tested.map_err(|error| Failure::transient("NO_SANDBOX", error.to_string()))
    }

    fn output(&self) -> std::path::PathBuf {
        self.site.home.join(TEST_LOG)
    }

    async fn tell(&mut self, step: Option<Step>) {
        let Some(step) = step else { return };
        self.state.commit = Some(step.commit);
        tell_step(&self.voice, &step).await;
        for path in &step.left_out {
            self.site.context.log(Level::Warn, &format!("not kept: {path}")).await;
        }
        let files: Vec<&String> = step.changes.iter().map(|change| &change.path).collect();
        let line = json!({ "type": "step", "step": step.number, "name": step.name, "commit": step.commit, "files": files });
        self.note(line);
    }

    /// Adds a line to the transcript.
    fn note(&mut self, mut line: Value) {
        line["at"] = self.site.context.clock().now().to_rfc3339().into();
        self.state.transcript.push(line);
    }

    /// Writes the state down. Whoever has lost the job stops here.
    async fn save(&self) -> Result<(), Failure> {
        self.save_with(Vec::new()).await
    }

    async fn save_with(&self, mut files: Files) -> Result<(), Failure> {
        files.extend(self.workspace.lock().await.take_news());
        let context = self.site.context;
        if context.save_with(&self.state, files).await { Ok(()) } else { Err(context.stopped()) }
    }
}

/// JSON, one a line.
fn lines(values: &[Value]) -> Vec<u8> {
    values.iter().flat_map(|value| format!("{value}\n").into_bytes()).collect()
}

/// The word that something is written as.
fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}
