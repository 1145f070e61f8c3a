//! A project that a model makes: what it starts from, the agent's workflow, and what its tests said.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::network::hosts;
use super::{Made, Shared, Site, with};
use crate::agent::testing::Tested;
use crate::agent::{self, Ended, Files, Limits, Models, Phase, Prompts, Run, State, TRANSCRIPT, Task};
use crate::jobs::Failure;
use crate::llm::{Choice, Spender, Target};
use crate::scaffold::{self, Order};

/// Makes the project, or goes on where a former run of the job was. `None`: a person is asked.
pub(super) async fn make(site: &Site<'_>, first: Target) -> Result<Option<Made>, Failure> {
    let prompts = Prompts::of(&site.env.config.agent);
    let prompts = prompts.map_err(|error| Failure::fatal("PROMPTS_UNUSABLE", error.to_string()))?;
    let (mut state, workspace) = open(site).await?;
    if let Some(limit) = site.build.parameters.limits.cost_micros {
        // Held before each call: not even the last one costs more than is left.
        let capped = site.env.llm.cap_job(site.context.job(), None, limit).await;
        capped.map_err(|error| Failure::transient("DATABASE_UNAVAILABLE", error.to_string()))?;
    }
    site.context.begin().await;
    let context = site.context.clone();
    let save = move |state: &State, files: Files| -> BoxFuture<'static, bool> {
        let (context, state) = (context.clone(), serde_json::value::to_raw_value(state));
        Box::pin(async move {
            let Ok(state) = state else { return false };
            context.save_with(&state, files).await
        })
    };
    if state.commit.is_none() && state.phase == Phase::Analyze {
        begin(site, &workspace, &mut state).await?;
        let news = workspace.lock().await.take_news();
        if !save(&state, news).await {
            return Err(site.context.stopped());
        }
    }
    let intake = super::super::analysis::limits_of(site.env);
    let provider = first.provider.clone().unwrap_or_default();
    let task = task(site, first);
    let around = agent::Site {
        context: site.context,
        llm: &site.env.llm,
        spender: Spender {
            user: site.context.owner(),
            project: Some(site.build.project_name.clone()),
            job: Some(site.context.job()),
        },
        sandbox: site.sandbox,
        workspace: Arc::clone(&workspace),
        home: site.home.clone(),
        prompts: &prompts,
        intake: &intake,
        save: &save,
    };
    match agent::run(&task, &around, state).await? {
        Run::Waiting => Ok(None),
        Run::Over(state) => made(site, workspace, provider, *state).await.map(Some),
    }
}

/// The state that was saved last, with its files; without them, what of it is still true.
async fn open(site: &Site<'_>) -> Result<(State, Shared), Failure> {
    let saved = site.context.saved().await;
    let saved =
        saved.map_err(|_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer"))?;
    let state: State = saved.and_then(|saved| serde_json::from_str(&saved).ok()).unwrap_or_default();
    let (workspace, is_lost) = site.open(state.commit).await?;
    Ok((if is_lost { state.without_files() } else { state }, workspace))
}

/// Puts in what the model starts from: the files that were named, or the catalogue's project, where that fits.
async fn begin(site: &Site<'_>, workspace: &Shared, state: &mut State) -> Result<(), Failure> {
    let parameters = &site.build.parameters;
    let mut steps = Vec::new();
    if let Some(tree) = site.start().await? {
        steps.push((
            "Take the source in".to_owned(),
            tree.files.into_iter().map(|f| (f.path, f.content)).collect(),
        ));
    } else if parameters.begins_with_scaffold(&site.build.goal) {
        let (language, template) = (parameters.scaffold_language(), parameters.template);
        let (project_name, goal) = (&site.build.project_name, &site.build.goal);
        let project = scaffold::make(&Order { project_name, goal, language, template });
        let bytes = |(path, text): (String, String)| (path, text.into_bytes());
        steps.extend(
            project.steps.into_iter().map(|step| (step.name, step.files.into_iter().map(bytes).collect())),
        );
    }
    for (name, files) in steps {
        let files: Vec<(String, Vec<u8>)> = files;
        let kept = with(workspace, move |workspace| {
            files.iter().try_for_each(|(path, content)| workspace.write(path, content))?;
            workspace.commit(&name)
        });
        state.commit = kept.await?.map(|step| step.commit).or(state.commit);
    }
    Ok(())
}

fn task(site: &Site<'_>, first: Target) -> Task {
    let parameters = &site.build.parameters;
    let asked = &parameters.limits;
    let usual = Limits::of(&site.env.config.agent);
    let choice = |first: Target| Choice { first, fallback: parameters.fallback.clone() };
    let of_phase = |target: &Option<Target>| target.clone().map(choice);
    Task {
        project: site.build.project_name.clone(),
        goal: site.build.goal.clone(),
        language: parameters.language.clone(),
        test_command: parameters.test_command.clone(),
        test_time: asked.test_wall(),
        require_approval: parameters.require_approval,
        page_hosts: hosts(&parameters.page_hosts),
        network: hosts(&parameters.network),
        models: Models {
            plan: of_phase(&parameters.models.plan),
            generate: of_phase(&parameters.models.generate),
            mend: of_phase(&parameters.models.mend),
            default: choice(first),
        },
        limits: Limits {
            tokens: asked.tokens.unwrap_or(usual.tokens),
            cost_micros: asked.cost_micros.unwrap_or(usual.cost_micros),
            seconds: asked.seconds.unwrap_or(usual.seconds),
            iterations: asked.iterations.unwrap_or(usual.iterations),
            ..usual
        },
    }
}

async fn made(site: &Site<'_>, workspace: Shared, provider: String, state: State) -> Result<Made, Failure> {
    let language = state.requirements.as_ref().and_then(|asked| asked.language.clone());
    let mut summary = match (&state.summary, &state.plan) {
        (summary, _) if !summary.trim().is_empty() => summary.clone(),
        (_, Some(plan)) => plan.summary.clone(),
        _ => String::new(),
    };
    if let Some(Ended::Limit { .. } | Ended::Stuck { .. } | Ended::Refused { .. }) = &state.ended {
        let why = state.ended.as_ref().map(Ended::describe).unwrap_or_default();
        summary = format!("Not finished: {why}. {summary}");
    }
    let pieces = site.context.saved_files(TRANSCRIPT).await;
    let pieces =
        pieces.map_err(|_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer"))?;
    let transcript = pieces.into_iter().flat_map(|piece| piece.bytes).collect();
    let tested = state.tests.clone();
    Ok(Made {
        workspace,
        tested: tested
            .unwrap_or_else(|| Tested::not_run("", "the build ended before its tests could be run")),
        provider,
        language: site.build.parameters.language.clone().or(language),
        template: None,
        summary,
        transcript,
        workflow: Some(state),
    })
}
