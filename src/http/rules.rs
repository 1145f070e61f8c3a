//! The catalogue of rules: for programs, and as a page.

use std::sync::OnceLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::extract::Json;
use crate::error::{Error, Result};
use crate::export::{self, CATALOGUE_FORMATS, CatalogueEntry};

/// The page's own policy narrows this down to its very style and script.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Every rule that comes with this server.
///
/// In the order of the ids; `/rules` shows the same to people.
#[utoipa::path(get, path = "/api/v1/rules", tag = "analyses",
    responses((status = 200, description = "All of them.", body = Vec<CatalogueEntry>)))]
pub(super) async fn list_rules() -> Json<&'static [CatalogueEntry]> {
    Json(entries())
}

/// The page at `/rules`, made once.
pub(super) async fn page() -> Result<Response> {
    static PAGE: OnceLock<Option<Bytes>> = OnceLock::new();
    let html = CATALOGUE_FORMATS.iter().find(|format| format.name == "html");
    let page = PAGE.get_or_init(|| (html?.write)(entries().to_vec()).ok().map(Bytes::from));
    let (Some(html), Some(page)) = (html, page) else {
        return Err(Error::Internal(anyhow::anyhow!("the page of rules cannot be written")));
    };
    let kind = HeaderValue::from_static(html.media_type);
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)], page.clone())
        .into_response())
}

fn entries() -> &'static [CatalogueEntry] {
    static ENTRIES: OnceLock<Vec<CatalogueEntry>> = OnceLock::new();
    ENTRIES.get_or_init(export::catalogue)
}
