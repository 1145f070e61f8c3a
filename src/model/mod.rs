//! The nouns, without IO.

mod caller;
pub mod event;
mod filing;
mod finding;
mod id;
mod job;
mod source_file;

pub use caller::{Caller, Role, Scope, Scopes};
pub use event::{Event, NewEvent};
pub use filing::{Filing, Tags, is_project_name};
pub use finding::{
    Category, Confidence, Finding, FindingState, Fingerprints, FlowStep, Origin, Region, Severity,
};
pub use id::{JobId, ProcessId, UserId};
pub use job::{Idempotency, Job, JobWithBodies, NewJob, Priority, Status, TurnKey};
pub use source_file::{Skipped, SourceFile};
