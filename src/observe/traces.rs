//! Traces: spans sent by OTLP over HTTP, from a thread of their own.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context;
use axum::http::HeaderMap;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends spans to `endpoint`, such as `http://collector:4318`, in batches. Must be called on a runtime.
pub(super) fn provider(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    super::use_ring();
    let base = endpoint.trim_end_matches('/');
    let url = if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") };
    url::Url::parse(&url).with_context(|| format!("telemetry.otlp_endpoint {endpoint:?} is no URL"))?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(OnRuntime { client, runtime: Handle::try_current()? })
        .with_endpoint(url)
        .with_timeout(PATIENCE)
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name("codeyard")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Makes a span part of the trace that the caller names in `traceparent`, if it names one.
pub fn join_trace(span: &tracing::Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Refused where no traces are sent.
        let _ = span.set_parent(parent);
    }
}

/// Sends on our runtime: the exporter's own thread has none, and reqwest needs one.
#[derive(Clone, Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sent = self.runtime.spawn(send(self.client.clone(), request));
        Box::pin(async move { sent.await? })
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let answer = client.execute(request.try_into()?).await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(answer.headers());
    }
    Ok(response.body(answer.bytes().await?)?)
}
