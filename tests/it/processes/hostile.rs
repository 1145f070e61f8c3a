//! Hostile input at every endpoint of the OpenAPI document: refused or taken as plain data, never an error of ours.

use axum::http::{Method, Uri};
use codeyard::http::document;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

/// Text that means something to somebody else.
const TEXTS: [&str; 12] = [
    "",
    "'; drop table jobs; --",
    "1' or '1'='1",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "\0nul\0",
    "\u{202e}\u{feff}\u{1f4a5}\u{fffd}",
    "${jndi:ldap://127.0.0.1/a}{{7*7}}%n%s",
    "-1",
    "99999999999999999999999999999999999999",
    "\r\nX-Injected: yes\r\n\r\n",
];

/// Path segments as they stand on the wire: not all of them are text.
const SEGMENTS: [&str; 11] = [
    "%00",
    "%ff%fe",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5c",
    "'%20or%201=1--",
    "%3Cscript%3E",
    "-1",
    "99999999999999999999999999",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "%F0%9F%92%A5",
];

/// Values that come as header lines.
const HEADERS: [(&str, &[&str]); 9] = [
    (
        "authorization",
        &["", "Bearer", "Bearer ", "Bearer a.b.c", "Basic Og==", "Bearer eyJhbGciOiJub25lIn0.e30."],
    ),
    ("x-api-key", &["", "cy_", "' or 1=1 --"]),
    ("idempotency-key", &["", "'; drop table job_keys; --"]),
    ("accept", &["", "*/*;q=nonsense", "text/event-stream;;,\t"]),
    ("last-event-id", &["-1", "x", "9223372036854775808"]),
    ("range", &["bytes=9-1", "bytes=-", "lines=0-"]),
    ("content-encoding", &["gzip", "nonsense"]),
    ("x-forwarded-for", &["' or 1=1", "::::", "127.0.0.1, , ,"]),
    ("x-request-id", &["<script>", "../../x"]),
];

/// One operation of the document.
struct Operation {
    method: Method,
    path: String,
    parameters: Vec<String>,
    body: Option<Value>,
}

/// Somebody who may do everything, so that no door hides behind 401.
struct Attack {
    app: TestApp,
    token: String,
    tried: usize,
}

#[tokio::test]
async fn no_endpoint_answers_hostile_input_with_an_error_of_ours() {
    let settings = [
        ("limits.requests_per_minute", "0"),
        ("limits.builds_per_minute", "0"),
        ("limits.analyses_per_minute", "0"),
    ];
    for app in TestApp::on_each_database_with(&settings).await {
        let token = app.admin().await.access;
        let mut attack = Attack { app, token, tried: 0 };
        let operations = operations();
        assert!(operations.len() > 25, "{} operations in the document", operations.len());
        for operation in &operations {
            attack.paths(operation).await;
            attack.queries(operation).await;
            attack.headers(operation).await;
            if operation.body.is_some() {
                attack.raw_bodies(operation).await;
                attack.fields(operation).await;
            }
        }
        eprintln!("{} requests on {}", attack.tried, attack.app.database_name());
        // Whatever it was, it was plain data.
        attack.app.get("/api/v1/jobs").bearer(&attack.token).await.expect(200);
    }
}

impl Attack {
    async fn paths(&mut self, operation: &Operation) {
        for segment in SEGMENTS {
            let path = operation.path_with(segment);
            if path != operation.path {
                self.send(operation, &path, &[], None).await;
            }
        }
        let other = if operation.method == Method::GET { Method::PUT } else { Method::TRACE };
        let odd =
            Operation { method: other, path: operation.path.clone(), parameters: Vec::new(), body: None };
        self.send(&odd, &operation.example_path(), &[], None).await;
    }

    async fn queries(&mut self, operation: &Operation) {
        let path = operation.example_path();
        let names = operation.parameters.iter().map(String::as_str).chain(["unknown", "limit", "after"]);
        for name in names {
            for text in TEXTS {
                let value: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
                self.send(operation, &format!("{path}?{name}={value}"), &[], None).await;
            }
            for raw in ["%ff", "%", "1&", "[]=1"] {
                self.send(operation, &format!("{path}?{name}={raw}"), &[], None).await;
            }
        }
    }

    async fn headers(&mut self, operation: &Operation) {
        for (name, values) in HEADERS {
            for value in values {
                self.send(operation, &operation.example_path(), &[(name, value)], operation.body.as_ref())
                    .await;
            }
        }
    }

    /// Bodies that are no JSON, or no JSON that anybody meant.
    async fn raw_bodies(&mut self, operation: &Operation) {
        let deep = |open: &str| open.repeat(100_000);
        let bodies: [(&str, Vec<u8>); 14] = [
            ("application/json", Vec::new()),
            ("application/json", b"null".to_vec()),
            ("application/json", b"[]".to_vec()),
            ("application/json", b"\"text\"".to_vec()),
            ("application/json", b"{\"a\":".to_vec()),
            ("application/json", b"{\"a\":\"\xff\xfe\"}".to_vec()),
            ("application/json", b"\xef\xbb\xbf{}".to_vec()),
            ("application/json", deep("[").into_bytes()),
            ("application/json", deep("{\"a\":").into_bytes()),
            ("application/json", format!("{{\"a\":1e{}}}", "9".repeat(400)).into_bytes()),
            ("application/json", b"{\"a\":1,\"a\":2}".to_vec()),
            ("text/plain", b"{}".to_vec()),
            ("multipart/form-data", b"--x".to_vec()),
            (
                "multipart/form-data; boundary=x",
                b"--x\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\n".to_vec(),
            ),
        ];
        for (kind, body) in bodies {
            let asked = self.app.ask(operation.method.clone(), &operation.example_path());
            self.judge(operation, &asked.bearer(&self.token).body(kind, body).await);
        }
    }

    /// Each field of a body that would be right, replaced by something hostile.
    async fn fields(&mut self, operation: &Operation) {
        let good = operation.body.clone().unwrap_or_default();
        let fields: Vec<_> = good.as_object().into_iter().flat_map(|body| body.keys().cloned()).collect();
        for field in fields.iter().map(String::as_str).chain(["unknown_field", "__proto__"]) {
            for value in hostile_values() {
                let mut body = good.clone();
                body[field] = value;
                self.send(operation, &operation.example_path(), &[], Some(&body)).await;
            }
        }
    }

    async fn send(
        &mut self,
        operation: &Operation,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) {
        if path.parse::<Uri>().is_err() {
            return;
        }
        let mut asked = self.app.ask(operation.method.clone(), path).bearer(&self.token);
        if let Some(body) = body {
            asked = asked.json(body);
        }
        for (name, value) in headers {
            asked = asked.header(name, value);
        }
        let answer = asked.await;
        self.judge(operation, &answer);
    }

    /// Anything but an error of ours; and an error is what the contract says it is.
    fn judge(&mut self, operation: &Operation, answer: &Answer) {
        self.tried += 1;
        let (asked, text) = (answer.asked(), answer.text());
        // A server without mail says so to whoever asks for one.
        let ours = answer.status >= 500 && !text.contains("\"NO_MAIL_CONFIGURED\"");
        assert!(!ours, "{}: {asked}: {} {text}", operation.path, answer.status);
        assert!(answer.headers.get("x-injected").is_none(), "{asked}: a header was injected");
        assert!(!answer.header("x-request-id").contains('<'), "{asked}: {:?}", answer.headers);
        if answer.status < 400 {
            return;
        }
        let body: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{asked}: no JSON: {text:?}"));
        let error = &body["error"];
        for field in ["code", "message", "request_id"] {
            assert!(
                error[field].as_str().is_some_and(|text| !text.is_empty()),
                "{asked}: no {field}: {body}"
            );
        }
        assert_eq!(error["request_id"], answer.header("x-request-id"), "{asked}");
    }
}

impl Operation {
    /// Its path, with this in place of every parameter.
    fn path_with(&self, segment: &str) -> String {
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { segment } else { part });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Its path, with an id that is right and belongs to nothing.
    fn example_path(&self) -> String {
        self.path_with("0192f0c1-2345-7abc-8def-0123456789ab")
    }
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(document()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let parameters = described["parameters"].as_array().into_iter().flatten();
            let query = parameters.filter(|parameter| parameter["in"] == "query");
            operations.push(Operation {
                method,
                path: path.clone(),
                parameters: query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect(),
                body: body_of(&document, described),
            });
        }
    }
    operations
}

/// A body with a value for every field that the document names; most of them mean something.
fn body_of(document: &Value, operation: &Value) -> Option<Value> {
    let schema = &operation.get("requestBody")?["content"]["application/json"]["schema"];
    Some(example_of(document, schema, 0))
}

fn example_of(document: &Value, schema: &Value, depth: usize) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        let named = document.pointer(name.trim_start_matches('#')).unwrap();
        return example_of(document, named, depth + 1);
    }
    if depth > 8 {
        return Value::Null;
    }
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    let choices = ["oneOf", "anyOf", "allOf"].iter().find_map(|name| schema[name].as_array());
    if let Some(choice) = choices.and_then(|choices| choices.iter().find(|choice| choice["type"] != "null")) {
        return example_of(document, choice, depth + 1);
    }
    let sort = if schema["type"].is_array() { &schema["type"][0] } else { &schema["type"] };
    match sort.as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, field)| (name.clone(), example_of(document, field, depth + 1))).collect()
        }
        Some("array") => json!([example_of(document, &schema["items"], depth + 1)]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("something")),
    }
}

fn hostile_values() -> Vec<Value> {
    let mut nested = json!("x");
    for _ in 0..100 {
        nested = json!([nested]);
    }
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1e308),
        json!([]),
        json!({}),
        json!({"$ne": null}),
        json!("x".repeat(100_000)),
        json!(vec!["x"; 1000]),
        json!(["a: &a [x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n"]),
        json!([{"path": "../../x", "content": "\u{0}"}]),
        json!([{"path": "/etc/passwd", "content": ""}, {"path": "/etc/passwd", "content": ""}]),
        json!({"url": "file:///etc/passwd"}),
        json!({"url": "http://169.254.169.254/latest", "ref": "--upload-pack=sh"}),
        json!({"url": "https://user:pw@127.0.0.1:1/a.git"}),
        nested,
    ];
    values.extend(TEXTS.map(Value::from));
    values
}
