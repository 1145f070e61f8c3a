//! One line per finding, for spreadsheets.

use super::{Document, Error, word};

/// Writes the findings as CSV.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "path",
        "line",
        "column",
        "rule",
        "category",
        "severity",
        "confidence",
        "cwe",
        "message",
        "fix",
        "fingerprint",
        "state",
    ])?;
    for finding in report.findings() {
        let region = &finding.region;
        let record = [
            &region.path,
            &region.line.to_string(),
            &region.column.to_string(),
            &finding.rule,
            &word(finding.category),
            &word(finding.severity),
            &word(finding.confidence),
            &finding.cwe.join(" "),
            &finding.message,
            &finding.fix,
            &finding.fingerprints.stable,
            &finding.state.map(word).unwrap_or_default(),
        ];
        writer.write_record(record.map(|cell| harmless(cell)))?;
    }
    writer.into_inner().map_err(|error| Error::Csv(error.into_error().into()))
}

/// A cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}
