//! The nouns, without IO.

mod source_file;

pub use source_file::{Skipped, SourceFile};
