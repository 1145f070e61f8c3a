//! What every request meets on its way in and out.

use axum::http::Method;

use crate::support::TestApp;

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_security_headers() {
    let app = TestApp::start().await;
    for path in ["/api/health/", "/nowhere", "/docs/"] {
        let answer = app.get(path).await;
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        for name in
            ["content-security-policy", "referrer-policy", "permissions-policy", "cross-origin-opener-policy"]
        {
            assert!(!answer.header(name).is_empty(), "{path}: {name}");
        }
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
    }
    let behind_tls = TestApp::with(&[("server.behind_tls", "true")]).await;
    let answer = behind_tls.get("/api/health/").await;
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_is_replaced() {
    let app = TestApp::start().await;
    let kept = app.get("/nowhere").header("x-request-id", "from-the-proxy.7").await;
    assert_eq!(kept.header("x-request-id"), "from-the-proxy.7");
    assert_eq!(kept.refused(404), "NOT_FOUND");
    let replaced = app.get("/api/health/").header("x-request-id", "a b<script>").await;
    assert!(!replaced.header("x-request-id").contains('<'));
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_refused_in_the_same_shape() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/api/nothing/here").await.refused(404), "NOT_FOUND");
    let answer = app.delete("/api/health/").await;
    assert_eq!(answer.header("allow"), "GET,HEAD");
    assert_eq!(answer.refused(405), "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn only_listed_origins_may_read_answers() {
    let app = TestApp::with(&[("server.cors_origins", r#"["https://dash.example.com"]"#)]).await;
    let allowed = |origin: &'static str| {
        let ask = app.ask(Method::OPTIONS, "/api/health/").header("origin", origin);
        async move {
            let answer = ask.header("access-control-request-method", "POST").await;
            assert_eq!(answer.status, 204);
            answer.header("access-control-allow-origin").to_owned()
        }
    };
    assert_eq!(allowed("https://dash.example.com").await, "https://dash.example.com");
    assert_eq!(allowed("https://evil.example").await, "");
    let answer = app.get("/api/health/").header("origin", "https://dash.example.com").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://dash.example.com");
    assert_eq!(answer.header("vary"), "origin");
}

#[tokio::test]
async fn beyond_the_places_in_flight_requests_are_shed_but_probes_are_not() {
    let app = TestApp::with(&[("server.max_in_flight", "0")]).await;
    let answer = app.get("/api/health/status").await;
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.refused(503), "OVERLOADED");
    app.get("/api/health/").await.expect(200);
}

#[tokio::test]
async fn requests_are_limited_by_address_and_say_how_one_stands() {
    let app = TestApp::with(&[("limits.requests_per_minute", "2")]).await;
    let first = app.get("/api/health/status").await;
    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), ("2", "1"));
    app.get("/api/health/status").await.expect(200);
    let third = app.get("/api/health/status").await;
    assert_eq!((third.header("ratelimit-remaining"), third.header("retry-after")), ("0", "30"));
    assert_eq!(third.refused(429), "RATE_LIMITED");
    app.get("/api/health/status").from("10.9.8.7").await.expect(200);
    app.get("/api/health/").await.expect(200);
    app.app.clock.advance(std::time::Duration::from_secs(30));
    app.get("/api/health/status").await.expect(200);
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let app = TestApp::start().await;
    let plain = app.get("/api/openapi.json").await;
    let packed = app.get("/api/openapi.json").header("accept-encoding", "gzip").await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert!(packed.body.len() * 2 < plain.body.len());
}

#[tokio::test]
async fn a_user_is_limited_wherever_it_calls_from_and_takes_nothing_from_its_neighbours() {
    let app = TestApp::with(&[("limits.requests_per_minute", "3")]).await;
    let (ada, eve) = (app.sign_up("ada@example.com").await, app.sign_up("eve@example.com").await);
    let me = |who: &str, from: &str| app.get("/api/v1/users/me").bearer(who).from(from);
    for from in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        me(&ada.access, from).await.expect(200);
    }
    assert_eq!(me(&ada.access, "10.0.0.4").await.refused(429), "RATE_LIMITED");
    me(&eve.access, "10.0.0.4").await.expect(200);
    for expected in [401, 401, 401, 429] {
        assert_eq!(me("no such token", "10.0.0.9").await.status, expected, "guesses count for the address");
    }
}
