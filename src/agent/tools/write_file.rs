//! Writes a file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;

pub(super) struct WriteFile;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The file, relative to the workspace; folders on the way are made.
    path: String,
    /// The whole content of the file.
    content: String,
}

impl Tool for WriteFile {
    const NAME: &'static str = "write_file";
    const DESCRIPTION: &'static str = "Writes a whole file, new or in place of what is there. For a small change of a \
                                       large file use `edit_file`. At most 1 MiB.";
    const EFFECT: Effect = Effect::Change;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let before = bench.write_text(&arguments.path, &arguments.content).await?;
        let lines = arguments.content.lines().count();
        let verb = if before { "Replaced" } else { "Wrote" };
        Ok(Reply::note(format!("{verb} `{}`: {lines} lines.", arguments.path)))
    }
}
