//! Tests of builds: the workspace and its history, how projects are tested, the catalogue, artifacts.

pub(crate) mod bucket;
mod catalogue;
mod running;
mod testing;
mod workspaces;

use codeyard::sandbox::Level;

use crate::sandbox;

/// The strongest sandbox that this machine has.
fn strongest() -> codeyard::sandbox::Sandbox {
    let level = sandbox::levels().into_iter().max().unwrap_or(Level::ProcessOnly);
    sandbox::at(level)
}
