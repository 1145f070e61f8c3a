//! As much of S3 as files of jobs need: put, get with ranges, list, delete; every request must be signed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// A bucket called `files`.
#[derive(Clone, Default)]
pub(crate) struct Bucket {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    refusing: Arc<AtomicBool>,
    address: String,
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Self { address, ..Self::default() };
        let router = Router::new().fallback(answer).with_state(bucket.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bucket
    }

    /// The settings that lead here.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("artifacts.url", "s3://files/some/prefix".to_owned()),
            ("artifacts.endpoint", self.address.clone()),
            ("artifacts.access_key_id", "key".to_owned()),
            ("artifacts.secret_access_key", "not a secret".to_owned()),
        ]
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    /// Whether to answer everything with 403 from now on.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.refusing.store(refuse, Ordering::Relaxed);
    }
}

async fn answer(
    State(bucket): State<Bucket>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=key/") || bucket.refusing.load(Ordering::Relaxed) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let key = uri.path().trim_start_matches("/files").trim_start_matches('/').to_owned();
    let mut objects = bucket.objects.lock().unwrap();
    match method {
        Method::GET if key.is_empty() => list(&objects, query.get("prefix").map_or("", String::as_str)),
        Method::PUT => {
            objects.insert(key, body);
            [("etag", "\"x\"")].into_response()
        }
        Method::DELETE => {
            objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::GET | Method::HEAD => match objects.get(&key) {
            Some(bytes) => part(bytes, headers.get("range").and_then(|range| range.to_str().ok())),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn part(bytes: &Bytes, range: Option<&str>) -> Response {
    let common = [("etag", "\"x\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")];
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return (common, bytes.clone()).into_response();
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let said = format!("bytes {first}-{last}/{}", bytes.len());
    (StatusCode::PARTIAL_CONTENT, common, [("content-range", said)], bytes.slice(first..=last))
        .into_response()
}

fn list(objects: &BTreeMap<String, Bytes>, prefix: &str) -> Response {
    let entry = |(key, bytes): (&String, &Bytes)| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag>\
             <Size>{}</Size></Contents>",
            bytes.len()
        )
    };
    let found: String = objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(entry).collect();
    let xml = format!(
        "<ListBucketResult><Name>files</Name><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    );
    ([("content-type", "application/xml")], xml).into_response()
}
