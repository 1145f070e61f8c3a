//! A file to look at, and a file that was not looked at.

use serde::{Deserialize, Serialize};

/// One file of the code under analysis, as it was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the root of the source, with `/` between its parts, never absolute, never with `..`.
    pub path: String,
    /// The bytes as they are: not necessarily UTF-8.
    pub content: Vec<u8>,
}

/// A file (or a part of the source) that was left out, and why: a report never hides what it did not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Skipped {
    /// The path, relative as in [`SourceFile::path`].
    pub path: String,
    /// A sentence for a person, for example `larger than 1048576 bytes (intake.max_file_bytes)`.
    pub reason: String,
}
