//! `codeyard build`: from a goal to a tested project, here and now, without a server.

mod ask;
mod show;
mod unpack;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::Value;

use super::paint::Paint;
use super::serve::Data;
use super::{Surroundings, pack, runtime, say};
use crate::agent::testing::Verdict;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::kinds::build::{BuildResult, Limits, Parameters, Start};
use crate::kinds::{self, Build};
use crate::model::{Caller, JobId, Role, Scopes, Status, UserId, is_project_name};
use crate::observe::Telemetry;
use crate::scaffold::Template;

/// How long threads that are still at work may take when everything else has ended.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// The tests failed, or could not be run.
const NOT_PASSED: u8 = 1;
/// Ended by Ctrl-C, as shells count it.
const INTERRUPTED: u8 = 130;

/// Build a project from GOAL, and put it into a directory.
///
/// Needs no server and no configuration: it runs on an embedded database in a temporary directory that goes away at the
/// end (unless --data-dir, --database-url or a configuration says otherwise). Without a model the project comes from
/// Codeyard's catalogue, the scaffold, and says itself what it can do.
///
/// Ends with 0 when the project's tests have passed, with 1 when they failed or could not be run, with 2 when there is no
/// project, and with 130 when Ctrl-C has ended it.
#[derive(Debug, Args)]
pub(super) struct BuildCommand {
    /// What the project is to do, in plain words.
    #[arg(value_name = "GOAL")]
    goal: String,
    /// The programming language: python, rust, go or typescript [default: as the goal says].
    #[arg(long, visible_alias = "language", value_name = "LANGUAGE")]
    lang: Option<String>,
    /// What it is: library, cli or service [default: as the goal says].
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// What the project is called [default: made from the goal].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Who makes it: a provider of models, or scaffold, which needs none [default: the first model that can be asked, or
    /// else scaffold].
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// The model, as its provider calls it [default: the provider's first].
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// What runs the tests, for a shell [default: seen from the files].
    #[arg(long, value_name = "COMMAND")]
    test_command: Option<String>,
    /// Whom its commands may reach: a host, or registries of packages (pypi, npm, crates, go, maven, registries). May be
    /// given several times [default: nobody].
    #[arg(long, value_name = "HOST")]
    network: Vec<String>,
    /// What to start from: a directory, a ZIP archive, or the https address of a git repository [default: the catalogue's
    /// project, where it has the language].
    #[arg(long, value_name = "PATH|URL")]
    from: Option<String>,
    /// Let a model begin with nothing, and not with the catalogue's project.
    #[arg(long, conflicts_with = "template")]
    no_scaffold: bool,
    /// Show the model's plan and ask whether it is good before anything is written.
    #[arg(long)]
    approve: bool,
    /// Say yes to whatever is asked.
    #[arg(long, short, requires = "approve")]
    yes: bool,
    /// The most that models may cost, in dollars [default: agent.max_cost_micros].
    #[arg(long, value_name = "DOLLARS")]
    max_cost: Option<f64>,
    /// The most tokens that models may read and write [default: agent.max_tokens].
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<i64>,
    /// The most seconds of work, without waiting for answers [default: agent.max_seconds].
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<u64>,
    /// The most calls of models [default: agent.max_iterations].
    #[arg(long, value_name = "CALLS")]
    max_iterations: Option<u32>,
    /// Where to put the project and what belongs to it; made, and must be empty [default: the project's name].
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

impl BuildCommand {
    /// Builds it.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        let build = self.job()?;
        let output = self.output.clone().unwrap_or_else(|| PathBuf::from(&build.project_name));
        ensure!(is_free(&output), "{} is there already, and not empty (--output)", output.display());
        // Declared first, so that it is removed when the job has let go of it.
        let own_dir = self.data.own_dir(around, "codeyard-build-")?;
        let own = own_dir.as_ref().map(|dir| dir.path().display().to_string());
        let quiet = around.variable("CODEYARD_LOG_FILTER").is_none().then(|| "warn".to_owned());
        let [data_dir, database_url] = self.data.flags();
        let data_dir = ("data_dir", own.or(data_dir.1));
        let config = around.config([data_dir, database_url, ("log.filter", quiet)])?;
        let runtime = runtime::server()?;
        let (from, says_yes) = (self.from.as_deref(), self.yes);
        let ended = runtime.block_on(async {
            let (source, archive) = match from {
                Some(from) => start_of(from, &config).await?,
                None => (None, None),
            };
            let build = Build { parameters: Parameters { source, ..build.parameters }, ..build };
            here(config, (build, archive), &output, says_yes, around).await
        });
        runtime.shutdown_timeout(STRAGGLERS);
        ended
    }

    fn job(&self) -> anyhow::Result<Build> {
        let project_name = self.name.clone().unwrap_or_else(|| name_of(&self.goal));
        ensure!(
            is_project_name(&project_name),
            "`{project_name}` is no name for a project: 1 to 64 of letters, digits, - and _, a letter or digit first"
        );
        ensure!(!self.goal.trim().is_empty(), "the goal is empty");
        let template = self.template.as_deref().map(|name| match name {
            "library" => Ok(Template::Library),
            "cli" => Ok(Template::Cli),
            "service" => Ok(Template::Service),
            other => bail!("there is no template `{other}`: library, cli or service"),
        });
        let micros = |dollars: f64| match dollars {
            dollars if dollars > 0.0 && dollars <= 1e6 => Ok((dollars * 1e6).round() as i64),
            _ => bail!("--max-cost must be more than 0 and at most a million dollars"),
        };
        let limits = Limits {
            cost_micros: self.max_cost.map(micros).transpose()?,
            tokens: self.max_tokens,
            seconds: self.max_seconds,
            iterations: self.max_iterations,
            ..Limits::default()
        };
        let parameters = Parameters {
            limits,
            require_approval: self.approve,
            scaffold: self.no_scaffold.then_some(false),
            provider: self.provider.clone(),
            model: self.model.clone(),
            language: self.lang.clone(),
            template: template.transpose()?,
            test_command: self.test_command.clone(),
            network: self.network.clone(),
            ..Parameters::default()
        };
        Ok(Build { project_name, goal: self.goal.clone(), parameters })
    }
}

/// What was named to start from; an archive comes with the job.
async fn start_of(from: &str, config: &Config) -> anyhow::Result<(Option<Start>, Option<Vec<u8>>)> {
    if from.contains("://") {
        return Ok((Some(Start::Repository { url: from.to_owned(), reference: None }), None));
    }
    let path = Path::new(from);
    let archive = if path.is_dir() {
        pack::pack(path, config).await?.zip
    } else {
        let bytes = tokio::fs::read(path).await.with_context(|| format!("cannot read {from} (--from)"))?;
        ensure!(bytes.starts_with(b"PK"), "{from} is neither a directory nor a ZIP archive (--from)");
        bytes
    };
    Ok((Some(Start::Upload), Some(archive)))
}

/// Runs the job in this process, and takes what it leaves behind.
async fn here(
    config: Config,
    (build, archive): (Build, Option<Vec<u8>>),
    output: &Path,
    says_yes: bool,
    around: &Surroundings,
) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    // Dropped last: what is said until then is written.
    let _telemetry = Telemetry::start(&config, &clock)?;
    let app = App::start(config, clock).await?;
    let paint = Paint::new(around.paints(&std::io::stdout()));
    let me = Caller { user: UserId(app.clock.new_id()), role: Role::Admin, scopes: Scopes::ALL };
    let mut request = kinds::request(&build, None)?;
    app.registry.check(request.policy.kind, &request.payload, &app.env)?;
    if let Some(archive) = archive {
        let id = JobId(app.clock.new_id());
        app.store.put_upload(id, &archive, app.clock.now()).await?;
        request.id = Some(id);
    }
    let job = app.jobs.submit(request).await?.id;
    let followed = tokio::select! {
        followed = show::follow(&app, job, &me, says_yes) => followed.map(Some),
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| None).map_err(Into::into),
    };
    let ended = match followed {
        Ok(Some(())) => take(&app, job, &me, output, paint).await,
        Ok(None) => {
            // Whoever waits is told; what is left of the job is killed when the worker drains.
            app.jobs.cancel(job, &me).await.map(|_| ExitCode::from(INTERRUPTED)).map_err(Into::into)
        }
        Err(error) => Err(error),
    };
    app.stop().await;
    ended
}

/// Puts everything into the output directory, and says what it is.
async fn take(app: &App, job: JobId, me: &Caller, output: &Path, paint: Paint) -> anyhow::Result<ExitCode> {
    let found = app.jobs.find(job, me).await?;
    if found.job.status != Status::Completed {
        let why = found.job.error_message.unwrap_or_else(|| found.job.status.as_str().to_owned());
        bail!("the build has not come to an end: {why}");
    }
    let result: Value = serde_json::from_str(found.result.as_deref().unwrap_or_default())?;
    let result: BuildResult = serde_json::from_value(result).context("the result cannot be read")?;
    let mut files = Vec::new();
    for file in app.env.artifacts.list(job).await? {
        let bytes = app.env.artifacts.whole(job, &file).await?;
        files.push((file.path, bytes));
    }
    let folder = output.to_owned();
    tokio::task::spawn_blocking(move || unpack::unpack(&folder, &files)).await??;
    say(&show::summary(&result, output, paint)?)?;
    Ok(match result.tests.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Failed | Verdict::NotRun => ExitCode::from(NOT_PASSED),
    })
}

/// Whether a directory can be made or filled.
fn is_free(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Words that say nothing about what a project is.
const FILLERS: &[&str] = &[
    "a",
    "an",
    "and",
    "as",
    "build",
    "cli",
    "command",
    "create",
    "for",
    "from",
    "go",
    "golang",
    "in",
    "it",
    "line",
    "make",
    "me",
    "of",
    "on",
    "or",
    "please",
    "program",
    "python",
    "rust",
    "script",
    "simple",
    "small",
    "that",
    "the",
    "to",
    "tool",
    "typescript",
    "using",
    "which",
    "with",
    "write",
];

/// A name made of the first words of a goal that say something.
fn name_of(goal: &str) -> String {
    let words = goal.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words
        .map(str::to_ascii_lowercase)
        .filter(|word| !word.is_empty() && !FILLERS.contains(&word.as_str()));
    let mut name = words.take(3).collect::<Vec<_>>().join("-");
    name.truncate(64);
    if name.is_empty() { "project".to_owned() } else { name.trim_end_matches('-').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_after_its_goal() {
        assert_eq!(name_of("a command line tool that counts words in files"), "counts-words-files");
        assert_eq!(name_of("Ein Tool"), "ein");
        assert_eq!(name_of("über"), "ber");
        assert_eq!(name_of("… !"), "project");
        assert!(is_project_name(&name_of(&"x".repeat(500))));
    }
}
