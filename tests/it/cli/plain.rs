//! Commands that answer without a server.

use std::process::Stdio;

use serde_json::Value;

use super::program::{codeyard, run};
use crate::support::postgres::TestDatabase;

#[tokio::test]
async fn the_version_and_the_help_of_every_command_are_there() {
    assert_eq!(run(&["--version"]).await.expect(0), format!("codeyard {}\n", env!("CARGO_PKG_VERSION")));
    let help = run(&["--help"]).await.expect(0);
    for command in
        ["serve", "demo", "analyze", "doctor", "migrate", "user", "token", "openapi", "completions"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
        run(&[command, "--help"]).await.expect(0);
    }
    assert!(!help.contains("sandbox-init"), "{help}");
    run(&["serv"]).await.refused();
}

#[tokio::test]
async fn the_openapi_document_needs_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = codeyard(&["openapi"]);
    let output = command.current_dir(dir.path()).output().await.unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["paths"]["/api/analysis/"]["post"].is_object());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn nobody_reading_any_more_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = codeyard(&["openapi"]);
    let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
    let output = output.await.unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]));
}

#[tokio::test]
async fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).await.expect(0);
        assert!(script.contains("analyze") && script.contains("fail-on"), "{shell}");
    }
    run(&["completions", "klingon-shell"]).await.refused();
}

#[tokio::test]
async fn migrating_twice_does_nothing_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data").display().to_string();
    let first = run(&["migrate", "--data-dir", &dir]).await.expect(0);
    assert!(first.starts_with("Applied ") && first.contains("codeyard.db"), "{first}");
    let second = run(&["migrate", "--data-dir", &dir]).await.expect(0);
    assert!(second.contains("is up to date"), "{second}");
}

#[tokio::test]
async fn a_migrated_postgresql_is_up_to_date_and_a_newer_one_is_refused() {
    let Some(database) = TestDatabase::create().await else { return };
    let url = database.url();
    let said = run(&["migrate", "--database-url", &url]).await.expect(0);
    assert!(said.contains("PostgreSQL") && said.contains("is up to date"), "{said}");
    database.sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'from the future', true, '', 0)",
    );
    let said = run(&["migrate", "--database-url", &url]).await.refused();
    assert!(said.contains("9999"), "{said}");
}
