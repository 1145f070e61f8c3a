//! The dependencies as a bill of materials: CycloneDX 1.6 (ECMA-424) in JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Document, Error};
use crate::analysis::Dependency;

/// Licences that packages state by their SPDX identifiers; the schema refuses identifiers it does not know, so that
/// all others are written as names.
const SPDX: &[&str] = &[
    "0BSD",
    "AFL-2.1",
    "AGPL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-2.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "EPL-1.0",
    "EPL-2.0",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.1",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "MS-PL",
    "OFL-1.1",
    "PSF-2.0",
    "Python-2.0",
    "Ruby",
    "Unicode-3.0",
    "Unlicense",
    "WTFPL",
    "Zlib",
];

/// The project itself, among the references of the bill.
const PROJECT: &str = "project";

/// Writes the dependencies that manifests and lock files name. Which of them needs which stands in no report: the
/// graph says what the project itself asks for.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut packages = BTreeMap::<String, Dependency>::new();
    for dependency in &report.dependencies {
        let known = packages.entry(purl(dependency)).or_insert_with(|| dependency.clone());
        known.direct |= dependency.direct;
        known.development &= dependency.development;
    }
    let asked: Vec<&String> =
        packages.iter().filter(|(_, package)| package.direct).map(|(purl, _)| purl).collect();
    let components: Vec<Value> = packages.iter().map(|(purl, package)| component(purl, package)).collect();
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": { "components": [
                { "type": "application", "name": "Codeyard", "version": report.analyzer_version },
            ]},
            "component": {
                "type": "application",
                "bom-ref": PROJECT,
                "name": document.name.unwrap_or(PROJECT),
            },
        },
        "components": components,
        "dependencies": [{ "ref": PROJECT, "dependsOn": asked }],
    });
    if let Some(date) = document.date {
        bill["metadata"]["timestamp"] = json!(date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    }
    if let Some(revision) = document.revision {
        bill["metadata"]["component"]["version"] = json!(revision);
    }
    Ok(serde_json::to_vec_pretty(&bill)?)
}

fn component(purl: &str, package: &Dependency) -> Value {
    let (group, name) = split(package);
    let mut properties = vec![
        json!({ "name": "codeyard:manifest", "value": package.manifest }),
        json!({ "name": "codeyard:relation", "value": if package.direct { "direct" } else { "transitive" } }),
    ];
    if let Some(requirement) = &package.requirement {
        properties.push(json!({ "name": "codeyard:requirement", "value": requirement }));
    }
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "purl": purl,
        // "Excluded" is what is used, but not at run time.
        "scope": if package.development { "excluded" } else { "required" },
        "properties": properties,
    });
    if !group.is_empty() {
        component["group"] = json!(group);
    }
    if let Some(version) = &package.version {
        component["version"] = json!(version);
    }
    if let Some(licence) = package.licence.as_deref().filter(|licence| !licence.trim().is_empty()) {
        component["licenses"] = json!([self::licence(licence.trim())]);
    }
    let hashes: Vec<Value> = package.hashes.iter().filter_map(|hash| self::hash(hash)).collect();
    if !hashes.is_empty() {
        component["hashes"] = json!(hashes);
    }
    component
}

fn licence(stated: &str) -> Value {
    if SPDX.contains(&stated) {
        json!({ "license": { "id": stated } })
    } else if [" OR ", " AND ", " WITH "].iter().any(|operator| stated.contains(operator)) {
        json!({ "expression": stated })
    } else {
        json!({ "license": { "name": stated } })
    }
}

/// `sha256:…` as the format writes it.
fn hash(stated: &str) -> Option<Value> {
    let (name, digits) = stated.split_once(':')?;
    let name = match name {
        "sha1" => "SHA-1",
        "sha256" => "SHA-256",
        "sha384" => "SHA-384",
        "sha512" => "SHA-512",
        _ => return None,
    };
    Some(json!({ "alg": name, "content": digits }))
}

/// The group of a package, if its ecosystem has such, and its name in there.
fn split(package: &Dependency) -> (&str, &str) {
    let at = match package.ecosystem.as_str() {
        "maven" => package.name.split_once(':'),
        "npm" if !package.name.starts_with('@') => None,
        "npm" | "composer" | "go" => package.name.rsplit_once('/'),
        _ => None,
    };
    at.unwrap_or(("", &package.name))
}

/// The package's URL, as <https://github.com/package-url/purl-spec> forms it.
fn purl(package: &Dependency) -> String {
    let kind = if package.ecosystem == "go" { "golang" } else { package.ecosystem.as_str() };
    let (group, name) = split(package);
    let path: Vec<String> =
        group.split('/').chain([name]).filter(|part| !part.is_empty()).map(encoded).collect();
    let mut purl = format!("pkg:{kind}/{}", path.join("/"));
    if let Some(version) = &package.version {
        purl.push('@');
        purl.push_str(&encoded(version));
    }
    purl
}

fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
