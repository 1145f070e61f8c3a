//! Analyses at the door: every way in, and the report that comes out.

use codeyard::config::Config;
use codeyard::kinds::analysis::{house_gate, house_rules};
use codeyard::model::{JobId, Status};
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const VULNERABLE: &str =
    "import subprocess\n\ndef run(command):\n    subprocess.call(command, shell=True)\n    eval(command)\n";

fn id_of(answer: &Value) -> JobId {
    answer["task_id"].as_str().unwrap().parse().unwrap()
}

/// Submits and waits for the report.
async fn report(app: &TestApp, token: &str, submitted: Answer) -> Value {
    let id = id_of(&submitted.expect(202));
    app.until(id, Status::Completed).await;
    app.get(&format!("/api/analysis/{id}")).bearer(token).await.expect(200)
}

pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut archive, content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

pub(crate) fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map_or(String::new(), |file| format!("; filename=\"{file}\""));
        body.extend(
            format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    ("multipart/form-data; boundary=edge".to_owned(), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_code_is_analysed_and_the_report_has_the_contracts_fields() {
    for app in TestApp::on_each_database().await {
        let ann = app.sign_up("ann@example.com").await;
        let asked = json!({"code": VULNERABLE, "language": "python", "filename": "run.py"});
        let report =
            report(&app, &ann.access, app.post("/api/analysis/", asked).bearer(&ann.access).await).await;

        let score = report["quality_score"]
            .as_f64()
            .unwrap_or_else(|| report["quality_score"]["total"].as_f64().unwrap());
        assert!((0.0..=10.0).contains(&score), "{score}");
        let issues = report["security_issues"].as_array().unwrap();
        assert!(
            issues.iter().any(|issue| issue["region"]["path"] == "run.py" && issue["region"]["line"] == 4),
            "{issues:?}"
        );
        for field in [
            "code_smells",
            "type_errors",
            "coverage",
            "metrics",
            "duplicates",
            "technologies",
            "recommendations",
            "skipped",
        ] {
            assert!(report.get(field).is_some(), "{field} is missing");
        }
        assert_eq!(report["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_an_archive_of_the_same_files_give_the_same_report() {
    for app in TestApp::on_each_database().await {
        let ann = app.sign_up("ann@example.com").await;
        let files =
            [("src/run.py", VULNERABLE), ("README.md", "# hello\n"), ("lib/a.js", "eval(location.hash)\n")];
        let listed: Vec<_> =
            files.iter().map(|(path, content)| json!({"path": path, "content": content})).collect();
        let asked = json!({"files": listed});
        let from_files =
            report(&app, &ann.access, app.post("/api/analysis", asked).bearer(&ann.access).await).await;

        let bytes: Vec<_> = files.iter().map(|(path, content)| (*path, content.as_bytes())).collect();
        let (kind, body) = form(&[("file", Some("project.zip"), &zip(&bytes)), ("options", None, b"{}")]);
        let sent =
            app.ask("POST".parse().unwrap(), "/api/analysis/").body(&kind, body).bearer(&ann.access).await;
        let from_zip = report(&app, &ann.access, sent).await;

        assert_eq!(from_zip["name"], "project.zip");
        for field in ["quality_score", "security_issues", "code_smells", "metrics"] {
            assert_eq!(from_files[field], from_zip[field], "{field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_source_is_wanted_and_a_bad_one_is_refused_at_the_door() {
    let app = TestApp::with(&[("limits.analyses_per_minute", "0")]).await;
    let ann = app.sign_up("ann@example.com").await;
    for (wrong, field) in [
        (json!({}), "body"),
        (json!({"code": "x", "files": []}), "body"),
        (json!({"filename": "a.py"}), "code"),
        (json!({"project_id": "p"}), "project_id"),
        (json!({"files": [{"path": "../../etc/passwd", "content": ""}]}), "files"),
        (json!({"repository": {"url": "file:///etc"}}), "repository"),
        (json!({"repository": {"url": "https://127.0.0.1/x.git"}}), "repository"),
        (
            json!({"repository": {"url": "https://example.org/x.git", "ref": "--upload-pack=id"}}),
            "repository",
        ),
        (json!({"code": "x", "options": {"languages": ["klingon"]}}), "options.languages[0]"),
        (json!({"code": "x", "options": {"rules": ["id: [broken"]}}), "options.rules[0]"),
        (json!({"code": "x", "options": {"with": ["ruff"]}}), "options.with[0]"),
    ] {
        let refused = app.post("/api/analysis/", &wrong).bearer(&ann.access).await.expect(422);
        assert_eq!(refused["error"]["details"]["fields"][0]["field"], field, "{wrong}: {refused}");
    }
    let (kind, body) = form(&[("file", Some("a.zip"), b"this is no archive")]);
    let sent = app.ask("POST".parse().unwrap(), "/api/analysis/").body(&kind, body).bearer(&ann.access).await;
    assert_eq!(sent.refused(422), "VALIDATION_FAILED");
    let text =
        app.ask("POST".parse().unwrap(), "/api/analysis/").body("text/plain", "x").bearer(&ann.access).await;
    assert_eq!(text.refused(415), "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(app.app.store.queued_in("analysis").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_attacks_fails_its_job_and_says_why() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    let bomb = zip(&[("zeros.txt", &vec![0; 60 * 1024 * 1024])]);
    let (kind, body) = form(&[("file", Some("bomb.zip"), &bomb)]);
    let sent = app.ask("POST".parse().unwrap(), "/api/analysis/").body(&kind, body).bearer(&ann.access).await;
    let id = id_of(&sent.expect(202));
    let failed = app.until(id, Status::Failed).await;
    assert_eq!(failed.error_code.as_deref(), Some("SOURCE_UNUSABLE"));
    assert!(failed.error_message.unwrap().contains("intake.max_archive_ratio"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_goes_with_its_job() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    let (kind, body) = form(&[("file", Some("a.zip"), &zip(&[("a.py", b"x = 1\n")]))]);
    let sent = app.ask("POST".parse().unwrap(), "/api/analysis/").body(&kind, body).bearer(&ann.access).await;
    let id = id_of(&sent.expect(202));
    app.until(id, Status::Completed).await;
    assert!(app.app.store.upload(id).await.unwrap().is_some());
    assert_eq!(app.delete(&format!("/api/v1/jobs/{id}")).bearer(&ann.access).await.status, 204);
    assert!(app.app.store.upload(id).await.unwrap().is_none());
    assert_eq!(app.get(&format!("/api/analysis/{id}")).bearer(&ann.access).await.refused(404), "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_can_be_had_as_a_file_in_every_format_that_is_listed() {
    let app = TestApp::start().await;
    let ann = app.sign_up("ann@example.com").await;
    let asked = json!({"code": VULNERABLE, "filename": "run.py"});
    let id = id_of(&app.post("/api/analysis/", asked).bearer(&ann.access).await.expect(202));
    app.until(id, Status::Completed).await;
    let formats = app.get("/api/v1/export/formats").bearer(&ann.access).await.expect(200);
    let formats = formats.as_array().unwrap();
    assert!(formats.iter().any(|format| format["name"] == "sarif"), "{formats:?}");
    for format in formats {
        let path = format!("/api/v1/export/{id}/{}", format["name"].as_str().unwrap());
        let file = app.get(&path).bearer(&ann.access).await;
        assert_eq!((file.status, file.header("content-type")), (200, format["media_type"].as_str().unwrap()));
        assert!(file.header("content-disposition").starts_with("attachment; filename="), "{path}");
        // What one holds is no text, and what the other is about is not the code.
        match format["name"].as_str() {
            Some("xlsx") => assert!(file.body.starts_with(b"PK"), "{path} is no workbook"),
            Some("cyclonedx") => {
                assert_eq!(serde_json::from_slice::<Value>(&file.body).unwrap()["bomFormat"], "CycloneDX");
            }
            _ => assert!(file.text().contains("run.py"), "{path} does not name the file"),
        }
    }
    let again = json!({"code": "print('no more')\n", "filename": "run.py"});
    let later = id_of(&app.post("/api/analysis/", again).bearer(&ann.access).await.expect(202));
    app.until(later, Status::Completed).await;
    let page = app.get(&format!("/api/v1/export/{later}/html?baseline={id}")).bearer(&ann.access).await;
    assert!(page.text().contains("Compared with analysis "));
    let alien = format!("/api/v1/export/{later}/html?baseline=019b0000-0000-7000-8000-000000000000");
    assert_eq!(app.get(&alien).bearer(&ann.access).await.refused(404), "NOT_FOUND");
    let schema = app.get("/api/v1/export/schema").bearer(&ann.access).await.expect(200);
    assert_eq!(schema["$id"], "urn:codeyard:report:1");
    let path = format!("/api/v1/export/{id}/parchment");
    assert_eq!(app.get(&path).bearer(&ann.access).await.refused(404), "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_compared_and_judged_as_request_project_and_server_say() {
    for app in TestApp::on_each_database().await {
        let ann = app.sign_up("ann@example.com").await;
        let mut first = json!({"code": VULNERABLE, "filename": "run.py", "project": "shop",
            "options": {"baseline": "latest"}});
        let submit = async |asked: &Value| {
            let id = id_of(&app.post("/api/analysis/", asked).bearer(&ann.access).await.expect(202));
            app.until(id, Status::Completed).await;
            app.get(&format!("/api/analysis/{id}")).bearer(&ann.access).await.expect(200)
        };
        let report = submit(&first).await;
        assert_eq!(report.get("baseline"), None, "the first has nothing to be compared with");
        assert_eq!(report["gate"]["passed"], false);
        assert_eq!(report["gate"]["conditions"][0]["found"], "2 findings are high or worse");

        first["code"] = format!("{VULNERABLE}\n\ndef more(command):\n    exec(command)\n").into();
        let second = submit(&first).await;
        assert_eq!(second["baseline"]["against"], format!("analysis {}", report["id"].as_str().unwrap()));
        assert_eq!((&second["baseline"]["new"], &second["baseline"]["unchanged"]), (&1.into(), &2.into()));
        assert_eq!(second["gate"]["conditions"][0]["found"], "1 new finding is high or worse");

        let own = json!({"files": [
            {"path": "run.py", "content": VULNERABLE},
            {"path": "codeyard.toml", "content": "[gate]\nfail_on = 'never'\nmin_score = 9\n"},
        ], "options": {"baseline": report["id"], "gate": {"min_score": 1}}});
        let third = submit(&own).await;
        assert_eq!((&third["gate"]["passed"], &third["baseline"]["unchanged"]), (&true.into(), &2.into()));
        assert_eq!(third["gate"]["conditions"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_or_judged_is_refused_at_the_door_or_fails_with_its_line() {
    let app = TestApp::with(&[("limits.analyses_per_minute", "0")]).await;
    let (ann, bob) = (app.sign_up("ann@example.com").await, app.sign_up("bob@example.com").await);
    let asked = json!({"code": "x = 1\n", "filename": "a.py"});
    let alien = id_of(&app.post("/api/analysis/", asked).bearer(&bob.access).await.expect(202));
    app.until(alien, Status::Completed).await;
    for (options, field) in [
        (json!({"baseline": alien}), "options.baseline"),
        (json!({"baseline": "yesterday"}), "options.baseline"),
        (json!({"baseline": "latest"}), "options.baseline"),
        (json!({"baseline": "ref:main"}), "options.baseline"),
        (json!({"gate": {"min_coverage": 0.5}}), "options.gate.min_coverage"),
        (json!({"gate": {"fail_on": "sometimes"}}), "options.gate.fail_on"),
    ] {
        let wrong = json!({"code": "x = 1\n", "options": options});
        let refused = app.post("/api/analysis/", &wrong).bearer(&ann.access).await.expect(422);
        assert_eq!(refused["error"]["details"]["fields"][0]["field"], field, "{wrong}: {refused}");
    }
    let files = json!([{"path": "codeyard.toml", "content": "[gate]\nmin_scor = 1\n"}]);
    let bad = json!({"files": files});
    let id = id_of(&app.post("/api/analysis/", bad).bearer(&ann.access).await.expect(202));
    let failed = app.until(id, Status::Failed).await;
    assert_eq!(failed.error_code.as_deref(), Some("BAD_PROJECT_FILE"));
    assert!(failed.error_message.unwrap().starts_with("codeyard.toml, line 2: unknown field `min_scor`"));
    let isolated = json!({"files": files, "options": {"ignore_project_file": true}});
    let id = id_of(&app.post("/api/analysis/", isolated).bearer(&ann.access).await.expect(202));
    app.until(id, Status::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reports_can_be_had_as_one_archive_and_each_says_whether_it_is_there() {
    for app in TestApp::on_each_database().await {
        let ann = app.sign_up("ann@example.com").await;
        let bob = app.sign_up("bob@example.com").await;
        let submit = async |asked: Value, status| {
            let id = id_of(&app.post("/api/analysis/", asked).bearer(&ann.access).await.expect(202));
            app.until(id, status).await;
            id
        };
        let good = submit(json!({"code": VULNERABLE, "filename": "run.py"}), Status::Completed).await;
        let bad = json!({"files": [{"path": "codeyard.toml", "content": "x = 1"}]});
        let bad = submit(bad, Status::Failed).await;
        let asked = json!({"analyses": [good, bad], "formats": ["sarif", "gitlab", "json"]});
        let sent = app.post("/api/v1/export/batch", &asked).bearer(&ann.access).await.expect(202);
        let id = id_of(&sent);
        app.until(id, Status::Completed).await;
        let job = app.get(&format!("/api/v1/jobs/{id}")).bearer(&ann.access).await.expect(200);
        assert_eq!((&job["result"]["written"], &job["result"]["failed"]), (&3.into(), &3.into()));
        assert_eq!(job["result"]["items"][3]["error"], "it is failed and has no report");

        let url = job["result"]["url"].as_str().unwrap();
        let file = app.get(url).bearer(&ann.access).await;
        assert_eq!(file.header("content-type"), "application/zip");
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(file.body.to_vec())).unwrap();
        let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
        let of = |name: &str| format!("{good}/{name}");
        assert_eq!(
            names,
            [of("sarif.sarif"), of("gitlab.json"), of("json.json"), "manifest.json".to_owned()]
        );
        let single = app.get(&format!("/api/v1/export/{good}/sarif")).bearer(&ann.access).await;
        let mut packed = Vec::new();
        std::io::Read::read_to_end(&mut archive.by_name(&of("sarif.sarif")).unwrap(), &mut packed).unwrap();
        assert_eq!(packed, single.body, "as the single export has it");
        assert_eq!(app.get(url).bearer(&bob.access).await.refused(404), "NOT_FOUND");

        let alone = json!({"analyses": [bad], "formats": ["html"]});
        let id = id_of(&app.post("/api/v1/export/batch", &alone).bearer(&ann.access).await.expect(202));
        let failed = app.until(id, Status::Failed).await;
        assert_eq!(failed.error_code.as_deref(), Some("NOTHING_EXPORTED"));
        let many = vec!["json"; 501];
        for (token, asked, field) in [
            (&bob, json!({"analyses": [good], "formats": ["json"]}), "analyses[0]"),
            (&ann, json!({"analyses": [good, id], "formats": ["json"]}), "analyses[1]"),
            (&ann, json!({"analyses": [good, good], "formats": ["json"]}), "analyses[1]"),
            (&ann, json!({"analyses": [], "formats": ["json"]}), "analyses"),
            (&ann, json!({"analyses": [good], "formats": []}), "formats"),
            (&ann, json!({"analyses": [good], "formats": ["json", "parchment"]}), "formats[1]"),
            (&ann, json!({"analyses": [good], "formats": ["json", "json"]}), "formats[1]"),
            (&ann, json!({"analyses": [good, bad], "formats": many}), "analyses"),
        ] {
            let refused = app.post("/api/v1/export/batch", &asked).bearer(&token.access).await.expect(422);
            assert_eq!(refused["error"]["details"]["fields"][0]["field"], field, "{asked}: {refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_rules_are_applied_to_every_analysis() {
    let rule = "id: house-launch\nlanguage: python\nseverity: high\nconfidence: high\nmessage: m\nrule: {pattern: launch($X)}\n";
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.yml"), dir.path().join("bad.yml"));
    std::fs::write(&good, rule).unwrap();
    std::fs::write(&bad, format!("# ours\n{}", rule.replace("python", "klingon"))).unwrap();
    let app =
        TestApp::with(&[("analysis.rules", &format!("[{good:?}]")), ("analysis.fail_on", "critical")]).await;
    let ann = app.sign_up("ann@example.com").await;
    let asked = json!({"code": "launch(1)\n", "filename": "a.py"});
    let report = report(&app, &ann.access, app.post("/api/analysis/", asked).bearer(&ann.access).await).await;
    assert_eq!(report["code_smells"][0]["rule"], "house-launch");
    assert_eq!(report["gate"]["conditions"][0]["found"], "no finding is critical");

    for (setting, value, parts) in [
        ("analysis.rules", format!("[{bad:?}]"), ["bad.yml: rule `house-launch`, line 3: ", "klingon"]),
        ("analysis.rules", "[\"/no/such/file.yml\"]".to_owned(), ["/no/such/file.yml", "No such file"]),
        ("analysis.fail_on", "sometimes".to_owned(), ["analysis.fail_on", "never"]),
        ("analysis.min_coverage", "0.5".to_owned(), ["analysis.min_coverage", "80"]),
    ] {
        let config = Config::load(None, [], [(setting.to_owned(), value)]).unwrap();
        let refused =
            house_rules(&config.analysis).map(drop).and_then(|()| house_gate(&config.analysis).map(drop));
        let said = format!("{:#}", refused.unwrap_err());
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}
