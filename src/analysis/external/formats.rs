//! What the analyzers write, each in a form of its own.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

use super::{Hit, Output};
use crate::model::{Category, Confidence, Severity};

type Read = Result<Vec<Hit>, String>;

/// A hit with nothing but its place and words.
fn hit(path: &str, rule: &str, message: &str, kind: (Category, Severity)) -> Hit {
    Hit {
        path: path.to_owned(),
        line: 1,
        column: 0,
        end_line: 0,
        end_column: 0,
        rule: rule.to_owned(),
        message: message.trim().to_owned(),
        category: kind.0,
        severity: kind.1,
        confidence: Confidence::High,
        cwe: Vec::new(),
        url: None,
        fix: String::new(),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// A number, moved by as much as the tool counts from elsewhere than 1; 0 if there is none.
fn number(value: &Value, from: usize) -> usize {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).map_or(0, |number| number + from)
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text.trim()).map_err(|error| format!("its output is no JSON: {error}"))
}

/// JSON values, one a line; other lines are passed over.
fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str(line.trim()).ok())
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

pub(super) fn ruff(output: &Output) -> Read {
    let all = json(&output.stdout)?;
    let read = |it: &Value| {
        let code = it["code"].as_str().unwrap_or("invalid-syntax");
        let mut hit = hit(text(it, "filename"), code, text(it, "message"), ruff_kind(code));
        hit.line = number(&it["location"]["row"], 0);
        hit.column = number(&it["location"]["column"], 0);
        hit.end_line = number(&it["end_location"]["row"], 0);
        hit.end_column = number(&it["end_location"]["column"], 0);
        hit.url = it["url"].as_str().map(str::to_owned);
        hit.fix = text(&it["fix"], "message").to_owned();
        hit
    };
    Ok(all.as_array().into_iter().flatten().map(read).collect())
}

/// By the tool that a rule of ruff's comes from: <https://docs.astral.sh/ruff/rules/>.
fn ruff_kind(code: &str) -> (Category, Severity) {
    let letters: String = code.chars().take_while(char::is_ascii_uppercase).collect();
    match letters.as_str() {
        "" => (Category::Bug, Severity::High),
        "S" => (Category::Security, Severity::Medium),
        "F" if code.starts_with("F4") || code == "F841" => (Category::Smell, Severity::Low),
        "F" | "B" | "PLE" | "ASYNC" | "RUF" | "BLE" => (Category::Bug, Severity::Medium),
        "E" if code.starts_with("E9") => (Category::Bug, Severity::High),
        "PERF" => (Category::Performance, Severity::Low),
        "C" | "PLR" | "PLW" | "SIM" | "ARG" | "ERA" | "TRY" | "PLC" => (Category::Smell, Severity::Low),
        _ => (Category::Style, Severity::Info),
    }
}

pub(super) fn bandit(output: &Output) -> Read {
    let all = json(&output.stdout)?;
    let read = |it: &Value| {
        let severity = level(text(it, "issue_severity"));
        let mut hit = hit(
            text(it, "filename"),
            text(it, "test_id"),
            text(it, "issue_text"),
            (Category::Security, severity),
        );
        hit.line = number(&it["line_number"], 0);
        hit.column = number(&it["col_offset"], 1);
        let last = it["line_range"].as_array().and_then(|lines| lines.last());
        hit.end_line = last.map_or(0, |line| number(line, 0));
        hit.end_column = number(&it["end_col_offset"], 1);
        hit.confidence = match text(it, "issue_confidence") {
            "HIGH" => Confidence::High,
            "MEDIUM" => Confidence::Medium,
            _ => Confidence::Low,
        };
        hit.cwe.extend(it["issue_cwe"]["id"].as_u64().map(|id| format!("CWE-{id}")));
        hit.url = it["more_info"].as_str().map(str::to_owned);
        hit
    };
    Ok(list(&all, "results").map(read).collect())
}

fn level(word: &str) -> Severity {
    match word {
        "CRITICAL" => Severity::Critical,
        "HIGH" => Severity::High,
        "MEDIUM" => Severity::Medium,
        _ => Severity::Low,
    }
}

/// The packages of a project are not there: that they cannot be found says nothing about it.
const ABSENT: &[&str] =
    &["import-not-found", "import-untyped", "import", "TS2307", "TS7016", "TS2688", "E0401"];

pub(super) fn mypy(output: &Output) -> Read {
    let mut hits = Vec::new();
    for it in lines(&output.stdout) {
        let code = it["code"].as_str().unwrap_or("error");
        if text(&it, "severity") != "error" || ABSENT.contains(&code) {
            continue;
        }
        let severity = if code == "syntax" { Severity::High } else { Severity::Medium };
        let mut hit = hit(text(&it, "file"), code, text(&it, "message"), (Category::Type, severity));
        hit.line = number(&it["line"], 0);
        hit.column = number(&it["column"], 1);
        hit.end_line = number(&it["end_line"], 0);
        hit.end_column = number(&it["end_column"], 0);
        hit.fix = text(&it, "hint").to_owned();
        hits.push(hit);
    }
    match output.stdout.trim() {
        "" if !output.stderr.trim().is_empty() => Err(output.stderr.trim().to_owned()),
        _ => Ok(hits),
    }
}

pub(super) fn pylint(output: &Output) -> Read {
    let all = json(&output.stdout)?;
    let read = |it: &Value| {
        let kind = match text(it, "type") {
            "fatal" => (Category::Bug, Severity::High),
            "error" => (Category::Bug, Severity::Medium),
            "warning" => (Category::Smell, Severity::Low),
            "refactor" => (Category::Smell, Severity::Info),
            _ => (Category::Style, Severity::Info),
        };
        let mut hit = hit(text(it, "path"), text(it, "symbol"), text(it, "message"), kind);
        hit.line = number(&it["line"], 0);
        hit.column = number(&it["column"], 1);
        hit.end_line = number(&it["endLine"], 0);
        hit.end_column = number(&it["endColumn"], 1);
        hit
    };
    let absent = |it: &&Value| !ABSENT.contains(&text(it, "messageId"));
    Ok(list(&all, "messages").filter(absent).map(read).collect())
}

pub(super) fn eslint(output: &Output) -> Read {
    let all = json(&output.stdout)?;
    let mut hits = Vec::new();
    for file in all.as_array().into_iter().flatten() {
        for it in list(file, "messages") {
            let rule = it["ruleId"].as_str().unwrap_or("parsing-error");
            let security = ["no-eval", "no-implied-eval", "no-new-func", "no-script-url"].contains(&rule)
                || rule.starts_with("security/");
            let kind = match (security, it["fatal"] == true, it["severity"] == 2) {
                (true, ..) => (Category::Security, Severity::Medium),
                (_, true, _) => (Category::Bug, Severity::High),
                (.., true) => (Category::Bug, Severity::Medium),
                _ => (Category::Smell, Severity::Low),
            };
            let mut hit = hit(text(file, "filePath"), rule, text(it, "message"), kind);
            hit.line = number(&it["line"], 0);
            hit.column = number(&it["column"], 0);
            hit.end_line = number(&it["endLine"], 0);
            hit.end_column = number(&it["endColumn"], 0);
            hits.push(hit);
        }
    }
    Ok(hits)
}

/// `src/a.ts(1,7): error TS2322: …`, with more about it on indented lines.
pub(super) fn tsc(output: &Output) -> Read {
    static ERROR: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"^(.+?)\((\d+),(\d+)\): error (TS\d+): (.*)$";
    let error = ERROR.get_or_init(|| Regex::new(pattern).ok()).as_ref().ok_or("its pattern is broken")?;
    let mut hits = Vec::<Hit>::new();
    for line in output.stdout.lines() {
        if let Some(found) = error.captures(line) {
            let mut hit = hit(&found[1], &found[4], &found[5], (Category::Type, Severity::Medium));
            hit.line = found[2].parse().unwrap_or(1);
            hit.column = found[3].parse().unwrap_or(0);
            hits.push(hit);
        } else if let Some(last) = hits.last_mut().filter(|_| line.starts_with("  ")) {
            last.message.push(' ');
            last.message.push_str(line.trim());
        }
    }
    let general = output.stdout.lines().find(|line| line.starts_with("error TS"));
    if let Some(general) = general.filter(|_| hits.is_empty()) {
        return Err(general.to_owned());
    }
    hits.retain(|hit| !ABSENT.contains(&hit.rule.as_str()));
    Ok(hits)
}

/// Objects by package and analyzer between lines of comment; older versions write them to standard error. What does
/// not compile stands there as plain text.
pub(super) fn go_vet(output: &Output) -> Read {
    static ERROR: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"^(?:vet: )?(?:\./)?([^\s:]+\.go):(\d+):(\d+): (.*)$";
    let error = ERROR.get_or_init(|| Regex::new(pattern).ok()).as_ref().ok_or("its pattern is broken")?;
    let mut hits = Vec::new();
    let mut objects = String::new();
    for line in output.stdout.lines().chain(output.stderr.lines()) {
        if let Some(found) = error.captures(line) {
            let mut hit = hit(&found[1], "compile", &found[4], (Category::Type, Severity::High));
            hit.line = found[2].parse().unwrap_or(1);
            hit.column = found[3].parse().unwrap_or(0);
            hits.push(hit);
        } else if line.starts_with(['{', '}', '\t', ' ']) {
            objects.push_str(line);
            objects.push('\n');
        }
    }
    for package in serde_json::Deserializer::from_str(&objects).into_iter::<Value>().map_while(Result::ok) {
        for analyzers in package.as_object().into_iter().flat_map(|packages| packages.values()) {
            for (name, found) in analyzers.as_object().into_iter().flatten() {
                for it in found.as_array().into_iter().flatten() {
                    let mut place = text(it, "posn").rsplitn(3, ':');
                    let mut next = || place.next().unwrap_or_default();
                    let (column, line, path) = (next(), next(), next());
                    let mut hit = hit(path, name, text(it, "message"), (Category::Bug, Severity::Medium));
                    hit.line = line.parse().unwrap_or(1);
                    hit.column = column.parse().unwrap_or(0);
                    hits.push(hit);
                }
            }
        }
    }
    Ok(hits)
}

pub(super) fn cargo(output: &Output) -> Read {
    let mut hits = Vec::<Hit>::new();
    let mut ended = false;
    for it in lines(&output.stdout) {
        ended |= it["reason"] == "build-finished";
        let message = &it["message"];
        let span = list(message, "spans").find(|span| span["is_primary"] == true);
        let (Some(span), true) = (span, it["reason"] == "compiler-message") else { continue };
        let code = message["code"]["code"].as_str().unwrap_or("rustc");
        let kind = match (text(message, "level"), code.strip_prefix("clippy::")) {
            ("error", None) => (Category::Type, Severity::High),
            ("error", Some(_)) => (Category::Bug, Severity::Medium),
            _ => (Category::Smell, Severity::Low),
        };
        let mut hit = hit(text(span, "file_name"), code, text(message, "message"), kind);
        hit.line = number(&span["line_start"], 0);
        hit.column = number(&span["column_start"], 0);
        hit.end_line = number(&span["line_end"], 0);
        hit.end_column = number(&span["column_end"], 0);
        let help = list(message, "children").find(|child| child["level"] == "help");
        hit.fix = help.map(|child| text(child, "message").to_owned()).unwrap_or_default();
        // Each target of a package says what it has in common with the others.
        if !hits.contains(&hit) {
            hits.push(hit);
        }
    }
    if ended { Ok(hits) } else { Err(output.stderr.trim().to_owned()) }
}

pub(super) fn shellcheck(output: &Output) -> Read {
    let all = json(&output.stdout)?;
    let read = |it: &Value| {
        let kind = match text(it, "level") {
            "error" => (Category::Bug, Severity::High),
            "warning" => (Category::Bug, Severity::Medium),
            "info" => (Category::Smell, Severity::Low),
            _ => (Category::Style, Severity::Info),
        };
        let code = format!("SC{}", it["code"]);
        let mut hit = hit(text(it, "file"), &code, text(it, "message"), kind);
        hit.line = number(&it["line"], 0);
        hit.column = number(&it["column"], 0);
        hit.end_line = number(&it["endLine"], 0);
        hit.end_column = number(&it["endColumn"], 0);
        hit.url = Some(format!("https://www.shellcheck.net/wiki/{code}"));
        hit
    };
    Ok(list(&all, "comments").map(read).collect())
}
