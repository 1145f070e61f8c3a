//! The manifests and lock files of the package managers, one reader each.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::Value;

use super::{Dependency, Manifest};

/// How a file is read.
type Reader = fn(&str, &mut Found) -> Result<(), String>;

/// Which file is read how: whole names, and what the file shows by being there.
static READERS: &[(&[&str], &str, &str, Reader)] = &[
    (&["package.json"], "npm", "npm", package_json),
    (&["package-lock.json", "npm-shrinkwrap.json"], "npm", "npm", package_lock),
    (&["yarn.lock"], "npm", "Yarn", yarn_lock),
    (&["pyproject.toml"], "pypi", "Python packaging", pyproject),
    (&["requirements.txt", "requirements-dev.txt", "dev-requirements.txt"], "pypi", "pip", requirements),
    (&["poetry.lock"], "pypi", "Poetry", toml_lock),
    (&["uv.lock"], "pypi", "uv", toml_lock),
    (&["Cargo.toml"], "cargo", "Cargo", cargo_toml),
    (&["Cargo.lock"], "cargo", "Cargo", toml_lock),
    (&["go.mod"], "go", "Go modules", go_mod),
    (&["pom.xml"], "maven", "Maven", pom),
    (&["build.gradle", "build.gradle.kts"], "maven", "Gradle", gradle),
    (&["Gemfile"], "gem", "Bundler", gemfile),
    (&["Gemfile.lock"], "gem", "Bundler", gemfile_lock),
    (&["composer.json"], "composer", "Composer", composer_json),
    (&["composer.lock"], "composer", "Composer", composer_lock),
];

/// Files that show a tool and name no packages.
static TOOLS: &[(&str, &str)] = &[
    ("Dockerfile", "Docker"),
    ("docker-compose.yml", "Docker Compose"),
    ("docker-compose.yaml", "Docker Compose"),
    ("compose.yaml", "Docker Compose"),
    (".gitlab-ci.yml", "GitLab CI"),
    ("Jenkinsfile", "Jenkins"),
    ("Makefile", "Make"),
    ("CMakeLists.txt", "CMake"),
    ("pnpm-lock.yaml", "pnpm"),
    ("tox.ini", "tox"),
    (".pre-commit-config.yaml", "pre-commit"),
];

/// What a reader has found so far.
struct Found {
    ecosystem: &'static str,
    manifest: String,
    dependencies: Vec<Dependency>,
}

impl Found {
    /// A package that a manifest asks for.
    fn direct(&mut self, name: &str, requirement: Option<&str>, development: bool) {
        let requirement = requirement.map(str::trim).filter(|text| !text.is_empty());
        let exact = requirement.map(|text| text.trim_start_matches(['=', 'v', ' ']));
        let exact = exact.filter(|text| {
            text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains([',', ' ', '*', 'x', '|'])
        });
        // Only these ecosystems mean exactly the version that they write without an operator.
        let plain = matches!(self.ecosystem, "npm" | "go" | "maven" | "composer");
        let exact = exact.filter(|_| plain || requirement.is_some_and(|text| text.starts_with('=')));
        self.push(name, exact.map(str::to_owned), requirement.map(str::to_owned), true, development, None);
    }

    /// A package that a lock file pins.
    fn locked(&mut self, name: &str, version: Option<&str>, development: bool, licence: Option<String>) {
        self.push(name, version.map(str::to_owned), None, false, development, licence);
    }

    /// States the checksum of the package that was added last: `sha512-` and base64, as npm writes it, or the name
    /// of the hash, a colon and hexadecimal digits.
    fn hash(&mut self, stated: Option<&str>) {
        let Some(last) = self.dependencies.last_mut() else { return };
        for part in stated.unwrap_or_default().split_whitespace() {
            let hash = match (part.split_once('-'), part.split_once(':')) {
                (Some((name, digest)), _) => {
                    STANDARD.decode(digest).ok().map(|bytes| (name, hex::encode(bytes)))
                }
                (_, Some((name, digits))) => hex::decode(digits).ok().map(|bytes| (name, hex::encode(bytes))),
                _ => None,
            };
            last.hashes
                .extend(hash.filter(|(_, digits)| !digits.is_empty()).map(|(name, d)| format!("{name}:{d}")));
        }
    }

    fn push(
        &mut self,
        name: &str,
        version: Option<String>,
        requirement: Option<String>,
        direct: bool,
        development: bool,
        licence: Option<String>,
    ) {
        let name = if self.ecosystem == "pypi" { normalized(name) } else { name.trim().to_owned() };
        if name.is_empty() {
            return;
        }
        self.dependencies.push(Dependency {
            ecosystem: self.ecosystem.to_owned(),
            name,
            version,
            requirement,
            direct,
            development,
            licence,
            manifest: self.manifest.clone(),
            hashes: Vec::new(),
        });
    }
}

/// Reads a file if it is a manifest or a lock file.
pub(in super::super) fn read(path: &str, text: &str) -> Manifest {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some((_, ecosystem, tool, reader)) = READERS.iter().find(|(names, ..)| names.contains(&name)) {
        let mut found = Found { ecosystem, manifest: path.to_owned(), dependencies: Vec::new() };
        let problem = reader(text, &mut found).err();
        return Manifest { dependencies: found.dependencies, tool: Some(tool), problem };
    }
    let workflow = path.contains(".github/workflows/").then_some("GitHub Actions");
    let tool = TOOLS.iter().find(|(file, _)| *file == name).map(|(_, tool)| *tool).or(workflow);
    Manifest { tool, ..Manifest::default() }
}

fn package_json(text: &str, found: &mut Found) -> Result<(), String> {
    let json = json(text)?;
    for (key, development) in
        [("dependencies", false), ("optionalDependencies", false), ("devDependencies", true)]
    {
        for (name, requirement) in json[key].as_object().into_iter().flatten() {
            found.direct(name, requirement.as_str(), development);
        }
    }
    Ok(())
}

fn package_lock(text: &str, found: &mut Found) -> Result<(), String> {
    let json = json(text)?;
    for (path, package) in json["packages"].as_object().into_iter().flatten() {
        if let Some((_, name)) = path.rsplit_once("node_modules/") {
            let licence = package["license"].as_str().map(str::to_owned);
            found.locked(name, package["version"].as_str(), package["dev"] == true, licence);
            found.hash(package["integrity"].as_str());
        }
    }
    // The format of npm 6 and before.
    for (name, package) in json["dependencies"].as_object().into_iter().flatten() {
        found.locked(name, package["version"].as_str(), package["dev"] == true, None);
        found.hash(package["integrity"].as_str());
    }
    Ok(())
}

fn yarn_lock(text: &str, found: &mut Found) -> Result<(), String> {
    let mut name = None;
    for line in text.lines() {
        if line.ends_with(':') && !line.starts_with([' ', '#']) {
            let first = line.trim_end_matches(':').split(',').next().unwrap_or_default().trim_matches('"');
            name = first.rfind('@').filter(|&at| at > 0).map(|at| first[..at].to_owned());
        } else if let Some(version) = line.trim_start().strip_prefix("version")
            && let Some(name) = name.take()
        {
            found.locked(&name, Some(version.trim_matches([':', ' ', '"'])), false, None);
        } else if let Some(integrity) = line.strip_prefix("  integrity ") {
            found.hash(Some(integrity));
        }
    }
    Ok(())
}

fn pyproject(text: &str, found: &mut Found) -> Result<(), String> {
    let table = toml(text)?;
    let list =
        |value: Option<&toml::Value>| value.and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let project = table.get("project");
    for entry in list(project.and_then(|p| p.get("dependencies"))) {
        requirement(entry.as_str().unwrap_or_default(), false, found);
    }
    let groups = [project.and_then(|p| p.get("optional-dependencies")), table.get("dependency-groups")];
    for group in groups.into_iter().flatten().filter_map(toml::Value::as_table).flat_map(toml::Table::values)
    {
        for entry in list(Some(group)) {
            requirement(entry.as_str().unwrap_or_default(), true, found);
        }
    }
    let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
    let development =
        poetry.and_then(|p| p.get("group")).and_then(|g| g.get("dev")).and_then(|g| g.get("dependencies"));
    for (packages, development) in [(poetry.and_then(|p| p.get("dependencies")), false), (development, true)]
    {
        for (name, value) in packages.and_then(toml::Value::as_table).into_iter().flatten() {
            if name != "python" {
                found.direct(name, version_of(value), development);
            }
        }
    }
    Ok(())
}

fn requirements(text: &str, found: &mut Found) -> Result<(), String> {
    let development = found.manifest.contains("dev");
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if !line.starts_with(['#', '-']) {
            requirement(line, development, found);
        }
    }
    Ok(())
}

/// One requirement as PEP 508 writes it.
fn requirement(text: &str, development: bool, found: &mut Found) {
    let text = text.split(';').next().unwrap_or_default().trim();
    let end = text.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).unwrap_or(text.len());
    let rest = text[end..].trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']').map_or("", |(_, rest)| rest) } else { rest };
    found.direct(&text[..end], Some(rest.trim_matches(['(', ')', ' '])), development);
}

fn cargo_toml(text: &str, found: &mut Found) -> Result<(), String> {
    let table = toml(text)?;
    let workspace = table.get("workspace");
    let sections = [
        (table.get("dependencies"), false),
        (table.get("build-dependencies"), false),
        (table.get("dev-dependencies"), true),
        (workspace.and_then(|w| w.get("dependencies")), false),
    ];
    for (section, development) in sections {
        for (name, value) in section.and_then(toml::Value::as_table).into_iter().flatten() {
            let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
            found.direct(package, version_of(value), development);
        }
    }
    Ok(())
}

/// Lock files made of `[[package]]` tables. The project itself, which has no source, is left out.
fn toml_lock(text: &str, found: &mut Found) -> Result<(), String> {
    let table = toml(text)?;
    for package in table.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let field = |key: &str| package.get(key).and_then(toml::Value::as_str);
        let own = match package.get("source") {
            None => found.ecosystem == "cargo",
            Some(source) => source.get("virtual").is_some() || source.get("editable").is_some(),
        };
        if let Some(name) = field("name").filter(|_| !own) {
            found.locked(name, field("version"), false, None);
            let files = package.get("files").and_then(toml::Value::as_array);
            match (field("checksum"), files.map(Vec::as_slice)) {
                (Some(checksum), _) => found.hash(Some(&format!("sha256:{checksum}"))),
                // Where there are several files, none of their checksums is the package's.
                (None, Some([file])) => found.hash(file.get("hash").and_then(toml::Value::as_str)),
                _ => {}
            }
        }
    }
    Ok(())
}

fn go_mod(text: &str, found: &mut Found) -> Result<(), String> {
    let mut inside = false;
    for line in text.lines() {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let code = code.trim();
        let module = match code.strip_prefix("require ") {
            Some(rest) if rest.trim() == "(" => {
                inside = true;
                continue;
            }
            Some(rest) => rest,
            None if code == ")" => {
                inside = false;
                continue;
            }
            None if inside => code,
            None => continue,
        };
        let mut words = module.split_whitespace();
        let (Some(name), version) = (words.next(), words.next()) else { continue };
        if comment.trim() == "indirect" {
            found.locked(name, version, false, None);
        } else {
            found.direct(name, version, false);
        }
    }
    Ok(())
}

fn pom(text: &str, found: &mut Found) -> Result<(), String> {
    static DEPENDENCY: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"(?s)<dependency>(.*?)</dependency>";
    for captures in matches(&DEPENDENCY, pattern, text) {
        let field = |tag: &str| {
            let body = &captures[1];
            let (_, rest) = body.split_once(&format!("<{tag}>"))?;
            rest.split_once("</").map(|(value, _)| value.trim())
        };
        if let (Some(group), Some(artifact)) = (field("groupId"), field("artifactId")) {
            found.direct(&format!("{group}:{artifact}"), field("version"), field("scope") == Some("test"));
        }
    }
    Ok(())
}

fn gradle(text: &str, found: &mut Found) -> Result<(), String> {
    static DEPENDENCY: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r#"(?m)^\s*(\w*(?:[iI]mplementation|[aA]pi|[cC]ompileOnly|[rR]untimeOnly|compile))[\s(]+["']([\w.-]+:[\w.-]+)(?::([^"'@]+))?["']"#;
    for captures in matches(&DEPENDENCY, pattern, text) {
        found.direct(&captures[2], captures.get(3).map(|m| m.as_str()), captures[1].starts_with("test"));
    }
    Ok(())
}

fn gemfile(text: &str, found: &mut Found) -> Result<(), String> {
    static GEM: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r#"(?m)^\s*gem\s+["']([\w-]+)["'](?:\s*,\s*["']([^"']+)["'])?"#;
    for captures in matches(&GEM, pattern, text) {
        found.direct(&captures[1], captures.get(2).map(|m| m.as_str()), false);
    }
    Ok(())
}

fn gemfile_lock(text: &str, found: &mut Found) -> Result<(), String> {
    static SPEC: OnceLock<Option<Regex>> = OnceLock::new();
    for captures in matches(&SPEC, r"(?m)^    ([\w-]+) \(([^)]+)\)$", text) {
        found.locked(&captures[1], Some(&captures[2]), false, None);
    }
    Ok(())
}

fn composer_json(text: &str, found: &mut Found) -> Result<(), String> {
    let json = json(text)?;
    for (key, development) in [("require", false), ("require-dev", true)] {
        for (name, requirement) in json[key].as_object().into_iter().flatten() {
            // Without a vendor it is PHP itself or one of its extensions.
            if name.contains('/') {
                found.direct(name, requirement.as_str(), development);
            }
        }
    }
    Ok(())
}

fn composer_lock(text: &str, found: &mut Found) -> Result<(), String> {
    let json = json(text)?;
    for (key, development) in [("packages", false), ("packages-dev", true)] {
        for package in json[key].as_array().into_iter().flatten() {
            let licence = package["license"][0].as_str().map(str::to_owned);
            found.locked(
                package["name"].as_str().unwrap_or_default(),
                package["version"].as_str(),
                development,
                licence,
            );
            let checksum = package["dist"]["shasum"].as_str().filter(|digits| !digits.is_empty());
            found.hash(checksum.map(|digits| format!("sha1:{digits}")).as_deref());
        }
    }
    Ok(())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn toml(text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|error: toml::de::Error| error.message().to_owned())
}

/// `"1.2"` or `{ version = "1.2" }`.
fn version_of(value: &toml::Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("version")?.as_str())
}

/// Names of Python packages are equal whatever their case and separators.
fn normalized(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Every match of a pattern that is compiled once.
fn matches<'t>(
    cell: &'static OnceLock<Option<Regex>>,
    pattern: &str,
    text: &'t str,
) -> impl Iterator<Item = regex::Captures<'t>> {
    let regex = cell.get_or_init(|| Regex::new(pattern).ok());
    regex.iter().flat_map(move |regex| regex.captures_iter(text))
}
