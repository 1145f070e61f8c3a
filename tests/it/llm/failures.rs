//! What happens when a provider does not answer: who is asked again, who else is asked, and what it costs.

use std::sync::Arc;
use std::time::Duration;

use codeyard::llm::{Choice, Delta, Error, Request, Spender, Target};
use codeyard::store::{LlmUsageBy, LlmUsageFilter, LlmUsageRow, Store};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{ask, at, bare, models, only, question};
use crate::support::replay::{Replay, Scripted};

fn nobody() -> Spender {
    Spender::default()
}

/// An error of a provider that says when to come back: at once.
fn refusal(status: u16, code: &str, message: &str) -> Scripted {
    let body = json!({"type": "error", "error": {"type": code, "code": code, "message": message}});
    Scripted::json(status, &body).header("retry-after-ms", "1")
}

async fn outcomes(store: &Store) -> Vec<(String, i64)> {
    let rows = store.llm_usage(&LlmUsageFilter::default(), &[LlmUsageBy::Outcome], 100).await.unwrap();
    let mut all: Vec<_> = rows.into_iter().map(|row| (row.outcome.unwrap_or_default(), row.calls)).collect();
    all.sort();
    all
}

async fn sum(store: &Store) -> LlmUsageRow {
    store.llm_usage(&LlmUsageFilter::default(), &[], 1).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waiting_mends_is_asked_again_and_what_it_does_not_is_not() {
    let replay = Replay::start().await;
    let (app, llm) = models(&replay, &[]).await;
    let choice = only("openai", "gpt-5-nano");
    replay.then(refusal(429, "rate_limit_exceeded", "slow down")).then(refusal(503, "", "try later"));
    replay.then(refusal(529, "overloaded_error", "Overloaded")).then(Scripted::words("at last"));
    let answer = ask(&llm, &nobody(), &choice, question()).await.unwrap();
    assert_eq!((answer.message.words().as_str(), answer.attempts), ("at last", 4));
    assert_eq!(
        outcomes(&app.app.store).await,
        [("LLM_OVERLOADED".to_owned(), 2), ("LLM_RATE_LIMITED".to_owned(), 1), ("answered".to_owned(), 1)]
    );

    for (status, code, message, wanted) in [
        (400, "invalid_request_error", "no such field", "LLM_INVALID_REQUEST"),
        (401, "invalid_api_key", "Incorrect API key provided: key", "LLM_KEY_REFUSED"),
        (403, "permission_error", "not for you", "LLM_KEY_REFUSED"),
        (404, "model_not_found", "no such model", "LLM_INVALID_REQUEST"),
        (400, "context_length_exceeded", "too long", "LLM_CONTEXT_TOO_LONG"),
        (429, "insufficient_quota", "no money", "LLM_NO_CREDIT"),
        (402, "", "Insufficient Balance", "LLM_NO_CREDIT"),
    ] {
        let before = replay.asked().len();
        replay.then(refusal(status, code, message));
        let error = ask(&llm, &nobody(), &choice, question()).await.unwrap_err();
        assert_eq!(error.code(), wanted, "{error}");
        assert!(!error.is_transient() && !error.to_string().contains(": key"), "{error}");
        assert_eq!(replay.asked().len(), before + 1, "{code} is not asked again");
    }
    assert_eq!(sum(&app.app.store).await.reserved_micros, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_says_200_is_a_failure() {
    let replay = Replay::start().await;
    let (_app, llm) = models(&replay, &[("llm.retries", "0")]).await;
    for (provider, body, wanted) in [
        (
            "baidu",
            json!({"error_code": 18, "error_msg": "Open api qps request limit reached"}),
            "LLM_RATE_LIMITED",
        ),
        ("baidu", json!({"error_code": 110, "error_msg": "Access token invalid"}), "LLM_KEY_REFUSED"),
        (
            "minimax",
            json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            "LLM_NO_CREDIT",
        ),
        (
            "minimax",
            json!({"choices": null, "base_resp": {"status_code": 1002, "status_msg": "x"}}),
            "LLM_RATE_LIMITED",
        ),
        ("ollama", json!({"error": "model requires more system memory"}), "LLM_OVERLOADED"),
        ("qwen", json!({"code": "Arrearage", "message": "Access denied"}), "LLM_NO_CREDIT"),
        (
            "openai",
            json!({"error": {"message": "The server had an error", "type": "server_error"}}),
            "LLM_OVERLOADED",
        ),
    ] {
        replay.then(Scripted::json(200, &body));
        let error = ask(&llm, &nobody(), &only(provider, "m"), question()).await.unwrap_err();
        assert_eq!(error.code(), wanted, "{provider}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gemini_says_in_its_body_when_to_come_back() {
    let replay = Replay::start().await;
    let (_app, llm) = models(&replay, &[("llm.max_wait_seconds", "5")]).await;
    let info = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s"});
    let error = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [info]}});
    replay.then(Scripted::json(429, &error));
    let error = ask(&llm, &nobody(), &only("gemini", "m"), question()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.retry_after()),
        ("LLM_RATE_LIMITED", Some(Duration::from_millis(37_500)))
    );
    // Until then nobody is asked, whoever wants to know.
    let error = ask(&llm, &nobody(), &only("gemini", "m"), question()).await.unwrap_err();
    assert!(error.retry_after().is_some_and(|wait| wait > Duration::from_secs(30)), "{error}");
    assert_eq!(replay.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_of_the_list_is_asked_but_only_while_nothing_was_heard() {
    let replay = Replay::start().await;
    let (_app, llm) = models(&replay, &[("llm.retries", "0")]).await;
    let target =
        |provider: &str, model: &str| Target { provider: Some(provider.into()), model: Some(model.into()) };
    let choice = Choice {
        first: target("openai", "gpt-5-nano"),
        fallback: vec![target("nobody", "m"), target("deepseek", "deepseek-chat")],
    };
    replay.then(refusal(500, "", "broken")).then(Scripted::words("instead"));
    let answer = ask(&llm, &nobody(), &choice, question()).await.unwrap();
    assert_eq!((answer.provider.as_str(), answer.attempts), ("deepseek", 2));

    replay.then(refusal(400, "invalid_request_error", "wrong"));
    let error = ask(&llm, &nobody(), &choice, question()).await.unwrap_err();
    assert_eq!(error.code(), "LLM_INVALID_REQUEST", "nobody else would understand it either");

    replay.then(refusal(500, "", "first")).then(refusal(429, "", "second"));
    let error = ask(&llm, &nobody(), &choice, question()).await.unwrap_err();
    assert!(error.to_string().contains("first"), "{error}");

    let before = replay.asked().len();
    let half = Scripted::words("some words that break off").cut(200);
    replay.then(half);
    let error = ask(&llm, &nobody(), &choice, question()).await.unwrap_err();
    assert!(matches!(error, Error::Cut { .. }), "{error}");
    assert_eq!(replay.asked().len(), before + 1, "what was heard cannot be unheard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_keeps_failing_is_left_alone_for_a_while() {
    let replay = Replay::start().await;
    let settings = [("llm.breaker_failures", "2"), ("llm.retries", "0")];
    let (app, llm) = models(&replay, &settings).await;
    let choice = only("openai", "gpt-5-nano");
    replay
        .then(refusal(500, "", "broken"))
        .then(refusal(500, "", "broken"))
        .then(Scripted::words("well again"));
    for _ in 0..4 {
        assert_eq!(ask(&llm, &nobody(), &choice, question()).await.unwrap_err().code(), "LLM_OVERLOADED");
    }
    assert_eq!(replay.asked().len(), 2);
    app.app.clock.advance(Duration::from_secs(31));
    assert!(ask(&llm, &nobody(), &choice, question()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_off_at_any_byte_gives_a_typed_error_and_settled_books() {
    let replay = Replay::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (llm, store, _) = bare(dir.path(), &at(&replay, &[("llm.retries", "0")])).await;
    for recorded in
        super::RECORDED.iter().filter(|r| ["openai", "anthropic", "gemini", "ollama"].contains(&r.name))
    {
        let stream = recorded.stream();
        let choice = only(recorded.name, recorded.model);
        // Every byte of all is tried without a network elsewhere; here that of the shortest, and of the others every
        // line and a step that meets all parts of one.
        let step = if recorded.name == "ollama" { 1 } else { 23 };
        let ends = stream.match_indices('\n').map(|(at, _)| at);
        let cuts: Vec<usize> = ends.chain((0..stream.len()).step_by(step)).collect();
        for cut in cuts {
            replay.then(Scripted::text(200, recorded.kind(), &stream).cut(cut));
            match ask(&llm, &nobody(), &choice, question()).await {
                Ok(answer) => {
                    assert!(answer.usage == recorded.usage && cut > stream.len() - 80, "cut off at {cut}");
                }
                Err(error) => {
                    assert_eq!(error, Error::Cut { provider: recorded.name.to_owned() }, "cut off at {cut}");
                }
            }
        }
    }
    let sum = sum(&store).await;
    assert!(sum.failed > 1500 && sum.cost_micros > 0, "{sum:?}");
    assert_eq!(sum.reserved_micros, 0, "nothing is held for what is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_stopped_or_dropped_is_booked_and_the_connection_ends() {
    let replay = Replay::start().await;
    let (app, llm) = models(&replay, &[]).await;
    let (gate, choice) = (Arc::new(Semaphore::new(0)), only("openai", "gpt-5-nano"));
    let paused = || Scripted::words("words that come before the pause").paused(200, &gate);

    replay.then(paused());
    let stop = CancellationToken::new();
    let heard = stop.clone();
    // The first piece makes us stop.
    let stopped = llm.call(&nobody(), &choice, question(), &mut move |_: Delta| heard.cancel(), &stop).await;
    assert_eq!(stopped.unwrap_err(), Error::Stopped);
    llm.booked().await;
    assert_eq!(outcomes(&app.app.store).await, [("LLM_STOPPED".to_owned(), 1)]);

    replay.then(paused());
    let (first, came) = tokio::sync::oneshot::channel();
    let mut first = Some(first);
    let (caller, stop) = (Arc::clone(&llm), CancellationToken::new());
    let call = tokio::spawn(async move {
        let mut on = move |_: Delta| {
            if let Some(first) = first.take() {
                first.send(()).unwrap();
            }
        };
        caller.call(&nobody(), &choice, question(), &mut on, &stop).await
    });
    came.await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    llm.booked().await;
    let sum = sum(&app.app.store).await;
    assert_eq!((sum.calls, sum.failed, sum.reserved_micros), (2, 2, 0));
    assert!(sum.cost_micros > 0 && sum.output_tokens > 0, "what was heard has to be paid: {sum:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_falls_silent_is_not_waited_for() {
    let replay = Replay::start().await;
    let settings = [("llm.silence_seconds", "1"), ("llm.retries", "0")];
    let (_app, llm) = models(&replay, &settings).await;
    let gate = Arc::new(Semaphore::new(0));
    replay.then(Scripted::words("words").paused(150, &gate));
    let error = ask(&llm, &nobody(), &only("openai", "m"), question()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_can_reach_is_said_without_its_secrets() {
    let settings = [("llm.retries", "0"), ("llm.providers.openai.base_url", "http://127.0.0.1:9/v1")];
    let (_app, llm) = models(&Replay::start().await, &settings).await;
    let error = ask(&llm, &nobody(), &only("openai", "m"), question()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient(), "{error}");
    for request in [
        Request::default(),
        Request {
            messages: vec![codeyard::llm::Message::text(codeyard::llm::Role::Assistant, "x")],
            ..question()
        },
    ] {
        let error = ask(&llm, &nobody(), &only("openai", "m"), request).await.unwrap_err();
        assert_eq!(error.code(), "LLM_INVALID_REQUEST");
    }
    let error = ask(&llm, &nobody(), &only("openai", "a\nb"), question()).await.unwrap_err();
    assert_eq!(error.code(), "LLM_INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_server_are_kept_for_each_user_and_each_key() {
    let replay = Replay::start().await;
    let settings = [
        ("llm.user_requests_per_minute", "2"),
        ("llm.providers.deepseek.requests_per_minute", "3"),
        ("llm.max_wait_seconds", "0"),
        ("llm.retries", "0"),
    ];
    let (app, llm) = models(&replay, &settings).await;
    replay.otherwise(Scripted::words("yes"));
    let user = || Spender { user: Some(codeyard::model::UserId(app.app.clock.new_id())), ..nobody() };
    let (ada, bob) = (user(), user());
    let code = async |who: &Spender, provider: &str| {
        ask(&llm, who, &only(provider, "m"), question())
            .await
            .map_or_else(|error| error.code(), |_| "answered")
    };
    assert_eq!(code(&ada, "openai").await, "answered");
    assert_eq!(code(&ada, "openai").await, "answered");
    assert_eq!(code(&ada, "openai").await, "LLM_RATE_LIMITED");
    assert_eq!((code(&bob, "openai").await, code(&ada, "qwen").await), ("answered", "answered"));
    for who in [&ada, &ada, &bob] {
        assert_eq!(code(who, "deepseek").await, "answered");
    }
    assert_eq!(code(&bob, "deepseek").await, "LLM_RATE_LIMITED", "the key is everybody's");
    app.app.clock.advance(Duration::from_secs(60));
    assert_eq!(code(&bob, "deepseek").await, "answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_answer_is_given_again_to_whom_it_was_given_and_to_nobody_else() {
    let replay = Replay::start().await;
    let (app, llm) = models(&replay, &[]).await;
    for n in 0..6 {
        replay.then(Scripted::turn(&format!("answer {n}"), &[("read_file", json!({"path": "a"}))]));
    }
    let user = || Spender { user: Some(codeyard::model::UserId(app.app.clock.new_id())), ..nobody() };
    let (ada, bob) = (user(), user());
    let exact = || Request { temperature: Some(0.0), ..question() };
    let words = async |who: &Spender, model: &str, request: Request| {
        let answer = ask(&llm, who, &only("openai", model), request).await.unwrap();
        (answer.message.words(), answer.cached, answer.cost_micros == Some(0))
    };
    let said = |n: u8, cached: bool| (format!("answer {n}"), cached, cached);
    assert_eq!(words(&ada, "gpt-4.1", exact()).await, said(0, false));
    assert_eq!(words(&ada, "gpt-4.1", exact()).await, said(0, true));
    assert_eq!(words(&bob, "gpt-4.1", exact()).await, said(1, false));
    assert_eq!(words(&ada, "gpt-4o", exact()).await, said(2, false));
    assert_eq!(words(&ada, "gpt-4.1", question()).await, said(3, false), "it was not asked to be exact");
    let more = Request { max_tokens: Some(7), ..exact() };
    assert_eq!(words(&ada, "gpt-4.1", more).await, said(4, false));
    app.app.clock.advance(Duration::from_secs(3600));
    assert_eq!(words(&ada, "gpt-4.1", exact()).await, said(5, false), "too old");
    let sum = sum(&app.app.store).await;
    assert_eq!((sum.calls, sum.cache_hits, sum.cache_misses), (7, 1, 5));
}
