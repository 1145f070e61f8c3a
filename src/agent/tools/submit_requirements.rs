//! Hands in what is really asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;

/// What is really asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Requirements {
    /// What the project is, in one or two sentences.
    pub summary: String,
    /// The programming language to use, for example `python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What it must do, one checkable statement each.
    #[serde(default)]
    pub features: Vec<String>,
    /// How one notices that it works: commands, inputs and outputs, one each.
    #[serde(default)]
    pub acceptance: Vec<String>,
    /// What is assumed where the goal is silent.
    #[serde(default)]
    pub assumptions: Vec<String>,
}

impl Requirements {
    /// As a prompt shows them.
    pub(in crate::agent) fn to_text(&self) -> String {
        let mut text = self.summary.clone();
        if let Some(language) = &self.language {
            text += &format!("\nLanguage: {language}");
        }
        for (title, items) in [
            ("It must", &self.features),
            ("It works if", &self.acceptance),
            ("It is assumed that", &self.assumptions),
        ] {
            if !items.is_empty() {
                text += &format!("\n{title}:");
                items.iter().for_each(|item| text += &format!("\n- {item}"));
            }
        }
        text
    }
}

pub(super) struct SubmitRequirements;

impl Tool for SubmitRequirements {
    const NAME: &'static str = "submit_requirements";
    const DESCRIPTION: &'static str = "Hands in the requirements that you worked out, and ends this phase.";
    const EFFECT: Effect = Effect::Submit;
    type Arguments = Requirements;

    async fn call(requirements: Requirements, _: &Bench<'_>) -> Result<Reply, Error> {
        let submitted = serde_json::to_value(&requirements).ok();
        Ok(Reply { submitted, ..Reply::note("The requirements were taken down.") })
    }
}
