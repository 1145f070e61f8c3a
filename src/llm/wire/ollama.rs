//! Ollama's own chat, one JSON object a line.
//!
//! Source: Ollama's API documentation, "Generate a chat message".

use serde_json::{Map, Value, json};

use super::draft::{Draft, Fault, Said};
use super::{number, text};
use crate::llm::{Call, Effort, Finish, Message, Part, Role, Usage};

/// The body of a request.
pub(super) fn body(call: &Call, stream: bool) -> Value {
    let request = &call.request;
    let mut options = Map::from_iter([("num_predict".to_owned(), json!(call.max_tokens))]);
    if let Some(temperature) = request.temperature {
        options.insert("temperature".into(), json!(temperature));
    }
    if !request.stop.is_empty() {
        options.insert("stop".into(), json!(request.stop));
    }
    let messages: Vec<Value> =
        request.messages.iter().flat_map(|message| turns(message, &request.messages)).collect();
    let mut body = Map::from_iter([
        ("model".to_owned(), json!(call.model)),
        ("messages".to_owned(), Value::Array(messages)),
        ("options".to_owned(), Value::Object(options)),
        ("stream".to_owned(), json!(stream)),
    ]);
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| json!({"type": "function", "function": tool}));
        body.insert("tools".into(), tools.collect());
    }
    if let Some(wanted) = &request.response_schema {
        body.insert("format".into(), wanted.schema.clone());
    }
    if let Some(effort) = request.effort {
        body.insert("think".into(), json!(effort != Effort::Off));
    }
    Value::Object(body)
}

fn turns(message: &Message, all: &[Message]) -> Vec<Value> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => {
            let results = message.parts.iter().filter_map(|part| match part {
                Part::ToolResult { call_id, content, .. } => {
                    let call = all.iter().flat_map(Message::tool_calls).find(|call| call.id == *call_id);
                    let name = call.map_or("", |call| call.name.as_str());
                    Some(json!({"role": "tool", "tool_name": name, "content": content}))
                }
                _ => None,
            });
            return results.collect();
        }
    };
    let mut turn = json!({"role": role, "content": message.words()});
    let images: Vec<&str> = message
        .parts
        .iter()
        .filter_map(|part| if let Part::Image { data, .. } = part { Some(data.as_str()) } else { None })
        .collect();
    if !images.is_empty() {
        turn["images"] = json!(images);
    }
    let calls: Vec<Value> = message
        .tool_calls()
        .map(|call| json!({"function": {"name": call.name, "arguments": call.arguments_object()}}))
        .collect();
    if !calls.is_empty() {
        turn["tool_calls"] = json!(calls);
    }
    vec![turn]
}

/// Reads a line of a stream, or a whole answer: both have the same form.
pub(super) fn read(draft: &mut Draft, line: &Value) -> Result<(), Fault> {
    if let Some(said) = error(line) {
        return Err(Fault::Said(said));
    }
    let message = &line["message"];
    draft.reasoning(text(&message["thinking"]))?;
    if let Some(words) = message["content"].as_str().filter(|words| !words.is_empty()) {
        draft.text(words)?;
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        let slot = draft.calls() as u64;
        draft.call(slot, text(&call["id"]), text(&function["name"]), &function["arguments"].to_string())?;
    }
    if line["done"] == true {
        draft.finish = Some(match text(&line["done_reason"]) {
            "" | "stop" => Finish::Stop,
            "length" => Finish::Length,
            other => Finish::Other(other.chars().take(40).collect()),
        });
        if line["eval_count"].is_number() || line["prompt_eval_count"].is_number() {
            draft.usage = Some(Usage {
                input_tokens: number(&line["prompt_eval_count"]),
                output_tokens: number(&line["eval_count"]),
                ..Usage::default()
            });
        }
        draft.ended = true;
    }
    Ok(())
}

/// Whether it can be a whole answer at all.
pub(super) fn is_answer(body: &Value) -> bool {
    body["message"].is_object()
}

/// The error in a body or line.
pub(super) fn error(body: &Value) -> Option<Said> {
    let message = body["error"].as_str()?.to_owned();
    Some(Said { code: String::new(), message, retry_after_ms: None })
}
