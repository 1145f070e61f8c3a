//! Gemini's `generateContent`.
//!
//! Source: Google's API reference, "Generating content", v1beta.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::draft::{Draft, Fault, Said};
use super::{number, text};
use crate::llm::providers::Provider;
use crate::llm::{Call, Effort, Finish, Message, Part, Request, Role, ToolChoice, Usage};

/// The body of a request.
pub(super) fn body(provider: &Provider, call: &Call) -> Value {
    let request = &call.request;
    let mut body = Map::new();
    let system = super::system_words(&request.messages);
    if !system.is_empty() {
        body.insert("systemInstruction".into(), json!({"parts": [{"text": system}]}));
    }
    body.insert("contents".into(), Value::Array(turns(&request.messages)));
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                json!({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters})
            })
            .collect();
        body.insert("tools".into(), json!([{"functionDeclarations": tools}]));
        let config = match &request.tool_choice {
            ToolChoice::Auto => json!({"mode": "AUTO"}),
            ToolChoice::None => json!({"mode": "NONE"}),
            ToolChoice::Required => json!({"mode": "ANY"}),
            ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        };
        body.insert("toolConfig".into(), json!({"functionCallingConfig": config}));
    }
    body.insert("generationConfig".into(), Value::Object(generation(provider, call, request)));
    Value::Object(body)
}

fn generation(provider: &Provider, call: &Call, request: &Request) -> Map<String, Value> {
    let mut config = Map::from_iter([("maxOutputTokens".to_owned(), json!(call.max_tokens))]);
    if let Some(temperature) = request.temperature.filter(|_| provider.takes_temperature(&call.model)) {
        config.insert("temperature".into(), json!(temperature));
    }
    if !request.stop.is_empty() {
        config.insert("stopSequences".into(), json!(request.stop));
    }
    if let Some(wanted) = &request.response_schema {
        config.insert("responseMimeType".into(), json!("application/json"));
        config.insert("responseJsonSchema".into(), wanted.schema.clone());
    }
    if let Some(effort) = request.effort {
        // Up to 2.5 the depth of thought is a number of tokens, since 3 it is a word.
        let counts = ["gemini-1", "gemini-2"].iter().any(|start| call.model.starts_with(start));
        let most = call.max_tokens / 2;
        let thinking = match effort {
            // The large ones always think a little.
            Effort::Off if counts => {
                json!({"thinkingBudget": if call.model.contains("pro") { 128 } else { 0 }})
            }
            Effort::Low if counts => json!({"thinkingBudget": most.min(1024), "includeThoughts": true}),
            Effort::Medium if counts => json!({"thinkingBudget": most.min(8192), "includeThoughts": true}),
            Effort::High if counts => json!({"thinkingBudget": most.min(24_576), "includeThoughts": true}),
            Effort::Off | Effort::Low => json!({"thinkingLevel": "low", "includeThoughts": true}),
            Effort::Medium | Effort::High => json!({"thinkingLevel": "high", "includeThoughts": true}),
        };
        config.insert("thinkingConfig".into(), thinking);
    }
    config
}

/// User and model take turns. A result names its function, which only the call knows.
fn turns(messages: &[Message]) -> Vec<Value> {
    let names: HashMap<&str, &str> = messages
        .iter()
        .flat_map(Message::tool_calls)
        .map(|call| (call.id.as_str(), call.name.as_str()))
        .collect();
    let mut turns: Vec<Value> = Vec::new();
    for message in messages {
        let role = match message.role {
            Role::System => continue,
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        let parts: Vec<Value> = message.parts.iter().filter_map(|part| piece(part, &names)).collect();
        if parts.is_empty() {
            continue;
        }
        match turns
            .last_mut()
            .filter(|turn| turn["role"] == role)
            .and_then(|turn| turn["parts"].as_array_mut())
        {
            Some(known) => known.extend(parts),
            None => turns.push(json!({"role": role, "parts": parts})),
        }
    }
    turns
}

fn piece(part: &Part, names: &HashMap<&str, &str>) -> Option<Value> {
    Some(match part {
        Part::Text { text } if text.is_empty() => return None,
        Part::Text { text } => json!({"text": text}),
        Part::Reasoning { .. } => return None,
        Part::Image { media_type, data } => json!({"inlineData": {"mimeType": media_type, "data": data}}),
        Part::ToolCall(call) => {
            let mut piece = json!({"functionCall": {"name": call.name, "args": call.arguments_object()}});
            if let Some(signature) = call.signature.as_ref().filter(|signature| signature.dialect == "gemini")
            {
                piece["thoughtSignature"] = json!(signature.data);
            }
            piece
        }
        Part::ToolResult { call_id, content, is_error } => {
            let name = names.get(call_id.as_str()).copied().unwrap_or("unknown");
            let field = if *is_error { "error" } else { "output" };
            json!({"functionResponse": {"name": name, "response": {field: content}}})
        }
    })
}

/// Reads a chunk of a stream, or a whole answer: both have the same form.
pub(super) fn read(draft: &mut Draft, chunk: &Value) -> Result<(), Fault> {
    if let Some(said) = error(chunk) {
        return Err(Fault::Said(said));
    }
    if let Some(reason) = chunk["promptFeedback"]["blockReason"].as_str() {
        let message = format!("the prompt was blocked: {reason}");
        return Err(Fault::Said(Said { code: "content_filter".to_owned(), message, retry_after_ms: None }));
    }
    let candidate = &chunk["candidates"][0];
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        let call = &part["functionCall"];
        if call.is_object() {
            let arguments = if call["args"].is_null() { "{}".to_owned() } else { call["args"].to_string() };
            // A call comes whole, and the next one is another one.
            let slot = draft.calls() as u64;
            draft.call(slot, text(&call["id"]), text(&call["name"]), &arguments)?;
            if let Some(signature) = part["thoughtSignature"].as_str() {
                draft.sign(signature)?;
            }
        } else if part["thought"] == true {
            draft.reasoning(text(&part["text"]))?;
        } else {
            draft.text(text(&part["text"]))?;
        }
    }
    if let Some(word) = candidate["finishReason"].as_str() {
        draft.finish = Some(finish(word));
    }
    let counted = &chunk["usageMetadata"];
    if counted.is_object() {
        let thoughts = number(&counted["thoughtsTokenCount"]);
        draft.usage = Some(Usage {
            input_tokens: number(&counted["promptTokenCount"])
                .saturating_add(number(&counted["toolUsePromptTokenCount"])),
            cached_input_tokens: number(&counted["cachedContentTokenCount"]),
            cache_write_tokens: 0,
            output_tokens: number(&counted["candidatesTokenCount"]).saturating_add(thoughts),
            reasoning_tokens: thoughts,
        });
    }
    Ok(())
}

/// Whether it can be a whole answer at all.
pub(super) fn is_answer(body: &Value) -> bool {
    body["candidates"].is_array()
}

fn finish(word: &str) -> Finish {
    match word {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" => Finish::Refused,
        other => Finish::Other(other.chars().take(40).collect()),
    }
}

/// The error in a body or chunk. A stream that failed at its start may come as a list of one.
pub(super) fn error(body: &Value) -> Option<Said> {
    let error = if body.is_array() { &body[0]["error"] } else { &body["error"] };
    if !error.is_object() {
        return None;
    }
    let details = error["details"].as_array();
    let detail = |kind: &str| {
        let mut all = details.into_iter().flatten();
        all.find(|detail| text(&detail["@type"]).ends_with(kind))
    };
    let wait =
        detail("google.rpc.RetryInfo").and_then(|info| super::refusal::span(text(&info["retryDelay"])));
    let reason =
        detail("google.rpc.ErrorInfo").map(|info| text(&info["reason"])).filter(|reason| !reason.is_empty());
    Some(Said {
        code: reason.unwrap_or_else(|| text(&error["status"])).to_owned(),
        message: text(&error["message"]).to_owned(),
        retry_after_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    })
}
