//! What builds a project: a workspace with its history, and the tests that say whether it works.

mod history;
pub mod testing;
pub mod workspace;

pub use history::CommitId;
pub use workspace::Workspace;
