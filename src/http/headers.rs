//! Headers on every answer: what browsers must not do with it, and which origins may read it.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, accept, x-api-key, x-request-id, idempotency-key, last-event-id, prefer",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, etag, content-disposition, location",
);
/// Nothing that an API answers is a page: a browser that is led to it must not run or frame anything.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The security headers of the contract.
#[derive(Debug)]
pub(super) struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

impl SecurityHeaders {
    pub(super) fn new(behind_tls: bool) -> Self {
        let fixed = HeaderValue::from_static;
        let mut headers = vec![
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::X_FRAME_OPTIONS, fixed("DENY")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            (
                HeaderName::from_static("permissions-policy"),
                fixed("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
            ),
            (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
        ];
        if behind_tls {
            headers.push((header::STRICT_TRANSPORT_SECURITY, fixed("max-age=31536000; includeSubDomains")));
        }
        Self(headers)
    }

    /// Adds them; a page that brings its own Content-Security-Policy keeps it.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        headers.reserve(self.0.len() + 4);
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NO_PAGE);
    }
}

/// Which origins may read our answers in a browser.
#[derive(Debug)]
pub(super) enum Cors {
    /// Only our own.
    None,
    /// Any; credentials are headers here and never cookies, so this gives nobody anything by itself.
    Any,
    /// These.
    These(Vec<HeaderValue>),
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> anyhow::Result<Self> {
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Self::Any);
        }
        if origins.is_empty() {
            return Ok(Self::None);
        }
        let parsed = origins.iter().map(|origin| {
            let url = url::Url::parse(origin).ok();
            let same = url.is_some_and(|url| url.origin().ascii_serialization() == *origin);
            let value = HeaderValue::try_from(origin).ok().filter(|_| same);
            value.ok_or_else(|| {
                anyhow::anyhow!(
                    "server.cors_origins: {origin:?} is no origin such as https://dash.example.com"
                )
            })
        });
        Ok(Self::These(parsed.collect::<Result<_, _>>()?))
    }

    /// The origin to name in the answer, if the request has one that may read it.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        match self {
            Self::None => None,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::These(origins) => origins.contains(origin).then(|| origin.clone()),
        }
    }

    /// The answer to a browser that asks before it sends the real request.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let asks = request.method() == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || matches!(self, Self::None) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.origin(headers).is_some() {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        Some(response)
    }

    /// Lets `origin` read the answer.
    pub(super) fn add_to(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if let Self::These(_) = self {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_must_look_like_one() {
        let new = |origin: &str| Cors::new(&[origin.to_owned()]);
        assert!(new("https://dash.example.com").is_ok() && new("http://localhost:3000").is_ok());
        assert!(new("https://dash.example.com/").is_err() && new("dash.example.com").is_err());
    }
}
