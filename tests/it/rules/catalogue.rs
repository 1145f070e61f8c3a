//! The catalogue as it is written: every rule stands in each form of it, and the page asks for nothing.

use codeyard::analysis::rules;
use codeyard::export::{CATALOGUE_FORMATS, catalogue};
use serde_json::Value;

use crate::support::TestApp;

fn written(name: &str) -> String {
    let format = CATALOGUE_FORMATS.iter().find(|format| format.name == name).unwrap();
    String::from_utf8((format.write)(catalogue()).unwrap()).unwrap()
}

#[test]
fn every_rule_stands_in_every_form() {
    let (html, markdown) = (written("html"), written("markdown"));
    let json: Vec<Value> = serde_json::from_str(&written("json")).unwrap();
    let all = rules::catalogue();
    assert_eq!((all.len(), json.len()), (catalogue().len(), all.len()));
    for rule in all {
        assert_eq!(html.matches(&format!("id=\"{}\"", rule.id)).count(), 1, "{} in HTML", rule.id);
        assert_eq!(markdown.matches(&format!("\n## {}\n", rule.id)).count(), 1, "{} in Markdown", rule.id);
        assert!(markdown.contains(rule.instead.trim()), "{}: what to do instead", rule.id);
        let entry = json.iter().find(|entry| entry["id"] == rule.id.as_str()).unwrap();
        assert_eq!(entry["cwe"].as_array().unwrap().len(), rule.cwe.len());
        let title = entry["title"].as_str().unwrap();
        let names =
            title.split('$').skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
        assert_eq!(names.count(), 0, "{}: names of a pattern in {title:?}", rule.id);
    }
}

#[test]
fn the_page_loads_nothing_and_shows_code_as_text() {
    let html = written("html");
    assert!(
        html.contains("default-src &#39;none&#39;")
            || html.contains("default-src &#x27;none&#x27;")
            || html.contains("default-src 'none'")
    );
    for loading in ["src=", "@import", "url(", "<link rel=\"stylesheet"] {
        assert!(!html.contains(loading), "{loading}");
    }
    // Examples may show a request; the script makes none.
    let script = html.split("<script").nth(1).unwrap();
    for asking in ["fetch(", "XMLHttpRequest", "import(", "WebSocket", "sendBeacon"] {
        assert!(!script.contains(asking), "{asking}");
    }
    // What is no reference to read stays on the page.
    let links = html.match_indices("href=\"").map(|(at, start)| &html[at + start.len()..]);
    assert!(
        links.into_iter().all(|link| ["https://", "#", "data:,"].iter().any(|kind| link.starts_with(kind)))
    );
    let opened = html.matches("<script").count();
    assert_eq!(opened, 1, "an example with markup is no markup");
}

#[tokio::test]
async fn the_server_shows_it_to_anybody() {
    let app = TestApp::start().await;
    let list = app.get("/api/v1/rules").await.expect(200);
    assert_eq!(list.as_array().unwrap().len(), catalogue().len());
    let page = app.get("/rules").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(page.text(), written("html"));
}
