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
    gauge!("codeyard_sockets_open").set(as_gauge(app.sockets.count()));
    gauge!("codeyard_jobs_watched").set(as_gauge(app.hub.watched()));
    for slots in app.worker.slots() {
        gauge!("codeyard_slots", "queue" => slots.queue.clone(), "state" => "used").set(slots.used);
        gauge!("codeyard_slots", "queue" => slots.queue, "state" => "all").set(slots.all);
    }
    queues(&app).await;
    gauge!("codeyard_info", "version" => env!("CARGO_PKG_VERSION"), "database" => app.store.name()).set(1.0);
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, text)], app.metrics.render()).into_response()
}

/// What is in the queues. While the database is away, the last figures stay.
async fn queues(app: &App) {
    let Ok(queues) = app.pulse.queues(app).await else { return };
    for queue in queues {
        let set = |state: &'static str, jobs: i64| {
            let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
            gauge!("codeyard_queue_jobs", "queue" => queue.name.clone(), "state" => state).set(jobs);
        };
        set("queued", queue.queued);
        set("running", queue.running);
        set("waiting", queue.waiting);
        let wait = u32::try_from(queue.oldest_wait_seconds).unwrap_or_default();
        gauge!("codeyard_queue_oldest_wait_seconds", "queue" => queue.name).set(wait);
    }
}

fn as_gauge(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
