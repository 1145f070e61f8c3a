//! Where builds with a scripted model run: a whole server, with a kind that hands its jobs to the workflow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use codeyard::agent::{self, Files, Limits, Models, Prompts, Run, Site, State, Task, Workspace};
use codeyard::jobs::{Context, Failure, Outcome, Wait};
use codeyard::kinds::{self, Env, Registry};
use codeyard::llm::{Choice, Spender, Target};
use codeyard::model::{JobId, Status};
use codeyard::proxy::Hosts;
use serde_json::{Value, json};

use super::model::{Script, Scripted};
use crate::support::TestApp;
use crate::support::stage::SCRIPT;

/// A server, and the models that its builds ask.
pub(super) struct Yard {
    pub(super) app: TestApp,
    next: AtomicUsize,
}

/// A build under way.
pub(super) struct Build {
    pub(super) job: JobId,
    pub(super) model: Arc<Scripted>,
}

impl Yard {
    pub(super) async fn open() -> Self {
        Self { app: TestApp::with_kinds(&[], registry()).await, next: AtomicUsize::new(0) }
    }

    /// Submits a build that asks a model with this script.
    pub(super) async fn build(&self, script: Script, parameters: Value) -> Build {
        let model = Scripted::new(script);
        let name = format!("scripted-{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.app.app.env.llm.add(&name, model.clone());
        let mut parameters = parameters;
        parameters["provider"] = name.into();
        let job = self.app.play(&parameters).await;
        Build { job, model }
    }

    /// Waits until a build is over, and returns where it stands, with its files.
    pub(super) async fn done(&self, build: &Build) -> Value {
        self.app.until(build.job, Status::Completed).await;
        serde_json::from_str(&self.app.app.store.result(build.job).await.unwrap().unwrap()).unwrap()
    }

    /// Waits until a build has failed, and returns the code.
    pub(super) async fn failed(&self, build: &Build) -> String {
        self.app.until(build.job, Status::Failed).await.error_code.unwrap()
    }

    /// The data of a build's events of this name.
    pub(super) async fn said(&self, build: &Build, name: &str) -> Vec<Value> {
        let log = self.app.log(build.job).await;
        let named = log.into_iter().filter(|event| event.name == name);
        named.map(|event| serde_json::from_str(event.data.as_deref().unwrap_or("null")).unwrap()).collect()
    }
}

/// All kinds, with builds that go through the workflow. `crash_at` and `crash_before` in the parameters let the run
/// die at that save, after or before it is on disk, once; then it goes on from what is on disk.
pub(super) fn registry() -> Registry {
    kinds::all().with_start(SCRIPT, |payload, env, context| {
        let payload: Value = serde_json::from_str(payload.get()).unwrap();
        Box::pin(async move {
            let mut crash = payload["parameters"]["crash_at"].as_u64();
            let before = payload["parameters"]["crash_before"] == true;
            loop {
                match build(&payload, &env, &context, &mut crash, before).await {
                    Err(failure) if failure.code == "STOPPED" && crash.is_some() => crash = None,
                    ended => return ended,
                }
            }
        })
    })
}

async fn build(
    payload: &Value,
    env: &Arc<Env>,
    context: &Context,
    crash: &mut Option<u64>,
    before: bool,
) -> Result<Outcome, Failure> {
    let saved = context.saved().await.unwrap();
    let state: State = saved.map(|saved| serde_json::from_str(&saved).unwrap()).unwrap_or_default();
    let home = env.config.data_dir.join("builds").join(context.job().to_string());
    let sandbox = env.sandbox().await.unwrap();
    let workspace = Workspace::open(&home, state.commit, sandbox).unwrap();
    let workspace = Arc::new(tokio::sync::Mutex::new(workspace));
    let intake = kinds::analysis::limits_of(env);
    let prompts = Prompts::load(None).unwrap();
    let (saves, fatal) = (AtomicUsize::new(0), *crash);
    let save = |state: &State, files: Files| -> futures::future::BoxFuture<'static, bool> {
        let number = saves.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        let dies = fatal == Some(number);
        let (context, state) = (context.clone(), serde_json::to_value(state).unwrap());
        Box::pin(async move {
            if dies && before {
                return false;
            }
            context.save_with(&state, files).await && !dies
        })
    };
    let site = Site {
        context,
        llm: &env.llm,
        spender: Spender { job: Some(context.job()), ..Spender::default() },
        sandbox,
        workspace: Arc::clone(&workspace),
        home,
        prompts: &prompts,
        intake: &intake,
        save: &save,
    };
    match agent::run(&task(payload, env), &site, state).await? {
        Run::Waiting => Ok(Outcome::Wait(Wait::Signal)),
        Run::Over(state) => {
            let kept = workspace.lock().await.kept().unwrap();
            let files: BTreeMap<_, _> =
                kept.into_iter().map(|file| (file.path, String::from_utf8(file.content).unwrap())).collect();
            Outcome::done(&json!({ "state": state, "files": files, "saves": saves.load(Ordering::Relaxed) }))
        }
    }
}

fn task(payload: &Value, env: &Env) -> Task {
    let parameters = &payload["parameters"];
    let first = Target { provider: parameters["provider"].as_str().map(str::to_owned), model: None };
    let mut limits = Limits::of(&env.config.agent);
    if let Some(iterations) = parameters["iterations"].as_u64() {
        limits.iterations = u32::try_from(iterations).unwrap();
    }
    if let Some(tokens) = parameters["tokens"].as_i64() {
        limits.tokens = tokens;
    }
    if let Some(tokens) = parameters["context_tokens"].as_u64() {
        limits.context_tokens = usize::try_from(tokens).unwrap();
    }
    Task {
        project: payload["project_name"].as_str().unwrap().to_owned(),
        goal: "a command line tool that counts words in files".to_owned(),
        language: Some("python".to_owned()),
        test_command: parameters["test_command"].as_str().map(str::to_owned),
        test_time: std::time::Duration::from_secs(300),
        require_approval: parameters["require_approval"] == true,
        page_hosts: Hosts::default(),
        network: Hosts::default(),
        models: Models { default: Choice { first, fallback: Vec::new() }, ..Models::default() },
        limits,
    }
}
