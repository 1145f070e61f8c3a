//! What is said to a model and what it answers, in one form for all providers. Checkpoints and transcripts keep these
//! types, so fields are only ever added.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever set the task: rules for the whole conversation.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// What the tools returned.
    Tool,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part>,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// What the model thought before it spoke.
    Reasoning {
        /// The thoughts; empty where the provider keeps them to itself.
        text: String,
        /// The provider's proof that it thought so, to be sent back as it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<Signature>,
    },
    /// A picture.
    Image {
        /// `image/png`, `image/jpeg`, `image/gif` or `image/webp`.
        media_type: String,
        /// Its bytes in base64.
        data: String,
    },
    /// The model wants a tool to be used.
    ToolCall(ToolCall),
    /// What a tool returned.
    ToolResult {
        /// The call's id.
        call_id: String,
        /// What it returned, or what went wrong.
        content: String,
        /// Whether it went wrong.
        #[serde(default)]
        is_error: bool,
    },
}

/// Opaque data of one dialect. Another dialect does not understand it and is not sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The dialect that made it.
    pub dialect: String,
    /// As it came.
    pub data: String,
}

/// A tool that the model wants to be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call in its conversation; ours where the provider gives none.
    pub id: String,
    /// The tool, as the model calls it: it may not exist.
    pub name: String,
    /// An object; or a string, the raw text, where the model wrote what is no JSON object.
    pub arguments: Value,
    /// What the provider wants back with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// A tool that the model may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// When to use it, for the model.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
}

/// Whether the model must use tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// None.
    None,
    /// At least one. Where a provider does not know this, it is `Auto`.
    Required,
    /// This one. Where a provider does not know this, it is `Auto`.
    Tool(String),
}

/// What the text of the answer must be: JSON of this shape. Where a provider does not enforce it, the schema is part of
/// the instructions, so check what comes back ([`Answer::json`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseSchema {
    /// Letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// JSON Schema.
    pub schema: Value,
}

/// How long to think before speaking. A provider that knows only on and off takes the last three as on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// Not at all, where that can be chosen.
    Off,
    /// A little.
    Low,
    /// As it needs.
    Medium,
    /// Long.
    High,
}

/// What is asked of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The conversation so far; the last turn is not the model's.
    pub messages: Vec<Message>,
    /// Tools that it may ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: ToolChoice,
    /// What the text must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<ResponseSchema>,
    /// 0 is always the likeliest word. `None`: as the provider likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens to answer with, thoughts included. `None`: `llm.max_output_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// How long to think. `None`: as the provider likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// Texts that end the answer when the model writes one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Whether an earlier answer to the same request will do. `None`: only if the temperature is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
}

/// A piece of an answer, as it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    /// More words.
    Text {
        /// The words.
        text: String,
    },
    /// More thoughts.
    Reasoning {
        /// The thoughts.
        text: String,
    },
    /// A tool call begins; those of an answer count from 0.
    ToolCall {
        /// Which.
        index: usize,
        /// The tool.
        name: String,
    },
    /// More of a tool call's arguments.
    Arguments {
        /// Which call.
        index: usize,
        /// A piece of JSON.
        text: String,
    },
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It had said all.
    Stop,
    /// It reached the limit of tokens: the answer is not whole.
    Length,
    /// It waits for its tools.
    ToolCalls,
    /// It, or the provider's filter, does not want to answer.
    Refused,
    /// What the provider calls it, where we do not know the word.
    Other(String),
}

/// Tokens of one call, counted alike for all providers: the parts are contained in the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// All that was read, cached or not.
    pub input_tokens: i64,
    /// Of these, read from the provider's cache.
    pub cached_input_tokens: i64,
    /// Of these, written to the provider's cache.
    pub cache_write_tokens: i64,
    /// All that was written, thoughts included.
    pub output_tokens: i64,
    /// Of these, thoughts.
    pub reasoning_tokens: i64,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The model's turn, to be put behind the conversation as it is.
    pub message: Message,
    /// Why it stopped.
    pub finish: Finish,
    /// Tokens, as the provider counts.
    pub usage: Usage,
    /// The provider did not count: the tokens are our estimate.
    #[serde(default)]
    pub estimated: bool,
    /// Micro-dollars, rounded up. `None`: nobody knows the model's price.
    pub cost_micros: Option<i64>,
    /// Who answered.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// It is an earlier answer to the same request; it cost nothing.
    pub cached: bool,
    /// How often somebody was asked until this came.
    pub attempts: u32,
}

impl Message {
    /// A turn of plain words.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text { text: text.into() }] }
    }

    /// What a tool returned.
    pub fn result(call_id: impl Into<String>, content: impl Into<String>, is_error: bool) -> Self {
        let result = Part::ToolResult { call_id: call_id.into(), content: content.into(), is_error };
        Self { role: Role::Tool, parts: vec![result] }
    }

    /// All its words together.
    pub fn words(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Text { text } = part { Some(text.as_str()) } else { None })
            .collect()
    }

    /// The tools that the model wants to be used.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None })
    }
}

impl ToolCall {
    /// Reads what a model wrote as arguments: an object, or else its raw text. Nothing at all means no arguments.
    pub fn read_arguments(raw: &str) -> Value {
        if raw.trim().is_empty() {
            return Value::Object(Map::new());
        }
        match serde_json::from_str::<Map<String, Value>>(raw) {
            Ok(object) => Value::Object(object),
            Err(_) => Value::String(raw.to_owned()),
        }
    }

    /// The arguments as text: as the model wrote them, or as JSON.
    pub fn arguments_text(&self) -> String {
        match &self.arguments {
            Value::String(raw) => raw.clone(),
            arguments => arguments.to_string(),
        }
    }

    /// The arguments as they go back to the model: providers take nothing but objects.
    pub(super) fn arguments_object(&self) -> Value {
        match &self.arguments {
            Value::Object(object) => Value::Object(object.clone()),
            other => json!({ "unreadable": other }),
        }
    }
}

impl Answer {
    /// The text as JSON, also where the model put it into a fenced block.
    pub fn json(&self) -> Result<Value, serde_json::Error> {
        let words = self.message.words();
        let text = words.trim();
        let fenced = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
        serde_json::from_str(fenced.map_or(text, |rest| rest.strip_prefix("json").unwrap_or(rest)))
    }
}

impl Usage {
    /// The same with nothing negative, and no part larger than its sum: what a provider says is not believed blindly.
    #[must_use]
    pub fn checked(self) -> Self {
        /// No call has as many tokens, and sums of many such calls stay far from overflowing.
        const MOST: i64 = 1 << 36;
        let input_tokens = self.input_tokens.clamp(0, MOST);
        let output_tokens = self.output_tokens.clamp(0, MOST);
        let cached_input_tokens = self.cached_input_tokens.clamp(0, input_tokens);
        Self {
            input_tokens,
            cached_input_tokens,
            cache_write_tokens: self.cache_write_tokens.clamp(0, input_tokens - cached_input_tokens),
            output_tokens,
            reasoning_tokens: self.reasoning_tokens.clamp(0, output_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_no_object_stay_as_they_came() {
        assert_eq!(ToolCall::read_arguments(r#"{"path": "a"}"#), json!({"path": "a"}));
        assert_eq!(ToolCall::read_arguments(" "), json!({}));
        for raw in ["{\"path\": ", "[1]", "null", "rm -rf"] {
            assert_eq!(ToolCall::read_arguments(raw), json!(raw));
        }
    }

    #[test]
    fn a_part_is_never_larger_than_its_sum() {
        let usage = Usage {
            input_tokens: 10,
            cached_input_tokens: 12,
            cache_write_tokens: 5,
            output_tokens: -1,
            reasoning_tokens: 3,
        };
        let checked = usage.checked();
        assert_eq!((checked.cached_input_tokens, checked.cache_write_tokens), (10, 0));
        assert_eq!((checked.output_tokens, checked.reasoning_tokens), (0, 0));
        assert_eq!(checked.checked(), checked);
    }
}
