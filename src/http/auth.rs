//! Signing in and out.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Json;
use super::identity::{Client, Reader};
use super::users::User;
use crate::app::App;
use crate::auth::{Credentials, Registration, Secret, Session};
use crate::error::Result;

/// An account that somebody makes for itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterRequest {
    /// Its address.
    #[schema(example = "ada@example.com", max_length = 254, pattern = r"^[^@\s]+@[^@\s]+$")]
    email: String,
    /// 10 to 256 characters, and not the address.
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256, example = "correct horse battery staple")]
    password: Secret,
    /// What it is called; if absent, as the address before the @.
    #[serde(default)]
    #[schema(example = "Ada", max_length = 100)]
    name: String,
}

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    /// The address of the account.
    #[schema(example = "ada@example.com")]
    email: String,
    /// Its password.
    #[schema(example = "correct horse battery staple")]
    password: Secret,
}

/// The refresh token of a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshRequest {
    /// From the last login or refresh.
    refresh_token: Secret,
}

/// What a login gives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    /// Send it as `Authorization: Bearer …`.
    access_token: Secret,
    /// `Bearer`
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: i64,
    /// When that is.
    expires_at: DateTime<Utc>,
    /// For `POST /api/v1/auth/refresh`, once: each refresh gives a new one.
    refresh_token: Secret,
    /// Whose they are.
    user: User,
}

/// A ticket for one socket.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TicketAnswer {
    /// Put it into the socket's URL, as `?ticket=…`; it is good for one socket.
    ticket: Secret,
    /// It is good until then.
    expires_at: DateTime<Utc>,
}

/// Makes an account and signs it in.
///
/// Unless the administrator has turned that off (403). The account's role is `user`.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", request_body = RegisterRequest, responses(
    (status = 201, description = "The account and its first session.", body = SessionAnswer),
    (status = 403, description = "Only administrators make accounts here.", body = super::ErrorBody),
    (status = 409, description = "There is an account with this address.", body = super::ErrorBody)))]
pub(super) async fn register(
    State(app): State<App>,
    Client(from): Client,
    Json(asked): Json<RegisterRequest>,
) -> Result<(StatusCode, Json<SessionAnswer>)> {
    let RegisterRequest { email, password, name } = asked;
    let session = app.auth.register(Registration { email, name, password }, from).await?;
    Ok((StatusCode::CREATED, Json(SessionAnswer::new(session, &app))))
}

/// Signs in.
///
/// Whether the account exists shows neither in the answer nor in the time it takes. Failures are limited for each
/// account and each address.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = LoginRequest, responses(
    (status = 200, description = "A session.", body = SessionAnswer),
    (status = 401, description = "The address or the password is wrong.", body = super::ErrorBody)))]
pub(super) async fn login(
    State(app): State<App>,
    Client(from): Client,
    Json(asked): Json<LoginRequest>,
) -> Result<Json<SessionAnswer>> {
    let LoginRequest { email, password } = asked;
    let session = app.auth.login(&Credentials { email, password }, from).await?;
    Ok(Json(SessionAnswer::new(session, &app)))
}

/// Exchanges a refresh token for a new session.
///
/// A refresh token is good once. When an old one is used again, somebody has stolen one, and the whole session ends;
/// within ten seconds, it is only refused, because a client may have sent it twice.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = RefreshRequest, responses(
    (status = 200, description = "A session.", body = SessionAnswer),
    (status = 401, description = "The token does not hold.", body = super::ErrorBody)))]
pub(super) async fn refresh(
    State(app): State<App>,
    Json(asked): Json<RefreshRequest>,
) -> Result<Json<SessionAnswer>> {
    let session = app.auth.refresh(&asked.refresh_token).await?;
    Ok(Json(SessionAnswer::new(session, &app)))
}

/// Whose password is forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgotRequest {
    /// The address of the account.
    #[schema(example = "ada@example.com")]
    email: String,
}

/// A new password, and the right to set it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetRequest {
    /// From the mail.
    token: Secret,
    /// 10 to 256 characters, and not the address.
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256, example = "correct horse battery staple")]
    password: Secret,
}

/// Asks for a new password.
///
/// If there is such an account, it gets a mail with a token for `POST /api/v1/auth/password/reset`. The answer does not
/// tell.
#[utoipa::path(post, path = "/api/v1/auth/password/forgot", tag = "auth", request_body = ForgotRequest,
    responses((status = 202, description = "If there is such an account, a mail is on its way.")))]
pub(super) async fn forgot_password(
    State(app): State<App>,
    Client(from): Client,
    Json(asked): Json<ForgotRequest>,
) -> Result<StatusCode> {
    app.auth.forgot_password(asked.email, from)?;
    Ok(StatusCode::ACCEPTED)
}

/// Sets a new password.
///
/// With the token from the mail, once. All sessions end.
#[utoipa::path(post, path = "/api/v1/auth/password/reset", tag = "auth", request_body = ResetRequest,
    responses((status = 204, description = "Sign in with the new password.")))]
pub(super) async fn reset_password(
    State(app): State<App>,
    Json(asked): Json<ResetRequest>,
) -> Result<StatusCode> {
    app.auth.reset_password(&asked.token, &asked.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a session.
///
/// Ending it twice is the same as ending it once. The access token is good until it expires.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", request_body = RefreshRequest,
    responses((status = 204, description = "It has ended.")))]
pub(super) async fn logout(State(app): State<App>, Json(asked): Json<RefreshRequest>) -> Result<StatusCode> {
    app.auth.logout(&asked.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A ticket to open one socket.
///
/// Browsers cannot send headers when they open a socket, and a token does not belong into a URL.
#[utoipa::path(post, path = "/api/v1/ws-ticket", tag = "sockets", security(("bearer" = []), ("api_key" = [])),
    responses((status = 201, description = "The ticket.", body = TicketAnswer)))]
pub(super) async fn issue_ticket(
    State(app): State<App>,
    Reader(caller): Reader,
) -> Result<(StatusCode, Json<TicketAnswer>)> {
    let (ticket, expires_at) = app.auth.issue_ticket(&caller).await?;
    Ok((StatusCode::CREATED, Json(TicketAnswer { ticket, expires_at })))
}

impl SessionAnswer {
    fn new(session: Session, app: &App) -> Self {
        let Session { access_token, expires_at, refresh_token, user } = session;
        let expires_in = ((expires_at - app.clock.now()).num_milliseconds() + 500) / 1000;
        let user = User::from(user);
        Self { access_token, token_type: "Bearer", expires_in, expires_at, refresh_token, user }
    }
}
