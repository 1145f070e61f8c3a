//! Takes a step back.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;
use crate::agent::workspace;

pub(super) struct Undo;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The number of the step to take back, as the results of your calls named it; the last one if absent.
    #[serde(default)]
    step: Option<usize>,
}

impl Tool for Undo {
    const NAME: &'static str = "undo";
    const DESCRIPTION: &'static str = "Takes back all changes to files that one step made. Every call that changes files \
                                       is a step of its own, whose number its result names. Taking back is a step, too, \
                                       so it can itself be taken back.";
    const EFFECT: Effect = Effect::Change;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let undone = bench.with(move |workspace| {
            let step = arguments.step.unwrap_or(workspace.steps());
            workspace.undo(step).map(|undone| (step, undone))
        });
        match undone.await {
            Ok((step, Some(_))) => Ok(Reply::note(format!("Step {step} was taken back."))),
            Ok((step, None)) => {
                Err(Error::Unchanged(format!("Step {step} has no effect on the files as they are.")))
            }
            Err(workspace::Error::NoSuchStep(step)) => Err(Error::BadValue(format!(
                "there is no step {step}; the results of your calls name the steps"
            ))),
            Err(workspace::Error::ChangedSince { step, path }) => Err(Error::BadValue(format!(
                "step {step} cannot be taken back, because `{path}` was changed again later; take the later steps back \
                 first, or edit the file"
            ))),
            Err(error) => Err(Error::Failed {
                what: "taking the step back",
                why: error.to_string(),
                instead: "Edit the files instead.",
            }),
        }
    }
}
