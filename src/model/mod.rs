//! The nouns, without IO.

mod finding;
mod source_file;

pub use finding::{Category, Confidence, Finding, Fingerprints, FlowStep, Origin, Region, Severity};
pub use source_file::{Skipped, SourceFile};
