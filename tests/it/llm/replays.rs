//! Whole conversations with every provider over HTTP: streamed and not, priced, refused, cut short.

use codeyard::llm::{Error, Finish, Spender};
use codeyard::store::LlmUsageFilter;
use serde_json::{Value, json};

use super::{RECORDED, ask, models, only, question};
use crate::support::replay::{Replay, Scripted};

#[tokio::test(flavor = "multi_thread")]
async fn every_provider_answers_in_pieces_and_in_one_and_costs_what_it_counted() {
    let replay = Replay::start().await;
    let (app, llm) = models(&replay, &[]).await;
    let mut costs = 0;
    for recorded in &RECORDED {
        replay.then(Scripted::text(200, recorded.kind(), &recorded.stream()));
        // A server that does not stream although it was asked to.
        replay.then(Scripted::text(200, "application/json; charset=utf-8", &recorded.whole()));
        for about in ["in pieces", "in one"] {
            let choice = only(recorded.name, recorded.model);
            let answer = ask(&llm, &Spender::default(), &choice, question()).await.unwrap();
            let reply = codeyard::llm::Reply {
                message: answer.message,
                finish: answer.finish,
                usage: Some(answer.usage),
            };
            recorded.check(&reply, about);
            assert_eq!(answer.cost_micros, recorded.cost_micros, "{} {about}", recorded.name);
            assert!(!answer.estimated && !answer.cached && answer.attempts == 1);
            costs += answer.cost_micros.unwrap_or(0);
        }
    }
    let sums = app.app.store.llm_usage(&LlmUsageFilter::default(), &[], 1).await.unwrap();
    let by_hand: i64 = RECORDED.iter().filter_map(|recorded| recorded.cost_micros).sum();
    assert_eq!((sums[0].cost_micros, costs), (2 * by_hand, 2 * by_hand), "to the micro-dollar");
    let counted: i64 = RECORDED.iter().map(|recorded| recorded.usage.output_tokens).sum();
    assert_eq!((sums[0].calls, sums[0].unpriced, sums[0].output_tokens), (22, 4, 2 * counted));
    assert_eq!(sums[0].reserved_micros, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_refuses_or_runs_out_of_room_says_so_in_every_dialect() {
    let replay = Replay::start().await;
    let (_app, llm) = models(&replay, &[]).await;
    let openai = |message: Value, finish: &str| {
        json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    };
    let claude = |reason: &str| {
        json!({"content": [{"type": "text", "text": "Half a"}], "stop_reason": reason,
            "usage": {"input_tokens": 1, "output_tokens": 1}})
    };
    let gemini = |reason: &str| {
        json!({"candidates": [{"content": {"parts": [{"text": "Half a"}]}, "finishReason": reason}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}})
    };
    let ollama = json!({"message": {"role": "assistant", "content": "Half a"}, "done": true, "done_reason": "length",
        "prompt_eval_count": 1, "eval_count": 1});
    let words = json!({"role": "assistant", "content": "Half a"});
    for (provider, body, finish) in [
        ("openai", openai(words.clone(), "length"), Finish::Length),
        ("openai", openai(json!({"content": null, "refusal": "I will not."}), "stop"), Finish::Refused),
        ("openai", openai(words.clone(), "content_filter"), Finish::Refused),
        ("zhipu", openai(words.clone(), "sensitive"), Finish::Refused),
        ("qwen", openai(words, "length"), Finish::Length),
        ("anthropic", claude("max_tokens"), Finish::Length),
        ("anthropic", claude("refusal"), Finish::Refused),
        ("anthropic", claude("pause_turn"), Finish::Other("pause_turn".to_owned())),
        ("gemini", gemini("MAX_TOKENS"), Finish::Length),
        ("gemini", gemini("SAFETY"), Finish::Refused),
        ("ollama", ollama, Finish::Length),
    ] {
        replay.then(Scripted::json(200, &body));
        let answer = ask(&llm, &Spender::default(), &only(provider, "m"), question()).await.unwrap();
        assert_eq!(answer.finish, finish, "{provider}: {body}");
    }
    replay.then(Scripted::json(200, &json!({"promptFeedback": {"blockReason": "SAFETY"}})));
    let blocked = ask(&llm, &Spender::default(), &only("gemini", "m"), question()).await.unwrap_err();
    assert!(matches!(blocked, Error::Refused { .. }), "{blocked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_ones_own_is_a_row_of_the_settings() {
    let replay = Replay::start().await;
    let settings = [
        ("llm.providers.mine.base_url", replay.url()),
        ("llm.providers.mine.models", "[\"llama\"]"),
        ("llm.providers.mine.free", "true"),
        ("llm.provider", "mine"),
    ];
    let (_app, llm) = models(&replay, &settings).await;
    replay.then(Scripted::words("<think>hm</think>Hello."));
    let answer = ask(&llm, &Spender::default(), &codeyard::llm::Choice::default(), question()).await.unwrap();
    assert_eq!((answer.provider.as_str(), answer.model.as_str()), ("mine", "llama"));
    assert_eq!((answer.message.words().as_str(), answer.cost_micros), ("Hello.", Some(0)));
    let asked = &replay.asked()[0];
    assert_eq!((asked.line.as_str(), asked.header("authorization")), ("POST /chat/completions", ""));
    replay.then(Scripted::words("Hello."));
    let first = codeyard::llm::Target { provider: None, model: Some("deepseek-chat".to_owned()) };
    let choice = codeyard::llm::Choice { first, fallback: Vec::new() };
    let answer = ask(&llm, &Spender::default(), &choice, question()).await.unwrap();
    assert_eq!(answer.provider, "deepseek", "it is known whose model that is");
    let unknown = ask(&llm, &Spender::default(), &only("yours", "m"), question()).await.unwrap_err();
    assert!(matches!(unknown, Error::NotConfigured(_)), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_count_is_counted_and_that_is_said() {
    let replay = Replay::start().await;
    let (_app, llm) = models(&replay, &[]).await;
    let silent =
        json!({"choices": [{"index": 0, "message": {"content": "x".repeat(400)}, "finish_reason": "stop"}]});
    replay.then(Scripted::json(200, &silent));
    let answer = ask(&llm, &Spender::default(), &only("openai", "gpt-5-nano"), question()).await.unwrap();
    assert!(answer.estimated && (90..120).contains(&answer.usage.output_tokens), "{answer:?}");
    assert!(answer.cost_micros.is_some_and(|cost| cost > 0));
}
