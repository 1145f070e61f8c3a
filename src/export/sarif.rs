//! SARIF 2.1.0, as GitHub code scanning and editors read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Document, Error, clipped, word};
use crate::analysis::rules::{Rule, catalogue};
use crate::analysis::{PROJECT_FILE, Report, Suppression};
use crate::model::{Category, Confidence, Finding, FindingState, Region, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// GitHub refuses runs with more results (and shows the 5,000 worst of them).
const MOST_RESULTS: usize = 25_000;
/// It takes no notice of more tags of a rule, more steps of a flow, and more characters of a description.
const MOST_TAGS: usize = 10;
const MOST_STEPS: usize = 1_000;
const LONGEST_DESCRIPTION: usize = 1_024;

/// Writes the report as a log with one run.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut findings: Vec<Found<'_>> = report.findings().map(|finding| (finding, None)).collect();
    findings.extend(report.suppressed.iter().map(|s| (&s.finding, Some(&s.by))));
    let all = findings.len();
    if all > MOST_RESULTS {
        // The worst are kept; the sort is stable, so that the rest stays in the order of the report.
        findings.sort_by_key(|(finding, _)| std::cmp::Reverse(finding.severity));
        findings.truncate(MOST_RESULTS);
    }
    let (rules, indexes) = rules(&findings);
    let results: Vec<Value> = findings.iter().map(|(finding, by)| result(finding, *by, &indexes)).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "Codeyard",
                "semanticVersion": report.analyzer_version,
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications(report, all),
            }],
            "results": results,
            "properties": { "qualityScore": report.quality_score, "gate": report.gate },
        }],
    });
    Ok(serde_json::to_vec_pretty(&log)?)
}

/// A finding, and what suppresses it.
type Found<'f> = (&'f Finding, Option<&'f Suppression>);

/// The rules that some finding names, and the place of each in their list.
fn rules<'f>(findings: &[Found<'f>]) -> (Vec<Value>, BTreeMap<&'f str, usize>) {
    let known: BTreeMap<String, Rule> = catalogue().into_iter().map(|rule| (rule.id.clone(), rule)).collect();
    let mut used = BTreeMap::new();
    for (finding, _) in findings {
        used.entry(finding.rule.as_str()).or_insert(*finding);
    }
    let list = used.iter().map(|(id, finding)| descriptor(finding, known.get(*id))).collect();
    (list, used.into_keys().enumerate().map(|(index, id)| (id, index)).collect())
}

fn descriptor(finding: &Finding, rule: Option<&Rule>) -> Value {
    // A rule of the user's own is described by what its finding says.
    let short = rule.map_or(finding.message.as_str(), |rule| rule.message.as_str());
    let why = if finding.why.is_empty() { short } else { &finding.why };
    let references = rule.map(|rule| rule.references.as_slice()).unwrap_or_default();
    let mut markdown = format!("{why}\n\n**Instead:** {}\n", finding.fix);
    if let Some(example) = rule.map(|rule| &rule.example).filter(|example| !example.is_empty()) {
        markdown.push_str(&format!("\n**Found:**\n```\n{example}\n```\n"));
    }
    for reference in references {
        markdown.push_str(&format!("\n- <{reference}>"));
    }
    let mut descriptor = json!({
        "id": finding.rule,
        "shortDescription": { "text": clipped(short, LONGEST_DESCRIPTION) },
        "fullDescription": { "text": clipped(why, LONGEST_DESCRIPTION) },
        "help": { "text": format!("{why} {}", finding.fix).trim(), "markdown": markdown },
        "defaultConfiguration": { "level": level(rule.map_or(finding.severity, |rule| rule.severity)) },
        "properties": properties(finding, rule),
    });
    if let Some(reference) = references.first() {
        descriptor["helpUri"] = json!(reference);
    }
    descriptor
}

fn properties(finding: &Finding, rule: Option<&Rule>) -> Value {
    let severity = rule.map_or(finding.severity, |rule| rule.severity);
    let confidence = rule.map_or(finding.confidence, |rule| rule.confidence);
    let mut tags = vec![word(finding.category)];
    tags.extend(finding.cwe.iter().map(|cwe| format!("external/cwe/{}", cwe.to_ascii_lowercase())));
    tags.extend(finding.owasp.iter().map(|entry| format!("owasp/{entry}")));
    tags.truncate(MOST_TAGS);
    let precision = match confidence {
        Confidence::High => "high",
        Confidence::Medium => "medium",
        Confidence::Low => "low",
    };
    let mut properties = json!({ "tags": tags, "precision": precision });
    if finding.category == Category::Security {
        // The bounds between GitHub's own words are 9, 7 and 4.
        properties["security-severity"] = json!(match severity {
            Severity::Critical => "9.5",
            Severity::High => "8.0",
            Severity::Medium => "5.5",
            Severity::Low => "3.0",
            Severity::Info => "1.0",
        });
    }
    properties
}

fn result(finding: &Finding, suppressed: Option<&Suppression>, indexes: &BTreeMap<&str, usize>) -> Value {
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": indexes.get(finding.rule.as_str()),
        "level": level(finding.severity),
        "message": { "text": finding.message },
        "locations": [location(&finding.region)],
        "partialFingerprints": {
            "primaryLocationLineHash": finding.fingerprints.primary_location_line_hash,
            "codeyardFingerprint/v1": finding.fingerprints.stable,
        },
        "properties": { "severity": finding.severity, "confidence": finding.confidence },
    });
    if !finding.flow.is_empty() {
        // What matters most of a way that is too long are its ends.
        let cut = finding.flow.len().saturating_sub(MOST_STEPS);
        let steps: Vec<Value> = (finding.flow.iter().take(MOST_STEPS / 2))
            .chain(finding.flow.iter().skip(MOST_STEPS / 2 + cut))
            .map(|step| {
                let mut location = location(&step.region);
                location["message"] = json!({ "text": step.message });
                json!({ "location": location })
            })
            .collect();
        result["codeFlows"] = json!([{ "threadFlows": [{ "locations": steps }] }]);
    }
    if !finding.also.is_empty() {
        result["properties"]["also"] = json!(finding.also);
    }
    if let Some(replacement) = &finding.replacement {
        result["fixes"] = json!([{
            "description": { "text": finding.fix },
            "artifactChanges": [{
                "artifactLocation": artifact(&finding.region.path),
                "replacements": [{ "deletedRegion": place(&finding.region), "insertedContent": { "text": replacement } }],
            }],
        }]);
    }
    if let Some(state) = finding.state {
        result["baselineState"] = match state {
            FindingState::New => json!("new"),
            FindingState::Unchanged => json!("unchanged"),
            FindingState::Moved => json!("updated"),
        };
    }
    if let Some(by) = suppressed {
        let kind = if by.mark == PROJECT_FILE { "external" } else { "inSource" };
        result["suppressions"] = json!([{ "kind": kind, "justification": by.reason }]);
    }
    result
}

fn location(region: &Region) -> Value {
    let mut place = place(region);
    place["snippet"] = json!({ "text": region.snippet });
    json!({ "physicalLocation": { "artifactLocation": artifact(&region.path), "region": place } })
}

fn artifact(path: &str) -> Value {
    json!({ "uri": uri(path), "uriBaseId": "%SRCROOT%" })
}

fn place(region: &Region) -> Value {
    json!({
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    })
}

/// What was left out, as notes of the tool about its own run.
fn notifications(report: &Report, findings: usize) -> Vec<Value> {
    let skipped = report.skipped.iter().take(MOST_RESULTS).map(|skipped| {
        json!({
            "level": "note",
            "message": { "text": skipped.reason },
            "locations": [{ "physicalLocation": { "artifactLocation": artifact(&skipped.path) } }],
        })
    });
    let cut = (findings > MOST_RESULTS).then(|| {
        let text = format!("{findings} findings; the log holds the {MOST_RESULTS} worst");
        json!({ "level": "warning", "message": { "text": text } })
    });
    cut.into_iter().chain(skipped).collect()
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// A relative path as a reference that URIs allow.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}
