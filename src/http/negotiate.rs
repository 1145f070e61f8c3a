//! Whether a client accepts what a route answers with.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use mime::Mime;

use super::error::Problem;

/// What the `Accept` header of a request asks for, where it does not ask for anything at all.
pub(super) struct Wanted(Option<HeaderValue>);

impl Wanted {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(header::ACCEPT).filter(|accept| *accept != "*/*").cloned())
    }

    /// The answer, or a 406 in the place of one that the client does not accept. For requests that change nothing:
    /// whoever has written something shall hear of it.
    pub(super) fn check(&self, response: Response) -> Result<Response, Problem> {
        let Some(accept) = &self.0 else { return Ok(response) };
        let Some(kind) =
            response.headers().get(header::CONTENT_TYPE).filter(|_| response.status().is_success())
        else {
            return Ok(response);
        };
        if accepts(accept, kind) {
            return Ok(response);
        }
        let kind = kind.to_str().unwrap_or_default();
        Err(Problem::not_acceptable(format!(
            "this can be had as {kind}, which the Accept header does not name"
        )))
    }
}

/// Whether `accept` (RFC 9110, 12.5.1) has room for this type. A header that makes no sense accepts everything.
fn accepts(accept: &HeaderValue, kind: &HeaderValue) -> bool {
    let parse = |value: &HeaderValue| value.to_str().ok().and_then(|text| text.parse::<Mime>().ok());
    let (Ok(accept), Some(kind)) = (accept.to_str(), parse(kind)) else { return true };
    let ranges: Vec<Mime> = accept.split(',').filter_map(|range| range.trim().parse().ok()).collect();
    // The most exact range that fits decides.
    let fits = |range: &&Mime| {
        let main = range.type_() == mime::STAR || range.type_() == kind.type_();
        main && (range.subtype() == mime::STAR || range.subtype() == kind.subtype())
    };
    let exactness =
        |range: &&Mime| u8::from(range.type_() != mime::STAR) + u8::from(range.subtype() != mime::STAR);
    let weight =
        |range: &Mime| range.get_param("q").and_then(|q| q.as_str().parse::<f32>().ok()).unwrap_or(1.0);
    ranges.is_empty()
        || ranges.iter().filter(fits).max_by_key(exactness).is_some_and(|range| weight(range) > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_range_decides() {
        let json = HeaderValue::from_static("application/json");
        for (accept, accepted) in [
            ("application/json", true),
            ("text/html, application/*;q=0.1", true),
            ("text/html, */*;q=0.1", true),
            ("text/html", false),
            ("application/json;q=0, */*", false),
            ("application/*;q=0, application/json", true),
            ("nonsense", true),
            ("", true),
        ] {
            assert_eq!(accepts(&HeaderValue::from_static(accept), &json), accepted, "{accept}");
        }
        let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        assert!(accepts(&HeaderValue::from_static("text/plain;version=0.0.4"), &text));
    }
}
