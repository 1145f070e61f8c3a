//! What is asked of a build, and what it may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::llm::Choice;
use crate::proxy::Hosts;

use super::state::Phase;

/// What to build, with what, and within which limits.
#[derive(Clone, Debug)]
pub struct Task {
    /// What the project is called.
    pub project: String,
    /// What it is to do, in the words of whoever wants it.
    pub goal: String,
    /// The programming language, if that was asked for.
    pub language: Option<String>,
    /// What runs the tests, if that was asked for.
    pub test_command: Option<String>,
    /// How long a run of the tests may take.
    pub test_time: Duration,
    /// Whether a person must approve the plan; then the model may ask for more, too.
    pub require_approval: bool,
    /// The hosts that pages may be fetched from, besides those that commands may reach.
    pub page_hosts: Hosts,
    /// The hosts that commands may reach.
    pub network: Hosts,
    /// Whom to ask.
    pub models: Models,
    /// Where it ends.
    pub limits: Limits,
}

/// Whom to ask in which phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// In every phase that has none of its own.
    pub default: Choice,
    /// For requirements and plan.
    pub plan: Option<Choice>,
    /// For writing.
    pub generate: Option<Choice>,
    /// For mending.
    pub mend: Option<Choice>,
}

/// Where a build ends, whether it is done or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Tokens read and written, all calls together.
    pub tokens: i64,
    /// Micro-dollars.
    pub cost_micros: i64,
    /// Seconds of work, over all attempts, without waiting for people.
    pub seconds: u64,
    /// Calls of a model.
    pub iterations: u32,
    /// The most tokens of conversation that a model is sent; older parts are summed up.
    pub context_tokens: usize,
}

/// What ended a build before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Too many tokens.
    Tokens,
    /// Too much money.
    Money,
    /// Too long.
    Time,
    /// Too many calls.
    Iterations,
}

impl Limits {
    /// Those of `[agent]`.
    #[must_use]
    pub fn of(settings: &crate::config::Agent) -> Self {
        Self {
            tokens: settings.max_tokens,
            cost_micros: settings.max_cost_micros,
            seconds: settings.max_seconds,
            iterations: settings.max_iterations,
            context_tokens: settings.context_tokens,
        }
    }
}

impl Models {
    /// Whom to ask in this phase.
    pub(super) fn of(&self, phase: Phase) -> &Choice {
        let own = match phase {
            Phase::Analyze | Phase::Plan | Phase::Approve => &self.plan,
            Phase::Generate => &self.generate,
            Phase::Test | Phase::Mend | Phase::Finalize => &self.mend,
        };
        own.as_ref().unwrap_or(&self.default)
    }
}

impl Task {
    /// Whether there is any page to fetch.
    pub(super) fn reads_pages(&self) -> bool {
        !self.page_hosts.is_empty() || !self.network.is_empty()
    }

    /// What can be reached, for the model.
    pub(super) fn describe_network(&self) -> String {
        let commands = match self.network.is_empty() {
            true => "Commands have no network".to_owned(),
            false => format!(
                "Commands reach these hosts and no others, through the proxy in HTTP_PROXY and HTTPS_PROXY: {}",
                self.network
            ),
        };
        match (self.reads_pages(), self.page_hosts.is_empty()) {
            (false, _) => "There is no network.".to_owned(),
            (true, true) => format!("{commands}; `fetch_page` reaches the same."),
            (true, false) => format!("{commands}; `fetch_page` reaches pages of: {}.", self.page_hosts),
        }
    }
}
