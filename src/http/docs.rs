//! The pages for people: Swagger UI at `/docs`, from inside the binary, so that it works without internet, and the rules.

use std::sync::{Arc, OnceLock};

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use utoipa_swagger_ui::Config;

use super::error::Problem;
use super::rules;
use crate::app::App;
use crate::error::Error;

/// The page sets styles on its elements and shows icons that are data; scripts come from here only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'",
);

/// The pages and their parts.
pub(super) fn pages() -> [(&'static str, MethodRouter<App>); 4] {
    [
        ("/rules", get(rules::page)),
        ("/docs", get(async || Redirect::permanent("/docs/"))),
        ("/docs/", get(async || file(""))),
        ("/docs/{*file}", get(async |Path(path): Path<String>| file(&path))),
    ]
}

fn file(path: &str) -> Response {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let config = Config::new(["/api/openapi.json"]).try_it_out_enabled(true).persist_authorization(false);
        Arc::new(config.validator_url("none").filter(true).deep_linking(true))
    });
    match utoipa_swagger_ui::serve(path, Arc::clone(config)) {
        Ok(Some(file)) => {
            let kind = HeaderValue::try_from(file.content_type)
                .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
            let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => Problem::no_such_path().into_response(),
        Err(error) => Error::Internal(anyhow::anyhow!("the docs page: {error}")).into_response(),
    }
}
