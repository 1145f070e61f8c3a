//! What is sent to each provider, in the form that it publishes.

use codeyard::llm::wire::write;
use codeyard::llm::{
    Call, Effort, Message, Part, Request, ResponseSchema, Role, Signature, Tool, ToolCall, ToolChoice,
};
use serde_json::{Value, json};

use super::{RECORDED, Recorded};

/// A conversation with everything in it.
fn conversation() -> Request {
    let signature =
        |dialect: &str| Some(Signature { dialect: dialect.to_owned(), data: format!("{dialect}-proof") });
    let call = |id: &str, arguments: Value| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "read_file".to_owned(),
            arguments,
            signature: signature("gemini"),
        })
    };
    let picture = Part::Image { media_type: "image/png".to_owned(), data: "iVBORw==".to_owned() };
    let thought = Part::Reasoning { text: "Look first.".to_owned(), signature: signature("anthropic") };
    Request {
        messages: vec![
            Message::text(Role::System, "Be brief."),
            Message {
                role: Role::User,
                parts: vec![Part::Text { text: "What is this?".to_owned() }, picture],
            },
            Message {
                role: Role::Assistant,
                parts: vec![thought, call("call_a", json!({"path": "a"})), call("call_b", json!("{broken"))],
            },
            Message::result("call_a", "fn main() {}", false),
            Message::result("call_b", "the arguments are no JSON", true),
        ],
        tools: vec![Tool {
            name: "read_file".to_owned(),
            description: "Reads a file.".to_owned(),
            parameters: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
        }],
        tool_choice: ToolChoice::Required,
        stop: vec!["END".to_owned()],
        ..Request::default()
    }
}

fn body(name: &str, request: Request) -> Value {
    let recorded = by_name(name);
    let call = Call { model: recorded.model.to_owned(), max_tokens: 4000, request };
    write(&recorded.provider(), &call, true).body
}

fn by_name(name: &str) -> &'static Recorded {
    RECORDED.iter().find(|recorded| recorded.name == name).unwrap()
}

#[test]
fn addresses_and_keys_are_where_each_provider_wants_them() {
    for (name, url, header, value) in [
        ("openai", "https://api.openai.com/v1/chat/completions", "authorization", "Bearer key"),
        ("deepseek", "https://api.deepseek.com/chat/completions", "authorization", "Bearer key"),
        ("anthropic", "https://api.anthropic.com/v1/messages", "x-api-key", "key"),
        (
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "x-goog-api-key",
            "key",
        ),
        ("ollama", "http://localhost:11434/api/chat", "authorization", "Bearer key"),
    ] {
        let recorded = by_name(name);
        let call = Call { model: recorded.model.to_owned(), max_tokens: 1, request: conversation() };
        let wire = write(&recorded.provider(), &call, true);
        assert_eq!(wire.url, url);
        let sent = wire.headers.iter().find(|(name, _)| *name == header).unwrap();
        assert_eq!(sent.1.expose(), value);
        assert!(!format!("{wire:?}").contains("Bearer key") && !wire.url.contains("key"), "{name}");
    }
    let call = Call { model: "../../x y?".to_owned(), max_tokens: 1, request: conversation() };
    let url = write(&by_name("gemini").provider(), &call, false).url;
    assert!(url.ends_with("/models/..%2F..%2Fx%20y%3F:generateContent"), "{url}");
}

#[test]
fn openai_is_told_in_its_own_words() {
    let body =
        body("openai", Request { effort: Some(Effort::Low), temperature: Some(0.0), ..conversation() });
    let function = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "read_file", "arguments": arguments}});
    assert_eq!(
        body,
        json!({
            "model": "gpt-5-mini",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    function("call_a", "{\"path\":\"a\"}"), function("call_b", "{\"unreadable\":\"{broken\"}"),
                ]},
                {"role": "tool", "tool_call_id": "call_a", "content": "fn main() {}"},
                {"role": "tool", "tool_call_id": "call_b", "content": "the arguments are no JSON"},
            ],
            "max_completion_tokens": 4000,
            "tools": [{"type": "function", "function": {
                "name": "read_file", "description": "Reads a file.",
                "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
            }}],
            "tool_choice": "required",
            "stop": ["END"],
            "reasoning_effort": "low",
            "stream": true,
            "stream_options": {"include_usage": true},
        }),
        "and no temperature, which this model refuses"
    );
}

#[test]
fn claude_is_told_in_turns_and_gets_its_thoughts_back_with_their_proof() {
    let body = body("anthropic", Request { effort: Some(Effort::High), ..conversation() });
    assert_eq!(body["system"][0]["text"], "Be brief.");
    let turns = body["messages"].as_array().unwrap();
    let roles: Vec<_> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    assert_eq!(
        turns[0]["content"][1]["source"],
        json!({"type": "base64", "media_type": "image/png", "data": "iVBORw=="})
    );
    assert_eq!(
        turns[1]["content"],
        json!([
            {"type": "thinking", "thinking": "Look first.", "signature": "anthropic-proof"},
            {"type": "tool_use", "id": "call_a", "name": "read_file", "input": {"path": "a"}},
            {"type": "tool_use", "id": "call_b", "name": "read_file", "input": {"unreadable": "{broken"}},
        ])
    );
    assert_eq!(turns[2]["content"][1]["is_error"], true);
    assert_eq!(turns[2]["content"][1]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!((&body["max_tokens"], &body["tool_choice"]["type"]), (&json!(4000), &json!("auto")));
    assert_eq!(
        (&body["thinking"], &body["output_config"]),
        (&json!({"type": "adaptive"}), &json!({"effort": "high"}))
    );
    let old = Call { model: "claude-sonnet-4-5".to_owned(), max_tokens: 4000, request: conversation() };
    let old = Call { request: Request { effort: Some(Effort::Medium), ..conversation() }, ..old };
    let body = write(&by_name("anthropic").provider(), &old, true).body;
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 2000}));
}

#[test]
fn gemini_is_told_in_parts_and_gets_its_signatures_back() {
    let body =
        body("gemini", Request { effort: Some(Effort::Off), temperature: Some(0.5), ..conversation() });
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Be brief.");
    let turns = body["contents"].as_array().unwrap();
    assert_eq!(turns[1]["role"], "model");
    assert_eq!(
        turns[1]["parts"][0],
        json!({"functionCall": {"name": "read_file", "args": {"path": "a"}}, "thoughtSignature": "gemini-proof"})
    );
    assert_eq!(
        turns[2]["parts"][1],
        json!({"functionResponse": {"name": "read_file", "response": {"error": "the arguments are no JSON"}}})
    );
    assert_eq!(body["toolConfig"]["functionCallingConfig"]["mode"], "ANY");
    assert_eq!(
        body["generationConfig"],
        json!({"maxOutputTokens": 4000, "temperature": 0.5, "stopSequences": ["END"], "thinkingConfig": {"thinkingBudget": 0}})
    );
}

#[test]
fn ollama_is_told_in_its_own_words() {
    let body = body("ollama", conversation());
    assert_eq!(body["messages"][1]["images"], json!(["iVBORw=="]));
    assert_eq!(
        body["messages"][2]["tool_calls"][0]["function"],
        json!({"name": "read_file", "arguments": {"path": "a"}})
    );
    assert_eq!(
        body["messages"][3],
        json!({"role": "tool", "tool_name": "read_file", "content": "fn main() {}"})
    );
    assert_eq!(body["options"], json!({"num_predict": 4000, "stop": ["END"]}));
}

#[test]
fn what_differs_between_providers_of_one_dialect_is_kept_to() {
    let of = |name: &str| body(name, Request { effort: Some(Effort::High), ..conversation() });
    for (name, choice, field, thinking) in [
        ("qwen", "required", "enable_thinking", json!(true)),
        ("deepseek", "required", "thinking", json!({"type": "enabled"})),
        ("zhipu", "auto", "thinking", json!({"type": "enabled"})),
        ("moonshot", "auto", "thinking", Value::Null),
        ("minimax", "auto", "thinking", Value::Null),
        ("doubao", "required", "thinking", json!({"type": "enabled"})),
    ] {
        let body = of(name);
        assert_eq!((&body["tool_choice"], &body[field]), (&json!(choice), &thinking), "{name}");
        assert_eq!(body["max_tokens"], 4000, "{name}");
    }
    assert!(of("zhipu").get("stream_options").is_none());
    assert_eq!(of("deepseek")["messages"][2]["reasoning_content"], "Look first.");
    assert_eq!(of("minimax")["messages"][2]["content"], "<think>Look first.</think>\n\n");
    assert!(of("qwen")["messages"][2].get("reasoning_content").is_none());
}

#[test]
fn a_schema_is_given_as_each_provider_understands_it() {
    let schema = json!({"type": "object", "properties": {"plan": {"type": "string"}}});
    let wanted = ResponseSchema { name: "plan".to_owned(), schema: schema.clone() };
    let of = |name: &str| {
        let messages = vec![Message::text(Role::User, "Plan.")];
        body(name, Request { messages, response_schema: Some(wanted.clone()), ..Request::default() })
    };
    assert_eq!(of("openai")["response_format"]["json_schema"], json!({"name": "plan", "schema": schema}));
    assert_eq!(of("deepseek")["response_format"], json!({"type": "json_object"}));
    for name in ["deepseek", "minimax"] {
        assert!(of(name)["messages"][0]["content"].as_str().unwrap().contains("\"plan\""), "{name}");
    }
    assert!(of("minimax").get("response_format").is_none());
    assert_eq!(of("anthropic")["output_config"]["format"], json!({"type": "json_schema", "schema": schema}));
    assert_eq!(of("gemini")["generationConfig"]["responseJsonSchema"], schema);
    assert_eq!(of("ollama")["format"], schema);
}

#[test]
fn extra_fields_are_joined_with_ours() {
    let mut provider = by_name("ollama").provider();
    provider.extra.insert("options".to_owned(), json!({"num_ctx": 32768}));
    provider.extra.insert("keep_alive".to_owned(), json!("1h"));
    let call = Call { model: "m".to_owned(), max_tokens: 5, request: conversation() };
    let body = write(&provider, &call, true).body;
    assert_eq!(body["options"], json!({"num_predict": 5, "stop": ["END"], "num_ctx": 32768}));
    assert_eq!(body["keep_alive"], "1h");
}
