//! Runs the tests of the project.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;
use crate::agent::checks;
use crate::agent::testing::Verdict;

pub(super) struct RunTests;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The command that runs them, such as `python3 -m pytest tests/test_a.py`; if absent, the project's own tests are
    /// found and run (pytest, unittest, cargo, go, node, vitest, jest).
    #[serde(default)]
    command: Option<String>,
}

impl Tool for RunTests {
    const NAME: &'static str = "run_tests";
    const DESCRIPTION: &'static str = "Runs the project's tests in the sandbox and shows which failed and why. Without a \
                                       command the framework is recognised by the project's files.";
    const EFFECT: Effect = Effect::Run;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let tested = checks::test(bench, arguments.command.as_deref()).await?;
        let note = format!("`{}`: {}.", tested.command, tested.sentence());
        Ok(match tested.verdict {
            Verdict::Passed => Reply::note(note),
            Verdict::Failed => Reply::note(note).data("the tests", checks::failures(&tested)),
            Verdict::NotRun => Reply::note(format!(
                "{note} If there are none yet, write them; if their command is unusual, name it as `command`."
            ))
            .data("the tests", checks::failures(&tested)),
        })
    }
}
