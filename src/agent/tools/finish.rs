//! Says that the work is done.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;

pub(super) struct Finish;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// What was built and how it is used, in a few sentences; and, honestly, what does not work.
    #[serde(default)]
    summary: String,
}

impl Tool for Finish {
    const NAME: &'static str = "finish";
    const DESCRIPTION: &'static str = "Says that the work is done. The tests are then run once more, independently; if \
                                       they fail, you are shown how and asked to mend it.";
    const EFFECT: Effect = Effect::Submit;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, _: &Bench<'_>) -> Result<Reply, Error> {
        let submitted = Some(serde_json::Value::String(arguments.summary));
        Ok(Reply { submitted, ..Reply::note("Taken down; the tests are run now.") })
    }
}
