//! API keys: for machines.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::extract::{Json, Path};
use crate::app::App;
use crate::auth::{NewKey, Secret};
use crate::error::Result;
use crate::model::{Caller, Scope, Scopes};
use crate::store::KeyRow;

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateKey {
    /// To tell it from others.
    #[schema(example = "continuous integration", min_length = 1, max_length = 100)]
    name: String,
    /// What it is limited to; if absent, `read` and `write`.
    #[serde(default = "read_and_write")]
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// It is good until then; if absent, until it is revoked.
    expires_at: Option<DateTime<Utc>>,
}

/// A key, without what makes it one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKey {
    /// Its id.
    id: Uuid,
    /// To tell it from others.
    name: String,
    /// How it begins.
    #[schema(example = "cy_1a2b3c4d")]
    prefix: String,
    /// What it is limited to.
    scopes: Vec<Scope>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// It is good until then.
    expires_at: Option<DateTime<Utc>>,
    /// When it was used, give or take ten minutes.
    last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
}

/// A new key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewApiKey {
    /// What is known of it later.
    #[serde(flatten)]
    about: ApiKey,
    /// The key itself, shown this once. Send it as `Authorization: Bearer …` or `X-API-Key`.
    #[schema(example = "cy_1a2b3c4d_…")]
    key: Secret,
}

/// All keys of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKeyList {
    /// Newest first, also those that were revoked or have expired in the last month.
    api_keys: Vec<ApiKey>,
}

/// Makes a key.
///
/// It can do no more than whoever makes it, and is shown only in this answer.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "api keys", security(("bearer" = []), ("api_key" = [])),
    request_body = CreateKey, responses(
    (status = 201, description = "The key.", body = NewApiKey),
    (status = 409, description = "There are too many.", body = super::ErrorBody)))]
pub(super) async fn create_key(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<CreateKey>,
) -> Result<(StatusCode, Json<NewApiKey>)> {
    let CreateKey { name, scopes, expires_at } = new;
    let (row, key) = app.auth.create_key(NewKey { name, scopes, expires_at }, &caller).await?;
    Ok((StatusCode::CREATED, Json(NewApiKey { about: row.into(), key })))
}

/// One's keys.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "api keys", security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "All of them.", body = ApiKeyList)))]
pub(super) async fn list_keys(State(app): State<App>, caller: Caller) -> Result<Json<ApiKeyList>> {
    let keys = app.auth.keys(caller.user).await?;
    Ok(Json(ApiKeyList { api_keys: keys.into_iter().map(ApiKey::from).collect() }))
}

/// Revokes a key.
///
/// Takes effect at once on the replica that is asked, and within 15 seconds on the others.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "api keys", security(("bearer" = []), ("api_key" = [])),
    params(("id" = Uuid, Path, description = "The key's id.")),
    responses((status = 204, description = "It is revoked.")))]
pub(super) async fn revoke_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    app.auth.revoke_key(id, caller.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        let KeyRow { id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at, .. } = row;
        let scopes = Scopes::from_bits(scopes).list();
        Self { id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at }
    }
}

fn read_and_write() -> Vec<Scope> {
    vec![Scope::Read, Scope::Write]
}
