//! The README's first command.

use super::program::{Program, codeyard, ended, run};

/// A folder with something to find, and something to leave out.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.py"), "def go(text):\n    return eval(exec(text, {}))\n").unwrap();
    std::fs::write(dir.path().join(".gitignore"), "secret.py\n").unwrap();
    std::fs::write(dir.path().join("secret.py"), "x = 1\n").unwrap();
    std::fs::write(dir.path().join("b.bin"), b"\0\x01\x02").unwrap();
    dir
}

#[tokio::test]
async fn the_demo_shows_progress_and_a_report_and_ends() {
    let dir = tree();
    let mut command = codeyard(&["demo", "--exit", "--listen", "127.0.0.1:0"]);
    let ended = ended(command.arg(dir.path())).await;
    assert!(ended.stderr.contains("100 %"), "{}", ended.stderr);
    let text = ended.expect(0);
    assert!(text.contains("Started Codeyard on http://127.0.0.1:"), "{text}");
    assert!(text.contains("Quality score") && text.contains("security"), "{text}");
    assert!(text.contains("a.py:2:") && text.contains("^^^^"), "{text}");
    assert!(text.contains("b.bin  a binary file"), "{text}");
    assert!(!text.contains("secret.py"), "{text}");
}

#[tokio::test]
async fn the_demo_stays_until_it_is_told_to_end_and_takes_its_data_with_it() {
    let dir = tree();
    let path = dir.path().display().to_string();
    let mut demo = Program::start(&mut codeyard(&["demo", "--listen", "127.0.0.1:0", &path]));
    let token = demo.line_with("TOKEN=").await.trim().trim_start_matches("TOKEN=").to_owned();
    let line = demo.line_with("curl").await;
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let data = demo.line_with("The data is in ").await;
    let data = data.trim().trim_start_matches("The data is in ").split(',').next().unwrap().to_owned();
    demo.line_with("Ctrl-C").await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let report: serde_json::Value =
        http.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
    assert_eq!(report["status"], "completed");
    assert!(std::path::Path::new(&data).join("codeyard.db").exists(), "{data}");
    demo.signal("INT");
    demo.ends_with(0).await;
    assert!(!std::path::Path::new(&data).exists(), "{data}");
}

#[tokio::test]
async fn a_place_without_code_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    let said = run(&["demo", "--exit", &path]).await.refused();
    assert!(said.contains("no file"), "{said}");
    let said = run(&["demo", "--exit", "/no/such/place"]).await.refused();
    assert!(said.contains("/no/such/place"), "{said}");
}
