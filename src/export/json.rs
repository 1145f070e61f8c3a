//! The report as it is; [`super::schema`] describes it.

use super::{Document, Error};

/// Writes the report as JSON with line breaks.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    Ok(serde_json::to_vec_pretty(document.report)?)
}
