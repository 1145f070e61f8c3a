//! One table of all routes.

use axum::Router;
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::error::Problem;
use super::gate::{Gate, Kind};
use super::{
    analyses, api_keys, approvals, artifacts, auth, builds, docs, events, exports, health, jobs, llm,
    llm_money, metrics, openapi, rules, sockets, users,
};
use crate::app::App;

/// Every route there is. A path is reachable with and without its trailing slash.
fn table() -> Vec<Row> {
    vec![
        probe(routes!(health::health)).also("/health"),
        probe(routes!(health::ready)).also("/health/ready"),
        probe(routes!(health::live)).also("/health/live"),
        plain(routes!(health::status)),
        plain(routes!(health::health_v1)),
        plain(routes!(openapi::serve_document)),
        upload(routes!(builds::create_build, builds::list_builds)),
        plain(routes!(builds::get_build, builds::cancel_build)),
        plain(routes!(approvals::approve_build)),
        plain(routes!(approvals::reject_build)),
        plain(routes!(artifacts::list_build_artifacts)),
        stream(routes!(artifacts::get_build_artifact)),
        upload(routes!(analyses::create_analysis, analyses::list_analyses)),
        plain(routes!(analyses::get_analysis, analyses::cancel_analysis)),
        plain(routes!(rules::list_rules)),
        plain(routes!(exports::list_formats)),
        plain(routes!(exports::export_schema)),
        plain(routes!(exports::export_report)),
        plain(routes!(exports::export_batch)),
        plain(routes!(jobs::list_jobs)),
        plain(routes!(jobs::get_job, jobs::delete_job)),
        plain(routes!(artifacts::list_job_artifacts)),
        stream(routes!(artifacts::get_job_artifact)),
        plain(routes!(jobs::cancel_job)),
        plain(routes!(jobs::retry_job)),
        stream(routes!(events::job_events)),
        stream(routes!(events::job_logs)),
        plain(routes!(jobs::list_queues)),
        plain(routes!(jobs::pause_queue)),
        plain(routes!(jobs::resume_queue)),
        stream(routes!(sockets::build_socket)),
        stream(routes!(sockets::analysis_socket)),
        stream(routes!(sockets::job_socket)).also("/ws/progress/{job_id}"),
        probe(routes!(metrics::render)),
        plain(routes!(auth::register)),
        plain(routes!(auth::login)),
        plain(routes!(auth::refresh)),
        plain(routes!(auth::logout)),
        plain(routes!(auth::forgot_password)),
        plain(routes!(auth::reset_password)),
        plain(routes!(auth::issue_ticket)),
        plain(routes!(users::get_me, users::patch_me)),
        plain(routes!(users::list_users, users::create_user)),
        plain(routes!(users::get_user, users::patch_user)),
        plain(routes!(api_keys::create_key, api_keys::list_keys)),
        plain(routes!(api_keys::revoke_key)),
        plain(routes!(llm::list_providers)),
        plain(routes!(llm::put_key, llm::delete_key)),
        stream(routes!(llm::test_model)),
        plain(routes!(llm_money::usage)),
        plain(routes!(llm_money::create_budget, llm_money::list_budgets)),
        plain(routes!(llm_money::patch_budget, llm_money::delete_budget)),
    ]
}

/// One line of the table: a path, what is done there by method, and how it is treated at the gate.
struct Row {
    kind: Kind,
    routes: UtoipaMethodRouter<App>,
    aliases: Vec<&'static str>,
}

fn plain(routes: UtoipaMethodRouter<App>) -> Row {
    Row { kind: Kind::Plain, routes, aliases: Vec::new() }
}

fn probe(routes: UtoipaMethodRouter<App>) -> Row {
    Row { kind: Kind::Probe, ..plain(routes) }
}

/// For bodies up to `server.upload_limit_bytes`, with ten times the time.
fn upload(routes: UtoipaMethodRouter<App>) -> Row {
    Row { kind: Kind::Upload, ..plain(routes) }
}

/// For answers that take as long as they take: sockets, event streams, long polls, downloads.
fn stream(routes: UtoipaMethodRouter<App>) -> Row {
    Row { kind: Kind::Stream, ..plain(routes) }
}

impl Row {
    /// The same under another path, which the OpenAPI document does not list.
    fn also(mut self, path: &'static str) -> Self {
        self.aliases.push(path);
        self
    }
}

/// All routes, behind the gate.
pub fn router(app: &App) -> Router {
    let mut router = Router::new();
    for row in table() {
        let (_, paths, methods) = row.routes;
        let paths = paths.paths.keys().map(|path| swallowing(path));
        for path in paths.chain(row.aliases.into_iter().map(str::to_owned)) {
            let path = path.as_str();
            let guarded = guarded(app, row.kind, path, methods.clone());
            if let Some(twin) = twin_of(path) {
                router = router.route(&twin, guarded.clone());
            }
            router = router.route(path, guarded);
        }
    }
    for (path, methods) in docs::pages() {
        router = router.route(path, guarded(app, Kind::Plain, path, methods));
    }
    let lost = any(no_such_path).layer(Gate::new(app, Kind::Plain, "unmatched"));
    router.fallback_service(lost.with_state(app.clone())).with_state(app.clone())
}

/// The table as an OpenAPI document, before [`openapi`] completes it.
pub(super) fn described(base: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let router = OpenApiRouter::<App>::with_openapi(base);
    table().into_iter().fold(router, |router, row| router.routes(row.routes)).into_openapi()
}

fn guarded(app: &App, kind: Kind, path: &str, methods: MethodRouter<App>) -> MethodRouter<App> {
    let methods = methods.fallback(method_not_allowed);
    let gate = Gate::new(app, kind, path);
    match kind {
        Kind::Plain | Kind::Upload => {
            methods.layer(CompressionLayer::new().quality(CompressionLevel::Fastest)).layer(gate)
        }
        Kind::Stream | Kind::Probe => methods.layer(gate),
    }
}

/// A parameter called `path` at the end of a path takes the rest of it, slashes and all.
fn swallowing(path: &str) -> String {
    path.strip_suffix("/{path}").map_or_else(|| path.to_owned(), |above| format!("{above}/{{*path}}"))
}

/// The same path with the slash at its end taken away or added; a path that swallows the rest has none.
fn twin_of(path: &str) -> Option<String> {
    match path.strip_suffix('/') {
        Some("") => None,
        Some(bare) => Some(bare.to_owned()),
        None if path.contains("{*") => None,
        None => Some(format!("{path}/")),
    }
}

async fn no_such_path() -> Response {
    axum::response::IntoResponse::into_response(Problem::no_such_path())
}

async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_twin_unless_it_swallows_the_rest() {
        let twin = |path| twin_of(path);
        assert_eq!(twin("/api/build/").as_deref(), Some("/api/build"));
        assert_eq!(twin("/api/build/{id}").as_deref(), Some("/api/build/{id}/"));
        assert_eq!((twin("/"), twin("/docs/{*file}")), (None, None));
    }
}
