//! What comes in, checked: JSON bodies, query strings and path parameters, refused in the contract's words.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Problem;
use crate::app::App;
use crate::error::Error;

/// A JSON body, in or out.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// The query string.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// The parameters in the path. One that cannot be an id names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type(
                "the body must be JSON: Content-Type: application/json",
            ));
        }
        let bytes = read_body(request, app.config.server.body_limit_bytes).await?;
        Ok(Self(parse_json(&bytes)?))
    }
}

/// No body at all is nothing; any other is JSON or refused.
impl<T: DeserializeOwned> OptionalFromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Option<Self>, Problem> {
        if request.headers().contains_key(CONTENT_TYPE) {
            return <Self as FromRequest<App>>::from_request(request, app).await.map(Some);
        }
        let bytes = read_body(request, app.config.server.body_limit_bytes).await?;
        let why = "the body must be JSON: Content-Type: application/json";
        if bytes.is_empty() { Ok(None) } else { Err(Problem::unsupported_media_type(why)) }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let mut response = Response::new(body.into());
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Err(error) => Error::Internal(error.into()).into_response(),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(parse_query(parts.uri.query().unwrap_or_default())?))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // PostgreSQL keeps no NUL in text, so nothing can be called by it.
        if parts.uri.path().contains("%00") {
            return Err(Error::NotFound("thing").into());
        }
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(_)) => Err(Error::NotFound("thing").into()),
            Err(other) => Err(Error::Internal(other.into()).into()),
        }
    }
}

/// The whole body, if it is not longer than `limit`.
pub async fn read_body(request: Request, limit: usize) -> Result<bytes::Bytes, Problem> {
    let too_large = || Problem::from(Error::TooLarge(format!("the body is larger than {limit} bytes")));
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Error::Malformed("the body ended before it was complete".to_owned()).into()),
    }
}

/// Reads JSON: what does not parse is malformed, what parses but cannot be meant is named by its path.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            Error::unreadable(&path, &inner.to_string())
        } else {
            Error::Malformed(format!("the body is not valid JSON: {inner}"))
        }
    })?;
    reader.end().map_err(|error| Error::Malformed(format!("the body is not valid JSON: {error}")))?;
    Ok(value)
}

/// Reads a query string: what cannot be meant is named by its parameter.
pub(super) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Error> {
    if query.contains("%00") {
        return Err(Error::Malformed("the query string contains NUL".to_owned()));
    }
    let reader = serde_urlencoded::Deserializer::new(form_pairs(query));
    serde_path_to_error::deserialize(reader)
        .map_err(|error| Error::unreadable(&error.path().to_string(), &error.inner().to_string()))
}

fn form_pairs(query: &str) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.as_bytes())
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let Ok(kind) = kind.parse::<mime::Mime>() else { return false };
    kind.type_() == mime::APPLICATION
        && (kind.subtype() == mime::JSON || kind.suffix().is_some_and(|suffix| suffix == mime::JSON))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::error::FieldError;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it reads is looked at")]
    struct Order {
        name: String,
        #[serde(default)]
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it reads is looked at")]
    struct Line {
        count: u8,
    }

    fn fields(error: Error) -> Vec<FieldError> {
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        if let Error::Invalid(fields) = error { fields } else { Vec::new() }
    }

    fn field_of(body: &str) -> String {
        fields(parse_json::<Order>(body.as_bytes()).unwrap_err()).remove(0).field
    }

    #[test]
    fn a_wrong_field_is_named_by_its_path() {
        assert_eq!(field_of(r#"{"name": 3}"#), "name");
        assert_eq!(field_of(r#"{"name": "a", "lines": [{"count": 1}, {"count": 300}]}"#), "lines[1].count");
        assert_eq!(field_of(r#"{}"#), "name");
        assert_eq!(field_of(r#"{"name": "a", "nmae": 1}"#), "nmae");
        assert_eq!(field_of(r#"{"name": "a", "lines": [{"cuont": 1}]}"#), "lines[0].cuont");
        assert_eq!(field_of("[]"), "body");
    }

    #[test]
    fn what_is_no_json_is_malformed_also_behind_the_end() {
        for body in ["", "{", "nope", r#"{"name": "a"} x"#, "\u{0}"] {
            let error = parse_json::<Order>(body.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Malformed(_)), "{body}: {error:?}");
        }
    }

    #[test]
    fn a_query_names_what_it_does_not_know() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only whether it reads is looked at")]
        struct Page {
            limit: Option<u32>,
        }
        assert!(parse_query::<Page>("").is_ok() && parse_query::<Page>("limit=3").is_ok());
        assert_eq!(fields(parse_query::<Page>("limit=x").unwrap_err())[0].field, "limit");
        assert_eq!(fields(parse_query::<Page>("lmit=3").unwrap_err())[0].field, "lmit");
        assert!(matches!(parse_query::<Page>("limit=%00").unwrap_err(), Error::Malformed(_)));
    }
}
