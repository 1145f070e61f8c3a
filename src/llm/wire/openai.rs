//! OpenAI's chat completions: spoken by nine of the eleven providers, and by most servers of open models.
//!
//! Source: OpenAI's API reference, "Chat", and the providers' pages on what they add and leave out.

use serde_json::{Map, Value, json};

use super::draft::{Draft, Fault, Said};
use super::{number, text};
use crate::llm::providers::{Echo, Provider, Schema, Thinking};
use crate::llm::{Call, Effort, Finish, Message, Part, Role, ToolChoice, Usage};

/// The body of a request.
pub(super) fn body(provider: &Provider, call: &Call, stream: bool) -> Value {
    let (row, request) = (provider.row, &call.request);
    let mut body = Map::new();
    body.insert("model".into(), json!(call.model));
    let mut messages: Vec<Value> =
        request.messages.iter().flat_map(|message| turns(message, row.echo)).collect();
    body.insert(row.max_tokens.into(), json!(call.max_tokens));
    if let Some(wanted) = &request.response_schema {
        match row.schema {
            Schema::Native => {
                let schema = json!({"name": wanted.name, "schema": wanted.schema});
                body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": schema}));
            }
            Schema::JsonObject => {
                body.insert("response_format".into(), json!({"type": "json_object"}));
                messages.insert(0, system(&super::schema_in_words(wanted)));
            }
            Schema::Words => messages.insert(0, system(&super::schema_in_words(wanted))),
        }
    }
    body.insert("messages".into(), Value::Array(messages));
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| json!({"type": "function", "function": tool}));
        body.insert("tools".into(), tools.collect());
        let choice = match &request.tool_choice {
            ToolChoice::None => json!("none"),
            ToolChoice::Required if row.obeys_tool_choice => json!("required"),
            ToolChoice::Tool(name) if row.obeys_tool_choice => {
                json!({"type": "function", "function": {"name": name}})
            }
            _ => json!("auto"),
        };
        body.insert("tool_choice".into(), choice);
    }
    if let Some(temperature) = request.temperature.filter(|_| provider.takes_temperature(&call.model)) {
        body.insert("temperature".into(), json!(temperature));
    }
    if !request.stop.is_empty() {
        body.insert("stop".into(), json!(request.stop));
    }
    body.extend(request.effort.and_then(|effort| thinking(row.thinking, effort)));
    if stream {
        body.insert("stream".into(), json!(true));
        if row.asks_for_usage {
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
    }
    Value::Object(body)
}

fn thinking(how: Thinking, effort: Effort) -> Option<(String, Value)> {
    let on = effort != Effort::Off;
    let field = match how {
        Thinking::Own => return None,
        // There is no word for "not at all" that all models take.
        Thinking::Effort => ("reasoning_effort", json!(if on { effort } else { Effort::Low })),
        Thinking::Enable => ("enable_thinking", json!(on)),
        Thinking::Type => ("thinking", json!({"type": if on { "enabled" } else { "disabled" }})),
    };
    Some((field.0.to_owned(), field.1))
}

fn system(words: &str) -> Value {
    json!({"role": "system", "content": words})
}

/// A turn as its messages: each result of a tool is one of its own.
fn turns(message: &Message, echo: Echo) -> Vec<Value> {
    match message.role {
        Role::System => vec![system(&message.words())],
        Role::User => vec![json!({"role": "user", "content": content(message)})],
        Role::Assistant => vec![assistant(message, echo)],
        Role::Tool => message
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::ToolResult { call_id, content, .. } => {
                    Some(json!({"role": "tool", "tool_call_id": call_id, "content": content}))
                }
                _ => None,
            })
            .collect(),
    }
}

/// Plain text where there are no pictures: not every server reads lists.
fn content(message: &Message) -> Value {
    if !message.parts.iter().any(|part| matches!(part, Part::Image { .. })) {
        return json!(message.words());
    }
    let parts = message.parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(json!({"type": "text", "text": text})),
        Part::Image { media_type, data } => {
            let url = format!("data:{media_type};base64,{data}");
            Some(json!({"type": "image_url", "image_url": {"url": url}}))
        }
        _ => None,
    });
    parts.collect()
}

fn assistant(message: &Message, echo: Echo) -> Value {
    let mut turn = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    let thoughts: String = message
        .parts
        .iter()
        .filter_map(|part| if let Part::Reasoning { text, .. } = part { Some(text.as_str()) } else { None })
        .collect();
    let mut words = message.words();
    let calls: Vec<Value> = message
        .tool_calls()
        .map(|call| {
            let arguments = call.arguments_object().to_string();
            json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
        })
        .collect();
    match echo {
        Echo::Field if !calls.is_empty() && !thoughts.is_empty() => {
            turn.insert("reasoning_content".into(), json!(thoughts));
        }
        Echo::Tags if !thoughts.is_empty() => words = format!("<think>{thoughts}</think>\n\n{words}"),
        _ => {}
    }
    let silent = words.is_empty() && !calls.is_empty();
    turn.insert("content".into(), if silent { Value::Null } else { json!(words) });
    if !calls.is_empty() {
        turn.insert("tool_calls".into(), Value::Array(calls));
    }
    Value::Object(turn)
}

/// Reads a chunk of a stream, or a whole answer, which has `message` where a chunk has `delta`.
pub(super) fn read(draft: &mut Draft, chunk: &Value) -> Result<(), Fault> {
    if let Some(said) = error(chunk) {
        return Err(Fault::Said(said));
    }
    let choice = &chunk["choices"][0];
    let said = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
    let thoughts = ["reasoning_content", "reasoning"].iter().find_map(|field| said[*field].as_str());
    draft.reasoning(thoughts.unwrap_or_default())?;
    if let Some(words) = said["content"].as_str().filter(|words| !words.is_empty()) {
        draft.text(words)?;
    }
    if let Some(words) = said["refusal"].as_str().filter(|words| !words.is_empty()) {
        draft.text(words)?;
        draft.finish = Some(Finish::Refused);
    }
    for (place, call) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let slot = call["index"].as_u64().unwrap_or(place as u64);
        let function = &call["function"];
        // Some servers send the arguments as an object.
        let arguments = match &function["arguments"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        draft.call(slot, text(&call["id"]), text(&function["name"]), &arguments)?;
    }
    if let Some(word) = choice["finish_reason"].as_str().filter(|word| !word.is_empty()) {
        let refused = draft.finish == Some(Finish::Refused);
        draft.finish = Some(if refused { Finish::Refused } else { finish(word) });
    }
    // Moonshot counts inside of the choice.
    let counted = [&chunk["usage"], &choice["usage"]].into_iter().find(|usage| usage.is_object());
    if let Some(counted) = counted {
        draft.usage = Some(usage(counted));
    }
    Ok(())
}

/// Whether it can be a whole answer at all.
pub(super) fn is_answer(body: &Value) -> bool {
    body["choices"][0]["message"].is_object()
}

fn finish(word: &str) -> Finish {
    match word {
        "stop" | "eos" => Finish::Stop,
        "length" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" | "sensitive" => Finish::Refused,
        other => Finish::Other(other.chars().take(40).collect()),
    }
}

/// The sums contain the parts already. Who does not name the cached part names it by another name, or does not tell.
fn usage(counted: &Value) -> Usage {
    let cached = [
        &counted["prompt_tokens_details"]["cached_tokens"],
        &counted["prompt_cache_hit_tokens"],
        &counted["cached_tokens"],
    ];
    Usage {
        input_tokens: number(&counted["prompt_tokens"]),
        cached_input_tokens: cached.into_iter().map(number).find(|tokens| *tokens > 0).unwrap_or(0),
        cache_write_tokens: 0,
        output_tokens: number(&counted["completion_tokens"]),
        reasoning_tokens: number(&counted["completion_tokens_details"]["reasoning_tokens"]),
    }
}

/// The error in a body or chunk, whatever its HTTP status: OpenAI's `error`, Baidu's `error_code`, MiniMax's
/// `base_resp`.
pub(super) fn error(body: &Value) -> Option<Said> {
    let said = |code: &Value, message: &Value| Said {
        code: code
            .as_str()
            .map_or_else(|| if code.is_null() { String::new() } else { code.to_string() }, str::to_owned),
        message: text(message).to_owned(),
        retry_after_ms: None,
    };
    let error = &body["error"];
    if error.is_object() {
        let code = if error["code"].is_null() { &error["type"] } else { &error["code"] };
        return Some(said(code, &error["message"]));
    }
    if let Some(message) = error.as_str() {
        return Some(Said { message: message.to_owned(), ..said(&body["code"], &Value::Null) });
    }
    if !body["error_code"].is_null() && number(&body["error_code"]) != 0 {
        return Some(said(&body["error_code"], &body["error_msg"]));
    }
    let base = &body["base_resp"];
    if number(&base["status_code"]) != 0 {
        return Some(said(&base["status_code"], &base["status_msg"]));
    }
    // DashScope, in its own form.
    if body["code"].is_string() && body["message"].is_string() && body["choices"].is_null() {
        return Some(said(&body["code"], &body["message"]));
    }
    None
}
