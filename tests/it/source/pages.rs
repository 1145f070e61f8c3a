//! Pages of the web: what is read of them, and where nobody goes.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, Redirect};
use axum::routing::get;
use codeyard::source::{Error, Limits, page};

const PAGE: &str = "<html><head><title>T</title><script>steal()</script></head><body><h1>Counting</h1>\
                    <p>Words are <b>separated</b> by spaces.</p></body></html>";

/// A server with a few pages; its port.
async fn server() -> u16 {
    let pages = Router::new()
        .route("/page", get(|| async { Html(PAGE) }))
        .route("/plain", get(|| async { "just text\n" }))
        .route("/picture", get(|| async { ([(CONTENT_TYPE, "image/png")], "PNG") }))
        .route("/there", get(|| async { Redirect::to("/page?from=there") }))
        .route("/elsewhere", get(|| async { Redirect::to("http://localhost/page") }))
        .route("/round", get(|| async { Redirect::to("/round") }))
        .route("/large", get(|| async { "x".repeat(5 << 20) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    port
}

fn private() -> Limits {
    Limits { allow_private_addresses: true, ..Limits::default() }
}

async fn fetch(url: &str, limits: &Limits) -> Result<page::Page, Error> {
    page::fetch(url, &|host, _| host == "127.0.0.1", limits).await
}

#[tokio::test]
async fn a_page_is_read_as_text_and_followed_to_where_it_points() {
    let at = |port: u16, path: &str| format!("http://127.0.0.1:{port}/{path}");
    let port = server().await;
    let read = fetch(&at(port, "there"), &private()).await.unwrap();
    assert_eq!(read.url, at(port, "page?from=there"));
    assert!(read.text.contains("Counting") && read.text.contains("Words are"), "{}", read.text);
    assert!(!read.text.contains("steal"), "{}", read.text);
    assert_eq!(fetch(&at(port, "plain"), &private()).await.unwrap().text, "just text\n");
    assert_eq!(fetch(&at(port, "large"), &private()).await.unwrap().text.len(), 2 << 20);
    for (path, why) in [("picture", "no text"), ("missing", "404"), ("round", "again and again")] {
        let error = fetch(&at(port, path), &private()).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn nobody_goes_where_it_is_not_allowed_not_even_by_a_redirect() {
    let port = server().await;
    let here = format!("http://127.0.0.1:{port}");
    for (url, limits, why) in [
        (format!("{here}/elsewhere"), private(), "host `localhost` are not allowed"),
        ("https://example.org/".to_owned(), Limits::default(), "host `example.org` are not allowed"),
        (format!("{here}/page"), Limits::default(), "by https only"),
        (format!("https://127.0.0.1:{port}/page"), Limits::default(), "private network"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), Limits::default(), "private network"),
        ("file:///etc/passwd".to_owned(), private(), "by https, not by `file`"),
        ("https://user:pass@127.0.0.1/".to_owned(), private(), "credentials"),
    ] {
        let error = fetch(&url, &limits).await.unwrap_err();
        assert!(error.is_callers_fault() && error.to_string().contains(why), "{url}: {error}");
    }
}
