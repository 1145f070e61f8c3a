//! Annotations as GitHub Actions reads them from a log.

use super::{Document, Error};
use crate::model::Severity;

/// Writes one workflow command per finding; against a baseline, for the new ones only.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut text = String::new();
    for finding in report.findings().filter(|finding| finding.is_new()) {
        let region = &finding.region;
        let command = match finding.severity {
            Severity::Critical | Severity::High => "error",
            Severity::Medium => "warning",
            Severity::Low | Severity::Info => "notice",
        };
        text.push_str(&format!(
            "::{command} file={},line={},endLine={},title={}::{}\n",
            property(&region.path),
            region.line,
            region.end_line,
            property(&finding.rule),
            data(&finding.message)
        ));
    }
    Ok(text.into_bytes())
}

/// Text of a message: `%` and line ends would end or change the command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Text of a property, where `:` and `,` mean something too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
