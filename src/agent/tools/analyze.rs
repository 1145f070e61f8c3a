//! Lets our own engine look at the code.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;
use crate::agent::checks;

/// Findings that are shown at once.
const MOST: usize = 40;

pub(super) struct Analyze;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {}

impl Tool for Analyze {
    const NAME: &'static str = "analyze";
    const DESCRIPTION: &'static str = "Analyses the project's code: security issues, likely bugs, code smells, and a score \
                                       from 0 to 10. Findings are hints; mend what is right and leave what is not.";
    const EFFECT: Effect = Effect::Look;
    type Arguments = Arguments;

    async fn call(_: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let report = checks::analyze(bench).await?;
        let score = report.quality_score.map_or("none".to_owned(), |score| format!("{score:.1} of 10"));
        let findings = checks::findings(&report, MOST);
        if findings.is_empty() {
            return Ok(Reply::note(format!("Score: {score}. Nothing was found.")));
        }
        Ok(Reply::note(format!("Score: {score}. Findings, the worst first:")).data("the analysis", findings))
    }
}
