//! Errors as clients see them: the only place with status codes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::error::Error;

/// What every answer that is no success carries.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// A stable name, such as `NOT_FOUND`.
    #[schema(example = "NOT_FOUND")]
    pub code: String,
    /// For a person.
    #[schema(example = "no such job")]
    pub message: String,
    /// More, where there is more: for `VALIDATION_FAILED` a list `fields` of `{field, message}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
    /// What the log calls this request.
    #[schema(example = "5f2a9c31d07e-1a")]
    pub request_id: String,
}

/// An error on its way out. Its body is written by the gate, which knows the request's id.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<serde_json::Value>,
    retry_after: Option<Duration>,
    cause: Option<Arc<anyhow::Error>>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Malformed(_) => Self::new(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST", message),
            Error::Invalid(fields) => {
                let fields: Vec<_> = fields
                    .into_iter()
                    .map(|error| json!({"field": error.field, "message": error.message}))
                    .collect();
                let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED", message);
                Self { details: Some(json!({ "fields": fields })), ..problem }
            }
            Error::Unauthenticated(_) => Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message),
            Error::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message),
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message),
            Error::Conflict { code, .. } => Self::new(StatusCode::CONFLICT, code, message),
            Error::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message),
            Error::TooMany { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message).after(retry_after)
            }
            Error::Unavailable { code, retry_after, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).after(retry_after)
            }
            Error::Internal(cause) => Self { cause: Some(Arc::new(cause)), ..Self::internal() },
        }
    }
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, retry_after: None, cause: None }
    }

    fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    /// No route has this path.
    pub(super) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such path; /api/openapi.json lists them all")
    }

    /// The path is right, the method is not.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "this path does not take this method; the Allow header names those it takes",
        )
    }

    /// The file has no such bytes.
    pub(super) fn range_not_satisfiable(size: u64) -> Self {
        let message = format!("the file has {size} bytes and none of those asked for");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", message)
    }

    /// The body is not of a type that the route reads.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    }

    /// The route has no answer of a type that the client accepts.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message)
    }

    /// A fault of ours.
    pub(super) fn internal() -> Self {
        let message = "something went wrong on our side; the log knows more under this request_id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }

    /// Whether an answer is an error that speaks in plain text: an extractor of axum's own refused the request.
    pub(super) fn is_foreign(response: &Response) -> bool {
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        let kind = response.headers().get(header::CONTENT_TYPE);
        is_error && kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
    }

    /// The same in the contract's words.
    pub(super) async fn of_foreign(response: &mut Response) -> Self {
        let (status, body) = (response.status(), std::mem::take(response.body_mut()));
        let body = axum::body::to_bytes(body, 1000).await.unwrap_or_default();
        let said = String::from_utf8_lossy(&body).into_owned();
        let said =
            if said.is_empty() { status.canonical_reason().unwrap_or("refused").to_owned() } else { said };
        let code = match status {
            status if status.is_server_error() => {
                return Self { cause: Some(Arc::new(anyhow::anyhow!(said))), ..Self::internal() };
            }
            StatusCode::BAD_REQUEST => "MALFORMED_REQUEST",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::PAYLOAD_TOO_LARGE => "PAYLOAD_TOO_LARGE",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
            StatusCode::UNPROCESSABLE_ENTITY => "VALIDATION_FAILED",
            StatusCode::UPGRADE_REQUIRED => "UPGRADE_REQUIRED",
            _ => "REFUSED",
        };
        Self::new(status, code, said)
    }

    /// Its stable name.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// For a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Logs a fault of ours: here, once, with its cause. Whoever returned it did not.
    pub(super) fn log(&self, request_id: &str, route: &str) {
        let Self { code, message, .. } = self;
        match &self.cause {
            Some(cause) => {
                let cause = format!("{cause:#}");
                tracing::error!(request_id, route, code, cause, "the request failed");
            }
            None if self.status == StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(request_id, route, code, message, "the request failed");
            }
            None if self.status.is_server_error() => {
                tracing::warn!(request_id, route, code, message, "the request was turned away");
            }
            None => {}
        }
    }

    /// Writes the status, body and headers of this error into an answer that has none yet.
    pub(super) fn fill(&self, response: &mut Response, request_id: &str) {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message.clone(),
                details: self.details.clone(),
                request_id: request_id.to_owned(),
            },
        };
        *response.status_mut() = self.status;
        *response.body_mut() = Body::from(serde_json::to_vec(&body).unwrap_or_default());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
}

/// Rounded up, and never 0: a client that comes back at once only comes back twice.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_rounded_up_and_never_nothing() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([seconds(0), seconds(1), seconds(1000), seconds(1001)], [1, 1, 1, 2]);
    }

    #[test]
    fn a_fault_of_ours_says_nothing_of_the_inside() {
        let problem = Problem::from(Error::Internal(anyhow::anyhow!("password of the database: hunter2")));
        assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.message.contains("hunter2") && problem.details.is_none());
    }
}
