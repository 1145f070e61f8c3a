//! Tests of `source`.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod addresses;
mod archives;
mod directories;
mod git_server;
mod pages;
mod paths;
mod repositories;
mod texts;

use codeyard::sandbox::Level;
use codeyard::source::{self, Error, Limits, Source, Tree};
use tokio_util::sync::CancellationToken;

async fn take(source: Source, limits: &Limits) -> Result<Tree, Error> {
    let sandbox = crate::sandbox::at(Level::ProcessOnly);
    source::take_in(source, limits, &sandbox, &CancellationToken::new(), &|_| ()).await
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.files.iter().map(|file| file.path.as_str()).collect()
}

fn skipped(tree: &Tree) -> Vec<(&str, &str)> {
    tree.skipped.iter().map(|skipped| (skipped.path.as_str(), skipped.reason.as_str())).collect()
}
