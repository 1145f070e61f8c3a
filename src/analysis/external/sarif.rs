//! SARIF 2.1.0 as other tools write it.

use std::collections::HashMap;

use serde_json::Value;

use super::{Hit, Output};
use crate::model::{Category, Confidence, Severity};

/// Reads the first log in what a tool wrote.
pub(super) fn read(output: &Output) -> Result<Vec<Hit>, String> {
    let start = output.stdout.find('{').ok_or("it wrote no SARIF")?;
    let mut values = serde_json::Deserializer::from_str(&output.stdout[start..]).into_iter::<Value>();
    let log = match values.next() {
        Some(Ok(log)) => log,
        Some(Err(error)) => return Err(format!("its SARIF is broken: {error}")),
        None => return Err("it wrote no SARIF".to_owned()),
    };
    let runs = log["runs"].as_array().ok_or("its SARIF has no runs")?;
    Ok(runs.iter().flat_map(hits).collect())
}

fn hits(run: &Value) -> Vec<Hit> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut rules = list(&run["tool"]["driver"]["rules"]);
    for extension in list(&run["tool"]["extensions"]) {
        rules.extend(list(&extension["rules"]));
    }
    let by_id: HashMap<&str, &Value> =
        rules.iter().filter_map(|rule| Some((rule["id"].as_str()?, rule))).collect();
    let mut hits = Vec::new();
    for result in list(&run["results"]) {
        let id = result["ruleId"].as_str().or_else(|| result["rule"]["id"].as_str());
        let by_index = || rules.get(usize::try_from(result["ruleIndex"].as_u64()?).ok()?);
        let rule = id.and_then(|id| by_id.get(id).copied()).or_else(by_index).unwrap_or(&Value::Null);
        let id = id.or_else(|| rule["id"].as_str()).unwrap_or("unnamed");
        if result["suppressions"].as_array().is_some_and(|all| !all.is_empty()) {
            continue;
        }
        hits.extend(hit(&result, rule, id));
    }
    hits
}

fn hit(result: &Value, rule: &Value, id: &str) -> Option<Hit> {
    let place = &result["locations"][0]["physicalLocation"];
    let region = &place["region"];
    let number = |key: &str| region[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let (category, severity, cwe) = kind(result, rule);
    Some(Hit {
        path: path(place["artifactLocation"]["uri"].as_str()?),
        line: number("startLine").max(1),
        column: number("startColumn"),
        end_line: number("endLine"),
        end_column: number("endColumn"),
        rule: id.to_owned(),
        message: message(result, rule),
        category,
        severity,
        confidence: match rule["properties"]["precision"].as_str() {
            Some("very-high" | "high") | None => Confidence::High,
            Some("medium") => Confidence::Medium,
            Some(_) => Confidence::Low,
        },
        cwe,
        url: rule["helpUri"].as_str().map(str::to_owned),
        fix: result["fixes"][0]["description"]["text"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The text of a result, or what its rule says under the name that the result gives, with the arguments put in.
fn message(result: &Value, rule: &Value) -> String {
    let given = &result["message"];
    let named = given["id"].as_str().and_then(|id| rule["messageStrings"][id]["text"].as_str());
    let text = given["text"].as_str().or(named).or_else(|| rule["shortDescription"]["text"].as_str());
    let mut text = text.unwrap_or_default().trim().to_owned();
    for (at, argument) in given["arguments"].as_array().into_iter().flatten().enumerate() {
        text = text.replace(&format!("{{{at}}}"), argument.as_str().unwrap_or_default());
    }
    text
}

/// What kind of problem a result is, how bad, and its weaknesses: from GitHub's properties where a tool gives them, from
/// taxa, or from the level alone.
fn kind(result: &Value, rule: &Value) -> (Category, Severity, Vec<String>) {
    let tags: Vec<&str> = [&result["properties"]["tags"], &rule["properties"]["tags"]]
        .into_iter()
        .flat_map(|tags| tags.as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let taxa = [&result["taxa"], &rule["relationships"]]
        .into_iter()
        .flat_map(|all| all.as_array().into_iter().flatten());
    let taxa = taxa.map(|taxon| if taxon["target"].is_object() { &taxon["target"] } else { taxon });
    let named =
        taxa.filter(|taxon| taxon["toolComponent"]["name"] == "CWE").filter_map(|taxon| taxon["id"].as_str());
    let mut cwe: Vec<String> = tags.iter().copied().chain(named).filter_map(weakness).collect();
    cwe.sort();
    cwe.dedup();
    let score = &rule["properties"]["security-severity"];
    let score = score.as_f64().or_else(|| score.as_str()?.parse().ok());
    let level = result["level"].as_str().or_else(|| rule["defaultConfiguration"]["level"].as_str());
    let severity = match (score, level) {
        (Some(score), _) if score >= 9.0 => Severity::Critical,
        (Some(score), _) if score >= 7.0 => Severity::High,
        (Some(score), _) if score >= 4.0 => Severity::Medium,
        (Some(_), _) => Severity::Low,
        (None, Some("error")) => Severity::High,
        (None, Some("note")) => Severity::Low,
        (None, Some("none")) => Severity::Info,
        (None, _) => Severity::Medium,
    };
    let security =
        score.is_some() || !cwe.is_empty() || tags.iter().any(|tag| tag.eq_ignore_ascii_case("security"));
    (if security { Category::Security } else { Category::Bug }, severity, cwe)
}

/// `external/cwe/cwe-078`, `CWE-78: …` and `78` as `CWE-78`.
fn weakness(tag: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let digits = match lower.rsplit_once("cwe-") {
        Some((_, rest)) => rest,
        None if lower.bytes().all(|b| b.is_ascii_digit()) => lower.as_str(),
        None => return None,
    };
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u32>().ok().map(|number| format!("CWE-{number}"))
}

/// The path of a `file:` or relative reference.
fn path(uri: &str) -> String {
    let path = uri.strip_prefix("file://").unwrap_or(uri).as_bytes();
    let mut bytes = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let hex = path.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.filter(|_| path[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                at += 3;
            }
            None => {
                bytes.push(path[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
