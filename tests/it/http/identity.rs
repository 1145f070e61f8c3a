//! The ways to say who one is when a socket is opened.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::TestApp;

/// Known by nobody: who is let in is told so (4404), who is not never hears of it (4401).
const SOCKET: &str = "/ws/jobs/018f0000-0000-7000-8000-000000000001";

/// The closing code of a socket opened so, and the subprotocol that was chosen.
async fn closed_with(app: &TestApp, query: &str, headers: &[(&'static str, &str)]) -> (u16, Option<String>) {
    let address = app.listen().await;
    let mut request = format!("ws://{address}{SOCKET}{query}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (mut socket, answer) = connect_async(request).await.unwrap();
    let protocol =
        answer.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap().to_owned());
    while let Some(message) = socket.next().await {
        if let Message::Close(Some(frame)) = message.unwrap() {
            return (frame.code.into(), protocol);
        }
    }
    (0, protocol)
}

#[tokio::test]
async fn a_socket_takes_each_promised_proof_and_nothing_else() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.com").await;
    let key = app.post("/api/v1/api-keys", json!({"name": "x"})).bearer(&ada.access).await.expect(201);
    let key = key["key"].as_str().unwrap();
    let ticket = app.post("/api/v1/ws-ticket", json!({})).bearer(&ada.access).await.expect(201);
    let ticket = format!("?ticket={}", ticket["ticket"].as_str().unwrap());
    let bearer = format!("Bearer {}", ada.access);

    assert_eq!(closed_with(&app, "", &[("authorization", &bearer)]).await.0, 4404);
    assert_eq!(closed_with(&app, "", &[("x-api-key", key)]).await.0, 4404);
    assert_eq!(closed_with(&app, &format!("?token={}", ada.access), &[]).await.0, 4404);
    assert_eq!(closed_with(&app, &format!("?api_key={key}"), &[]).await.0, 4404);
    assert_eq!(closed_with(&app, &ticket, &[]).await.0, 4404);
    assert_eq!(closed_with(&app, &ticket, &[]).await.0, 4401, "a ticket is good once");
    assert_eq!(closed_with(&app, "", &[]).await.0, 4401);
    assert_eq!(closed_with(&app, "?token=nonsense", &[]).await.0, 4401);
}

#[tokio::test]
async fn a_browser_hides_its_token_among_the_subprotocols_and_is_answered_with_ours() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.com").await;
    let offered = |token: &str| format!("codeyard.v1, codeyard.bearer.{}", URL_SAFE_NO_PAD.encode(token));
    let ours = Some("codeyard.v1".to_owned());
    let good = closed_with(&app, "", &[("sec-websocket-protocol", &offered(&ada.access))]).await;
    assert_eq!(good, (4404, ours.clone()));
    let bad = closed_with(&app, "", &[("sec-websocket-protocol", &offered("nonsense"))]).await;
    assert_eq!(bad, (4401, ours));
}

#[tokio::test]
async fn what_is_no_socket_at_all_is_refused_in_the_contracts_words() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.com").await;
    assert_eq!(app.get(SOCKET).bearer(&ada.access).await.refused(400), "MALFORMED_REQUEST");
}
