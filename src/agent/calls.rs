//! Does what the model asks for, one call after the other, and tells it what came of each.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::clip::clip;
use super::state::Ended;
use super::stuck::Turn;
use super::task::Limit;
use super::tools::{self, Effect, Entry, Reply};
use super::voice::GATHER;
use super::workflow::{Next, Workflow};
use crate::jobs::Failure;
use crate::llm::{Message, ToolCall};

/// What an event shows of an argument or a result.
const SHOWN: usize = 4 << 10;

/// What came of a call.
#[derive(Default)]
struct Done {
    /// For the model.
    content: String,
    failed: bool,
    /// The step that its changes are.
    step: Option<usize>,
    submitted: Option<Value>,
    /// It started a program.
    ran: bool,
    /// A person is asked first.
    waits: bool,
    /// It took so long that whoever watches knows of the call.
    told: bool,
}

impl Workflow<'_> {
    /// Does these calls, which are those of the last answer that have no result yet.
    pub(super) async fn act(&mut self, calls: Vec<ToolCall>) -> Result<Next, Failure> {
        let (mut done, mut submitted) = (Vec::new(), None);
        for call in calls {
            if self.met_limit() == Some(Limit::Time) {
                return Ok(Next::End(Ended::Limit { limit: Limit::Time }));
            }
            let result = self.call(&call, submitted.is_some()).await?;
            if result.waits {
                return Ok(Next::Wait);
            }
            let compared = comparable(&call, &result);
            submitted = submitted.or(result.submitted);
            done.push((call.name.clone(), call.arguments_text(), compared, result.failed));
            self.push(Message::result(call.id.clone(), result.content, result.failed));
            if result.ran {
                // What a program did is not undone by doing it again.
                self.state.started = None;
            }
            // A quick look is repeated after a crash; what has changed something, or was told of, is not.
            if result.ran || result.step.is_some() || result.told {
                self.save().await?;
            }
        }
        if let Some(value) = submitted {
            return Ok(Next::Submitted(value));
        }
        let failed = done.iter().all(|(.., failed)| *failed);
        let parts = done.iter().map(|(name, arguments, result, _)| [name.as_str(), arguments, result]);
        self.state.turns.push(Turn::of_calls(parts, failed));
        if let Some(pattern) = self.state.turns.pattern() {
            return self.recover(pattern.describe()).await;
        }
        Ok(Next::Same)
    }

    async fn call(&mut self, call: &ToolCall, is_over: bool) -> Result<Done, Failure> {
        let found = self.find(&call.name, is_over);
        let effect = found.as_ref().map_or(Effect::Look, |tool| tool.effect);
        let interrupted = self.state.started.as_deref() == Some(call.id.as_str());
        let asked = self.state.open_approval().is_some_and(|open| open.id == call.id);
        if !asked {
            let data = json!({ "call_id": call.id, "name": call.name, "arguments": shown(&call.arguments) });
            self.voice.say("tool_call", Some(&call.name), &data).await;
        }
        if effect == Effect::Run && !interrupted {
            // From here on it may have happened.
            self.state.started = Some(call.id.clone());
            self.state.outputs += 1;
            self.save().await?;
        }
        self.voice.expect_output_of(&call.id);
        let begun = Instant::now();
        let reply = match found {
            Ok(_) if interrupted => Err(tools::Error::Interrupted),
            Ok(tool) => self.voice.during(tool.call(call.arguments.clone(), &self.bench())).await,
            Err(error) => Err(error),
        };
        if matches!(reply, Err(tools::Error::Stopped)) || self.site.context.stop().is_cancelled() {
            return Err(self.site.context.stopped());
        }
        let reply = match reply {
            Ok(Reply { question: Some(question), .. }) => match self.decision(call, question).await? {
                Some(note) => Ok(Reply::note(note)),
                None => return Ok(Done { waits: true, ..Done::default() }),
            },
            other => other,
        };
        let changes = effect == Effect::Run || (effect == Effect::Change && reply.is_ok());
        let step = if changes { self.keep(&name_of(call)).await? } else { None };
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.state.cost.tool_calls += 1;
        if effect == Effect::Run && !interrupted {
            self.attach_output();
        }
        let done = self.done(call, reply, step, millis).await?;
        Ok(Done { ran: effect == Effect::Run, told: begun.elapsed() >= GATHER, ..done })
    }

    /// The tool, if it may be used now.
    fn find(&self, name: &str, is_over: bool) -> Result<&'static Entry, tools::Error> {
        let tool = tools::find(name)?;
        let offered = self.offered();
        let known = || match is_over {
            true => "none; what was handed in ended this phase".to_owned(),
            false => offered.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", "),
        };
        if is_over || !offered.iter().any(|offered| offered.name == name) {
            return Err(tools::Error::NotNow { tool: name.to_owned(), known: known() });
        }
        Ok(tool)
    }

    /// Asks a person, or tells what the person said.
    async fn decision(&mut self, call: &ToolCall, question: String) -> Result<Option<String>, Failure> {
        if self.state.open_approval().is_none_or(|open| open.id != call.id) {
            self.ask(call.id.clone(), question).await?;
            return Ok(None);
        }
        Ok(self.answer().await?.map(|decision| {
            let word = if decision.approved { "Yes" } else { "No" };
            let why = decision.comment.map(|why| format!(": {why}")).unwrap_or_default();
            format!("The person who wants this project says: {word}{why}")
        }))
    }

    /// Puts a result into words for the model, and shows it to whoever watches.
    async fn done(
        &mut self,
        call: &ToolCall,
        reply: Result<Reply, tools::Error>,
        step: Option<usize>,
        millis: u64,
    ) -> Result<Done, Failure> {
        let numbered = numbered(step);
        let mut data =
            json!({ "call_id": call.id, "name": call.name, "ok": reply.is_ok(), "millis": millis });
        let (note, content, submitted, code) = match reply {
            Ok(Reply { note, data: shows, artifact, submitted, .. }) => {
                let mut content = format!("{note}{numbered}");
                if let Some(path) = artifact {
                    data["artifact"] = path.into();
                }
                if let Some((from, text)) = shows {
                    data["output"] = clip(&text, SHOWN, "the transcript has all of it").into();
                    content += &format!("\n{}", self.fence(&from, &text));
                }
                (note, content, submitted, None)
            }
            Err(error) => {
                let note = error.to_string();
                let mut content = format!("{note}{numbered}");
                if let Some((from, text)) = error.quote() {
                    content += &format!("\n{}", self.fence(from, text));
                }
                (note, content, None, Some(error.code()))
            }
        };
        if let Some(code) = code {
            data["error_code"] = code.into();
        }
        if let Some(step) = step {
            data["step"] = step.into();
        }
        self.voice.say("tool_result", Some(&clip(&note, SHOWN, "the transcript has all of it")), &data).await;
        self.write(
            "tool",
            json!({ "call_id": call.id, "name": call.name, "error": code, "millis": millis, "step": step }),
        );
        Ok(Done { content, failed: code.is_some(), step, submitted, ..Done::default() })
    }
}

/// A step's name in the history.
fn name_of(call: &ToolCall) -> String {
    let about =
        ["path", "command"].iter().find_map(|name| call.arguments.get(name)?.as_str()).unwrap_or_default();
    let about: String = about.lines().next().unwrap_or_default().chars().take(100).collect();
    format!("{} {about}", call.name).trim_end().to_owned()
}

/// How a result names its step.
fn numbered(step: Option<usize>) -> String {
    step.map(|step| format!(" [step {step}]")).unwrap_or_default()
}

/// The result of a call as far as two of them can be compared: no two steps have the same number, and programs tell
/// times that are never the same.
fn comparable(call: &ToolCall, done: &Done) -> String {
    let content = done.content.replacen(&numbered(done.step), "", usize::from(done.step.is_some()));
    let runs = tools::find(&call.name).is_ok_and(|tool| tool.effect == Effect::Run);
    if !runs {
        return content;
    }
    let same = |letter: char| if letter.is_ascii_digit() { '0' } else { letter };
    // The mark of the fence depends on every digit.
    let lines = content.lines().filter(|line| !line.starts_with("<data ") && !line.starts_with("</data "));
    lines.flat_map(|line| line.chars().map(same).chain(['\n'])).collect()
}

/// Arguments as an event shows them.
fn shown(arguments: &Value) -> Value {
    match arguments {
        Value::String(text) => clip(text, SHOWN, "the transcript has all of it").into(),
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        other => other.clone(),
    }
}
