//! How a project is to be built: typed, and checked before there is a job.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::FieldError;
use crate::model::JobId;
use crate::scaffold::{Language, Template};
use crate::source::{self, Source, SourceFileText};

/// The provider that needs no model.
pub const SCAFFOLD: &str = "scaffold";

/// How a project is to be built. What is left out is chosen by whoever makes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Who makes it: `scaffold`, the catalogue that needs no model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "scaffold")]
    pub provider: Option<String>,
    /// The programming language: `python`, `rust`, `go` or `typescript`. Otherwise the goal's words decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "python")]
    pub language: Option<String>,
    /// What it is. Otherwise the goal's words decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
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
}

/// Where a build ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds that a run of the tests may take, 1 to 1200; 300 if nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1200)]
    pub test_seconds: Option<u64>,
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
    /// Who makes the project.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.provider.as_deref().unwrap_or(SCAFFOLD)
    }

    /// The language of the catalogue that is asked for.
    pub(super) fn scaffold_language(&self) -> Option<Language> {
        self.language.as_deref().and_then(Language::from_name)
    }

    /// What cannot be meant, field by field.
    pub(super) fn check(&self, limits: &source::Limits) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        let mut complain = |field: &str, message: String| {
            wrong.push(FieldError { field: format!("parameters.{field}"), message });
        };
        if self.provider() != SCAFFOLD {
            complain(
                "provider",
                "is not configured on this server; `scaffold` needs no configuration".to_owned(),
            );
        }
        if let Some(language) = self.language.as_ref().filter(|_| self.scaffold_language().is_none()) {
            let known = "the catalogue has python, rust, go and typescript";
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
}
