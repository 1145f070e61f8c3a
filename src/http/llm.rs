//! Models: which can be asked, one's own keys for them, and a question to see whether one answers.

use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::extract::{Json, Path};
use crate::app::App;
use crate::auth::Secret;
use crate::config::Hidden;
use crate::error::{Error, Result};
use crate::llm::prices::Price;
use crate::llm::{Choice, Message, Offer, Request, Role, Spender, Target, Usage};
use crate::model::Caller;

/// The longest prompt of a test, in bytes, and the most tokens of its answer.
const LONGEST_PROMPT: usize = 10_000;
const TEST_TOKENS: u32 = 1024;

/// All providers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LlmProviders {
    /// Those with a line in the server's settings.
    providers: Vec<LlmProvider>,
    /// Who is asked when a request names nobody; absent where no model can be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Target>,
    /// The month in which the built-in prices were compared with what the providers publish.
    #[schema(example = "2026-05")]
    prices_checked: String,
}

/// A provider, as it looks to the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LlmProvider {
    /// As requests call it.
    #[schema(example = "anthropic")]
    name: String,
    /// As people call it.
    #[schema(example = "Anthropic Claude")]
    title: String,
    /// What it speaks: `openai`, `anthropic`, `gemini` or `ollama`.
    #[schema(example = "anthropic")]
    dialect: &'static str,
    /// Where it is; only for administrators, and for who has named another address.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// Whether it can be asked now.
    usable: bool,
    /// With whose key it would be asked: `own`, `server` or `none`.
    #[schema(example = "server")]
    key: &'static str,
    /// Since when there is a key of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_key_since: Option<DateTime<Utc>>,
    /// What it offers, the default first; others can be asked for all the same.
    models: Vec<LlmModel>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LlmModel {
    /// As the provider calls it.
    #[schema(example = "claude-sonnet-4-6")]
    name: String,
    /// What it costs; null where that is not known.
    price: Option<LlmPrice>,
}

/// What a model costs, in micro-dollars per million tokens, for conversations that are not unusually long.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LlmPrice {
    /// Read.
    #[schema(example = 3_000_000)]
    input: i64,
    /// Read from the provider's cache.
    #[schema(example = 300_000)]
    cached_input: i64,
    /// Written to the provider's cache.
    #[schema(example = 3_750_000)]
    cache_write: i64,
    /// Written, thoughts included.
    #[schema(example = 15_000_000)]
    output: i64,
}

/// A key of one's own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutLlmKey {
    /// The key; it is encrypted, and never shown again.
    key: Secret,
    /// The provider's address, if it is another than the server's.
    #[schema(example = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1")]
    base_url: Option<String>,
}

/// A question to see whether a model answers.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TestLlm {
    /// Who; if absent, the default.
    #[schema(example = "openai")]
    provider: Option<String>,
    /// Which model; if absent, the provider's first.
    #[schema(example = "gpt-5-mini")]
    model: Option<String>,
    /// What to ask; if absent, for a greeting.
    #[schema(max_length = 10_000)]
    prompt: Option<String>,
}

/// Whether a model answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LlmTested {
    /// Whether it did.
    ok: bool,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// Which model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// What it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// Micro-dollars; absent where the price is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_micros: Option<i64>,
    /// How long it took, with waiting and asking again.
    latency_ms: u64,
    /// Why it did not, such as `LLM_KEY_REFUSED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Which models can be asked.
///
/// All providers of the server's settings, whether they can be asked by the caller, and what their models cost. Keys are
/// not shown to anybody.
#[utoipa::path(get, path = "/api/v1/llm/providers", tag = "models", security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The providers.", body = LlmProviders)))]
pub(super) async fn list_providers(State(app): State<App>, caller: Caller) -> Result<Json<LlmProviders>> {
    let offers = app.llm.offers(Some(caller.user)).await?;
    let default = app.llm.default_target(Some(caller.user)).await?;
    let providers = offers.into_iter().map(|offer| shown(offer, &caller)).collect();
    let prices_checked = app.llm.prices_checked().to_owned();
    Ok(Json(LlmProviders { providers, default, prices_checked }))
}

/// Brings a key of one's own.
///
/// From then on the provider is asked with it whenever the caller's jobs need it; the server's own key is not used for
/// them any more. An address on a private network is refused, unless the server's settings allow it.
#[utoipa::path(put, path = "/api/v1/llm/providers/{provider}/key", tag = "models",
    security(("bearer" = []), ("api_key" = [])), request_body = PutLlmKey,
    params(("provider" = String, Path, description = "The provider's name.")),
    responses((status = 204, description = "It is kept.")))]
pub(super) async fn put_key(
    State(app): State<App>,
    caller: Caller,
    Path(provider): Path<String>,
    Json(body): Json<PutLlmKey>,
) -> Result<StatusCode> {
    let key = Hidden::new(body.key.expose());
    app.llm.put_key(caller.user, &provider, &key, body.base_url.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes one's key back.
#[utoipa::path(delete, path = "/api/v1/llm/providers/{provider}/key", tag = "models",
    security(("bearer" = []), ("api_key" = [])),
    params(("provider" = String, Path, description = "The provider's name.")),
    responses((status = 204, description = "It is forgotten.")))]
pub(super) async fn delete_key(
    State(app): State<App>,
    caller: Caller,
    Path(provider): Path<String>,
) -> Result<StatusCode> {
    app.llm.forget_key(caller.user, &provider).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a model, to see whether it answers.
///
/// The answer is 200 also where the model does not: `ok` and `error_code` say so. It costs what it costs, and counts
/// against the caller's budgets. It may take as long as the provider does.
#[utoipa::path(post, path = "/api/v1/llm/test", tag = "models", security(("bearer" = []), ("api_key" = [])),
    request_body = TestLlm, responses((status = 200, description = "How it went.", body = LlmTested)))]
pub(super) async fn test_model(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<TestLlm>,
) -> Result<Json<LlmTested>> {
    let prompt = body.prompt.unwrap_or_else(|| "Say hello in one short sentence.".to_owned());
    if prompt.trim().is_empty() || prompt.len() > LONGEST_PROMPT {
        return Err(Error::invalid("prompt", format!("must have 1 to {LONGEST_PROMPT} bytes")));
    }
    let who = Spender { user: Some(caller.user), ..Spender::default() };
    let first = Target { provider: body.provider, model: body.model };
    let choice = Choice { first, fallback: Vec::new() };
    let request = Request {
        messages: vec![Message::text(Role::User, prompt)],
        max_tokens: Some(TEST_TOKENS),
        cache: Some(false),
        ..Request::default()
    };
    let since = Instant::now();
    let stop = CancellationToken::new();
    let answer = app.llm.call(&who, &choice, request, &mut |_| {}, &stop).await;
    let latency_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(match answer {
        Ok(answer) => LlmTested {
            ok: true,
            text: Some(answer.message.words()),
            provider: Some(answer.provider),
            model: Some(answer.model),
            usage: Some(answer.usage),
            cost_micros: answer.cost_micros,
            latency_ms,
            error_code: None,
            error: None,
        },
        Err(error) => LlmTested {
            ok: false,
            provider: choice.first.provider,
            model: choice.first.model,
            text: None,
            usage: None,
            cost_micros: None,
            latency_ms,
            error_code: Some(error.code()),
            error: Some(error.to_string()),
        },
    }))
}

fn shown(offer: Offer, caller: &Caller) -> LlmProvider {
    let Offer { provider, usable, own_key_since, models } = offer;
    let own_address = provider.owner.is_some();
    LlmProvider {
        title: provider.title().to_owned(),
        dialect: provider.dialect.name(),
        usable,
        key: match (own_key_since, &provider.key) {
            (Some(_), _) => "own",
            (None, Some(_)) => "server",
            (None, None) => "none",
        },
        own_key_since,
        base_url: (caller.is_admin() || own_address).then_some(provider.base_url),
        models: models
            .into_iter()
            .map(|(name, price)| LlmModel { name, price: price.as_ref().and_then(LlmPrice::of) })
            .collect(),
        name: provider.name,
    }
}

impl LlmPrice {
    fn of(price: &Price) -> Option<Self> {
        let (_, tier) = price.tiers.last()?;
        Some(Self {
            input: tier.input,
            cached_input: tier.cached,
            cache_write: tier.cache_write,
            output: tier.output,
        })
    }
}
