//! GitLab's Code Quality format.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Document, Error};
use crate::model::Severity;

/// Writes the findings as GitLab shows them in a merge request.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut seen = HashMap::<String, usize>::new();
    let issues: Vec<Value> = report
        .findings()
        .map(|finding| {
            // GitLab shows only one issue for each fingerprint.
            let key = format!("{}:{}", finding.fingerprints.stable, finding.region.path);
            let count = seen.entry(key.clone()).or_default();
            *count += 1;
            json!({
                "type": "issue",
                "check_name": finding.rule,
                "description": finding.message,
                "severity": severity(finding.severity),
                "fingerprint": if *count > 1 { format!("{key}:{count}") } else { key },
                "location": {
                    "path": finding.region.path,
                    "lines": { "begin": finding.region.line, "end": finding.region.end_line },
                },
            })
        })
        .collect();
    Ok(serde_json::to_vec_pretty(&issues)?)
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "blocker",
        Severity::High => "critical",
        Severity::Medium => "major",
        Severity::Low => "minor",
        Severity::Info => "info",
    }
}
