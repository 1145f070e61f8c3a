//! Technologies and dependencies, from the files of each package manager.

use codeyard::analysis::Report;

use super::{file, report};

/// Name, version, requirement, direct, development.
type Package<'a> = (&'a str, Option<&'a str>, Option<&'a str>, bool, bool);

fn packages(report: &Report) -> Vec<Package<'_>> {
    report
        .dependencies
        .iter()
        .map(|d| (d.name.as_str(), d.version.as_deref(), d.requirement.as_deref(), d.direct, d.development))
        .collect()
}

#[test]
fn npm() {
    let manifest = r#"{"dependencies": {"express": "^4.19.0", "left-pad": "1.3.0"}, "devDependencies": {"jest": "~29"}}"#;
    let lock = r#"{"lockfileVersion": 3, "packages": {"": {"name": "x"},
        "node_modules/express": {"version": "4.19.2", "license": "MIT"},
        "node_modules/express/node_modules/debug": {"version": "2.6.9"},
        "node_modules/jest": {"version": "29.7.0", "dev": true}}}"#;
    let report = report(&[file("package.json", manifest), file("package-lock.json", lock)]);
    let expected = [
        ("debug", Some("2.6.9"), None, false, false),
        ("express", Some("4.19.2"), Some("^4.19.0"), true, false),
        ("jest", Some("29.7.0"), Some("~29"), true, true),
        ("left-pad", Some("1.3.0"), Some("1.3.0"), true, false),
    ];
    assert_eq!(packages(&report), expected);
    assert_eq!(report.dependencies[1].licence.as_deref(), Some("MIT"));
    let technologies: Vec<_> =
        report.technologies.iter().map(|t| (t.name.as_str(), t.version.as_deref())).collect();
    assert_eq!(technologies, [("Express", Some("4.19.2")), ("Jest", Some("29.7.0")), ("npm", None)]);
}

#[test]
fn yarn() {
    let lock = "# yarn lockfile v1\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1\":\n  version \"7.24.0\"\n  resolved \"x\"\n\nms@2.0.0:\n  version \"2.0.0\"\n";
    let expected =
        [("@babel/core", Some("7.24.0"), None, false, false), ("ms", Some("2.0.0"), None, false, false)];
    assert_eq!(packages(&report(&[file("yarn.lock", lock)])), expected);
}

#[test]
fn python() {
    let manifest = "[project]\nname = \"x\"\ndependencies = [\"Flask[async]>=3 ; python_version > '3.8'\", \"ruamel.yaml==0.18.6\"]\n\
        [dependency-groups]\ndev = [\"pytest\"]\n[tool.poetry.dependencies]\npython = \"^3.11\"\nrich = { version = \"^13\" }\n";
    let lock = "[[package]]\nname = \"flask\"\nversion = \"3.0.3\"\n\n[[package]]\nname = \"Jinja2\"\nversion = \"3.1.4\"\n";
    let list = "# tools\n-r other.txt\nrequests~=2.32  # http\n";
    let files =
        [file("pyproject.toml", manifest), file("poetry.lock", lock), file("requirements-dev.txt", list)];
    let expected = [
        ("flask", Some("3.0.3"), Some(">=3"), true, false),
        ("jinja2", Some("3.1.4"), None, false, false),
        ("pytest", None, None, true, true),
        ("requests", None, Some("~=2.32"), true, true),
        ("rich", None, Some("^13"), true, false),
        ("ruamel-yaml", Some("0.18.6"), Some("==0.18.6"), true, false),
    ];
    assert_eq!(packages(&report(&files)), expected);
}

#[test]
fn cargo() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\naxum = \"0.8\"\nyaml = { package = \"serde_yaml_ng\", version = \"0.10\" }\n[dev-dependencies]\ninsta = \"1\"\n";
    let lock = "version = 4\n[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n[[package]]\nname = \"axum\"\nversion = \"0.8.9\"\nsource = \"registry+x\"\n[[package]]\nname = \"http\"\nversion = \"1.3.1\"\nsource = \"registry+x\"\n";
    let expected = [
        ("axum", Some("0.8.9"), Some("0.8"), true, false),
        ("http", Some("1.3.1"), None, false, false),
        ("insta", None, Some("1"), true, true),
        ("serde_yaml_ng", None, Some("0.10"), true, false),
    ];
    assert_eq!(packages(&report(&[file("Cargo.toml", manifest), file("Cargo.lock", lock)])), expected);
}

#[test]
fn go_maven_gradle_gem_and_composer() {
    let go = "module x\n\ngo 1.22\n\nrequire github.com/gin-gonic/gin v1.10.0\n\nrequire (\n\tgolang.org/x/net v0.25.0 // indirect\n\tgithub.com/lib/pq v1.10.9\n)\n";
    let expected = [
        ("github.com/gin-gonic/gin", Some("1.10.0"), Some("v1.10.0"), true, false),
        ("github.com/lib/pq", Some("1.10.9"), Some("v1.10.9"), true, false),
        ("golang.org/x/net", Some("v0.25.0"), None, false, false),
    ];
    assert_eq!(packages(&report(&[file("go.mod", go)])), expected);

    let pom = "<project><dependencies>\n<dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>4.13.2</version><scope>test</scope></dependency>\n</dependencies></project>";
    let gradle = "dependencies {\n    implementation 'com.google.guava:guava:33.0.0-jre'\n    testImplementation(\"org.mockito:mockito-core\")\n}\n";
    let expected = [
        ("com.google.guava:guava", Some("33.0.0-jre"), Some("33.0.0-jre"), true, false),
        ("junit:junit", Some("4.13.2"), Some("4.13.2"), true, true),
        ("org.mockito:mockito-core", None, None, true, true),
    ];
    assert_eq!(packages(&report(&[file("pom.xml", pom), file("app/build.gradle", gradle)])), expected);

    let gemfile = "source 'https://rubygems.org'\ngem 'rails', '~> 7.1'\ngem \"pg\"\n";
    let lock = "GEM\n  remote: https://rubygems.org/\n  specs:\n    rails (7.1.3)\n      rack (>= 2)\n    rack (3.0.9)\n";
    let expected = [
        ("pg", None, None, true, false),
        ("rack", Some("3.0.9"), None, false, false),
        ("rails", Some("7.1.3"), Some("~> 7.1"), true, false),
    ];
    assert_eq!(packages(&report(&[file("Gemfile", gemfile), file("Gemfile.lock", lock)])), expected);

    let composer = r#"{"require": {"php": ">=8.2", "laravel/framework": "^11.0"}}"#;
    let lock = r#"{"packages": [{"name": "laravel/framework", "version": "v11.5.0", "license": ["MIT"]}]}"#;
    let expected = [("laravel/framework", Some("v11.5.0"), Some("^11.0"), true, false)];
    assert_eq!(packages(&report(&[file("composer.json", composer), file("composer.lock", lock)])), expected);
}

#[test]
fn a_broken_manifest_is_said_and_harms_nothing() {
    let report =
        report(&[file("package.json", "{\"dependencies\": ["), file("pyproject.toml", "[project\n")]);
    assert_eq!(report.dependencies, []);
    assert_eq!(report.skipped.len(), 2);
    assert!(report.skipped.iter().all(|s| s.reason.starts_with("its dependencies were not read: ")));
}
