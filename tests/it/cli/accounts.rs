//! Accounts and tokens, beside a server that runs.

use std::path::Path;

use serde_json::{Value, json};

use super::program::{Program, run, told};

/// Signs in; returns the status.
async fn login(url: &str, password: &str) -> u16 {
    let body = json!({ "email": "ada@example.com", "password": password });
    let answer = http().post(format!("{url}/api/v1/auth/login")).json(&body).send().await.unwrap();
    answer.status().as_u16()
}

/// Asks for one's analyses with this token; returns the status.
async fn ask(url: &str, token: &str) -> u16 {
    let answer = http().get(format!("{url}/api/analysis/")).bearer_auth(token).send().await.unwrap();
    answer.status().as_u16()
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// `codeyard` on the data in `dir`.
async fn on(dir: &Path, command: &[&str], rest: &[&str]) -> String {
    let dir = dir.display().to_string();
    run(&[command, &["--data-dir", &dir], rest].concat()).await.expect(0)
}

#[tokio::test]
async fn an_account_made_beside_a_server_signs_in_there_and_its_token_and_key_work() {
    let dir = tempfile::tempdir().unwrap();
    let (server, url) = Program::serve(dir.path()).await;
    let data = dir.path().display().to_string();
    let arguments = ["user", "--data-dir", &data, "create", "ada@example.com", "--password-stdin"];
    told(&arguments, "correct horse battery\n").await.expect(0);

    assert_eq!(login(&url, "correct horse battery").await, 200);
    assert_eq!(login(&url, "wrong horse battery").await, 401);
    let token = on(dir.path(), &["token"], &["ada@example.com"]).await;
    assert_eq!(ask(&url, token.trim()).await, 200);
    let key = on(dir.path(), &["token"], &["ada@example.com", "--api-key", "ci", "--days", "30"]).await;
    assert_eq!(ask(&url, key.trim()).await, 200);
    assert_eq!(ask(&url, "cy_no_such_key").await, 401);
    server.signal("TERM");
    server.ends_with(0).await;
}

#[tokio::test]
async fn an_account_is_listed_changed_and_disabled() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let made = on(dir, &["user"], &["create", "ada@example.com", "--name", "Ada", "--role", "admin"]).await;
    let password = made.lines().find_map(|line| line.strip_prefix("Password (shown only now): ")).unwrap();
    assert!(password.len() >= 40, "{made}");
    on(dir, &["user"], &["create", "bob@example.com"]).await;

    let listed = on(dir, &["user"], &["list", "--json"]).await;
    let users: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&users[0]["name"], &users[0]["role"]), (&json!("Ada"), &json!("admin")));
    assert_eq!((users.len(), &users[1]["email"]), (2, &json!("bob@example.com")));
    assert!(!listed.contains("argon2"), "{listed}");

    on(dir, &["user"], &["set-role", "bob@example.com", "admin"]).await;
    on(dir, &["user"], &["disable", "ada@example.com"]).await;
    let listed = on(dir, &["user"], &["list"]).await;
    let line = |who: &str| listed.lines().find(|line| line.starts_with(who)).unwrap().to_owned();
    assert!(line("ada").contains("disabled") && line("bob").contains("admin"), "{listed}");

    let data = dir.display().to_string();
    let said = run(&["token", "ada@example.com", "--data-dir", &data]).await.refused();
    assert!(said.contains("not disabled"), "{said}");
    on(dir, &["user"], &["enable", "ada@example.com"]).await;
    on(dir, &["token"], &["ada@example.com"]).await;
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let (server, url) = Program::serve(dir.path()).await;
    let data = dir.path().display().to_string();
    let command = |action| ["user", "--data-dir", &data, action, "ada@example.com", "--password-stdin"];
    told(&command("create"), "correct horse battery").await.expect(0);
    assert_eq!(login(&url, "correct horse battery").await, 200);
    told(&command("set-password"), "another horse battery").await.expect(0);
    assert_eq!(login(&url, "correct horse battery").await, 401);
    assert_eq!(login(&url, "another horse battery").await, 200);
    server.signal("TERM");
    server.ends_with(0).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    on(dir.path(), &["user"], &["create", "ada@example.com", "--role", "admin"]).await;
    let data = dir.path().display().to_string();
    let cases: [(&[&str], &str); 4] = [
        (&["create", "ada@example.com"], "there is an account"),
        (&["create", "not an address"], "email"),
        (&["disable", "nobody@example.com"], "no such account"),
        (&["set-role", "ada@example.com", "user"], "last administrator"),
    ];
    for (arguments, part) in cases {
        let said = run(&[&["user", "--data-dir", &data], arguments].concat()).await.refused();
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    let short = ["user", "--data-dir", &data, "create", "bob@example.com", "--password-stdin"];
    let said = told(&short, "short\n").await.refused();
    assert!(said.contains("10 to 256"), "{said}");
}
