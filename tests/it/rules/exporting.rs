//! The report in the formats of other tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calamine::{Data, Reader as _, Xlsx};
use codeyard::analysis::{Gate, Report, Threshold, compare};
use codeyard::export::{Document, FORMATS, format, schema};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{file, report};

/// A report with findings, a suppressed one, names that need care, and something that was left out.
fn example() -> Report {
    report(&[
        file(
            "src/a b|<.py",
            "import os\n\n\ndef f(x):\n    if x:\n        os.system('<é|> ' + x)\n    return x == None\n",
        ),
        file("src/known.py", "eval(a)  # codeyard: ignore a \"calculator\"\n"),
        file("x.bin", [0_u8]),
    ])
}

fn text(name: &str) -> String {
    String::from_utf8((format(name).unwrap().write)(&Document::from(&example())).unwrap()).unwrap()
}

#[test]
fn sarif_has_what_code_scanning_needs() {
    let log: Value = serde_json::from_str(&text("sarif")).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let first = &results[0];
    assert_eq!((first["ruleId"].as_str(), first["level"].as_str()), (Some("py-os-system"), Some("error")));
    let place = &first["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "src/a%20b%7C%3C.py");
    let region = &place["region"];
    assert_eq!((region["startLine"].as_u64(), region["startColumn"].as_u64()), (Some(6), Some(9)));
    assert_eq!((region["endLine"].as_u64(), region["endColumn"].as_u64()), (Some(6), Some(31)));
    let hash = first["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap();
    assert!(hash.ends_with(":1"), "{hash}");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
    }
    let rule = rules.iter().find(|rule| rule["id"] == "py-os-system").unwrap();
    assert_eq!(rule["properties"]["security-severity"], "8.0");
    let tags = rule["properties"]["tags"].as_array().unwrap();
    assert!(tags.contains(&"external/cwe/cwe-78".into()), "{tags:?}");
    assert_eq!(results[2]["suppressions"][0]["justification"], "a \"calculator\"");
    assert!(results[0].get("suppressions").is_none());
    assert_eq!(run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"], "binary");
}

#[test]
fn json_is_the_report_itself() {
    let back: Report = serde_json::from_str(&text("json")).unwrap();
    assert_eq!(back, example());
    let mut again = example();
    compare(&back, &mut again, "itself");
    assert_eq!(again.baseline.unwrap().new, 0);
}

#[test]
fn csv_holds_no_formulas() {
    let dangerous = report(&[file("=cmd.py", "exec(a)\n")]);
    let written =
        String::from_utf8((format("csv").unwrap().write)(&Document::from(&dangerous)).unwrap()).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("'=cmd.py,1,1,py-exec-used,security,high,medium,CWE-95,"), "{}", lines[1]);
}

#[test]
fn markdown_keeps_its_tables_whole() {
    let written = text("markdown");
    assert!(written.contains("**Score: "));
    assert!(written.contains("| `src/a b\\|<.py:6` | py-os-system |"), "{written}");
    for line in written.lines().filter(|line| line.starts_with('|')) {
        let bars = line.replace("\\|", "").matches('|').count();
        assert!([4, 5, 6].contains(&bars), "{line}");
    }
    assert!(written.contains("- `x.bin`: binary"));
}

#[test]
fn ci_formats_say_every_finding_once() {
    let issues: Value = serde_json::from_str(&text("gitlab")).unwrap();
    let issues = issues.as_array().unwrap();
    assert_eq!(issues.len(), 2);
    assert_eq!(
        (issues[0]["severity"].as_str(), issues[0]["location"]["lines"]["begin"].as_u64()),
        (Some("critical"), Some(6))
    );
    assert_ne!(issues[0]["fingerprint"], issues[1]["fingerprint"]);

    let xml = text("junit");
    assert!(xml.contains("tests=\"3\" failures=\"2\""), "{xml}");
    assert!(xml.contains("message=\"`os.system` hands `'&lt;é|&gt; ' + x` to a shell\""), "{xml}");

    let annotations = text("github");
    let lines: Vec<_> = annotations.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("::error file=src/a b|<.py,line=6,endLine=6,title=py-os-system::"),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with("::notice "), "{}", lines[1]);
}

#[test]
fn every_format_writes_an_empty_report_too() {
    for format in FORMATS {
        assert!((format.write)(&Document::from(&report(&[]))).is_ok(), "{}", format.name);
    }
}

/// Bytes of a document that is more than its report.
fn bytes(name: &str, document: &Document<'_>) -> Vec<u8> {
    (format(name).unwrap().write)(document).unwrap()
}

#[test]
fn a_report_is_as_its_schema_says() {
    let schema = schema().unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut judged = example();
    compare(&report(&[file("a.py", "exec(a)\n")]), &mut judged, "what was");
    judged.gate = Some(Gate { fail_on: Some(Threshold::High), ..Gate::default() }.judge(&judged));
    for report in [
        example(),
        judged,
        report(&[]),
        report(&[file("package.json", PACKAGE), file("package-lock.json", LOCK)]),
    ] {
        let written: Value = serde_json::from_slice(&bytes("json", &Document::from(&report))).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&written).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let mut changed = written.clone();
        changed["summary"]["files"] = "three".into();
        assert!(!validator.is_valid(&changed), "the schema takes anything");
        changed = written;
        changed.as_object_mut().unwrap().remove("score");
        assert!(!validator.is_valid(&changed), "the schema misses nothing");
    }
    assert_eq!(schema["$id"], "urn:codeyard:report:1");
}

#[test]
fn a_page_holds_what_the_code_says_as_text_only() {
    let evil = "</script><img src=x onerror=alert(1)>\u{202e}";
    let mut hostile = report(&[
        file(
            &format!("src/{}.py", evil.replace('/', "")),
            "import os\nos.system('</pre><script>alert(1)</script>\u{202e}' + x)\n",
        ),
        file("package.json", "{\"dependencies\": {\"<b>react\": \"<i>1</i>\"}}"),
    ]);
    let before = report(&[file("a.py", "eval(x)\n")]);
    compare(&before, &mut hostile, evil);
    let document = Document { name: Some(evil), ..Document::from(&hostile) };
    let page = String::from_utf8(bytes("html", &document)).unwrap();
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert!(!page.contains("<img") && !page.contains("<b>react") && !page.contains("<i>1"));
    assert!(!page.contains('\u{202e}') && page.contains("‹U+202E›"));
    assert!(page.contains("&#60;script&#62;alert(1)") || page.contains("&lt;script&gt;alert(1)"), "{page}");
}

#[test]
fn a_page_asks_nobody_for_anything_and_lets_nothing_else_run() {
    let page = text("html");
    let policy =
        page.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    let policy = policy.replace("&#39;", "'");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let body =
            page.split(&format!("<{tag}>")).nth(1).unwrap().split(&format!("</{tag}>")).next().unwrap();
        let hash = STANDARD.encode(Sha256::digest(body));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{directive}: {hash}: {policy}");
    }
    for asks in ["http://", "https://", "src=", "@import", "url(", " style=\"", " onclick="] {
        assert!(!page.contains(asks), "the page has {asks}");
    }
}

#[test]
fn a_page_says_what_is_new_and_what_is_fixed() {
    let before = report(&[file("a.py", "eval(x)\n")]);
    let mut after = report(&[file("a.py", "import os\nos.system(x)\n")]);
    compare(&before, &mut after, "commit 1a2b3c");
    let document = Document::from(&after);
    let page = String::from_utf8(bytes("html", &document)).unwrap();
    assert!(page.contains("Compared with commit 1a2b3c") && page.contains("data-state=\"new\""));
    assert!(page.contains("Fixed (1)") && !text("html").contains("Compared with"));

    let log: Value = serde_json::from_slice(&bytes("sarif", &document)).unwrap();
    assert_eq!(log["runs"][0]["results"][0]["baselineState"], "new");

    let mut same = after.clone();
    compare(&after, &mut same, "itself");
    assert!(bytes("github", &Document::from(&same)).is_empty(), "what was there before annotates nothing");
    let xml = String::from_utf8(bytes("junit", &Document::from(&same))).unwrap();
    assert!(xml.contains("tests=\"1\" failures=\"0\""), "{xml}");
    assert!(String::from_utf8(bytes("csv", &Document::from(&same))).unwrap().contains(",unchanged\n"));
}

#[test]
fn a_workbook_has_its_sheets_and_no_formulas() {
    let dangerous = report(&[
        file("=cmd|'x'.py", "exec(a)\ndef f(b):\n    if b:\n        return 1\n"),
        file("package.json", PACKAGE),
    ]);
    let written = bytes("xlsx", &Document::from(&dangerous));
    assert_eq!(written, bytes("xlsx", &Document::from(&dangerous)), "the same report, the same bytes");
    let mut book: Xlsx<_> = calamine::open_workbook_from_rs(std::io::Cursor::new(written)).unwrap();
    let names = ["Summary", "Findings", "Files", "Functions", "Duplicates", "Technologies"];
    assert_eq!(book.sheet_names(), names);
    for name in names {
        assert!(book.worksheet_formula(name).unwrap().is_empty(), "{name}");
    }
    let cell =
        |book: &mut Xlsx<_>, sheet: &str, at| book.worksheet_range(sheet).unwrap().get_value(at).cloned();
    assert_eq!(cell(&mut book, "Findings", (1, 4)), Some(Data::String("=cmd|'x'.py".to_owned())));
    assert_eq!(cell(&mut book, "Findings", (1, 0)), Some(Data::String("high".to_owned())));
    assert_eq!(cell(&mut book, "Files", (1, 0)), Some(Data::String("=cmd|'x'.py".to_owned())));
    assert_eq!(cell(&mut book, "Functions", (1, 0)), Some(Data::String("f".to_owned())));
    assert_eq!(cell(&mut book, "Technologies", (2, 0)), Some(Data::String("tool".to_owned())));
}

const PACKAGE: &str =
    "{\"dependencies\": {\"@scope/left\": \"^1.0.0\"}, \"devDependencies\": {\"right\": \"2.0.0\"}}";
/// The checksum is that of nothing.
const LOCK: &str =
    "{\"packages\": {\"node_modules/@scope/left\": {\"version\": \"1.2.3\", \"license\": \"MIT\",
    \"integrity\": \"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"},
    \"node_modules/deep\": {\"version\": \"0.1.0\", \"license\": \"MIT OR Apache-2.0\"},
    \"node_modules/odd\": {\"version\": \"3.0.0\", \"license\": \"Own\"},
    \"node_modules/right\": {\"version\": \"2.0.0\", \"dev\": true}}}";

#[test]
fn a_bill_of_materials_names_every_package() {
    let report = report(&[file("package.json", PACKAGE), file("package-lock.json", LOCK)]);
    let document = Document { name: Some("shop"), revision: Some("abc"), ..Document::from(&report) };
    let bill: Value = serde_json::from_slice(&bytes("cyclonedx", &document)).unwrap();
    assert_eq!((bill["bomFormat"].as_str(), bill["specVersion"].as_str()), (Some("CycloneDX"), Some("1.6")));
    assert_eq!(bill["metadata"]["component"]["version"], "abc");
    let components = bill["components"].as_array().unwrap();
    let of =
        |purl: &str| components.iter().find(|it| it["purl"] == purl).unwrap_or_else(|| panic!("{bill:#}"));
    let left = of("pkg:npm/%40scope/left@1.2.3");
    assert_eq!((left["group"].as_str(), left["name"].as_str()), (Some("@scope"), Some("left")));
    assert_eq!(left["licenses"][0]["license"]["id"], "MIT");
    assert_eq!(left["hashes"][0]["alg"], "SHA-256");
    assert!(left["hashes"][0]["content"].as_str().unwrap().starts_with("e3b0c44298fc1c14"), "{left:#}");
    assert_eq!(left["properties"][1]["value"], "direct");
    assert_eq!(of("pkg:npm/deep@0.1.0")["licenses"][0]["expression"], "MIT OR Apache-2.0");
    assert_eq!(of("pkg:npm/deep@0.1.0")["properties"][1]["value"], "transitive");
    assert_eq!(of("pkg:npm/odd@3.0.0")["licenses"][0]["license"]["name"], "Own");
    assert_eq!(of("pkg:npm/right@2.0.0")["scope"], "excluded");
    let asked = &bill["dependencies"][0]["dependsOn"];
    assert_eq!(asked, &serde_json::json!(["pkg:npm/%40scope/left@1.2.3", "pkg:npm/right@2.0.0"]));
}
