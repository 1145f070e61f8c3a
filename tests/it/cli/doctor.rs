//! The doctor.

use serde_json::Value;

use super::program::{Program, codeyard, ended, run};
use crate::support::postgres::TestDatabase;

/// What it says of one thing: its state and its detail.
fn about(report: &Value, name: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).expect(name);
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    (text("state"), text("detail"))
}

async fn report(arguments: &[&str], code: i32) -> Value {
    let arguments = [&["doctor", "--json", "--listen", "127.0.0.1:0"], arguments].concat();
    serde_json::from_str(&run(&arguments).await.expect(code)).unwrap()
}

#[tokio::test]
async fn before_the_first_start_all_is_well_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let report = report(&["--data-dir", &data], 0).await;
    assert_eq!(about(&report, "configuration").0, "ok");
    assert!(about(&report, "database").1.contains("will be made"), "{report}");
    assert_eq!(about(&report, "writable").0, "ok");
    assert!(about(&report, "disk space").1.contains("MiB free"), "{report}");
    about(&report, "sandbox");
    assert!(about(&report, "artifacts").1.contains("from the first start on"), "{report}");
    assert!(about(&report, "tokens").1.contains("first start"), "{report}");
    assert!(about(&report, "mail").1.contains("not set"), "{report}");
    about(&report, "open files");
    assert!(!std::path::Path::new(&data).exists());
}

#[tokio::test]
async fn beside_a_running_server_it_finds_the_database_and_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (server, url) = Program::serve(dir.path()).await;
    let data = dir.path().display().to_string();
    let address = url.trim_start_matches("http://");
    let text = run(&["doctor", "--data-dir", &data, "--listen", address]).await.expect(0);
    assert!(text.contains("in use by a running server"), "{text}");
    assert!(text.contains(&format!("a Codeyard answers on {address}")), "{text}");
    assert!(text.contains("a file was written to the local directory"), "{text}");
    assert!(text.contains("0 problems"), "{text}");
    server.signal("TERM");
    server.ends_with(0).await;
}

#[tokio::test]
async fn a_key_file_that_is_none_and_a_mail_server_that_is_away_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, key) = (dir.path().join("data"), dir.path().join("key.pem"));
    std::fs::write(&key, "no key").unwrap();
    // A port that somebody had and nobody has.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut doctor =
        codeyard(&["doctor", "--json", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    doctor.env("CODEYARD_AUTH_JWT_KEY_FILE", &key);
    doctor.env("CODEYARD_MAIL_SERVER", format!("smtp://127.0.0.1:{port}"));
    let report: Value = serde_json::from_str(&ended(&mut doctor).await.expect(1)).unwrap();
    assert_eq!(about(&report, "tokens").0, "problem", "{report}");
    assert!(about(&report, "tokens").1.contains("not a PEM file"), "{report}");
    assert_eq!(about(&report, "mail").0, "warning", "{report}");
}

#[tokio::test]
async fn a_postgresql_is_looked_at_with_its_clock() {
    let Some(database) = TestDatabase::create().await else { return };
    let found = report(&["--database-url", &database.url()], 0).await;
    assert!(about(&found, "database").1.contains("version"), "{found}");
    for name in ["schema", "writable", "clock"] {
        assert_eq!(about(&found, name).0, "ok", "{found}");
    }
    database.sql("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)");
    let found = report(&["--database-url", &database.url()], 0).await;
    assert_eq!(about(&found, "schema").0, "warning", "{found}");
    database.sql(
        "do $$ begin execute 'alter database ' || current_database() || ' set default_transaction_read_only = on'; \
         end $$",
    );
    let found = report(&["--database-url", &database.url()], 1).await;
    assert_eq!(about(&found, "writable").0, "problem", "{found}");
}

#[tokio::test]
async fn problems_are_told_with_what_to_do() {
    let found = report(&["--database-url", "postgres://nobody@127.0.0.1:1/none"], 1).await;
    assert_eq!((about(&found, "database").0.as_str(), &found["state"]), ("problem", &Value::from("problem")));

    let mut command = codeyard(&["doctor"]);
    let text = ended(command.env("CODEYARD_AUTH_JWT_SECRET", "short")).await.expect(1);
    assert!(text.contains("auth.jwt_secret must have at least 32 bytes") && text.contains("→"), "{text}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    let text = run(&["doctor", "--data-dir", &data, "--listen", &address]).await.expect(1);
    assert!(text.contains("problem  address"), "{text}");
}
