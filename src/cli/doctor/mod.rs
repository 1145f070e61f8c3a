//! `codeyard doctor`: looks at everything a server depends on, and says what to do.

mod database;
mod machine;
mod sandbox;
mod services;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::paint::{Grade, Paint, count, harmless};
use super::serve::Place;
use super::{Surroundings, runtime, say};
use crate::config::Config;

/// Check the configuration, the database and this machine, and say what to do.
///
/// Changes nothing, and may run beside a server. Exit code: 0 when a server can run here (there may be warnings),
/// 1 when there is a problem.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// What was looked at, and how it is.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    /// What was found.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Nothing to do.
    Ok,
    /// A server runs, but not as well as it could.
    Warning,
    /// A server cannot run, or will fail.
    Problem,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), advice: None }
    }

    fn warning(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Warning, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn problem(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Problem, detail: detail.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    /// Looks at everything and prints it.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        let Place { listen, data } = &self.place;
        let flags = data.flags().into_iter().chain([("server.listen", listen.clone())]);
        let checks = match around.config(flags) {
            Ok(config) => {
                let mut checks = vec![Check::ok("configuration", source_of_settings(around))];
                checks.extend(runtime::small()?.block_on(examine(&config)));
                checks
            }
            Err(error) => {
                let advice = "mend it; config/default.toml says what each setting means";
                let error = error.to_string();
                let detail = error.strip_prefix("configuration: ").unwrap_or(&error);
                vec![Check::problem("configuration", detail, advice)]
            }
        };
        let paint = Paint::new(around.paints(&std::io::stdout()));
        say(&if self.json { as_json(&checks) } else { as_text(&checks, paint) })?;
        let healthy = checks.iter().all(|check| check.state != State::Problem);
        Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Everything there is to look at, in the order in which it is shown.
async fn examine(config: &Config) -> Vec<Check> {
    let mut checks = database::examine(config).await;
    checks.push(machine::address(config).await);
    checks.push(machine::open_files(config));
    checks.push(machine::disk(config));
    checks.push(services::tokens(config));
    checks.push(services::mail(config).await);
    checks.push(services::models(config).await);
    checks.push(services::artifacts(config).await);
    checks.extend(sandbox::examine(config).await);
    checks
}

fn source_of_settings(around: &Surroundings) -> String {
    match around.config_path() {
        Some(file) => format!("reads well ({}, environment)", file.display()),
        None => "reads well (defaults, environment)".to_owned(),
    }
}

fn as_json(checks: &[Check]) -> String {
    let worst = checks.iter().map(|check| check.state).max_by_key(|state| *state as u8);
    format!("{:#}", json!({ "state": worst, "checks": checks }))
}

fn as_text(checks: &[Check], paint: Paint) -> String {
    let mut lines = Vec::new();
    for check in checks {
        let (grade, word) = match check.state {
            State::Ok => (Grade::Good, "ok"),
            State::Warning => (Grade::Fair, "warning"),
            State::Problem => (Grade::Bad, "problem"),
        };
        let word = paint.graded(grade, format!("{word:8}"));
        lines.push(format!("{word} {:14} {}", check.name, harmless(&check.detail)));
        for line in check.advice.iter().flat_map(|advice| advice.lines()) {
            lines.push(format!("{:24}→ {}", "", harmless(line)));
        }
    }
    let number = |state| checks.iter().filter(|check| check.state == state).count();
    let (problems, warnings) = (number(State::Problem), number(State::Warning));
    lines.push(format!("\n{}, {}.", count(problems, "problem"), count(warnings, "warning")));
    lines.join("\n")
}
