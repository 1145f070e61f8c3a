//! What a caller, the project and the server each say about an analysis, put together.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::analysis::{self, Gate, Language, Options, Threshold, check_percentage, check_score};
use crate::config;
use crate::model::JobId;

/// What a caller may choose about an analysis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnalysisOptions {
    /// Only these languages, by name; files in others are counted and not analysed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// Rules of your own, each a YAML document in the format of the built-in ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Ids of rules that are not to be applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disabled_rules: Vec<String>,
    /// Globs, as in `.gitignore`, of files to leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// External analyzers to run as well, of those that the server allows, for example `ruff`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// When the report is good enough. What is absent here, the project's file or the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What to compare with: the id of an earlier analysis; `latest`, the last completed one of the same project; or
    /// `ref:` and a branch, a tag or a commit of the repository that is analysed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "latest")]
    pub baseline: Option<BaselineChoice>,
    /// Take no notice of the `codeyard.toml` in the source.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_project_file: bool,
}

/// What an analysis is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BaselineChoice {
    /// The last completed analysis of the same project and owner.
    Latest,
    /// This analysis.
    Analysis(JobId),
    /// A commit of the same repository.
    Reference(String),
}

impl FromStr for BaselineChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        match text.strip_prefix("ref:") {
            Some("") => Err("ref: needs a branch, a tag or a commit behind it"),
            Some(reference) => Ok(Self::Reference(reference.to_owned())),
            None => text
                .parse()
                .map(Self::Analysis)
                .map_err(|_| "a baseline is the id of an analysis, `latest`, or `ref:` and a commit"),
        }
    }
}

impl TryFrom<String> for BaselineChoice {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BaselineChoice> for String {
    fn from(choice: BaselineChoice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for BaselineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Analysis(id) => id.fmt(f),
            Self::Reference(reference) => write!(f, "ref:{reference}"),
        }
    }
}

impl AnalysisOptions {
    /// The engine's options; an error names the field and says what is wrong with it.
    pub fn to_engine(&self) -> Result<Options, (String, String)> {
        let languages = self.languages.as_ref().map(|names| {
            let language = |(place, name): (usize, &String)| {
                Language::from_name(name).ok_or_else(|| {
                    (format!("options.languages[{place}]"), format!("{name} is no language we know"))
                })
            };
            names.iter().enumerate().map(language).collect::<Result<Vec<_>, _>>()
        });
        let options = Options {
            languages: languages.transpose()?,
            rules: self.rules.clone(),
            disabled_rules: self.disabled_rules.clone(),
            ..Options::default()
        };
        options.validate().map_err(|error| {
            let place = if let analysis::Error::BadRule { document, .. } = &error { *document } else { 0 };
            (format!("options.rules[{place}]"), error.to_string())
        })?;
        Ok(options)
    }
}

/// The rules that the settings add to every analysis; an error names the file, the rule and the line.
pub fn house_rules(settings: &config::Analysis) -> anyhow::Result<Vec<String>> {
    let mut rules = Vec::new();
    for file in &settings.rules {
        let failed = || format!("analysis.rules: {file}");
        rules.push(std::fs::read_to_string(file).with_context(failed)?);
        Options { rules: rules.clone(), ..Options::default() }.validate().map_err(|error| match error {
            analysis::Error::BadRule { bad, .. } => anyhow!("{}: {bad}", failed()),
            other => anyhow!("{}: {other}", failed()),
        })?;
    }
    Ok(rules)
}

/// The gate of the settings, for everybody who has no other.
pub fn house_gate(settings: &config::Analysis) -> anyhow::Result<Gate> {
    let threshold = Threshold::ALL.into_iter().find(|threshold| threshold.as_str() == settings.fail_on);
    let threshold = threshold.ok_or_else(|| {
        let known = Threshold::ALL.map(Threshold::as_str).join(", ");
        anyhow!("analysis.fail_on: `{}` is none of {known}", settings.fail_on)
    })?;
    let wrong = |setting: &str| format!("analysis.{setting}");
    Ok(Gate {
        fail_on: Some(threshold),
        new_only: None,
        min_score: Some(
            check_score(settings.min_score)
                .map_err(|why| anyhow!(why))
                .with_context(|| wrong("min_score"))?,
        ),
        min_coverage: Some(
            check_percentage(settings.min_coverage)
                .map_err(|why| anyhow!(why))
                .with_context(|| wrong("min_coverage"))?,
        ),
    })
}
