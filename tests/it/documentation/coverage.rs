//! Whether the documents speak of everything there is, and of nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use codeyard::config::{Config, ConfigError};
use serde_json::Value;

use super::{read, root};

/// Routes that the OpenAPI document leaves out: other names of the same, and pages for people.
const ALIASES: [&str; 7] = [
    "GET /health",
    "GET /health/ready",
    "GET /health/live",
    "GET /ws/progress/{job_id}",
    "GET /docs",
    "GET /docs/",
    "GET /rules",
];

/// What clients read most.
const ANSWERS: [&str; 19] = [
    "Accepted",
    "AnalysisList",
    "ApiKey",
    "Budget",
    "BuildRequest",
    "BuildView",
    "EventPage",
    "Finding",
    "Frame",
    "JobList",
    "JobView",
    "LlmPrice",
    "LlmProvider",
    "LlmSum",
    "LlmTested",
    "QueueView",
    "Report",
    "ServerStatus",
    "User",
];

#[test]
fn every_route_has_its_paragraph_and_every_paragraph_its_route() {
    let text = read("API_DOCUMENTATION.md");
    let described: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let routes = routes();
    let missing: Vec<_> = routes.difference(&described).collect();
    let invented: Vec<_> =
        described.difference(&routes).filter(|route| !ALIASES.contains(&route.as_str())).collect();
    assert!(missing.is_empty(), "API_DOCUMENTATION.md has no paragraph for {missing:#?}");
    assert!(invented.is_empty(), "API_DOCUMENTATION.md describes what is no route: {invented:#?}");
    for alias in ALIASES {
        let path = alias.trim_start_matches("GET ");
        assert!(text.contains(&format!("`{path}`")), "API_DOCUMENTATION.md does not name {path}");
    }
}

#[test]
fn every_error_code_and_every_event_is_explained() {
    let text = read("API_DOCUMENTATION.md");
    let folders =
        ["src/http", "src/auth", "src/jobs", "src/kinds", "src/worker", "src/store", "src/error.rs"];
    let mut codes = BTreeSet::new();
    folders.into_iter().for_each(|folder| collect_codes(&root().join(folder), &mut codes));
    assert!(codes.contains("NOT_FOUND") && codes.contains("TIMED_OUT") && codes.len() > 20, "{codes:?}");
    let missing: Vec<_> = codes.iter().filter(|code| !text.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "API_DOCUMENTATION.md does not explain the codes {missing:?}");

    let events = read("src/model/event.rs");
    let names = events.lines().filter_map(|line| line.split_once(": &str = \"")?.1.strip_suffix("\";"));
    let missing: Vec<_> = names.filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "API_DOCUMENTATION.md does not explain the events {missing:?}");
}

#[test]
fn every_field_of_the_main_answers_is_named() {
    let text = read("API_DOCUMENTATION.md");
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let document: Value = serde_json::to_value(codeyard::http::document()).unwrap();
    let mut missing = Vec::new();
    for name in ANSWERS {
        let fields = fields_of(&document, &document["components"]["schemas"][name]);
        assert!(!fields.is_empty(), "the OpenAPI document has no schema {name}");
        let unnamed = fields.iter().filter(|field| !words.contains(field.as_str()));
        missing.extend(unnamed.map(|field| format!("{name}.{field}")));
    }
    assert!(missing.is_empty(), "API_DOCUMENTATION.md does not name {missing:#?}");
}

#[test]
fn the_readme_counts_the_rules_right() {
    let stated = format!("{} rules", codeyard::analysis::rules::BUILTIN.len());
    assert!(read("README.md").contains(&stated), "README.md does not say {stated}");
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut wrong = Vec::new();
    for document in ["README.md", "API_DOCUMENTATION.md", "CHANGELOG.md"] {
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { document } else { file };
            if !root().join(file).exists() {
                wrong.push(format!("{document}: there is no {file}"));
            } else if !heading.is_empty() && !anchors(&read(file)).contains(heading) {
                wrong.push(format!("{document}: {file} has no heading #{heading}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn variables_that_documents_and_deployments_name_exist() {
    let mut wrong = Vec::new();
    for document in ["README.md", "API_DOCUMENTATION.md", "CHANGELOG.md", "Dockerfile", "docker-compose.yml"]
    {
        let text = read(document);
        for rest in text.split("CODEYARD_").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
            let name = format!("CODEYARD_{}", rest[..end.unwrap_or(rest.len())].trim_end_matches('_'));
            let read = Config::load(None, [(name.clone(), "1".to_owned())], []);
            // A list of them is written `CODEYARD_*` or `CODEYARD_…`.
            if name != "CODEYARD_" && matches!(read, Err(ConfigError::UnknownVariable(_))) {
                wrong.push(format!("{document}: nothing reads {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_compose_file_fits_the_image_and_itself() {
    let compose: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    let dockerfile = read("Dockerfile");
    let services = compose["services"].as_object().unwrap();
    let port = dockerfile.lines().find_map(|line| line.strip_prefix("EXPOSE ")).unwrap();
    assert!(dockerfile.contains(&format!("CODEYARD_SERVER_LISTEN=0.0.0.0:{port}")));
    assert!(services["server"]["deploy"]["replicas"].as_u64().unwrap() >= 2, "no replicas");
    for (name, service) in services {
        assert!(
            !service["healthcheck"].is_null() || !service["build"].is_null(),
            "{name} has no health check"
        );
        let needs = service["depends_on"].as_object();
        for needed in needs.into_iter().flat_map(|needs| needs.keys()) {
            assert!(services.contains_key(needed), "{name} depends on {needed}, which is not there");
        }
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let source = volume.split(':').next().unwrap();
            let there = compose["volumes"].get(source).is_some() || Path::new(&root().join(source)).exists();
            assert!(there, "{name} mounts {source}, which is not there");
        }
        let ports = service["ports"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for published in ports {
            assert!(published.ends_with(&format!(":{port}")), "{name} publishes {published}, not {port}");
        }
    }
}

/// The fields of a schema, and of those that it is put together from.
fn fields_of(document: &Value, schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object();
    let mut fields: BTreeSet<String> = own.into_iter().flat_map(|own| own.keys().cloned()).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let named = part["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
        fields.extend(fields_of(document, named.unwrap_or(part)));
    }
    fields
}

/// Every route of the OpenAPI document, as `GET /path`.
fn routes() -> BTreeSet<String> {
    let document: Value = serde_json::to_value(codeyard::http::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &Value)| -> Vec<String> {
        item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    paths.iter().flat_map(methods).collect()
}

/// The stable names that errors are given in the sources: of answers, and of jobs that fail.
fn collect_codes(path: &Path, codes: &mut BTreeSet<String>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap();
        entries.for_each(|entry| collect_codes(&entry.unwrap().path(), codes));
        return;
    }
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for start in ["code: \"", "conflict(", "transient(", "fatal(", "failure(", "StatusCode::", "((\""] {
        for rest in code.split(start).skip(1) {
            let near = rest.split(';').next().unwrap_or_default();
            let literal = match start.ends_with('"') {
                true => near.split('"').next(),
                false => near.split('"').nth(1),
            };
            let named = literal
                .filter(|name| name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
            codes.extend(named.map(str::to_owned));
        }
    }
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}
