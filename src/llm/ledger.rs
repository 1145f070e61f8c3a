//! A call's line in the books: what it may cost is held before it begins, and booked when it is over, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::prices::{Price, likely_tokens};
use super::providers::Provider;
use super::{Error, Spender, Usage};
use crate::clock::Clock;
use crate::error;
use crate::store::{BudgetRow, LlmEnd, LlmHold, NewLlmCall, Store};

/// How often it is tried to book a call while the database is away, and how long between.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);
/// Calls that one look gives up at the most.
const STALE: u32 = 1000;

/// Where calls are booked.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// What is being booked. Always closed, so that one can wait until it is empty.
    pub(super) booking: TaskTracker,
}

/// What a call is, to the books.
pub(super) struct Subject<'a> {
    pub(super) who: &'a Spender,
    pub(super) provider: &'a Provider,
    pub(super) model: &'a str,
    /// How metrics call the model.
    pub(super) label: &'a str,
    pub(super) price: Option<&'a Price>,
    /// The most tokens that the request can have.
    pub(super) most_tokens: i64,
    pub(super) max_tokens: u32,
    pub(super) cache_miss: bool,
    /// After so long nobody will say how it ended.
    pub(super) lasts: Duration,
}

/// A call under way. Dropped, it is booked as stopped.
pub(super) struct Open {
    ledger: Ledger,
    id: Uuid,
    provider: String,
    label: String,
    price: Option<Price>,
    input_tokens: i64,
    heard: Arc<AtomicI64>,
    since: Instant,
    over: bool,
}

impl Ledger {
    /// Holds what the call may cost.
    pub(super) async fn open(&self, subject: &Subject<'_>) -> Result<Open, Error> {
        let worst = subject.price.map(|price| price.worst(subject.most_tokens, subject.max_tokens));
        let row = self.row(subject, worst);
        let mut held = self.hold(&row).await?;
        // What dead processes hold may be what is missing.
        let now = self.clock.now();
        if matches!(held, LlmHold::Exceeded(_))
            && self.store.expire_llm_calls(now, STALE).await.map_err(away)? > 0
        {
            held = self.hold(&row).await?;
        }
        match held {
            LlmHold::Held => Ok(Open {
                ledger: self.clone(),
                id: row.id,
                provider: row.provider,
                label: subject.label.to_owned(),
                price: subject.price.cloned(),
                input_tokens: likely_tokens(subject.most_tokens),
                heard: Arc::default(),
                since: Instant::now(),
                over: false,
            }),
            LlmHold::Exceeded(budget) => Err(Error::BudgetExceeded {
                left_micros: budget.left_micros(),
                budget: name(&budget),
                needed_micros: worst.unwrap_or_default(),
            }),
            LlmHold::Unpriced => Err(Error::PriceUnknown { provider: row.provider, model: row.model }),
        }
    }

    /// Books a call that nobody had to be asked for.
    pub(super) async fn note_cached(&self, subject: &Subject<'_>) -> Result<(), Error> {
        let end = LlmEnd { outcome: "cached", cost_micros: Some(0), ..LlmEnd::default() };
        let noted = self
            .store
            .note_llm_call(&NewLlmCall { cache_miss: false, ..self.row(subject, Some(0)) }, &end)
            .await;
        noted.map_err(away)?;
        count(&subject.provider.name, subject.label, &end, Duration::ZERO);
        Ok(())
    }

    async fn hold(&self, row: &NewLlmCall) -> Result<LlmHold, Error> {
        self.store.hold_llm_call(row).await.map_err(away)
    }

    fn row(&self, subject: &Subject<'_>, worst_micros: Option<i64>) -> NewLlmCall {
        let now = self.clock.now();
        NewLlmCall {
            id: self.clock.new_id(),
            user: subject.who.user,
            project: subject.who.project.clone(),
            job: subject.who.job,
            provider: subject.provider.name.clone(),
            model: subject.model.to_owned(),
            started_at: now,
            expires_at: now + subject.lasts,
            cache_miss: subject.cache_miss,
            worst_micros,
        }
    }
}

impl Open {
    /// Counts what has come: what an answer costs that does not come to its end.
    pub(super) fn heard(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.heard)
    }

    /// Books an answer; returns its tokens, whether they are an estimate, and its cost.
    pub(super) async fn answered(mut self, usage: Option<Usage>) -> (Usage, bool, Option<i64>) {
        let estimated = usage.is_none();
        let usage = usage.map_or_else(|| self.likely(), Usage::checked);
        let cost = self.price.as_ref().map(|price| price.cost(&usage));
        self.book("answered", usage, estimated, cost).await;
        (usage, estimated, cost)
    }

    /// Books a failure. A provider that has begun to answer will want to be paid.
    pub(super) async fn failed(mut self, error: &Error) {
        let began = matches!(
            error,
            Error::Cut { .. } | Error::Timeout { .. } | Error::Unreadable { .. } | Error::Stopped
        );
        if began || self.heard.load(Ordering::Relaxed) > 0 {
            let usage = self.likely();
            let cost = self.price.as_ref().map(|price| price.cost(&usage));
            self.book(error.code(), usage, true, cost).await;
        } else {
            self.book(error.code(), Usage::default(), false, Some(0)).await;
        }
    }

    fn likely(&self) -> Usage {
        let heard = self.heard.load(Ordering::Relaxed);
        let output_tokens = if heard > 0 { likely_tokens(heard) } else { 0 };
        Usage { input_tokens: self.input_tokens, output_tokens, ..Usage::default() }
    }

    /// Books in a task of its own: whoever waits for it may be dropped, and the books must be right all the same.
    fn book(
        &mut self,
        outcome: &'static str,
        usage: Usage,
        estimated: bool,
        cost_micros: Option<i64>,
    ) -> impl Future<Output = ()> + use<> {
        self.over = true;
        let end = LlmEnd {
            outcome,
            cost_micros,
            estimated,
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            output_tokens: usage.output_tokens,
            reasoning_tokens: usage.reasoning_tokens,
        };
        count(&self.provider, &self.label, &end, self.since.elapsed());
        let (ledger, id) = (self.ledger.clone(), self.id);
        let booking = self.ledger.booking.spawn(async move { ledger.end(id, &end).await });
        async move { drop(booking.await) }
    }
}

impl Ledger {
    async fn end(&self, id: Uuid, end: &LlmEnd) {
        for _ in 0..TRIES {
            match self.store.end_llm_call(id, end, self.clock.now()).await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, call = %id, "a call of a model is not booked yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::error!(call = %id, cost_micros = end.cost_micros, "a call of a model was not booked");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Without a runtime there is nobody to book it; what it holds expires.
        if !self.over && tokio::runtime::Handle::try_current().is_ok() {
            let usage = self.likely();
            let cost = self.price.as_ref().map(|price| price.cost(&usage));
            drop(self.book(Error::Stopped.code(), usage, true, cost));
        }
    }
}

/// Whatever the database says, in the words that are meant for people.
fn away(error: impl Into<error::Error>) -> Error {
    Error::Store(error.into().to_string())
}

/// What a budget is for, in words.
fn name(budget: &BudgetRow) -> String {
    let parts = [
        budget.job_id.map(|job| format!("job {job}")),
        budget.project.as_ref().map(|project| format!("project {project}")),
        budget.user_id.map(|user| format!("user {user}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let subject = if parts.is_empty() { "the whole server".to_owned() } else { parts.join(", ") };
    match budget.period.as_str() {
        "total" => subject,
        period => format!("{subject} each {period}"),
    }
}

fn count(provider: &str, model: &str, end: &LlmEnd, took: Duration) {
    let labels = [
        ("provider", provider.to_owned()),
        ("model", model.to_owned()),
        ("outcome", end.outcome.to_lowercase()),
    ];
    metrics::counter!("codeyard_llm_calls_total", &labels).increment(1);
    if end.outcome != "cached" {
        metrics::histogram!("codeyard_llm_call_duration_seconds", &labels).record(took.as_secs_f64());
    }
    let whole = |number: i64| u64::try_from(number).unwrap_or_default();
    let of_model = &labels[..2];
    for (kind, tokens) in [("input", end.input_tokens), ("output", end.output_tokens)] {
        let labels = [of_model, &[("kind", kind.to_owned())]].concat();
        metrics::counter!("codeyard_llm_tokens_total", &labels).increment(whole(tokens));
    }
    metrics::counter!("codeyard_llm_cost_micros_total", &of_model.to_vec())
        .increment(whole(end.cost_micros.unwrap_or_default()));
}
