//! What Prometheus reads.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use metrics::gauge;

use crate::app::App;

/// Metrics as Prometheus reads them.
///
/// Without sign-in, as Prometheus expects; keep the path from outsiders where that matters.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "One line a metric.", body = String, content_type = "text/plain")))]
pub(super) async fn render(State(app): State<App>) -> Response {
    let (open, idle) = app.store.connections();
    gauge!("codeyard_http_requests_in_flight").set(as_gauge(app.doors.in_flight()));
    gauge!("codeyard_database_connections", "state" => "open").set(f64::from(open));
    gauge!("codeyard_database_connections", "state" => "idle").set(as_gauge(idle));
    gauge!("codeyard_info", "version" => env!("CARGO_PKG_VERSION"), "database" => app.store.name()).set(1.0);
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, text)], app.metrics.render()).into_response()
}

fn as_gauge(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
