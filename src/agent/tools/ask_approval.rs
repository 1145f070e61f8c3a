//! Asks a person.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;

pub(super) struct AskApproval;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// What you want to do and why, so that somebody who has not followed along can say yes or no.
    question: String,
}

impl Tool for AskApproval {
    const NAME: &'static str = "ask_approval";
    const DESCRIPTION: &'static str = "Asks the person who wanted this build for a yes or no, and waits for the answer, \
                                       which may take hours. Only for decisions that the goal leaves open and that \
                                       would be expensive to get wrong.";
    const EFFECT: Effect = Effect::Ask;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, _: &Bench<'_>) -> Result<Reply, Error> {
        let question = arguments.question.trim();
        if question.is_empty() {
            return Err(Error::BadValue("`question` is empty; say what is to be approved.".to_owned()));
        }
        Ok(Reply { question: Some(question.to_owned()), ..Reply::default() })
    }
}
