//! Hands in the plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;

/// Which files there will be and in which order to work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Plan {
    /// The approach, in a few sentences.
    pub summary: String,
    /// The files to write.
    #[serde(default)]
    pub files: Vec<PlannedFile>,
    /// What to do, one step each, in order.
    #[serde(default)]
    pub steps: Vec<String>,
    /// The command that runs the tests, for example `python3 -m unittest`, if it is not the language's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_command: Option<String>,
}

/// A file that the plan names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PlannedFile {
    /// Its path in the workspace.
    pub path: String,
    /// What it is for.
    #[serde(default)]
    pub purpose: String,
}

impl Plan {
    /// As a prompt shows it.
    pub(in crate::agent) fn to_text(&self) -> String {
        let mut text = self.summary.clone();
        if !self.files.is_empty() {
            text += "\nFiles:";
            self.files.iter().for_each(|file| text += &format!("\n- `{}`: {}", file.path, file.purpose));
        }
        if !self.steps.is_empty() {
            text += "\nSteps:";
            (1..).zip(&self.steps).for_each(|(number, step)| text += &format!("\n{number}. {step}"));
        }
        if let Some(command) = &self.test_command {
            text += &format!("\nTests: `{command}`");
        }
        text
    }
}

pub(super) struct SubmitPlan;

impl Tool for SubmitPlan {
    const NAME: &'static str = "submit_plan";
    const DESCRIPTION: &'static str = "Hands in the plan that you made, and ends this phase.";
    const EFFECT: Effect = Effect::Submit;
    type Arguments = Plan;

    async fn call(plan: Plan, _: &Bench<'_>) -> Result<Reply, Error> {
        let submitted = serde_json::to_value(&plan).ok();
        Ok(Reply { submitted, ..Reply::note("The plan was taken down.") })
    }
}
