//! One model's turn to answer: from the cache, or by asking it, and asking it again while that may help.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::cache::Key;
use super::ledger::Subject;
use super::limits::{Bucket, Rate, Side};
use super::offers::Asked;
use super::prices::{Price, likely_tokens, most_tokens};
use super::remote::Remote;
use super::{Answer, Call, Delta, Error, Llm, Model, Part, Request, Role, Spender, Target};

/// The first pause before asking again, doubled each time, up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longer than any call lasts, beyond its own time: to be booked.
const GRACE: Duration = Duration::from_secs(120);

/// Who hears an answer as it comes, and whether somebody has heard any of it.
pub(super) struct Listener<'a> {
    pub(super) on: &'a mut (dyn FnMut(Delta) + Send),
    pub(super) heard: bool,
    /// How often anybody was asked.
    pub(super) attempts: u32,
}

impl Listener<'_> {
    /// Hands a piece on, and counts its bytes.
    fn hear(&mut self, delta: Delta, bytes: &AtomicI64) {
        if let Delta::Text { text } | Delta::Reasoning { text } | Delta::Arguments { text, .. } = &delta {
            bytes.fetch_add(i64::try_from(text.len()).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
        self.heard = true;
        (self.on)(delta);
    }
}

/// A question to one model, with all that has to be known before it is asked.
struct Turn<'a> {
    who: &'a Spender,
    asked: Asked,
    call: Call,
    price: Option<Price>,
    label: String,
    most_tokens: i64,
    rates: [Rate; 2],
    cache: Option<Key>,
    /// What the breaker knows the provider by.
    address: String,
}

impl Llm {
    /// Gets an answer from `target`.
    pub(super) async fn take_turn(
        &self,
        who: &Spender,
        target: &Target,
        request: &Request,
        listener: &mut Listener<'_>,
    ) -> Result<Answer, Error> {
        check(request)?;
        let turn = self.prepare(who, target, request).await?;
        if let Some(answer) = turn.cache.as_ref().and_then(|key| self.cache.find(key)) {
            metrics::counter!("codeyard_llm_cache_total", "result" => "hit").increment(1);
            self.ledger.note_cached(&turn.subject(self)).await?;
            replay(&answer, listener);
            return Ok(answer);
        }
        if turn.cache.is_some() {
            metrics::counter!("codeyard_llm_cache_total", "result" => "miss").increment(1);
        }
        let mut tries = 0;
        loop {
            let taken = self.enter(&turn).await?;
            let failed = match self.attempt(&turn, taken, listener).await {
                Ok(answer) => {
                    if let Some(key) = turn.cache {
                        self.cache.keep(key, &answer);
                    }
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            let again = failed.is_transient() && !matches!(failed, Error::Store(_)) && !listener.heard;
            let Some(pause) = self.pause(&failed, tries).filter(|_| again && tries < self.config.retries)
            else {
                return Err(failed);
            };
            tracing::info!(provider = turn.asked.provider.name, error = %failed, ?pause, "a model is asked again");
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    async fn prepare<'a>(
        &self,
        who: &'a Spender,
        target: &Target,
        request: &Request,
    ) -> Result<Turn<'a>, Error> {
        let (asked, model) = self.resolve(who.user, target).await?;
        let provider = &asked.provider;
        let price = self.price(provider, &model);
        let most = price.as_ref().and_then(|price| price.max_output).unwrap_or(u32::MAX);
        let max_tokens = request.max_tokens.unwrap_or(self.config.max_output_tokens).clamp(1, most);
        let known = provider.models.contains(&model) || self.prices.of(&provider.name, &model).is_some();
        let label = if known { model.clone() } else { "other".to_owned() };
        let call = Call { model, max_tokens, request: request.clone() };
        let bucket = |side| {
            let provider = format!("{} {}", provider.name, provider.base_url);
            Bucket { side, provider, model: call.model.clone() }
        };
        let limits = (self.config.user_requests_per_minute, self.config.user_tokens_per_minute);
        let rates = [
            (bucket(Side::Tenant(who.user)), limits.0, limits.1),
            (bucket(Side::Key(provider.owner)), provider.requests_per_minute, provider.tokens_per_minute),
        ];
        let address = format!("{} {}", provider.name, provider.base_url);
        let cache = self.cache.key(who, provider, &call);
        let most_tokens = most_tokens(request);
        Ok(Turn { who, asked, call, price, label, most_tokens, rates, cache, address })
    }

    /// Waits for its turn, which may be refused: then nobody is asked again, and the next of a list at once. Returns how
    /// many tokens were taken from the buckets.
    async fn enter(&self, turn: &Turn<'_>) -> Result<i64, Error> {
        let provider = &turn.asked.provider.name;
        let rest = Duration::from_secs(self.config.breaker_seconds);
        self.limits.may_ask(&turn.address, rest).map_err(|wait| Error::Overloaded {
            provider: provider.clone(),
            message: "it failed several times in a row and is left alone for a while".to_owned(),
            retry_after: Some(wait),
        })?;
        let likely = likely_tokens(turn.most_tokens) + i64::from(turn.call.max_tokens) / 4;
        let most = Duration::from_secs(self.config.max_wait_seconds);
        let wait = self.limits.take(&turn.rates, likely, most).map_err(|wait| Error::RateLimited {
            provider: provider.clone(),
            message: format!("the limits of this server leave room only in {} s", wait.as_secs() + 1),
            retry_after: Some(wait),
        })?;
        tokio::time::sleep(wait).await;
        Ok(likely)
    }

    /// Asks once; so many tokens were taken for it.
    async fn attempt(
        &self,
        turn: &Turn<'_>,
        taken: i64,
        listener: &mut Listener<'_>,
    ) -> Result<Answer, Error> {
        let provider = &turn.asked.provider;
        let opened = self.ledger.open(&turn.subject(self)).await;
        let open = opened.inspect_err(|_| self.limits.correct(&turn.rates, taken, 0))?;
        listener.attempts += 1;
        let asked = {
            let bytes = open.heard();
            let mut hear = |delta| listener.hear(delta, &bytes);
            let limit = Duration::from_secs(self.config.timeout_seconds);
            let remote = Remote { net: &self.net, provider, limits: &self.limits, bucket: &turn.rates[1].0 };
            let model: &dyn Model = turn.asked.added.as_deref().unwrap_or(&remote);
            let timed = tokio::time::timeout(limit, model.ask(&turn.call, &mut hear)).await;
            timed.unwrap_or_else(|_| Err(Error::Timeout { provider: provider.name.clone() }))
        };
        let reply = match asked {
            Ok(reply) => reply,
            Err(error) => {
                self.note_failure(turn, &error, taken);
                open.failed(&error).await;
                return Err(error);
            }
        };
        self.limits.answered(&turn.address);
        let (usage, estimated, cost_micros) = open.answered(reply.usage).await;
        self.limits.correct(&turn.rates, taken, usage.input_tokens.saturating_add(usage.output_tokens));
        Ok(Answer {
            message: reply.message,
            finish: reply.finish,
            usage,
            estimated,
            cost_micros,
            provider: provider.name.clone(),
            model: turn.call.model.clone(),
            cached: false,
            attempts: listener.attempts,
        })
    }

    fn note_failure(&self, turn: &Turn<'_>, error: &Error, taken: i64) {
        let rest = Duration::from_secs(self.config.breaker_seconds);
        if error.counts_against_provider() {
            if self.limits.failed(&turn.address, self.config.breaker_failures, rest) {
                tracing::warn!(provider = turn.asked.provider.name, %error, "the provider is left alone for a while");
            }
        } else {
            // Whatever it says, it is there.
            self.limits.answered(&turn.address);
        }
        match error {
            Error::RateLimited { retry_after: Some(wait), .. } => self.limits.close(&turn.rates[1].0, *wait),
            Error::Cut { .. } | Error::Timeout { .. } | Error::Unreadable { .. } => {}
            // What was not answered was not used up.
            _ => self.limits.correct(&turn.rates, taken, 0),
        }
    }

    /// How long to wait before asking again; `None`: longer than anybody should.
    fn pause(&self, failed: &Error, tries: u32) -> Option<Duration> {
        let pause = match failed.retry_after() {
            // Not all who were told the same come back in the same moment.
            Some(told) => told + self.clock.jitter(told / 10),
            None => {
                let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_PAUSE);
                pause / 2 + self.clock.jitter(pause / 2)
            }
        };
        (pause <= Duration::from_secs(self.config.max_wait_seconds)).then_some(pause)
    }
}

impl Turn<'_> {
    fn subject(&self, llm: &Llm) -> Subject<'_> {
        Subject {
            who: self.who,
            provider: &self.asked.provider,
            model: &self.call.model,
            label: &self.label,
            price: self.price.as_ref(),
            most_tokens: self.most_tokens,
            max_tokens: self.call.max_tokens,
            cache_miss: self.cache.is_some(),
            lasts: Duration::from_secs(llm.config.timeout_seconds) + GRACE,
        }
    }
}

/// Hands on an answer that is already there.
fn replay(answer: &Answer, listener: &mut Listener<'_>) {
    let mut calls = 0;
    for part in &answer.message.parts {
        match part {
            Part::Text { text } => (listener.on)(Delta::Text { text: text.clone() }),
            Part::Reasoning { text, .. } if !text.is_empty() => {
                (listener.on)(Delta::Reasoning { text: text.clone() });
            }
            Part::ToolCall(call) => {
                (listener.on)(Delta::ToolCall { index: calls, name: call.name.clone() });
                let text = call.arguments_object().to_string();
                (listener.on)(Delta::Arguments { index: calls, text });
                calls += 1;
            }
            _ => {}
        }
    }
}

/// What no provider would take is refused before anybody is asked.
fn check(request: &Request) -> Result<(), Error> {
    let invalid = |message: &str| Err(Error::Invalid { message: message.to_owned() });
    let Some(last) = request.messages.iter().rev().find(|message| message.role != Role::System) else {
        return invalid("there is nothing to answer");
    };
    if last.role == Role::Assistant {
        return invalid("the last turn is the model's own");
    }
    let named = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (1..=64).contains(&name.len()) && name.chars().all(plain)
    };
    if !request.tools.iter().all(|tool| named(&tool.name)) {
        return invalid("a tool's name must be letters, digits, `_` and `-`, at most 64");
    }
    if request.response_schema.as_ref().is_some_and(|wanted| !named(&wanted.name)) {
        return invalid("a schema's name must be letters, digits, `_` and `-`, at most 64");
    }
    const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
    let mut parts = request.messages.iter().flat_map(|message| &message.parts);
    if parts.any(
        |part| matches!(part, Part::Image { media_type, .. } if !PICTURES.contains(&media_type.as_str())),
    ) {
        return invalid("a picture must be PNG, JPEG, GIF or WebP");
    }
    Ok(())
}
