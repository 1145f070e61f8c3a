//! A model that plays a script, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use codeyard::llm::{
    Call, Delta, Error, Finish, Message, Model, Part, Reply, Request, Role, ToolCall, Usage,
};
use futures::future::BoxFuture;
use serde_json::{Value, json};

/// What the model does when it is asked.
#[derive(Clone)]
pub(super) enum Turn {
    /// It calls tools, after a few words.
    Calls(Vec<(&'static str, Value)>),
    /// It talks.
    Says(&'static str),
    /// It talks and is cut off.
    CutOff(&'static str),
    /// It does not want to.
    Refuses(&'static str),
    /// It fails.
    Fails(Error),
}

/// The script: how the requirements and the plan are answered, and each turn of the work.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) requirements: Vec<Turn>,
    pub(super) plan: Vec<Turn>,
    pub(super) work: Vec<Turn>,
    /// What is played when the work is over; none: `finish`.
    pub(super) encore: Option<Turn>,
    /// The work is played one turn after the other, whatever the conversation holds: it may have been summed up.
    pub(super) in_order: bool,
}

/// The model.
pub(super) struct Scripted {
    script: Script,
    asked: Mutex<Vec<Request>>,
    /// Turns of each part that were played: a failure or a cut is no turn of the conversation, so it is counted here.
    played: Mutex<[usize; 3]>,
    /// How long it takes to begin with an answer.
    slowness: Duration,
    /// How many wait for an answer, and how many did at the most.
    waiting: Mutex<(usize, usize)>,
}

/// A call of one tool.
pub(super) fn call(tool: &'static str, arguments: Value) -> Turn {
    Turn::Calls(vec![(tool, arguments)])
}

/// Writes a file.
pub(super) fn write(path: &str, content: &str) -> (&'static str, Value) {
    ("write_file", json!({"path": path, "content": content}))
}

impl Script {
    /// Plausible requirements and a plan of these files, then this work.
    pub(super) fn new(files: &[&str], work: Vec<Turn>) -> Self {
        let requirements = json!({"summary": "Counts words.", "language": "python",
            "features": ["counts words"], "acceptance": ["`wc.py FILE` prints a number"]});
        let files: Vec<Value> = files.iter().map(|path| json!({"path": path, "purpose": "needed"})).collect();
        let plan = json!({"summary": "One module, one test.", "files": files, "steps": ["write", "test"]});
        Self {
            requirements: vec![call("submit_requirements", requirements)],
            plan: vec![call("submit_plan", plan)],
            work,
            encore: None,
            in_order: false,
        }
    }
}

impl Scripted {
    pub(super) fn new(script: Script) -> Arc<Self> {
        Self::slow(script, Duration::ZERO)
    }

    /// One that takes its time.
    pub(super) fn slow(script: Script, slowness: Duration) -> Arc<Self> {
        let (asked, played, waiting) = Default::default();
        Arc::new(Self { script, asked, played, slowness, waiting })
    }

    /// How many waited for an answer at the most.
    pub(super) fn most_at_once(&self) -> usize {
        self.waiting.lock().unwrap().1
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    /// The conversation that it was last shown, as text.
    pub(super) fn last_seen(&self) -> String {
        let asked = self.asked.lock().unwrap();
        asked.last().unwrap().messages.iter().map(|message| format!("{}\n", text_of(message))).collect()
    }

    /// What it was told about its last calls, in order.
    pub(super) fn results(&self) -> Vec<(String, bool)> {
        let asked = self.asked.lock().unwrap();
        let parts = asked.last().unwrap().messages.iter().flat_map(|message| &message.parts);
        let results = parts.filter_map(|part| match part {
            Part::ToolResult { content, is_error, .. } => Some((content.clone(), *is_error)),
            _ => None,
        });
        results.collect()
    }

    /// The turn for a request. It is found by what the conversation holds, so that a question that is asked again after
    /// a crash gets the same answer.
    fn turn(&self, request: &Request) -> Turn {
        let offers = |name: &str| request.tools.iter().any(|tool| tool.name == name);
        let (part, turns) = match () {
            () if offers("submit_requirements") => (0, &self.script.requirements),
            () if offers("submit_plan") => (1, &self.script.plan),
            () => (2, &self.script.work),
        };
        let answers = request.messages.iter().filter(|message| message.role == Role::Assistant).count();
        let failures = &mut self.played.lock().unwrap()[part];
        let turn = if self.script.in_order && part == 2 {
            // Counted as if each were a failure, in place of the answers.
            *failures += 1;
            turns.get(*failures - 1).cloned()
        } else {
            turns.get(answers + *failures).cloned()
        };
        let finish = || call("finish", json!({"summary": "Built as planned."}));
        let turn = turn.or_else(|| self.script.encore.clone()).unwrap_or_else(finish);
        *failures += usize::from(!self.script.in_order && matches!(turn, Turn::Fails(_)));
        turn
    }
}

impl Model for Scripted {
    fn ask<'a>(
        &'a self,
        asked: &'a Call,
        on: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        let turn = self.turn(&asked.request);
        let number = {
            let mut list = self.asked.lock().unwrap();
            list.push(asked.request.clone());
            list.len()
        };
        Box::pin(async move {
            if !self.slowness.is_zero() {
                {
                    let mut waiting = self.waiting.lock().unwrap();
                    waiting.0 += 1;
                    waiting.1 = waiting.1.max(waiting.0);
                }
                tokio::time::sleep(self.slowness).await;
                self.waiting.lock().unwrap().0 -= 1;
            }
            let (parts, finish) = match turn {
                Turn::Fails(error) => {
                    // What breaks off had begun; while nothing was heard, the models' own room asks again by itself.
                    if matches!(error, Error::Cut { .. }) {
                        on(Delta::Text { text: "I was about to".to_owned() });
                    }
                    return Err(error);
                }
                Turn::Says(text) => (vec![Part::Text { text: text.to_owned() }], Finish::Stop),
                Turn::CutOff(text) => (vec![Part::Text { text: text.to_owned() }], Finish::Length),
                Turn::Refuses(text) => (vec![Part::Text { text: text.to_owned() }], Finish::Refused),
                Turn::Calls(calls) => {
                    let text = format!("Turn {number}.");
                    let mut parts = vec![Part::Text { text }];
                    parts.extend(calls.into_iter().enumerate().map(|(place, (name, arguments))| {
                        let id = format!("call-{number}-{place}");
                        Part::ToolCall(ToolCall { id, name: name.to_owned(), arguments, signature: None })
                    }));
                    (parts, Finish::ToolCalls)
                }
            };
            for part in &parts {
                if let Part::Text { text } = part {
                    // In drops, as real ones do.
                    for letter in text.chars() {
                        on(Delta::Text { text: letter.to_string() });
                    }
                }
            }
            let usage = Usage { input_tokens: 1000, output_tokens: 100, ..Usage::default() };
            let message = Message { role: Role::Assistant, parts };
            Ok(Reply { message, finish, usage: Some(usage) })
        })
    }
}

fn text_of(message: &Message) -> String {
    let part = |part: &Part| match part {
        Part::Text { text } | Part::Reasoning { text, .. } => text.clone(),
        Part::ToolResult { content, .. } => content.clone(),
        Part::ToolCall(call) => format!("{}({})", call.name, call.arguments),
        Part::Image { .. } => "[picture]".to_owned(),
    };
    message.parts.iter().map(part).collect::<Vec<_>>().join("\n")
}
