//! Anthropic's messages.
//!
//! Source: Anthropic's API reference, "Messages" and "Streaming messages".

use serde_json::{Map, Value, json};

use super::draft::{Draft, Fault, Said};
use super::{number, text};
use crate::llm::providers::Provider;
use crate::llm::{Call, Effort, Finish, Message, Part, Role, ToolChoice, Usage};

/// The dialect's date; it has not changed since.
pub(super) const VERSION: &str = "2023-06-01";
/// Marks the signatures of thoughts that came encrypted; no signature of others begins like this.
const REDACTED: &str = "redacted:";

/// The body of a request.
pub(super) fn body(provider: &Provider, call: &Call, stream: bool) -> Value {
    let request = &call.request;
    let mut body = Map::new();
    body.insert("model".into(), json!(call.model));
    body.insert("max_tokens".into(), json!(call.max_tokens));
    let mut turns = turns(&request.messages);
    let system = super::system_words(&request.messages);
    if request.tools.is_empty() {
        if !system.is_empty() {
            body.insert("system".into(), json!(system));
        }
    } else {
        // A conversation with tools is sent again and again: what was sent before is read from the cache.
        let mark = json!({"type": "ephemeral"});
        if !system.is_empty() {
            body.insert("system".into(), json!([{"type": "text", "text": system, "cache_control": mark}]));
        }
        if let Some(last) = turns.last_mut().and_then(|turn| turn["content"].as_array_mut()?.last_mut()) {
            last["cache_control"] = mark;
        }
        let tools = request.tools.iter().map(
            |tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}),
        );
        body.insert("tools".into(), tools.collect());
        let choice = match &request.tool_choice {
            ToolChoice::Auto => json!({"type": "auto"}),
            ToolChoice::None => json!({"type": "none"}),
            // A model that thinks cannot be forced to call.
            _ if thinks(request.effort) => json!({"type": "auto"}),
            ToolChoice::Required => json!({"type": "any"}),
            ToolChoice::Tool(name) => json!({"type": "tool", "name": name}),
        };
        body.insert("tool_choice".into(), choice);
    }
    body.insert("messages".into(), Value::Array(turns));
    let mut output = Map::new();
    if let Some(wanted) = &request.response_schema {
        output.insert("format".into(), json!({"type": "json_schema", "schema": wanted.schema}));
    }
    if let Some(effort) = request.effort.filter(|effort| *effort != Effort::Off) {
        if provider.row.thinks_in_budget.iter().any(|part| call.model.contains(part)) {
            body.extend(budget(effort, call.max_tokens));
        } else {
            body.insert("thinking".into(), json!({"type": "adaptive"}));
            output.insert("effort".into(), json!(effort));
        }
    }
    if !output.is_empty() {
        body.insert("output_config".into(), Value::Object(output));
    }
    // A model that thinks takes no temperature.
    let temperature = request.temperature.filter(|_| provider.takes_temperature(&call.model));
    if let Some(temperature) = temperature.filter(|_| !thinks(request.effort)) {
        body.insert("temperature".into(), json!(temperature));
    }
    if !request.stop.is_empty() {
        body.insert("stop_sequences".into(), json!(request.stop));
    }
    if stream {
        body.insert("stream".into(), json!(true));
    }
    Value::Object(body)
}

fn thinks(effort: Option<Effort>) -> bool {
    effort.is_some_and(|effort| effort != Effort::Off)
}

/// At least 1024 tokens, and fewer than the whole answer may have; `None` where there is no room.
fn budget(effort: Effort, max_tokens: u32) -> Option<(String, Value)> {
    let share = match effort {
        Effort::Off => return None,
        Effort::Low => max_tokens / 4,
        Effort::Medium => max_tokens / 2,
        Effort::High => max_tokens / 4 * 3,
    };
    let tokens = share.max(1024);
    (tokens < max_tokens)
        .then(|| ("thinking".to_owned(), json!({"type": "enabled", "budget_tokens": tokens})))
}

/// User and assistant take turns: what follows one another from one side is one turn.
fn turns(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<Value> = Vec::new();
    for message in messages {
        let role = match message.role {
            Role::System => continue,
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let blocks: Vec<Value> = message.parts.iter().filter_map(block).collect();
        if blocks.is_empty() {
            continue;
        }
        match turns
            .last_mut()
            .filter(|turn| turn["role"] == role)
            .and_then(|turn| turn["content"].as_array_mut())
        {
            Some(content) => content.extend(blocks),
            None => turns.push(json!({"role": role, "content": blocks})),
        }
    }
    turns
}

fn block(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Text { text } if text.trim().is_empty() => return None,
        Part::Text { text } => json!({"type": "text", "text": text}),
        // Thoughts go back only with their proof.
        Part::Reasoning { text, signature } => {
            let signature = signature.as_ref().filter(|signature| signature.dialect == "anthropic")?;
            match signature.data.strip_prefix(REDACTED) {
                Some(data) => json!({"type": "redacted_thinking", "data": data}),
                None => json!({"type": "thinking", "thinking": text, "signature": signature.data}),
            }
        }
        Part::Image { media_type, data } => {
            json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}})
        }
        Part::ToolCall(call) => {
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments_object()})
        }
        Part::ToolResult { call_id, content, is_error } => {
            json!({"type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": is_error})
        }
    })
}

/// Reads an event of a stream.
pub(super) fn read(draft: &mut Draft, event: &Value) -> Result<(), Fault> {
    match text(&event["type"]) {
        "message_start" => count(draft, &event["message"]["usage"]),
        "content_block_start" => begin(draft, number(&event["index"]), &event["content_block"])?,
        "content_block_delta" => {
            let delta = &event["delta"];
            match text(&delta["type"]) {
                "text_delta" => draft.text(text(&delta["text"]))?,
                "thinking_delta" => draft.reasoning(text(&delta["thinking"]))?,
                "signature_delta" => draft.sign(text(&delta["signature"]))?,
                "input_json_delta" => {
                    let slot = number(&event["index"]).unsigned_abs();
                    draft.call(slot, "", "", text(&delta["partial_json"]))?;
                }
                _ => {}
            }
        }
        "message_delta" => {
            count(draft, &event["usage"]);
            stop(draft, &event["delta"]["stop_reason"]);
        }
        "message_stop" => draft.ended = true,
        "error" => return Err(Fault::Said(error(event).unwrap_or_default())),
        // `ping`, and whatever is added later.
        _ => {}
    }
    Ok(())
}

/// Reads a whole answer.
pub(super) fn read_whole(draft: &mut Draft, body: &Value) -> Result<(), Fault> {
    let Some(blocks) = body["content"].as_array() else {
        return Err(Fault::Unreadable("no content".to_owned()));
    };
    for (place, block) in blocks.iter().enumerate() {
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        begin(draft, place, block)?;
        if block["type"] == "tool_use" {
            draft.call(place.unsigned_abs(), "", "", &block["input"].to_string())?;
        }
    }
    count(draft, &body["usage"]);
    stop(draft, &body["stop_reason"]);
    draft.ended = true;
    Ok(())
}

/// A block begins; in a stream it is still empty.
fn begin(draft: &mut Draft, place: i64, block: &Value) -> Result<(), Fault> {
    match text(&block["type"]) {
        "text" => draft.text(text(&block["text"])),
        "thinking" => {
            draft.new_reasoning();
            draft.reasoning(text(&block["thinking"]))?;
            match text(&block["signature"]) {
                "" => Ok(()),
                signature => draft.sign(signature),
            }
        }
        "redacted_thinking" => {
            draft.new_reasoning();
            draft.sign(&format!("{REDACTED}{}", text(&block["data"])))
        }
        "tool_use" => draft.call(place.unsigned_abs(), text(&block["id"]), text(&block["name"]), ""),
        _ => Ok(()),
    }
}

fn stop(draft: &mut Draft, word: &Value) {
    draft.finish = Some(match text(word) {
        "" => return,
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refused,
        other => Finish::Other(other.chars().take(40).collect()),
    });
}

/// `input_tokens` are those that neither came from the cache nor went into it. The end of a stream counts again, and
/// does not always repeat everything.
fn count(draft: &mut Draft, counted: &Value) {
    if !counted.is_object() {
        return;
    }
    let known = draft.usage.unwrap_or_default();
    let fresh = |field: &str, known: i64| counted[field].as_i64().unwrap_or(known);
    let uncached = known.input_tokens - known.cached_input_tokens - known.cache_write_tokens;
    let uncached = fresh("input_tokens", uncached);
    let cached = fresh("cache_read_input_tokens", known.cached_input_tokens);
    let written = fresh("cache_creation_input_tokens", known.cache_write_tokens);
    draft.usage = Some(Usage {
        input_tokens: uncached.saturating_add(cached).saturating_add(written),
        cached_input_tokens: cached,
        cache_write_tokens: written,
        output_tokens: fresh("output_tokens", known.output_tokens),
        reasoning_tokens: known.reasoning_tokens,
    });
}

/// The error in a body or event.
pub(super) fn error(body: &Value) -> Option<Said> {
    let error = body["error"].as_object()?;
    let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Said { code: field("type"), message: field("message"), retry_after_ms: None })
}
