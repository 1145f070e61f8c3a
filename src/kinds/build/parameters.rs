//! How a project is to be built: typed, and checked before there is a job.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::FieldError;
use crate::llm::{Llm, Target};
use crate::model::JobId;
use crate::scaffold::{Language, Template};
use crate::source::{self, Source, SourceFileText};

/// The provider that needs no model.
pub const SCAFFOLD: &str = "scaffold";

/// How a project is to be built. What is left out is chosen by whoever makes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Who makes it: a provider of models, or `scaffold`, the catalogue that needs no model. Otherwise the first model
    /// that can be asked, or the catalogue where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "scaffold")]
    pub provider: Option<String>,
    /// The model, as its provider calls it. Otherwise the provider's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Other models for single phases.
    #[serde(skip_serializing_if = "PhaseModels::is_default")]
    pub models: PhaseModels,
    /// Whom to ask, in this order, while the first cannot answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub fallback: Vec<Target>,
    /// Whether a person must approve the plan; then the model may ask for more, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_approval: bool,
    /// Hosts whose pages the model may read, as far as this server grants them; `*` is every public one. Otherwise none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["docs.python.org"]), max_items = 50)]
    pub page_hosts: Vec<String>,
    /// Hosts that commands may reach (`example.org`, `*.example.org`, `nexus:8081`), or registries of packages (`pypi`,
    /// `npm`, `crates`, `go`, `maven`, `registries`), as far as this server grants them. Otherwise none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["pypi"]), max_items = 50)]
    pub network: Vec<String>,
    /// The programming language. The catalogue has `python`, `rust`, `go` and `typescript`; for others name a provider of
    /// models. Otherwise the goal's words decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "python")]
    pub language: Option<String>,
    /// What it is. Otherwise the goal's words decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Whether a model begins with the catalogue's project. Otherwise it does where nothing else to start from is named,
    /// and a template is, or a language of the catalogue, be it in the goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaffold: Option<bool>,
    /// What runs the tests, as a command line for a shell, if that cannot be seen from the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "make test", max_length = 1000)]
    pub test_command: Option<String>,
    /// What to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Start>,
    /// Where it ends.
    #[serde(skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
}

/// Files to start from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Start {
    /// Files in the request.
    Files(Vec<SourceFileText>),
    /// A git repository.
    Repository {
        /// Its `https` address.
        url: String,
        /// A branch, a tag or a commit.
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// A ZIP archive, in Base64.
    Zip(String),
    /// The project of a former build of yours.
    Build(JobId),
    /// The ZIP archive that came with the request, as a form.
    Upload,
}

/// Models for single phases, in place of the build's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PhaseModels {
    /// For requirements and plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Target>,
    /// For writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate: Option<Target>,
    /// For mending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<Target>,
}

impl PhaseModels {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a build ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds that a run of the tests may take, 1 to 1200; 300 if nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1200)]
    pub test_seconds: Option<u64>,
    /// Tokens that models read and write, all calls together; `agent.max_tokens` if nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub tokens: Option<i64>,
    /// Micro-dollars: no call is made that could cost more than is left of them, and no model asked whose price nobody
    /// knows. `agent.max_cost_micros` if nobody says; then the build ends after the call that goes beyond.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub cost_micros: Option<i64>,
    /// Seconds of work, without waiting for people; `agent.max_seconds` if nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub seconds: Option<u64>,
    /// Calls of models; `agent.max_iterations` if nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub iterations: Option<u32>,
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How long a run of the tests may take.
    #[must_use]
    pub fn test_wall(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.test_seconds.unwrap_or(300))
    }
}

impl Parameters {
    /// Whether the catalogue was named.
    #[must_use]
    pub fn is_scaffold(&self) -> bool {
        self.provider.as_deref() == Some(SCAFFOLD)
    }

    /// Whether something is asked for that only a model can do.
    #[must_use]
    pub fn needs_model(&self) -> bool {
        self.model.is_some()
            || self.require_approval
            || !self.fallback.is_empty()
            || !self.page_hosts.is_empty()
            || !self.models.is_default()
    }

    /// The language of the catalogue that is asked for.
    pub(super) fn scaffold_language(&self) -> Option<Language> {
        self.language.as_deref().and_then(Language::from_name)
    }

    /// Whether a model begins with the catalogue's project, and not with nothing.
    pub(super) fn begins_with_scaffold(&self, goal: &str) -> bool {
        let fits = || match &self.language {
            Some(_) => self.scaffold_language().is_some(),
            None => Language::named_in(goal).is_some(),
        };
        self.scaffold.unwrap_or_else(|| self.source.is_none() && (self.template.is_some() || fits()))
    }

    /// What cannot be meant, field by field.
    pub(super) fn check(&self, limits: &source::Limits, llm: &Llm) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        let mut complain = |field: &str, message: String| {
            wrong.push(FieldError { field: format!("parameters.{field}"), message });
        };
        let phases = [&self.models.plan, &self.models.generate, &self.models.mend].into_iter().flatten();
        let named = phases.chain(&self.fallback).filter_map(|target| target.provider.as_deref());
        let first = self.provider.as_deref().filter(|name| *name != SCAFFOLD);
        for (field, name) in
            first.map(|name| ("provider", name)).into_iter().chain(named.map(|n| ("models", n)))
        {
            if !llm.knows(name) {
                let known = "GET /api/v1/llm/providers lists those there are; `scaffold` needs no model";
                complain(field, format!("`{}` is no provider of this server: {known}", name.escape_debug()));
            }
        }
        if self.is_scaffold() && self.needs_model() {
            complain("provider", "`scaffold` asks no model, and something here needs one".to_owned());
        }
        if let Some(why) = self.why_no_scaffold() {
            complain("scaffold", why.to_owned());
        }
        if self.fallback.len() > 8 {
            complain("fallback", "must have at most 8 entries".to_owned());
        }
        let limits_asked = [
            ("limits.tokens", self.limits.tokens),
            ("limits.cost_micros", self.limits.cost_micros),
            ("limits.seconds", self.limits.seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX))),
            ("limits.iterations", self.limits.iterations.map(i64::from)),
        ];
        for (field, value) in limits_asked {
            if value.is_some_and(|value| value < 1 || (field == "limits.seconds" && value > 86_400)) {
                complain(field, "must be at least 1, and seconds at most 86400".to_owned());
            }
        }
        let is_catalogues = self.scaffold_language().is_some() || first.is_some();
        if let Some(language) = self.language.as_ref().filter(|_| !is_catalogues) {
            let known =
                "the catalogue has python, rust, go and typescript; for others name a provider of models";
            complain("language", format!("`{}` is not to be had: {known}", language.escape_debug()));
        }
        let is_line = |line: &String| !line.trim().is_empty() && line.len() <= 1000 && !line.contains('\0');
        if self.test_command.as_ref().is_some_and(|line| !is_line(line)) {
            complain("test_command", "must have 1 to 1000 bytes, and not only spaces".to_owned());
        }
        if self.limits.test_seconds.is_some_and(|seconds| !(1..=1200).contains(&seconds)) {
            complain("limits.test_seconds", "must be 1 to 1200".to_owned());
        }
        let source = match &self.source {
            Some(Start::Files(files)) => Some(Source::Files(files.clone())),
            Some(Start::Repository { url, reference }) => {
                Some(Source::Repository { url: url.clone(), reference: reference.clone() })
            }
            _ => None,
        };
        if let Some(Err(error)) = source.map(|source| source::check(&source, limits)) {
            complain("source", error.to_string());
        }
        wrong
    }

    /// Why the catalogue's project cannot be what to start from, where that is asked for.
    fn why_no_scaffold(&self) -> Option<&'static str> {
        let is_wanted = self.scaffold == Some(true);
        if is_wanted && self.source.is_some() {
            return Some("cannot be: `source` names what to start from");
        }
        let is_unknown = self.language.is_some() && self.scaffold_language().is_none();
        (is_wanted && is_unknown).then_some("cannot be: the catalogue does not have this language")
    }
}
