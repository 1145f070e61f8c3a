//! The OpenAPI document: what the handlers say of themselves, completed with what holds for all of them.

use std::sync::OnceLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response as Answer, ResponseBuilder};

use super::error::{ErrorBody, ErrorDetail};
use super::router::described;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Codeyard",
        description = "A self-hosted job server for code: it builds, analyses, and streams what it does.\n\n\
            Sign in with `POST /api/v1/auth/login` and send the token as `Authorization: Bearer …`, or make an API \
            key with `POST /api/v1/api-keys` and send it the same way or as `X-API-Key`. Every path is reachable \
            with and without its trailing slash. Times are RFC 3339 in UTC, ids are UUIDv7. Every error has the \
            body `ErrorBody`; its `request_id` is the `X-Request-Id` of the answer, and what the log calls the \
            request.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ErrorBody, ErrorDetail)),
    tags(
        (name = "health", description = "Whether the server is well."),
        (name = "auth", description = "Signing in and out."),
        (name = "users", description = "Accounts."),
        (name = "api keys", description = "Keys for machines."),
        (name = "models", description = "Who can be asked, what it costs, and how much it may."),
        (name = "builds", description = "Build jobs."),
        (name = "analyses", description = "Analysis jobs."),
        (name = "jobs", description = "Jobs of every kind."),
        (name = "sockets", description = "Progress as it happens."),
    )
)]
struct Base;

/// The whole document.
pub fn document() -> OpenApi {
    let mut document = described(<Base as utoipa::OpenApi>::openapi());
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token, or an API key."))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key."));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
    for (path, item) in &mut document.paths.paths {
        if let Some(get) = &mut item.get {
            let refused = error_answer("There is no answer of a type that the Accept header names.");
            get.responses.responses.insert("406".to_owned(), RefOr::T(refused));
        }
        for operation in operations(item) {
            complete(path, operation);
        }
    }
    document
}

/// The OpenAPI document.
///
/// What you are looking at, for machines. `/docs` shows it to people.
#[utoipa::path(get, path = "/api/openapi.json", tag = "health",
    responses((status = 200, description = "The document.", body = Object)))]
pub(super) async fn serve_document() -> Response {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_json().unwrap_or_default().into());
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], text.clone()).into_response()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    all.into_iter().filter_map(Option::as_mut)
}

/// Adds the errors that any route of this shape can answer with, where the handler does not describe its own.
fn complete(path: &str, operation: &mut Operation) {
    let mut add = |status: &str, description: &str| {
        let answers = &mut operation.responses.responses;
        answers.entry(status.to_owned()).or_insert_with(|| RefOr::T(error_answer(description)));
    };
    if operation.security.as_ref().is_some_and(|security| !security.is_empty()) {
        add("401", "Nobody is signed in, or the token or key does not hold.");
        add("403", "The caller may not do this.");
    }
    if path.contains('{') {
        add("404", "There is no such thing, or it is not yours.");
    }
    if operation.request_body.is_some() {
        add("400", "The body does not parse.");
        add("413", "The body is too large.");
        add("415", "The body is of another type.");
        add("422", "Some fields cannot be meant; `details.fields` names them.");
    } else if operation.parameters.is_some() {
        add("400", "The query string does not parse.");
        add("422", "Some parameters cannot be meant; `details.fields` names them.");
    }
    add("429", "Too many requests; `Retry-After` says when to come back.");
    add("500", "A fault of ours; the log knows more under the `request_id`.");
    add("503", "Not now; `Retry-After` says when to come back.");
}

fn error_answer(description: &str) -> Answer {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}
