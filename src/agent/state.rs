//! Where a build stands: written down after every step, so that another process can go on from there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CommitId;
use super::stuck::{Pattern, Turns};
use super::task::{Limit, Limits};
use super::testing::Tested;
use super::tools::{Plan, Requirements};
use crate::jobs::Failure;
use crate::llm::{Answer, Message, Part, ToolCall};

/// Everything that a build needs to go on. Fields are only ever added.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What it is at.
    pub phase: Phase,
    /// What is really asked for, once that was worked out.
    pub requirements: Option<Requirements>,
    /// The plan, once there is one.
    pub plan: Option<Plan>,
    /// What people were asked and what they said, in order; the last may be open.
    pub approvals: Vec<Approval>,
    /// What was spent so far.
    pub cost: Cost,
    /// How the tests stand.
    pub tests: Option<Tested>,
    /// The step that they were run on.
    pub tested: Option<CommitId>,
    /// What the model said it has built.
    pub summary: String,
    /// Why it ends, once it does.
    pub ended: Option<Ended>,
    /// The last step of the workspace that belongs to this state.
    pub commit: Option<CommitId>,
    /// The conversation of this phase. It is written down in the transcript, and read back from there.
    #[serde(skip_serializing)]
    pub(super) messages: Vec<Message>,
    /// The call whose program was started, as long as its result is not known.
    pub(super) started: Option<String>,
    /// Commands whose whole output was kept.
    pub(super) outputs: u32,
    pub(super) turns: Turns,
    /// Answers in a row that were of no use: cut off, or without a call.
    pub(super) useless: u32,
    pub(super) recoveries: u32,
    pub(super) mendings: u32,
    /// What was done in messages that are not in the conversation any more, the oldest first.
    pub(super) digest: Vec<String>,
    /// How many messages these were.
    pub(super) condensed: usize,
    /// Planned files that are there.
    pub(super) written: BTreeSet<String>,
}

/// What a build is at, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Working out what is asked for.
    #[default]
    Analyze,
    /// Making a plan.
    Plan,
    /// Waiting for a person's word on the plan.
    Approve,
    /// Writing.
    Generate,
    /// Running the tests.
    Test,
    /// Mending what the tests found.
    Mend,
    /// Done, or out of budget.
    Finalize,
}

impl Phase {
    /// Whether it begins a conversation; the others go on with the one before.
    pub(super) fn has_own_conversation(self) -> bool {
        !matches!(self, Self::Test | Self::Mend)
    }
}

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Names it: `plan-1`, or the model's call.
    pub id: String,
    /// What was asked.
    pub question: String,
    /// What was said, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Decision>,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// Which question it answers.
    pub approval_id: String,
    /// Yes or no.
    pub approved: bool,
    /// And why, or what to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a build has used up. Money is micro-dollars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Cost {
    /// Micro-dollars, where the price is known.
    pub micros: i64,
    /// Calls whose price nobody knows; they are not in the sum.
    pub unpriced_calls: u32,
    /// Calls of a model.
    pub calls: u32,
    /// Tokens read.
    pub input_tokens: i64,
    /// Of these, from a provider's cache.
    pub cached_input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// Calls of tools.
    pub tool_calls: u32,
    /// Milliseconds of work, over all attempts.
    pub millis: u64,
}

/// Why a build ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Ended {
    /// The model is done and the tests pass.
    TestsPassed,
    /// The model is done, and there are no tests that could be run.
    NoTests,
    /// A limit was met.
    Limit {
        /// Which.
        limit: Limit,
    },
    /// The model goes round in circles, and could not be helped.
    Stuck {
        /// How.
        pattern: Pattern,
    },
    /// The model's provider does not want to go on.
    Refused {
        /// In its words.
        message: String,
    },
}

impl Cost {
    /// Adds a call.
    pub(super) fn add(&mut self, answer: &Answer) {
        self.calls += 1;
        self.input_tokens += answer.usage.input_tokens;
        self.cached_input_tokens += answer.usage.cached_input_tokens;
        self.output_tokens += answer.usage.output_tokens;
        match answer.cost_micros {
            Some(micros) => self.micros += micros,
            None => self.unpriced_calls += 1,
        }
    }

    /// The limit that is met, if one is; `millis` is how long this attempt has worked so far.
    pub(super) fn met(&self, limits: &Limits, millis: u64) -> Option<Limit> {
        if self.micros >= limits.cost_micros {
            Some(Limit::Money)
        } else if self.input_tokens + self.output_tokens >= limits.tokens {
            Some(Limit::Tokens)
        } else if self.millis + millis >= limits.seconds * 1000 {
            Some(Limit::Time)
        } else if self.calls >= limits.iterations {
            Some(Limit::Iterations)
        } else {
            None
        }
    }
}

impl State {
    /// The calls of the last answer that have no result yet, in order.
    pub(super) fn open_calls(&self) -> Vec<ToolCall> {
        let asked = self.messages.iter().rposition(|message| message.tool_calls().next().is_some());
        let Some(asked) = asked else { return Vec::new() };
        let answered: Vec<&str> = self.messages[asked + 1..]
            .iter()
            .flat_map(|message| &message.parts)
            .filter_map(|part| {
                if let Part::ToolResult { call_id, .. } = part { Some(call_id.as_str()) } else { None }
            })
            .collect();
        let open = |call: &&ToolCall| !answered.contains(&call.id.as_str());
        self.messages[asked].tool_calls().filter(open).cloned().collect()
    }

    /// What is still true where the files are lost, because another machine ran the build before: the plan and what
    /// people said, but nothing that was built.
    #[must_use]
    pub fn without_files(self) -> Self {
        Self {
            phase: self.phase.min(Phase::Generate),
            requirements: self.requirements,
            plan: self.plan,
            approvals: self.approvals,
            cost: self.cost,
            ..Self::default()
        }
    }

    /// The question that is open, if one is.
    pub fn open_approval(&self) -> Option<&Approval> {
        self.approvals.last().filter(|approval| approval.answer.is_none())
    }

    /// A new phase, with a conversation of its own.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turns.clear();
        self.useless = 0;
        if phase.has_own_conversation() {
            self.messages.clear();
            self.digest.clear();
            self.condensed = 0;
        }
    }
}

impl Ended {
    /// In a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::TestsPassed => "the tests pass".to_owned(),
            Self::NoTests => "there are no tests that could be run".to_owned(),
            Self::Limit { limit } => limit.describe().to_owned(),
            Self::Stuck { pattern } => format!("the model makes no progress: {}", pattern.describe()),
            Self::Refused { message } => format!("the model refused to go on: {message}"),
        }
    }

    /// What a build that has made nothing fails with.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::TestsPassed | Self::NoTests => {
                Failure::fatal("NOTHING_BUILT", "the build has made no files")
            }
            Self::Limit { .. } => {
                Failure::fatal("LIMIT_MET", format!("{} before anything was built", self.describe()))
            }
            Self::Stuck { .. } => Failure::fatal("MODEL_STUCK", self.describe()),
            Self::Refused { .. } => Failure::fatal("MODEL_REFUSED", self.describe()),
        }
    }
}

impl Limit {
    /// In a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Tokens => "the limit of tokens was met",
            Self::Money => "the limit of money was met",
            Self::Time => "the limit of time was met",
            Self::Iterations => "the limit of model calls was met",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Role;

    fn call(id: &str) -> Part {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "t".to_owned(),
            arguments: serde_json::json!({}),
            signature: None,
        })
    }

    #[test]
    fn calls_are_open_until_they_have_a_result() {
        let mut state = State::default();
        assert!(state.open_calls().is_empty());
        state.messages.push(Message { role: Role::Assistant, parts: vec![call("a"), call("b")] });
        let ids = |state: &State| state.open_calls().into_iter().map(|call| call.id).collect::<Vec<_>>();
        assert_eq!(ids(&state), ["a", "b"]);
        state.messages.push(Message::result("a", "done", false));
        assert_eq!(ids(&state), ["b"]);
        state.messages.push(Message::result("b", "done", false));
        assert!(ids(&state).is_empty());
    }

    #[test]
    fn each_limit_is_met_by_its_own_sum() {
        let limits = Limits { tokens: 10, cost_micros: 5, seconds: 2, iterations: 3, context_tokens: 1 };
        let cost = |change: fn(&mut Cost)| {
            let mut cost = Cost::default();
            change(&mut cost);
            cost
        };
        assert_eq!(cost(|_| ()).met(&limits, 1999), None);
        assert_eq!(cost(|c| (c.input_tokens, c.output_tokens) = (6, 4)).met(&limits, 0), Some(Limit::Tokens));
        assert_eq!(cost(|c| c.micros = 5).met(&limits, 0), Some(Limit::Money));
        assert_eq!(cost(|c| c.millis = 1000).met(&limits, 1000), Some(Limit::Time));
        assert_eq!(cost(|c| c.calls = 3).met(&limits, 0), Some(Limit::Iterations));
    }

    #[test]
    fn a_state_of_an_older_version_can_be_read() {
        let state: State = serde_json::from_str(r#"{"phase":"generate","cost":{"calls":3}}"#).unwrap();
        assert_eq!((state.phase, state.cost.calls), (Phase::Generate, 3));
    }
}
