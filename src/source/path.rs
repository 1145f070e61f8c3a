//! Which paths may name a file of a source.

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing is left of it.
    #[error("is empty")]
    Empty,
    /// It starts at a root or a drive.
    #[error("is absolute; paths are relative to the root of the source")]
    Absolute,
    /// It climbs.
    #[error("contains `..`")]
    Climbs,
    /// A separator on one system and a letter on another: what is checked would not be what is opened.
    #[error("contains a backslash; the parts of a path are separated by `/`")]
    Backslash,
    /// NUL, a line break, an escape sequence for somebody's terminal.
    #[error("contains a control character")]
    Control,
    /// No file system would take it.
    #[error("is longer than 1024 bytes, or a part of it than 255")]
    TooLong,
    /// More folders than `intake.max_depth`.
    #[error("lies deeper than allowed (intake.max_depth)")]
    TooDeep,
}

impl Fault {
    /// Whether nobody writes such a path by accident.
    pub(super) fn is_hostile(self) -> bool {
        matches!(self, Self::Absolute | Self::Climbs | Self::Control)
    }
}

/// The path as it is kept: relative, `/` between its parts, no `.` and no empty part.
pub fn clean(raw: &str, max_depth: usize) -> Result<String, Fault> {
    if raw.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    if raw.contains('\\') {
        return Err(Fault::Backslash);
    }
    if raw.starts_with('/') {
        return Err(Fault::Absolute);
    }
    let parts: Vec<&str> = raw.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(Fault::Climbs);
    }
    if parts.is_empty() {
        return Err(Fault::Empty);
    }
    if parts.len() > max_depth + 1 {
        return Err(Fault::TooDeep);
    }
    let clean = parts.join("/");
    if has_drive(&clean) {
        return Err(Fault::Absolute);
    }
    if clean.len() > 1024 || parts.iter().any(|part| part.len() > 255) {
        return Err(Fault::TooLong);
    }
    Ok(clean)
}

/// `C:` and the like: a root on some systems, also when `./` stood before it.
fn has_drive(path: &str) -> bool {
    let mut letters = path.bytes();
    letters.next().is_some_and(|letter| letter.is_ascii_alphabetic()) && letters.next() == Some(b':')
}

/// A hostile path as it may stand in a report, a log or a terminal.
pub(super) fn printable(raw: &str) -> String {
    raw.chars().take(200).flat_map(char::escape_debug).collect()
}
