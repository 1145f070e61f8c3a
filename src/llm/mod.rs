//! Models: one form of question and answer for every provider, with prices, budgets and limits.

mod error;
mod message;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::model::{JobId, UserId};
pub use error::Error;
pub use message::{
    Answer, Delta, Effort, Finish, Message, Part, Request, ResponseSchema, Role, Signature, Tool, ToolCall,
    ToolChoice, Usage,
};

/// For whom a call is made: whose keys, limits and budgets apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spender {
    /// The account; `None` is the server itself.
    pub user: Option<UserId>,
    /// The project that a job names.
    pub project: Option<String>,
    /// The job.
    pub job: Option<JobId>,
}

/// A model of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// The provider, by its name; if absent, the first that can be used.
    pub provider: Option<String>,
    /// The model, as the provider calls it; if absent, the provider's first.
    pub model: Option<String>,
}

/// Whom to ask, and whom to ask instead while it cannot answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Choice {
    /// Who is asked first.
    pub first: Target,
    /// Who is asked next, in order.
    pub fallback: Vec<Target>,
}

/// One question to one model, with everything decided.
#[derive(Clone, Debug)]
pub struct Call {
    /// The model, as the provider calls it.
    pub model: String,
    /// The most tokens to answer with.
    pub max_tokens: u32,
    /// What is asked.
    pub request: Request,
}

/// What one model said to one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The model's turn.
    pub message: Message,
    /// Why it stopped.
    pub finish: Finish,
    /// Tokens, if the provider counted.
    pub usage: Option<Usage>,
}

/// Whoever can answer: a provider over the network, or what a test made up.
pub trait Model: Send + Sync {
    /// Asks once, and hands on what comes as it comes. Dropping the future ends the call.
    fn ask<'a>(
        &'a self,
        call: &'a Call,
        on: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Reply, Error>>;
}

/// The models that this server can ask.
#[derive(Default)]
pub struct Llm {
    models: RwLock<BTreeMap<String, Arc<dyn Model>>>,
}

impl Llm {
    /// Puts in a provider of the caller's making, in place of any with this name.
    pub fn add(&self, provider: &str, model: Arc<dyn Model>) {
        self.models.write().unwrap_or_else(PoisonError::into_inner).insert(provider.to_owned(), model);
    }

    /// The names of the providers that can be used now.
    pub fn configured(&self) -> Vec<String> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Asks the first of `choice`, or the next while it cannot answer, and hands on what comes to `on` as it comes.
    /// Once a piece was handed on nobody else is asked.
    pub async fn call(
        &self,
        _who: &Spender,
        choice: &Choice,
        request: Request,
        on: &mut (dyn FnMut(Delta) + Send),
        stop: &CancellationToken,
    ) -> Result<Answer, Error> {
        let mut failed = None;
        let mut attempts = 0;
        for target in std::iter::once(&choice.first).chain(&choice.fallback) {
            let (provider, model) = match self.find(target) {
                Ok(found) => found,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            let call = Call {
                model: target.model.clone().unwrap_or_else(|| "default".to_owned()),
                max_tokens: request.max_tokens.unwrap_or(8192),
                request: request.clone(),
            };
            attempts += 1;
            let mut heard = false;
            let mut hear = |delta| {
                heard = true;
                on(delta);
            };
            let asked = tokio::select! {
                biased;
                () = stop.cancelled() => Err(Error::Stopped),
                asked = model.ask(&call, &mut hear) => asked,
            };
            match asked {
                Ok(Reply { message, finish, usage }) => {
                    return Ok(Answer {
                        message,
                        finish,
                        estimated: usage.is_none(),
                        usage: usage.unwrap_or_default().checked(),
                        cost_micros: None,
                        provider,
                        model: call.model,
                        cached: false,
                        attempts,
                    });
                }
                Err(error) if heard || !error.lets_another_try() => return Err(error),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::NotConfigured("no model is configured".to_owned())))
    }

    fn find(&self, target: &Target) -> Result<(String, Arc<dyn Model>), Error> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let found = match &target.provider {
            Some(name) => models.get_key_value(name),
            None => models.iter().next(),
        };
        let wanted = target.provider.as_deref().unwrap_or("any");
        found.map(|(name, model)| (name.clone(), Arc::clone(model))).ok_or_else(|| {
            Error::NotConfigured(format!("no provider {wanted} can be used: give it a key in [llm]"))
        })
    }
}

impl std::fmt::Debug for Llm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Llm").field("models", &self.configured()).finish_non_exhaustive()
    }
}
