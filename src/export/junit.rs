//! JUnit's format, which every CI system draws: a file is a suite, a finding a failed test; against a baseline, a new one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Document, Error, word};
use crate::model::Finding;

/// Writes the findings as test results.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut files = BTreeMap::<&str, Vec<&Finding>>::new();
    for file in report.metrics.files.iter().filter(|file| file.analysed) {
        files.entry(&file.path).or_default();
    }
    for finding in report.findings().filter(|finding| finding.is_new()) {
        files.entry(&finding.region.path).or_default().push(finding);
    }
    let all: usize = files.values().map(Vec::len).sum();
    let clean = files.values().filter(|findings| findings.is_empty()).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(xml, "<testsuites name=\"Codeyard\" tests=\"{}\" failures=\"{all}\">", all + clean);
    for (path, findings) in files {
        let tests = findings.len().max(1);
        let path = escape(path);
        let _ =
            writeln!(xml, "  <testsuite name=\"{path}\" tests=\"{tests}\" failures=\"{}\">", findings.len());
        if findings.is_empty() {
            let _ = writeln!(xml, "    <testcase classname=\"{path}\" name=\"no findings\"/>");
        }
        for finding in findings {
            let _ = writeln!(
                xml,
                "    <testcase classname=\"{path}\" name=\"{} in line {}\"><failure type=\"{}\" message=\"{}\">{}</failure></testcase>",
                escape(&finding.rule),
                finding.region.line,
                word(finding.severity),
                escape(&finding.message),
                escape(&[finding.why.as_str(), finding.fix.as_str()].join(" "))
            );
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    Ok(xml.into_bytes())
}

/// Text that is safe in XML. Control characters have no place in it at all.
fn escape(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).fold(
        String::with_capacity(text.len()),
        |mut escaped, c| {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\n' => escaped.push_str("&#10;"),
                '\u{fffe}' | '\u{ffff}' => {}
                c => escaped.push(c),
            }
            escaped
        },
    )
}
