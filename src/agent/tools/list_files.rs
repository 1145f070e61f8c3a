//! Shows which files there are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::{Bench, explain};

/// Paths that are shown at once.
const MOST: usize = 500;

pub(super) struct ListFiles;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// Only below this folder; the whole workspace if absent.
    #[serde(default)]
    folder: Option<String>,
}

impl Tool for ListFiles {
    const NAME: &'static str = "list_files";
    const DESCRIPTION: &'static str = "Lists the files of the workspace, with their paths. What tools write for \
                                       themselves (caches, build output) and what is ignored by git is left out.";
    const EFFECT: Effect = Effect::Look;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let all = bench.with(|workspace| workspace.list()).await.map_err(|error| explain("", error, &[]))?;
        let folder = arguments.folder.unwrap_or_default();
        let folder = folder.trim_matches(|c| c == '/' || c == '.');
        let below = |path: &&String| {
            folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        let files: Vec<&String> = all.iter().filter(below).collect();
        if files.is_empty() {
            let place = if folder.is_empty() { "the workspace".to_owned() } else { format!("`{folder}`") };
            return Ok(Reply::note(format!("There are no files in {place}.")));
        }
        if files.len() <= MOST {
            let list: String = files.iter().map(|path| format!("{path}\n")).collect();
            return Ok(Reply::note(format!("{} files:", files.len())).data("the list of files", list));
        }
        let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
        for path in &files {
            *folders.entry(path.rsplit_once('/').map_or(".", |(folder, _)| folder)).or_default() += 1;
        }
        let list: String =
            folders.iter().take(MOST).map(|(folder, count)| format!("{folder}/ ({count} files)\n")).collect();
        let note = format!(
            "{} files, more than can be listed; these are their folders. Name one as `folder`:",
            files.len()
        );
        Ok(Reply::note(note).data("the list of folders", list))
    }
}
