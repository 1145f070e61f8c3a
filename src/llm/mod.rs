//! Models: one form of question and answer for every provider, with prices, budgets and limits.

mod budgets;
mod cache;
mod error;
mod keys;
mod ledger;
mod limits;
mod message;
mod offers;
pub mod prices;
pub mod providers;
mod remote;
mod turn;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config;
use crate::model::{JobId, UserId};
use crate::store::Store;
pub use budgets::{NewBudget, Period};
use cache::Cache;
pub use error::Error;
use keys::Vault;
use ledger::Ledger;
use limits::Limits;
pub use message::{
    Answer, Delta, Effort, Finish, Message, Part, Request, ResponseSchema, Role, Signature, Tool, ToolCall,
    ToolChoice, Usage,
};
use offers::Found;
pub use offers::Offer;
use prices::Prices;
use remote::Net;
use turn::Listener;

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
    /// The provider, by its name; if absent, the first that can be used and knows the model.
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
pub struct Llm {
    config: config::Llm,
    clock: Clock,
    store: Store,
    prices: Prices,
    net: Net,
    limits: Limits,
    cache: Cache,
    ledger: Ledger,
    vault: OnceCell<Vault>,
    added: RwLock<BTreeMap<String, Arc<dyn Model>>>,
    ollama: Mutex<Found>,
}

impl Llm {
    /// With these settings; nobody is asked yet.
    pub fn new(config: &config::Llm, clock: Clock, store: Store) -> anyhow::Result<Self> {
        let booking = TaskTracker::new();
        booking.close();
        Ok(Self {
            prices: Prices::load(&config.prices_file)?,
            net: Net::new(config, clock.clone()),
            limits: Limits::new(clock.clone()),
            cache: Cache::new(clock.clone(), Duration::from_secs(config.cache_seconds), config.cache_bytes),
            ledger: Ledger { store: store.clone(), clock: clock.clone(), booking },
            vault: OnceCell::new(),
            added: RwLock::default(),
            ollama: Mutex::default(),
            config: config.clone(),
            clock,
            store,
        })
    }

    /// Puts in a provider of the caller's making, in place of any with this name; it is the first that is asked when
    /// nobody says whom. It has the price of the provider whose name it bears.
    pub fn add(&self, provider: &str, model: Arc<dyn Model>) {
        self.added.write().unwrap_or_else(PoisonError::into_inner).insert(provider.to_owned(), model);
    }

    /// Asks the first of `choice`, or the next while it cannot answer, and hands on what comes to `on` as it comes.
    /// Once a piece was handed on nobody else is asked, and nobody again. What it may cost is held in the budgets of
    /// `who` before anybody is asked, and booked however it ends, also when this future is dropped.
    pub async fn call(
        &self,
        who: &Spender,
        choice: &Choice,
        request: Request,
        on: &mut (dyn FnMut(Delta) + Send),
        stop: &CancellationToken,
    ) -> Result<Answer, Error> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Error::Stopped),
            answer = self.ask_in_turn(who, choice, &request, on) => answer,
        }
    }

    async fn ask_in_turn(
        &self,
        who: &Spender,
        choice: &Choice,
        request: &Request,
        on: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, Error> {
        let mut listener = Listener { on, heard: false, attempts: 0 };
        let mut first = None;
        for target in std::iter::once(&choice.first).chain(&choice.fallback) {
            match self.take_turn(who, target, request, &mut listener).await {
                Ok(answer) => return Ok(answer),
                Err(error) if listener.heard || !error.lets_another_try() => return Err(error),
                Err(error) => {
                    tracing::info!(%error, ?target, "a model did not answer");
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::NotConfigured("nobody was named".to_owned())))
    }

    /// Waits until all calls that are over are booked.
    pub async fn booked(&self) {
        self.ledger.booking.wait().await;
    }

    /// When the built-in prices were compared with what the providers publish.
    pub fn prices_checked(&self) -> &str {
        &self.prices.checked
    }

    /// What encrypts keys, opened by whoever needs it first.
    async fn vault(&self) -> crate::error::Result<&Vault> {
        self.vault.get_or_try_init(|| Vault::open(&self.config.key_secret, &self.store)).await
    }
}

impl std::fmt::Debug for Llm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Llm")
    }
}
