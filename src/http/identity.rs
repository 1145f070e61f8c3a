//! Who is calling: extractors that carry proof. A handler that holds one cannot have forgotten to ask.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::Problem;
use crate::app::App;
use crate::error::Error;
use crate::model::{Caller, Scope, UserId};

/// The subprotocol that our sockets speak.
pub const SOCKET_PROTOCOL: &str = "codeyard.v1";
/// Starts the subprotocol in which a browser hides its token.
const BEARER_PROTOCOL: &str = "codeyard.bearer.";

/// What the gate has found out about a request; every handler can have it.
#[derive(Debug)]
pub struct Passage {
    /// What the log calls this request.
    pub request_id: HeaderValue,
    /// Where it comes from, seen through trusted proxies.
    pub address: IpAddr,
    /// Who sent it, if it says so in its headers.
    pub(super) identity: Option<Result<Caller, Problem>>,
    /// Who it turned out to be: for the access log.
    pub(super) known: OnceLock<UserId>,
}

impl Passage {
    /// The request's id as text.
    pub fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    fn of(parts: &Parts) -> Result<&Self, Problem> {
        // Only a route that was put past the gate has none.
        parts.extensions.get::<Arc<Self>>().map(Arc::as_ref).ok_or_else(Problem::internal)
    }

    fn caller(&self) -> Result<&Caller, Problem> {
        match &self.identity {
            Some(Ok(caller)) => Ok(caller),
            Some(Err(problem)) => Err(problem.clone()),
            None => Err(Error::Unauthenticated("sign in: send Authorization: Bearer, or X-API-Key").into()),
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub IpAddr);

/// What the log calls this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(pub String);

/// Somebody who may look, also where the method is one that writes (to get a ticket, say).
#[derive(Clone, Debug)]
pub struct Reader(pub Caller);

/// An administrator.
#[derive(Clone, Debug)]
pub struct Admin(pub Caller);

/// Somebody who may open a socket, and what to answer to the subprotocols that were offered.
#[derive(Clone, Debug)]
pub struct SocketCaller {
    /// Who.
    pub caller: Caller,
    /// The subprotocol to choose, if ours was offered.
    pub protocol: Option<&'static str>,
}

/// Nobody that may open a socket. Answered as HTTP it is a 401; a socket that is opened nevertheless, so that a
/// browser learns the reason, is closed with 4401.
#[derive(Clone, Debug)]
pub struct SocketRefused {
    /// Why.
    pub problem: Problem,
    /// The subprotocol to choose, if ours was offered.
    pub protocol: Option<&'static str>,
}

/// A key or token that may not write gets nowhere with a method that does, whichever handler it reaches.
impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let caller = Passage::of(parts)?.caller()?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        require(caller, if reads { Scope::Read } else { Scope::Write })?;
        Ok(caller.clone())
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let caller = Passage::of(parts)?.caller()?;
        require(caller, Scope::Read)?;
        Ok(Self(caller.clone()))
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if !caller.is_admin() {
            return Err(Error::Forbidden("only an administrator may do this").into());
        }
        Ok(Self(caller))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Passage::of(parts).map(|passage| Self(passage.address))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Passage::of(parts).map(|passage| Self(passage.id().to_owned()))
    }
}

impl FromRequestParts<App> for SocketCaller {
    type Rejection = SocketRefused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, SocketRefused> {
        let (offers_ours, token) = protocols(&parts.headers);
        let protocol = offers_ours.then_some(SOCKET_PROTOCOL);
        let caller = socket_caller(parts, app, token).await;
        match caller {
            Ok(caller) => Ok(Self { caller, protocol }),
            Err(problem) => Err(SocketRefused { problem, protocol }),
        }
    }
}

impl IntoResponse for SocketRefused {
    fn into_response(self) -> Response {
        self.problem.into_response()
    }
}

async fn socket_caller(parts: &Parts, app: &App, token: Option<String>) -> Result<Caller, Problem> {
    let passage = Passage::of(parts)?;
    let caller = if passage.identity.is_some() {
        passage.caller()?.clone()
    } else if let Some(token) = token {
        app.auth.verify(&token).await?
    } else {
        let query = parts.uri.query().unwrap_or_default();
        let named = |name: &str| {
            url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
        };
        match (named("token").or_else(|| named("api_key")), named("ticket")) {
            (Some(token), _) => app.auth.verify(&token).await?,
            (None, Some(ticket)) => app.auth.redeem_ticket(&ticket).await?,
            (None, None) => passage.caller()?.clone(),
        }
    };
    require(&caller, Scope::Read)?;
    // Unset before, unless the headers had said the same.
    let _ = passage.known.set(caller.user);
    Ok(caller)
}

/// Whether `codeyard.v1` is among the subprotocols offered, and the token that stands beside it.
fn protocols(headers: &HeaderMap) -> (bool, Option<String>) {
    let offered = || {
        headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(',').map(str::trim))
    };
    let token = offered()
        .find_map(|name| name.strip_prefix(BEARER_PROTOCOL))
        .and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    (offered().any(|name| name == SOCKET_PROTOCOL), token)
}

fn require(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    if caller.scopes.has(scope) {
        return Ok(());
    }
    Err(Error::Forbidden(match scope {
        Scope::Read => "this key may not read",
        Scope::Write => "this key may only read",
        Scope::Admin => "this key may not administer",
    })
    .into())
}

/// The token or key in the headers.
pub(super) fn credential(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(token.trim());
    }
    headers.get("x-api-key")?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_beside_our_protocol() {
        let mut headers = HeaderMap::new();
        assert_eq!(protocols(&headers), (false, None));
        let offer = format!("codeyard.v1, codeyard.bearer.{}", URL_SAFE_NO_PAD.encode("a.b.c"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offer.parse().unwrap());
        assert_eq!(protocols(&headers), (true, Some("a.b.c".to_owned())));
    }

    #[test]
    fn the_scheme_may_be_written_anyhow_and_another_scheme_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("cy_1"));
        assert_eq!(credential(&headers), Some("cy_1"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer abc"));
        assert_eq!(credential(&headers), Some("abc"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(credential(&headers), None);
    }
}
