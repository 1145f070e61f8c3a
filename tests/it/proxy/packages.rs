//! Installing packages from behind the proxy, as builds do.

use std::io::{Cursor, Write};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use codeyard::model::Status;
use codeyard::proxy::Proxy;
use codeyard::sandbox::{Command, Level, Sandbox};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::policy;
use crate::sandbox::{at, levels};
use crate::support::TestApp;

const WHEEL: &str = "yardstick-1.0-py3-none-any.whl";

/// A package of one module, in the form that pip installs without running anything.
fn wheel() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in [
        ("yardstick.py", "LENGTH = 36\n"),
        ("yardstick-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: yardstick\nVersion: 1.0\n"),
        ("yardstick-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        ("yardstick-1.0.dist-info/RECORD", "yardstick.py,,\n"),
    ] {
        archive.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// An index of packages with that one in it; its port.
async fn index() -> u16 {
    let list = format!("<a href=\"/files/{WHEEL}\">{WHEEL}</a>");
    let pages = Router::new()
        .route("/simple/yardstick/", get(|| async { Html(list) }))
        .route(&format!("/files/{WHEEL}"), get(|| async { wheel() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    port
}

/// A sandbox with a network and a pip.
fn sandbox() -> Option<Sandbox> {
    let pip = std::process::Command::new("/usr/bin/python3").args(["-m", "pip", "--version"]).output();
    let has_pip = pip.is_ok_and(|told| told.status.success());
    assert!(has_pip || std::env::var_os("CI").is_none(), "/usr/bin/python3 has no pip");
    if !has_pip {
        eprintln!("/usr/bin/python3 has no pip: not tested");
    }
    (has_pip && levels().contains(&Level::Bubblewrap)).then(|| at(Level::Bubblewrap))
}

#[tokio::test]
async fn pip_installs_from_an_index_that_is_granted_and_from_no_other() {
    let Some(sandbox) = sandbox() else { return };
    let port = index().await;
    let host = format!("one.test:{port}");
    let proxy = Proxy::new(policy(&[&host]));
    let workspace = sandbox.workspace().unwrap();
    let install = |host: &str| {
        let line = format!(
            "python3 -m pip install --quiet --disable-pip-version-check --retries 0 --target site \
             --index-url http://{host}/simple --trusted-host {} yardstick && PYTHONPATH=site python3 -c \
             'import yardstick; print(yardstick.LENGTH)'",
            host.split(':').next().unwrap()
        );
        let command = Command::new("sh", workspace.path()).args(["-c", &line]);
        proxy.give_to(command.env("PATH", "/usr/bin:/bin"))
    };
    let finished = sandbox.run(&install(&host), &CancellationToken::new()).await.unwrap();
    assert_eq!(finished.stdout, b"36\n", "{}", String::from_utf8_lossy(&finished.stderr));
    let traffic = proxy.take_traffic();
    assert_eq!((traffic[0].host.as_str(), traffic[0].passed, traffic[0].refused), (host.as_str(), 2, 0));
    let finished =
        sandbox.run(&install(&format!("two.test:{port}")), &CancellationToken::new()).await.unwrap();
    assert!(!finished.succeeded());
    assert_eq!(proxy.take_traffic()[0].why, Some("not_granted"));
}

/// The real thing, with TLS, where it can be reached: through a mirror at a private address, perhaps.
#[tokio::test]
async fn pip_downloads_from_the_real_registry() {
    let Some(sandbox) = sandbox() else { return };
    let Ok(found) = tokio::net::lookup_host(("pypi.org", 443)).await else {
        eprintln!("PyPI cannot be reached from here: not tested");
        return;
    };
    let mut policy = policy(&["pypi"]);
    policy.private_networks.extend(found.map(|address| ipnet::IpNet::from(address.ip())));
    let proxy = Proxy::new(policy);
    let workspace = sandbox.workspace().unwrap();
    let line = "python3 -m pip download --quiet --disable-pip-version-check --no-deps six==1.16.0 && ls";
    let command = Command::new("sh", workspace.path()).args(["-c", line]).env("PATH", "/usr/bin:/bin");
    let finished = sandbox.run(&proxy.give_to(command), &CancellationToken::new()).await.unwrap();
    let (said, traffic) = (String::from_utf8_lossy(&finished.stderr), proxy.take_traffic());
    assert_eq!(finished.stdout, b"six-1.16.0-py2.py3-none-any.whl\n", "{said} {traffic:?}");
    assert!(traffic.iter().all(|traffic| traffic.passed > 0 && traffic.refused == 0), "{traffic:?}");
}

fn words(parameters: &Value) -> Value {
    json!({"project_name": "measures", "goal": "a command line tool that measures", "parameters": parameters})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_gets_the_network_that_it_asks_for_and_says_whom_it_reached() {
    if sandbox().is_none() {
        return;
    }
    let port = index().await;
    let host = format!("localhost:{port}");
    let list = format!("[\"{host}\"]");
    let settings = [("sandbox.network", list.as_str()), ("sandbox.private_networks", "[\"127.0.0.0/8\"]")];
    let app = TestApp::with(&settings).await;
    let ann = app.sign_up("ann@example.com").await;
    // Names of this very machine are not asked of a proxy unless told.
    let line = format!(
        "NO_PROXY= no_proxy= /usr/bin/python3 -m pip install --quiet --retries 0 --index-url http://{host}/simple \
         --trusted-host localhost yardstick && /usr/bin/python3 -c 'import yardstick'"
    );
    let parameters =
        json!({"provider": "scaffold", "language": "python", "network": [host], "test_command": line});
    let id = app.post("/api/build/", words(&parameters)).bearer(&ann.access).await.expect(202);
    let id = id["task_id"].as_str().unwrap().parse().unwrap();
    app.until(id, Status::Completed).await;
    let seen = app.get(&format!("/api/build/{id}")).bearer(&ann.access).await.expect(200);
    let log = app.get(&format!("/api/v1/jobs/{id}/artifacts/build.log")).bearer(&ann.access).await.text();
    assert_eq!(seen["results"]["tests"]["verdict"], "passed", "{log}");
    let told = app.log(id).await.into_iter().find(|event| event.name == "network").unwrap();
    let data: Value = serde_json::from_str(told.data.as_deref().unwrap()).unwrap();
    assert_eq!((&data["hosts"][0]["host"], &data["hosts"][0]["passed"]), (&json!(host), &json!(2)), "{data}");
    assert_eq!(told.message.as_deref(), Some(format!("reached {host}; refused: nobody").as_str()));
}

#[tokio::test]
async fn a_build_that_asks_for_more_than_is_granted_is_refused_at_the_door() {
    let app = TestApp::with(&[("agent.page_hosts", "[\"docs.example.org\"]")]).await;
    let ann = app.sign_up("ann@example.com").await;
    for (field, words_, says) in [
        (
            "network",
            json!(["pypi", "evil.test"]),
            "`evil.test` is not granted here; this server grants: registries (sandbox.network)",
        ),
        ("network", json!(["*"]), "`*` is not granted here"),
        ("network", json!(["pypi.org:22"]), "`pypi.org:22` is not granted here"),
        ("network", json!(["http://pypi.org"]), "`http://pypi.org` is neither a host"),
        ("page_hosts", json!(["*"]), "this server grants: docs.example.org (agent.page_hosts)"),
    ] {
        let mut parameters = json!({});
        parameters[field] = words_;
        let refused = app.post("/api/build/", words(&parameters)).bearer(&ann.access).await.expect(422);
        let fields = refused["error"]["details"]["fields"].as_array().unwrap();
        let wrong = fields.iter().find(|wrong| wrong["field"] == format!("parameters.{field}").as_str());
        let message = wrong.unwrap_or_else(|| panic!("{refused}"))["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
    for level in ["landlock", "process"] {
        let app = TestApp::with(&[("sandbox.level", level)]).await;
        app.app.env.sandbox().await.unwrap();
        let ann = app.sign_up("ann@example.com").await;
        let build = words(&json!({"network": ["pypi"]}));
        let refused = app.post("/api/build/", build).bearer(&ann.access).await.expect(422);
        assert!(
            refused["error"]["details"]["fields"][0]["message"].as_str().unwrap().contains("bubblewrap"),
            "{refused}"
        );
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    for (setting, value) in [
        ("sandbox.network", "[\"a b\"]"),
        ("sandbox.private_networks", "[\"10.0.0.0/99\"]"),
        ("sandbox.network_connections", "0"),
        ("agent.page_hosts", "[\"https://x\"]"),
    ] {
        let flags = [(setting.to_owned(), value.to_owned())];
        let config = codeyard::config::Config::load(None, [], flags).unwrap();
        let error = codeyard::kinds::build::Grants::of(&config).unwrap_err().to_string();
        assert!(error.contains(setting), "{error}");
    }
}
