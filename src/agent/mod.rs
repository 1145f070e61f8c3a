//! What builds a project: a workspace with its history, the tests that say whether it works, and the workflow in which a
//! model works on it with tools.

mod attached;
mod bench;
mod calls;
mod checks;
mod clip;
mod condense;
mod environment;
mod fence;
mod history;
mod prompts;
mod state;
mod stuck;
mod task;
pub mod testing;
mod tools;
mod transcript;
mod turn;
mod voice;
mod workflow;
pub mod workspace;

pub use attached::{KEPT_OUTPUTS, TEST_LOG, bring_home};
pub use bench::Shared;
pub use history::CommitId;
pub use prompts::{Error as PromptError, Prompts};
pub use state::{Approval, Cost, Decision, Ended, Phase, State};
pub use stuck::Pattern;
pub use task::{Limit, Limits, Models, Task};
pub use tools::{Error as ToolError, Plan, PlannedFile, Requirements};
pub use transcript::FILE as TRANSCRIPT;
pub use voice::Voice;
pub use workflow::{Files, Run, Site, run};
pub use workspace::Workspace;
