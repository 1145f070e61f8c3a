//! Accounts: one's own, and, for administrators, everybody's.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Json, Path, Query};
use super::identity::Admin;
use crate::app::App;
use crate::auth::{NewUser, Secret, UserPatch};
use crate::error::{Error, Result};
use crate::model::{Caller, Role, UserId};
use crate::store::UserRow;

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    /// Its id.
    id: UserId,
    /// Its address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// What it is called.
    #[schema(example = "Ada")]
    name: String,
    /// What it may do.
    role: Role,
    /// Whether it may do nothing at all for now.
    disabled: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
}

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserPage {
    /// Oldest first.
    users: Vec<User>,
    /// How many there are in all.
    total: i64,
    /// How many this page could have.
    limit: u32,
    /// How many come before it.
    offset: u64,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many, at most 200.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// How many to pass over.
    #[serde(default)]
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_i64, default = 0)]
    offset: u64,
}

/// What to change of one's own account; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnPatch {
    /// What it is called.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// A new password, of 10 to 256 characters. It ends all sessions; API keys stay.
    #[schema(value_type = Option<String>, format = Password, min_length = 10, max_length = 256)]
    password: Option<Secret>,
    /// The password until now; needed to change it.
    current_password: Option<Secret>,
}

/// An account to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateUser {
    /// Its address.
    #[schema(example = "ada@example.com", max_length = 254, pattern = r"^[^@\s]+@[^@\s]+$")]
    email: String,
    /// 10 to 256 characters, and not the address.
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    password: Secret,
    /// What it is called; if absent, as the address before the @.
    #[serde(default)]
    #[schema(max_length = 100)]
    name: String,
    /// What it may do; if absent, `user`.
    role: Option<Role>,
}

/// What to change of an account; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchUser {
    /// What it is called.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// What it may do.
    role: Option<Role>,
    /// Whether it may do nothing at all for now. Ends all its sessions and stops its keys.
    disabled: Option<bool>,
    /// A new password, of 10 to 256 characters. Ends all its sessions.
    #[schema(value_type = Option<String>, format = Password, min_length = 10, max_length = 256)]
    password: Option<Secret>,
}

/// One's own account.
#[utoipa::path(get, path = "/api/v1/users/me", tag = "users", security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The account.", body = User)))]
pub(super) async fn get_me(State(app): State<App>, caller: Caller) -> Result<Json<User>> {
    Ok(Json(app.auth.user(caller.user).await?.into()))
}

/// Changes one's own account.
#[utoipa::path(patch, path = "/api/v1/users/me", tag = "users", security(("bearer" = []), ("api_key" = [])),
    request_body = OwnPatch, responses((status = 200, description = "The account, changed.", body = User)))]
pub(super) async fn patch_me(
    State(app): State<App>,
    caller: Caller,
    Json(patch): Json<OwnPatch>,
) -> Result<Json<User>> {
    let mut user = app.auth.user(caller.user).await?;
    if let Some(name) = patch.name {
        user = app.auth.rename_user(caller.user, name).await?;
    }
    if let Some(new) = patch.password {
        let current = patch
            .current_password
            .ok_or_else(|| Error::invalid("current_password", "needed to change the password"))?;
        user = app.auth.change_password(caller.user, &current, &new).await?;
    }
    Ok(Json(user.into()))
}

/// All accounts, for administrators.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", security(("bearer" = []), ("api_key" = [])),
    params(PageQuery), responses((status = 200, description = "A page of them.", body = UserPage)))]
pub(super) async fn list_users(
    State(app): State<App>,
    _: Admin,
    Query(page): Query<PageQuery>,
) -> Result<Json<UserPage>> {
    let PageQuery { limit, offset } = page;
    if !(1..=200).contains(&limit) {
        return Err(Error::invalid("limit", "1 to 200"));
    }
    if i64::try_from(offset).is_err() {
        return Err(Error::invalid("offset", "there are not that many"));
    }
    let (users, total) = app.auth.users(limit, offset).await?;
    Ok(Json(UserPage { users: users.into_iter().map(User::from).collect(), total, limit, offset }))
}

/// Makes an account, for administrators.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", security(("bearer" = []), ("api_key" = [])),
    request_body = CreateUser, responses(
    (status = 201, description = "The account.", body = User),
    (status = 409, description = "There is an account with this address.", body = super::ErrorBody)))]
pub(super) async fn create_user(
    State(app): State<App>,
    _: Admin,
    Json(new): Json<CreateUser>,
) -> Result<(StatusCode, Json<User>)> {
    let CreateUser { email, password, name, role } = new;
    let new = NewUser { email, name, password, role: role.unwrap_or(Role::User) };
    Ok((StatusCode::CREATED, Json(app.auth.create_user(new).await?.into())))
}

/// An account, for administrators.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", security(("bearer" = []), ("api_key" = [])),
    params(("id" = UserId, Path, description = "The account's id.")),
    responses((status = 200, description = "The account.", body = User)))]
pub(super) async fn get_user(State(app): State<App>, _: Admin, Path(id): Path<UserId>) -> Result<Json<User>> {
    Ok(Json(app.auth.user(id).await?.into()))
}

/// Changes an account, for administrators.
///
/// Takes effect at once on the replica that is asked, and within 15 seconds on the others.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", security(("bearer" = []), ("api_key" = [])),
    params(("id" = UserId, Path, description = "The account's id.")), request_body = PatchUser, responses(
    (status = 200, description = "The account, changed.", body = User),
    (status = 409, description = "It is the last administrator.", body = super::ErrorBody)))]
pub(super) async fn patch_user(
    State(app): State<App>,
    _: Admin,
    Path(id): Path<UserId>,
    Json(patch): Json<PatchUser>,
) -> Result<Json<User>> {
    let PatchUser { name, role, disabled, password } = patch;
    let patch = UserPatch { name, role, disabled, password };
    Ok(Json(app.auth.change_user(id, patch).await?.into()))
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let UserRow { id, email, name, role, disabled, created_at, .. } = row;
        Self { id, email, name, role, disabled, created_at }
    }
}

fn fifty() -> u32 {
    50
}
