//! The report as it is.

use super::Error;
use crate::analysis::Report;

/// Writes the report as JSON with line breaks.
pub(super) fn write(report: &Report) -> Result<Vec<u8>, Error> {
    Ok(serde_json::to_vec_pretty(report)?)
}
