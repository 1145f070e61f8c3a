//! The table of providers: a provider is a row, its quirks are data. Addresses, keys and models are settings
//! (`[llm.providers.…]`), so any server that speaks one of the dialects is one more row there.
//!
//! Source: the providers' published references of their chat interfaces.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{self, Dialect, Hidden};
use crate::model::UserId;

/// What is special about a provider.
#[derive(Debug)]
pub struct Row {
    /// As settings and requests call it.
    pub name: &'static str,
    /// As people call it.
    pub title: &'static str,
    /// Whether it answers only to a key.
    pub needs_key: bool,
    /// Whether its tokens cost nothing, because they are made on one's own machine.
    pub free: bool,
    /// The field that limits the answer (OpenAI's dialect).
    pub max_tokens: &'static str,
    /// How it is told what the text must be.
    pub schema: Schema,
    /// Whether it can be told that a tool must be used.
    pub obeys_tool_choice: bool,
    /// How it is told how long to think.
    pub thinking: Thinking,
    /// How it wants its thoughts back.
    pub echo: Echo,
    /// Whether it must be asked to count tokens while streaming.
    pub asks_for_usage: bool,
    /// Models, by how their names begin, that refuse a temperature.
    pub fixed_temperature: &'static [&'static str],
    /// Models, by parts of their names, that think only within a number of tokens that they are given (Anthropic).
    pub thinks_in_budget: &'static [&'static str],
    /// What its own numbers of errors mean.
    pub codes: &'static [(i64, Class)],
}

/// How a provider is told what the text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// By the schema itself.
    Native,
    /// That it is a JSON object; the schema stands in the instructions.
    JsonObject,
    /// Only by the instructions.
    Words,
}

/// How a provider is told how long to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// It cannot be told, or it has a dialect of its own for it.
    Own,
    /// `reasoning_effort: "low"`
    Effort,
    /// `enable_thinking: true`
    Enable,
    /// `thinking: {"type": "enabled"}`
    Type,
}

/// How a provider of OpenAI's dialect wants its thoughts back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Not at all.
    No,
    /// As `reasoning_content` of turns that call tools.
    Field,
    /// In the text, between `<think>` and `</think>`, where it also writes them.
    Tags,
}

/// What helps against an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Another key.
    Auth,
    /// Money.
    NoCredit,
    /// Waiting for one's turn.
    RateLimited,
    /// Waiting until it is well again.
    Overloaded,
    /// A shorter conversation.
    ContextTooLong,
    /// Another request: this one is not allowed.
    Refused,
    /// Another request: this one is wrong.
    Invalid,
}

/// What holds for a server that the table does not know: OpenAI's dialect as most servers speak it.
const PLAIN: Row = Row {
    name: "",
    title: "",
    needs_key: false,
    free: false,
    max_tokens: "max_tokens",
    schema: Schema::Native,
    obeys_tool_choice: true,
    thinking: Thinking::Own,
    echo: Echo::No,
    asks_for_usage: true,
    fixed_temperature: &[],
    thinks_in_budget: &[],
    codes: &[],
};
const KEYED: Row = Row { needs_key: true, ..PLAIN };
/// Where thoughts come as `reasoning_content` and schemas are words.
const THINKER: Row = Row { schema: Schema::JsonObject, thinking: Thinking::Type, echo: Echo::Field, ..KEYED };

/// The providers that we know.
pub const TABLE: [Row; 11] = [
    Row {
        name: "openai",
        title: "OpenAI",
        max_tokens: "max_completion_tokens",
        thinking: Thinking::Effort,
        fixed_temperature: &["gpt-5", "o1", "o3", "o4"],
        ..KEYED
    },
    Row { name: "gemini", title: "Google Gemini", ..KEYED },
    Row {
        name: "anthropic",
        title: "Anthropic Claude",
        fixed_temperature: &[
            "claude-opus-4-7",
            "claude-opus-5",
            "claude-sonnet-5",
            "claude-mythos",
            "claude-fable",
        ],
        thinks_in_budget: &["-3-7-", "-4-0", "-4-1", "-4-2025", "-4-5"],
        ..KEYED
    },
    Row { name: "qwen", title: "Alibaba Qwen", thinking: Thinking::Enable, echo: Echo::No, ..THINKER },
    Row { name: "deepseek", title: "DeepSeek", ..THINKER },
    Row { name: "zhipu", title: "Zhipu GLM", asks_for_usage: false, obeys_tool_choice: false, ..THINKER },
    Row {
        name: "moonshot",
        title: "Moonshot Kimi",
        obeys_tool_choice: false,
        thinking: Thinking::Own,
        fixed_temperature: &["kimi-k2.5", "kimi-k2.6"],
        ..THINKER
    },
    Row {
        name: "baidu",
        title: "Baidu ERNIE",
        thinking: Thinking::Enable,
        echo: Echo::No,
        codes: &[
            (2, Class::Overloaded),
            (4, Class::RateLimited),
            (6, Class::Auth),
            (17, Class::NoCredit),
            (18, Class::RateLimited),
            (19, Class::RateLimited),
            (110, Class::Auth),
            (111, Class::Auth),
            (336_000, Class::Overloaded),
            (336_003, Class::Invalid),
            (336_007, Class::ContextTooLong),
            (336_100, Class::Overloaded),
            (336_103, Class::ContextTooLong),
            (336_501, Class::RateLimited),
            (336_502, Class::RateLimited),
        ],
        ..THINKER
    },
    Row {
        name: "minimax",
        title: "MiniMax",
        schema: Schema::Words,
        obeys_tool_choice: false,
        thinking: Thinking::Own,
        echo: Echo::Tags,
        codes: &[
            (1000, Class::Overloaded),
            (1001, Class::Overloaded),
            (1002, Class::RateLimited),
            (1004, Class::Auth),
            (1008, Class::NoCredit),
            (1013, Class::Overloaded),
            (1026, Class::Refused),
            (1027, Class::Refused),
            (1033, Class::Overloaded),
            (1039, Class::RateLimited),
            (2013, Class::Invalid),
            (2049, Class::Auth),
        ],
        ..THINKER
    },
    Row { name: "doubao", title: "ByteDance Doubao", ..THINKER },
    Row { name: "ollama", title: "Ollama", needs_key: false, free: true, ..PLAIN },
];

/// Servers of the configuration that the table does not know may think in tags, as many do that run open models.
static UNKNOWN: Row = Row { echo: Echo::Tags, ..PLAIN };

/// A provider as it is asked now: its row, its settings, and the key of whoever asks.
#[derive(Clone, Debug)]
pub struct Provider {
    /// As settings and requests call it.
    pub name: String,
    /// What is special about it.
    pub row: &'static Row,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it is, without a slash at the end.
    pub base_url: String,
    /// What it is asked with.
    pub key: Option<Hidden>,
    /// Whose key and address these are; `None`: the server's, whose address may be private.
    pub owner: Option<UserId>,
    /// Models to offer, the default first.
    pub models: Vec<String>,
    /// Whether its tokens cost nothing.
    pub free: bool,
    /// Requests a minute that it takes for each model; 0 is no limit.
    pub requests_per_minute: u32,
    /// Tokens a minute that it takes for each model; 0 is no limit.
    pub tokens_per_minute: u32,
    /// Whether answers come in pieces.
    pub stream: bool,
    /// Fields that every request gets besides.
    pub extra: BTreeMap<String, Value>,
}

impl Provider {
    /// From its settings.
    pub fn of(name: &str, settings: &config::LlmProvider) -> Self {
        static ROWS: [Row; 11] = TABLE;
        let row = ROWS.iter().find(|row| row.name == name).unwrap_or(&UNKNOWN);
        Self {
            name: name.to_owned(),
            row,
            dialect: settings.dialect,
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            key: Some(settings.key.clone()).filter(|key| !key.is_empty()),
            owner: None,
            models: settings.models.clone(),
            free: settings.free || row.free,
            requests_per_minute: settings.requests_per_minute,
            tokens_per_minute: settings.tokens_per_minute,
            stream: settings.stream,
            extra: settings.extra.clone(),
        }
    }

    /// As people call it.
    pub fn title(&self) -> &str {
        if self.row.title.is_empty() { &self.name } else { self.row.title }
    }

    /// Whether it can be asked as far as keys and addresses go.
    pub fn is_usable(&self) -> bool {
        !self.base_url.is_empty() && (self.key.is_some() || !self.row.needs_key)
    }

    /// Whether a model takes a temperature.
    pub fn takes_temperature(&self, model: &str) -> bool {
        !self.row.fixed_temperature.iter().any(|start| model.starts_with(start))
    }
}
