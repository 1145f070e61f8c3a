//! One turn of the model: it is asked, and what it says is taken down before anything is done about it.

use std::time::Duration;

use serde_json::{Value, json};

use super::condense::{self, Condensed};
use super::prompts::Prompt;
use super::state::{Ended, Phase, State};
use super::stuck::Turn;
use super::task::Limit;
use super::tools::{self, Effect, Entry, Plan, Requirements};
use super::workflow::{Next, Workflow};
use super::{bench, stuck};
use crate::jobs::Failure;
use crate::llm::{Answer, Error, Finish, Message, Part, Request, Role};

/// The rules and the task stand before the summary of what was left out.
const HEAD: usize = 2;
/// Lines of that summary.
const DIGEST: usize = 120;
/// How often a model whose answer broke off is asked again at once, before the job is put off.
const RETRIES: u32 = 2;
/// An answer within this time is written down together with what was asked.
const AT_ONCE: Duration = Duration::from_millis(50);
/// How often a conversation is shortened because the model said that it is too long.
const SHORTENINGS: u32 = 3;

impl Workflow<'_> {
    /// Does what is next in a conversation: a call that has no result yet, or a question to the model.
    pub(super) async fn turn(&mut self) -> Result<Next, Failure> {
        let open = self.state.open_calls();
        if !open.is_empty() {
            return self.act(open).await;
        }
        if let Some(limit) = self.met_limit() {
            return Ok(Next::End(Ended::Limit { limit }));
        }
        if self.state.messages.is_empty() {
            self.begin().await;
        }
        self.shorten(self.task.limits.context_tokens);
        match self.ask_model().await? {
            Ok(answer) => self.heard(answer).await,
            Err(next) => Ok(next),
        }
    }

    /// The tools of this phase.
    pub(super) fn offered(&self) -> Vec<&'static Entry> {
        let submit = match self.state.phase {
            Phase::Analyze => "submit_requirements",
            Phase::Plan => "submit_plan",
            _ => "finish",
        };
        let thinks = matches!(self.state.phase, Phase::Analyze | Phase::Plan);
        let fits = |tool: &&Entry| match tool.effect {
            _ if tool.name == "fetch_page" => self.task.reads_pages(),
            // Where there is nothing, there is nothing to look at.
            Effect::Look => !thinks || self.state.commit.is_some(),
            Effect::Change | Effect::Run => !thinks,
            Effect::Ask => !thinks && self.task.require_approval,
            Effect::Submit => tool.name == submit,
        };
        tools::ALL.iter().filter(fits).collect()
    }

    /// Opens the conversation of a phase.
    async fn begin(&mut self) {
        let network = self.task.describe_network();
        let system = self.site.prompts.fill(Prompt::System, &[("network", &network)]);
        let files = bench::with(&self.site.workspace, |workspace| workspace.list()).await.unwrap_or_default();
        let workspace = if files.is_empty() {
            String::new()
        } else {
            let list: String = files.iter().take(300).map(|path| format!("{path}\n")).collect();
            let list = self.fence("the list of files", &list);
            format!(
                "The workspace already holds {} files, which the project is to build on:\n{list}",
                files.len()
            )
        };
        let requirements = self.state.requirements.as_ref().map(Requirements::to_text).unwrap_or_default();
        let plan = self.state.plan.as_ref().map(Plan::to_text).unwrap_or_default();
        let (wishes, comments) = (self.wishes(), self.comments());
        let prompt = match self.state.phase {
            Phase::Analyze => Prompt::Analyze,
            Phase::Plan => Prompt::Plan,
            _ => Prompt::Generate,
        };
        let values = [
            ("project", self.task.project.as_str()),
            ("goal", self.task.goal.as_str()),
            ("wishes", &wishes),
            ("workspace", &workspace),
            ("requirements", &requirements),
            ("plan", &plan),
            ("comments", &comments),
        ];
        let task = self.site.prompts.fill(prompt, &values);
        self.push(Message::text(Role::System, system));
        self.push(Message::text(Role::User, task));
    }

    fn wishes(&self) -> String {
        let mut wishes = Vec::new();
        wishes.extend(
            self.task.language.as_ref().map(|language| format!("The programming language is {language}.")),
        );
        wishes.extend(self.task.test_command.as_ref().map(|line| format!("The tests are run by `{line}`.")));
        wishes.join(" ")
    }

    /// What people said so far, for prompts. It comes from whoever wanted the build, so it is no mere data.
    fn comments(&self) -> String {
        let mut comments = String::new();
        let said = self.state.approvals.iter().filter_map(|asked| asked.answer.as_ref());
        for decision in said.filter(|decision| decision.approval_id.starts_with("plan-")) {
            let word = if decision.approved { "approved" } else { "rejected" };
            let why = decision.comment.as_deref().map(|why| format!(", saying: {why}")).unwrap_or_default();
            comments += &format!("A plan was {word} by the person who wants this project{why}\n");
        }
        if let (Phase::Plan, false, Some(plan)) = (self.state.phase, comments.is_empty(), &self.state.plan) {
            comments += &format!("The plan that was rejected last:\n{}\nMake another one.\n", plan.to_text());
        }
        comments
    }

    /// Sums old parts of the conversation up, if it has more tokens than this.
    fn shorten(&mut self, limit: usize) {
        let messages = &mut self.state.messages;
        if condense::tokens(messages) <= limit {
            return;
        }
        // The former summary is made anew.
        if self.state.condensed > 0 && messages.len() > HEAD {
            messages.remove(HEAD);
        }
        let done = condense::condense(messages, limit);
        let done =
            done.unwrap_or_else(|| Condensed { messages: messages.clone(), dropped: Vec::new(), count: 0 });
        self.state.messages = done.messages;
        self.state.condensed += done.count;
        self.state.digest.extend(done.dropped);
        let surplus = self.state.digest.len().saturating_sub(DIGEST);
        self.state.digest.drain(..surplus);
        if self.state.condensed > 0 {
            let digest = self.fence("what was done", &self.state.digest.join("\n"));
            let count = self.state.condensed.to_string();
            let summary =
                self.site.prompts.fill(Prompt::Condensed, &[("count", &count), ("digest", &digest)]);
            self.state.messages.insert(HEAD, Message::text(Role::User, summary));
        }
        let tokens = condense::tokens(&self.state.messages);
        self.write_conversation(tokens);
    }

    /// Writes the conversation down as a whole.
    pub(super) fn write_conversation(&mut self, tokens: usize) {
        let State { condensed, messages, .. } = &self.state;
        let line = json!({ "messages_left_out": condensed, "tokens": tokens, "conversation": messages });
        self.write("condensed", line);
    }

    /// Asks the model until there is an answer, or there can be none.
    async fn ask_model(&mut self) -> Result<Result<Answer, Next>, Failure> {
        let (mut retries, mut shortenings) = (0, 0);
        loop {
            let error = match self.ask_once().await? {
                Some(Ok(answer)) => return Ok(Ok(answer)),
                None => return Ok(Err(Next::End(Ended::Limit { limit: Limit::Time }))),
                Some(Err(error)) => error,
            };
            self.write("trouble", json!({ "error_code": error.code(), "message": error.to_string() }));
            match &error {
                Error::Stopped => return Err(self.site.context.stopped()),
                Error::BudgetExceeded { .. } => {
                    let _ = self.site.context.log(crate::jobs::Level::Warn, &error.to_string()).await;
                    return Ok(Err(Next::End(Ended::Limit { limit: Limit::Money })));
                }
                Error::Refused { message } => {
                    return Ok(Err(Next::End(Ended::Refused { message: message.clone() })));
                }
                Error::ContextTooLong { .. } if shortenings < SHORTENINGS => {
                    shortenings += 1;
                    let now = condense::tokens(&self.state.messages);
                    self.shorten(now.min(self.task.limits.context_tokens) * 3 / 4);
                }
                error if error.is_transient() && retries < RETRIES => {
                    retries += 1;
                    let wait = error.retry_after().unwrap_or(Duration::from_secs(u64::from(retries)));
                    if wait > Duration::from_secs(30) {
                        return Err(put_off(error));
                    }
                    let what = format!("{error}; the model is asked again");
                    self.site.context.log(crate::jobs::Level::Warn, &what).await;
                    self.site.context.tell().await;
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.site.context.stop().cancelled() => return Err(self.site.context.stopped()),
                    }
                }
                error if error.is_transient() => return Err(put_off(error)),
                error => return Err(Failure::fatal(error.code(), error.to_string())),
            }
        }
    }

    /// Asks once. `None`: the build's time was up before there was an answer. What the model is told is on disk before
    /// it is waited for; only where the answer comes at once, both are written down together.
    async fn ask_once(&mut self) -> Result<Option<Result<Answer, Error>>, Failure> {
        let request = Request {
            messages: self.state.messages.clone(),
            tools: self.offered().into_iter().map(Entry::offered).collect(),
            ..Request::default()
        };
        let choice = self.task.models.of(self.state.phase);
        let (voice, site) = (self.voice, self.site);
        let mut hear = |delta| voice.hear(delta);
        let call = site.llm.call(&site.spender, choice, request, &mut hear, site.context.stop());
        let mut call = std::pin::pin!(tokio::time::timeout(self.bench().time_left, call));
        let answer = match voice.during(tokio::time::timeout(AT_ONCE, &mut call)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Side by side: a call that is being booked may hold what the state is waiting for.
                let (saved, answer) = tokio::join!(self.save_news(), voice.during(call));
                saved?;
                answer
            }
        };
        Ok(answer.ok())
    }

    /// Takes an answer down. What it asks for is done only after that.
    async fn heard(&mut self, answer: Answer) -> Result<Next, Failure> {
        self.state.cost.add(&answer);
        let Answer { mut message, finish, usage, cost_micros, provider, model, cached, attempts, .. } =
            answer;
        repair(&mut message);
        self.write(
            "answer",
            json!({ "message": message, "finish": finish, "usage": usage, "cost_micros": cost_micros,
                "provider": provider, "model": model, "cached": cached, "attempts": attempts }),
        );
        let (words, has_calls) = (message.words(), message.tool_calls().next().is_some());
        self.state.messages.push(message);
        self.tell_cost(false).await;
        if finish == Finish::Refused {
            let message = if words.is_empty() { "the model refuses to answer".to_owned() } else { words };
            return Ok(Next::End(Ended::Refused { message }));
        }
        if !has_calls {
            return self.talked(&finish, &words).await;
        }
        self.state.useless = 0;
        self.save().await?;
        Ok(Next::Same)
    }

    /// The model called no tool. Small models often cannot: what they say is taken for what they mean.
    async fn talked(&mut self, finish: &Finish, words: &str) -> Result<Next, Failure> {
        let thinks = matches!(self.state.phase, Phase::Analyze | Phase::Plan);
        if let Some(handed_in) = self.as_submission(words).filter(|_| thinks) {
            return Ok(Next::Submitted(handed_in));
        }
        self.state.useless += 1;
        self.state.turns.push(Turn::of_talk());
        if self.state.useless >= 2 && *finish == Finish::Stop && !words.trim().is_empty() {
            if thinks {
                return Ok(Next::Submitted(json!({ "summary": words })));
            }
            if self.state.commit.is_some() {
                return Ok(Next::Submitted(Value::String(words.to_owned())));
            }
        }
        if self.state.turns.pattern() == Some(stuck::Pattern::Monologue) {
            return self.recover(stuck::Pattern::Monologue.describe()).await;
        }
        let problem = match finish {
            Finish::Length => {
                "It was cut off, because it was too long: do less in one answer, one file per call."
            }
            _ => "",
        };
        let tool = self
            .offered()
            .iter()
            .find(|tool| tool.effect == Effect::Submit)
            .map_or("finish", |tool| tool.name);
        let nudge = self.site.prompts.fill(Prompt::Nudge, &[("problem", problem), ("tool", tool)]);
        self.push(Message::text(Role::User, nudge));
        self.save().await?;
        Ok(Next::Same)
    }

    /// The words as what this phase wants handed in, if there is a JSON object in them that fits.
    fn as_submission(&self, words: &str) -> Option<Value> {
        let text = &words[words.find('{')?..=words.rfind('}')?];
        let value: Value = serde_json::from_str(text).ok()?;
        let fits = match self.state.phase {
            Phase::Analyze => serde_json::from_value::<Requirements>(value.clone()).is_ok(),
            _ => serde_json::from_value::<Plan>(value.clone()).is_ok(),
        };
        fits.then_some(value)
    }
}

/// Waiting may help: the job is tried again later, from its saved state.
fn put_off(error: &Error) -> Failure {
    Failure { after: error.retry_after(), ..Failure::transient(error.code(), error.to_string()) }
}

/// An answer that every provider takes back: not empty, and each call with an id of its own.
fn repair(message: &mut Message) {
    let mut seen: Vec<String> = Vec::new();
    for part in &mut message.parts {
        if let Part::ToolCall(call) = part {
            if call.id.is_empty() || seen.contains(&call.id) {
                call.id = format!("{}-{}", call.id, seen.len() + 1);
            }
            seen.push(call.id.clone());
        }
    }
    if message.parts.is_empty() {
        message.parts.push(Part::Text { text: "(nothing)".to_owned() });
    }
}
