//! Models: replayed conversations with every provider, in the forms that the providers publish.

mod budgets;
mod doors;
mod failures;
mod pieces;
mod replays;
mod requests;

use std::sync::Arc;

use codeyard::clock::Clock;
use codeyard::config::Config;
use codeyard::llm::providers::Provider;
use codeyard::llm::{
    Answer, Choice, Delta, Error, Llm, Message, Part, Reply, Request, Role, Spender, Target, ToolCall, Usage,
};
use codeyard::store::Store;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;
use crate::support::replay::Replay;

/// A provider whose conversation stands in `recordings/`, what it counted there, and what that costs by its list.
struct Recorded {
    name: &'static str,
    model: &'static str,
    thinks: bool,
    ids: [&'static str; 2],
    usage: Usage,
    cost_micros: Option<i64>,
}

const fn usage(input: i64, cached: i64, written: i64, output: i64, reasoning: i64) -> Usage {
    Usage {
        input_tokens: input,
        cached_input_tokens: cached,
        cache_write_tokens: written,
        output_tokens: output,
        reasoning_tokens: reasoning,
    }
}

const CALLS: [&str; 2] = ["call_a", "call_b"];
const OURS: [&str; 2] = ["call_0", "call_1"];

/// The costs are worked out by hand, from the counts as the provider writes them: a comment shows how.
const RECORDED: [Recorded; 11] = [
    // 286 at 0.25, 1024 at 0.025, 215 at 2: 71.5 + 25.6 + 430 = 527.1
    recorded("openai", "gpt-5-mini", false, CALLS, usage(1310, 1024, 0, 215, 128), Some(528)),
    // 37 at 3, 1200 at 3.75, 800 at 0.3, 90 at 15: 111 + 4500 + 240 + 1350
    recorded(
        "anthropic",
        "claude-sonnet-4-6",
        true,
        ["toolu_a", "toolu_b"],
        usage(2037, 800, 1200, 90, 0),
        Some(6201),
    ),
    // 1000 at 0.3, 500 at 0.03, 160 at 2.5: 300 + 15 + 400
    recorded("gemini", "gemini-2.5-flash", true, OURS, usage(1500, 500, 0, 160, 100), Some(715)),
    // 644 at 1.2, 256 at 0.24, 77 at 6: 772.8 + 61.44 + 462 = 1296.24
    recorded("qwen", "qwen3-max", true, CALLS, usage(900, 256, 0, 77, 40), Some(1297)),
    // 360 at 0.28, 640 at 0.028, 50 at 0.42: 100.8 + 17.92 + 21 = 139.72
    recorded("deepseek", "deepseek-chat", true, CALLS, usage(1000, 640, 0, 50, 0), Some(140)),
    // 757 at 0.6, 43 at 0.11, 61 at 2.2: 454.2 + 4.73 + 134.2 = 593.13
    recorded("zhipu", "glm-4.6", true, CALLS, usage(800, 43, 0, 61, 0), Some(594)),
    // 188 at 0.6, 512 at 0.1, 88 at 3: 112.8 + 51.2 + 264
    recorded("moonshot", "kimi-k2.5", true, CALLS, usage(700, 512, 0, 88, 0), Some(428)),
    recorded("baidu", "ernie-4.5-turbo-128k", false, CALLS, usage(300, 0, 0, 45, 0), None),
    // 450 at 0.3, 66 at 1.2: 135 + 79.2
    recorded("minimax", "MiniMax-M2.5", true, CALLS, usage(450, 0, 0, 66, 0), Some(215)),
    recorded("doubao", "doubao-seed-1-6-251015", true, CALLS, usage(350, 64, 0, 52, 20), None),
    recorded("ollama", "qwen3:8b", true, OURS, usage(26, 0, 0, 298, 0), Some(0)),
];

const fn recorded(
    name: &'static str,
    model: &'static str,
    thinks: bool,
    ids: [&'static str; 2],
    usage: Usage,
    cost_micros: Option<i64>,
) -> Recorded {
    Recorded { name, model, thinks, ids, usage, cost_micros }
}

impl Recorded {
    fn stream(&self) -> String {
        read(&format!("{}.stream", self.name))
    }

    fn whole(&self) -> String {
        read(&format!("{}.json", self.name))
    }

    /// How its streams are labelled.
    fn kind(&self) -> &'static str {
        if self.name == "ollama" { "application/x-ndjson" } else { "text/event-stream" }
    }

    /// The provider as the default settings have it, with a key.
    fn provider(&self) -> Provider {
        let settings = &Config::defaults().unwrap().llm.providers[self.name];
        Provider { key: Some(codeyard::config::Hidden::new("key")), ..Provider::of(self.name, settings) }
    }

    /// Checks that a reply says what all recordings say.
    fn check(&self, reply: &Reply, about: &str) {
        assert_eq!(reply.message.words(), WORDS, "{} {about}", self.name);
        let thoughts: String = reply.message.parts.iter().filter_map(thought).collect();
        assert_eq!(thoughts, if self.thinks { THOUGHTS } else { "" }, "{} {about}", self.name);
        let calls: Vec<_> = reply.message.tool_calls().map(plain).collect();
        assert_eq!(calls, called(self.ids), "{} {about}", self.name);
        assert_eq!(reply.finish, codeyard::llm::Finish::ToolCalls, "{} {about}", self.name);
        assert_eq!(reply.usage, Some(self.usage), "{} {about}", self.name);
    }
}

const WORDS: &str = "Ich schaue nach: na\u{ef}ve \u{1f980}.";
const THOUGHTS: &str = "The file comes first.";

fn called(ids: [&str; 2]) -> Vec<(String, String, Value)> {
    vec![
        (ids[0].to_owned(), "read_file".to_owned(), json!({"path": "src/main.rs"})),
        (ids[1].to_owned(), "list_files".to_owned(), json!({"dir": ".", "depth": 2})),
    ]
}

fn plain(call: &ToolCall) -> (String, String, Value) {
    (call.id.clone(), call.name.clone(), call.arguments.clone())
}

fn thought(part: &Part) -> Option<&str> {
    if let Part::Reasoning { text, .. } = part { Some(text) } else { None }
}

fn read(file: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/llm/recordings");
    std::fs::read_to_string(format!("{folder}/{file}")).unwrap()
}

/// Models on a database of their own, with all providers at `replay`.
async fn models(replay: &Replay, settings: &[(&str, &str)]) -> (TestApp, Arc<Llm>) {
    let app = TestApp::with(&at(replay, settings)).await;
    let llm = Arc::clone(&app.app.llm);
    (app, llm)
}

/// Settings that put all providers at `replay`, with keys, and let nobody wait.
fn at<'a>(replay: &'a Replay, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = Vec::new();
    for (url, key) in PLACES {
        all.push((url, replay.url()));
        if let Some(key) = key {
            all.push((key, "key"));
        }
    }
    all.push(("llm.find_ollama", "false"));
    all.push(("llm.breaker_failures", "0"));
    all.push(("database.sqlite_synchronous", "normal"));
    all.extend(settings);
    all
}

const PLACES: [(&str, Option<&str>); 11] = [
    ("llm.providers.openai.base_url", Some("llm.providers.openai.key")),
    ("llm.providers.anthropic.base_url", Some("llm.providers.anthropic.key")),
    ("llm.providers.gemini.base_url", Some("llm.providers.gemini.key")),
    ("llm.providers.qwen.base_url", Some("llm.providers.qwen.key")),
    ("llm.providers.deepseek.base_url", Some("llm.providers.deepseek.key")),
    ("llm.providers.zhipu.base_url", Some("llm.providers.zhipu.key")),
    ("llm.providers.moonshot.base_url", Some("llm.providers.moonshot.key")),
    ("llm.providers.baidu.base_url", Some("llm.providers.baidu.key")),
    ("llm.providers.minimax.base_url", Some("llm.providers.minimax.key")),
    ("llm.providers.doubao.base_url", Some("llm.providers.doubao.key")),
    ("llm.providers.ollama.base_url", None),
];

/// A model of a provider, and nobody else.
fn only(provider: &str, model: &str) -> Choice {
    let first = Target { provider: Some(provider.to_owned()), model: Some(model.to_owned()) };
    Choice { first, fallback: Vec::new() }
}

/// A short question.
fn question() -> Request {
    Request { messages: vec![Message::text(Role::User, "Which file comes first?")], ..Request::default() }
}

/// Asks, and checks that what was heard piece by piece is what the answer says.
async fn ask(llm: &Llm, who: &Spender, choice: &Choice, request: Request) -> Result<Answer, Error> {
    let mut heard = Vec::new();
    let stop = CancellationToken::new();
    let answer = llm.call(who, choice, request, &mut |delta| heard.push(delta), &stop).await;
    if let Ok(answer) = &answer {
        let words: String = heard
            .iter()
            .filter_map(|delta| if let Delta::Text { text } = delta { Some(text.as_str()) } else { None })
            .collect();
        assert_eq!(words, answer.message.words());
        let begun = heard.iter().filter(|delta| matches!(delta, Delta::ToolCall { .. })).count();
        assert_eq!(begun, answer.message.tool_calls().count());
    }
    answer
}

/// Models without a server around them, on an embedded database in `dir`.
async fn bare(dir: &std::path::Path, settings: &[(&str, &str)]) -> (Llm, Store, Clock) {
    let mut flags = vec![("data_dir".to_owned(), dir.display().to_string())];
    flags.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let config = Config::load(None, [], flags).unwrap();
    codeyard::observe::use_ring();
    let (store, clock) = (Store::open(&config).unwrap(), Clock::seeded(1));
    store.migrate().await.unwrap();
    (Llm::new(&config.llm, clock.clone(), store.clone()).unwrap(), store, clock)
}
