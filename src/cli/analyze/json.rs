//! The report as the server answers it.

use std::io::{self, Write};

use super::Sheet;

/// Writes the report as JSON.
pub(super) fn write(sheet: &Sheet<'_>, to: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, sheet.answer)?;
    writeln!(to)
}
