//! Models over the API: what is offered, keys of one's own, budgets and sums, and who may see what.

use codeyard::llm::Spender;
use serde_json::{Value, json};

use super::{ask, at, only, question};
use crate::support::TestApp;
use crate::support::replay::{Replay, Scripted};

const PROVIDERS: &str = "/api/v1/llm/providers";
const TEST: &str = "/api/v1/llm/test";
const USAGE: &str = "/api/v1/llm/usage";
const BUDGETS: &str = "/api/v1/llm/budgets";

fn provider<'a>(body: &'a Value, name: &str) -> &'a Value {
    body["providers"].as_array().unwrap().iter().find(|provider| provider["name"] == name).unwrap()
}

/// Settings that use nobody but what the test says, and find no Ollama that happens to run here.
const ALONE: (&str, &str) = ("llm.find_ollama", "false");

#[tokio::test]
async fn without_any_key_all_providers_are_shown_and_none_is_usable() {
    let app = TestApp::with(&[ALONE]).await;
    let ada = app.sign_up("ada@example.com").await;
    assert_eq!(app.get(PROVIDERS).await.refused(401), "UNAUTHENTICATED");
    let body = app.get(PROVIDERS).bearer(&ada.access).await.expect(200);
    assert_eq!(body["providers"].as_array().unwrap().len(), 11);
    assert!(
        body["providers"].as_array().unwrap().iter().all(|provider| provider["usable"] == false),
        "{body}"
    );
    assert!(body.get("default").is_none());
    let claude = provider(&body, "anthropic");
    assert_eq!((&claude["title"], &claude["key"]), (&json!("Anthropic Claude"), &json!("none")));
    assert_eq!(claude["models"][0]["price"]["output"], 15_000_000);
    assert_eq!(provider(&body, "baidu")["models"][0]["price"], Value::Null);
    let tested = app.post(TEST, json!({})).bearer(&ada.access).await.expect(200);
    assert_eq!((&tested["ok"], &tested["error_code"]), (&json!(false), &json!("LLM_NOT_CONFIGURED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_is_found_where_it_answers_and_nothing_else_is_configured() {
    let replay = Replay::start().await;
    let app = TestApp::with(&[("llm.providers.ollama.base_url", replay.url())]).await;
    let ada = app.sign_up("ada@example.com").await;
    let models = json!({"models": [{"name": "qwen3:8b", "size": 5}, {"name": "llama3.2:1b"}]});
    replay.then(Scripted::json(200, &models));
    let body = app.get(PROVIDERS).bearer(&ada.access).await.expect(200);
    assert_eq!(body["default"], json!({"provider": "ollama", "model": "qwen3:8b"}));
    let ollama = provider(&body, "ollama");
    assert_eq!((&ollama["usable"], &ollama["models"][1]["name"]), (&json!(true), &json!("llama3.2:1b")));
    assert_eq!(ollama["models"][0]["price"]["output"], 0);
    replay.then(Scripted::text(200, "application/x-ndjson", &super::read("ollama.stream")));
    let tested = app.post(TEST, json!({"prompt": "Hello?"})).bearer(&ada.access).await.expect(200);
    assert_eq!((&tested["ok"], &tested["cost_micros"]), (&json!(true), &json!(0)), "{tested}");
    let lines: Vec<_> = replay.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /api/tags", "POST /api/chat"], "it is not looked for again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_ones_own_is_used_for_oneself_and_never_shown() {
    let replay = Replay::start().await;
    let own_place = Replay::start().await;
    let settings = [ALONE, ("llm.allow_private_addresses", "true")];
    for app in TestApp::on_each_database_with(&at(&replay, &settings)).await {
        let (ada, bob) = (app.sign_up("ada@example.com").await, app.sign_up("bob@example.com").await);
        let secret = ["sk", "of", "ada", "alone"].join("-");
        let path = format!("{PROVIDERS}/openai/key");
        let put = json!({"key": secret, "base_url": own_place.url()});
        app.ask(axum::http::Method::PUT, &path).json(&put).bearer(&ada.access).await.expect(204);
        let body = app.get(PROVIDERS).bearer(&ada.access).await.expect(200);
        assert!(!body.to_string().contains(&secret), "{body}");
        let (own, others) =
            (provider(&body, "openai"), app.get(PROVIDERS).bearer(&bob.access).await.expect(200));
        assert_eq!((&own["key"], &own["base_url"]), (&json!("own"), &json!(own_place.url())));
        assert_eq!(provider(&others, "openai")["key"], "server");
        assert!(provider(&others, "openai").get("base_url").is_none());
        let kept = app.app.store.llm_keys(ada.id).await.unwrap();
        assert!(!kept[0].sealed.windows(4).any(|part| secret.as_bytes().windows(4).any(|word| word == part)));

        own_place.then(Scripted::words("hers"));
        replay.then(Scripted::words("the server's"));
        for (who, words) in [(&ada, "hers"), (&bob, "the server's")] {
            let tested = app.post(TEST, json!({"provider": "openai"})).bearer(&who.access).await.expect(200);
            assert_eq!(tested["text"], words, "{tested}");
        }
        assert_eq!(own_place.asked().last().unwrap().header("authorization"), format!("Bearer {secret}"));
        assert_eq!(replay.asked().last().unwrap().header("authorization"), "Bearer key");

        own_place.then(Scripted::json(401, &json!({"error": {"message": format!("wrong key {secret}")}})));
        let tested = app.post(TEST, json!({"provider": "openai"})).bearer(&ada.access).await.expect(200);
        assert_eq!(tested["error_code"], "LLM_KEY_REFUSED");
        assert!(!tested.to_string().contains(&secret), "{tested}");

        app.delete(&path).bearer(&ada.access).await.expect(204);
        assert_eq!(app.delete(&path).bearer(&ada.access).await.refused(404), "NOT_FOUND");
        let nobody = app.ask(axum::http::Method::PUT, &format!("{PROVIDERS}/nobody/key")).json(&put);
        assert_eq!(nobody.bearer(&ada.access).await.refused(404), "NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_changed_in_the_database_opens_nothing() {
    let replay = Replay::start().await;
    let app = TestApp::with(&at(&replay, &[ALONE])).await;
    let ada = app.sign_up("ada@example.com").await;
    let put = |name: &str, body: Value| {
        app.ask(axum::http::Method::PUT, &format!("{PROVIDERS}/{name}/key")).json(&body).bearer(&ada.access)
    };
    put("openai", json!({"key": "mine"})).await.expect(204);
    let row = app.app.store.llm_keys(ada.id).await.unwrap().remove(0);
    let moved = codeyard::store::LlmKeyRow { provider: "deepseek".to_owned(), ..row };
    app.app.store.put_llm_key(&moved).await.unwrap();
    let tested = app.post(TEST, json!({"provider": "deepseek"})).bearer(&ada.access).await.expect(200);
    assert_eq!(tested["error_code"], "LLM_NOT_CONFIGURED", "and the server's key is not used in its place");
    assert!(replay.asked().is_empty());
    for (body, field) in [
        (json!({"key": ""}), "key"),
        (json!({"key": "with space"}), "key"),
        (json!({"key": "k", "base_url": "https://10.0.0.1/v1"}), "base_url"),
        (json!({"key": "k", "base_url": "http://example.com"}), "base_url"),
        (json!({"key": "k", "base_url": "https://169.254.169.254/"}), "base_url"),
    ] {
        let refused = put("openai", body).await.expect(422);
        assert_eq!(refused["error"]["details"]["fields"][0]["field"], field, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_what_they_have_spent_and_administrators_what_all_have() {
    let replay = Replay::start().await;
    for app in TestApp::on_each_database_with(&at(&replay, &[ALONE])).await {
        let (ada, bob, root) =
            (app.sign_up("ada@example.com").await, app.sign_up("bob@example.com").await, app.admin().await);
        for user in [&ada, &ada, &bob] {
            replay.then(Scripted::words("yes"));
            let who = Spender { user: Some(user.id), project: Some("shop".to_owned()), job: None };
            ask(&app.app.llm, &who, &only("openai", "gpt-5-nano"), question()).await.unwrap();
        }
        let own = app.get(&format!("{USAGE}?group_by=day,model")).bearer(&ada.access).await.expect(200);
        // 100 at 0.05 and 10 at 0.4 are 9 micro-dollars.
        assert_eq!((&own["total"]["calls"], &own["total"]["cost_micros"]), (&json!(2), &json!(18)));
        assert_eq!(
            (&own["groups"][0]["model"], &own["groups"][0]["input_tokens"]),
            (&json!("gpt-5-nano"), &json!(200))
        );
        assert!(own["groups"][0].get("user").is_none(), "{own}");
        let others = app.get(&format!("{USAGE}?user={}", bob.id)).bearer(&ada.access).await;
        assert_eq!(others.refused(403), "FORBIDDEN");
        let all =
            app.get(&format!("{USAGE}?group_by=user&project=shop")).bearer(&root.access).await.expect(200);
        assert_eq!((&all["total"]["calls"], &all["groups"][0]["user"]), (&json!(3), &json!(ada.id)));
        let wrong = app.get(&format!("{USAGE}?group_by=weekday")).bearer(&ada.access).await.expect(422);
        assert_eq!(wrong["error"]["details"]["fields"][0]["field"], "group_by");
        let metrics = app.get("/metrics").await.text();
        assert!(
            metrics.contains("codeyard_llm_calls_total{provider=\"openai\",model=\"gpt-5-nano\""),
            "{metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_are_set_changed_and_kept() {
    let replay = Replay::start().await;
    for app in TestApp::on_each_database_with(&at(&replay, &[ALONE])).await {
        let (ada, bob, root) =
            (app.sign_up("ada@example.com").await, app.sign_up("bob@example.com").await, app.admin().await);
        let before = replay.asked().len();
        let own = app
            .post(BUDGETS, json!({"limit_micros": 9, "period": "day"}))
            .bearer(&ada.access)
            .await
            .expect(201);
        assert_eq!(
            (&own["user"], &own["left_micros"], &own["binding"]),
            (&json!(ada.id), &json!(9), &json!(false))
        );
        let others = json!({"user": bob.id, "limit_micros": 1});
        assert_eq!(app.post(BUDGETS, &others).bearer(&ada.access).await.refused(403), "FORBIDDEN");
        let tested = app.post(TEST, json!({"provider": "openai"})).bearer(&ada.access).await.expect(200);
        assert_eq!(tested["error_code"], "BUDGET_EXCEEDED");
        assert_eq!(replay.asked().len(), before, "nobody was asked");

        let path = format!("{BUDGETS}/{}", own["id"].as_str().unwrap());
        let more = app.patch(&path, json!({"limit_micros": 1_000_000})).bearer(&ada.access).await.expect(200);
        assert_eq!(more["left_micros"], 1_000_000);
        assert_eq!(
            app.patch(&path, json!({"limit_micros": 5})).bearer(&bob.access).await.refused(404),
            "NOT_FOUND"
        );
        let negative = app.patch(&path, json!({"limit_micros": -5})).bearer(&ada.access).await;
        assert_eq!(negative.refused(422), "VALIDATION_FAILED");

        let bound = json!({"user": ada.id, "limit_micros": 1_000_000, "period": "month"});
        let bound = app.post(BUDGETS, bound).bearer(&root.access).await.expect(201);
        let bound_path = format!("{BUDGETS}/{}", bound["id"].as_str().unwrap());
        assert_eq!(app.delete(&bound_path).bearer(&ada.access).await.refused(403), "FORBIDDEN");
        let seen = app.get(BUDGETS).bearer(&ada.access).await.expect(200);
        assert_eq!(seen["budgets"].as_array().unwrap().len(), 2);
        assert_eq!(app.get(BUDGETS).bearer(&bob.access).await.expect(200)["budgets"], json!([]));

        replay.then(Scripted::words("yes"));
        let body = json!({"provider": "openai", "model": "gpt-5-nano"});
        app.post(TEST, body).bearer(&ada.access).await.expect(200);
        let all = app.get(&format!("{BUDGETS}?user={}", ada.id)).bearer(&root.access).await.expect(200);
        let spent: Vec<_> =
            all["budgets"].as_array().unwrap().iter().map(|one| &one["spent_micros"]).collect();
        assert_eq!(spent, [9, 9]);
        app.delete(&bound_path).bearer(&root.access).await.expect(204);
        app.delete(&path).bearer(&ada.access).await.expect(204);
        assert_eq!(app.get(BUDGETS).bearer(&root.access).await.expect(200)["budgets"], json!([]));
    }
}

#[tokio::test]
async fn a_key_that_may_only_read_sets_nothing() {
    let app = TestApp::with(&[ALONE]).await;
    let ada = app.sign_up("ada@example.com").await;
    let body = json!({"name": "reads", "scopes": ["read"]});
    let key = app.post("/api/v1/api-keys", body).bearer(&ada.access).await.expect(201);
    let key = key["key"].as_str().unwrap();
    for path in [PROVIDERS, USAGE, BUDGETS] {
        app.get(path).bearer(key).await.expect(200);
    }
    assert_eq!(app.post(BUDGETS, json!({"limit_micros": 1})).bearer(key).await.refused(403), "FORBIDDEN");
    assert_eq!(app.post(TEST, json!({})).bearer(key).await.refused(403), "FORBIDDEN");
    let put = app.ask(axum::http::Method::PUT, &format!("{PROVIDERS}/openai/key")).json(&json!({"key": "k"}));
    assert_eq!(put.bearer(key).await.refused(403), "FORBIDDEN");
}
