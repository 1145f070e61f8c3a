//! A build with a model that answers at once: what remains is the workflow's own cost.

use std::sync::Arc;
use std::time::Duration;

use codeyard::app::App;
use codeyard::clock::Clock;
use codeyard::kinds::build::Parameters;
use codeyard::kinds::{Build, request};
use codeyard::llm::{Call, Delta, Error, Finish, Message, Model, Part, Reply, Role, ToolCall, Usage};
use codeyard::model::{Caller, JobId, Role as Rank, Scopes, UserId};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::{Place, client};

/// Calls of tools, each in a turn of its own: half of them write a file, half read it.
const CALLS: usize = 30;
const BUILDS: usize = 30;

struct AtOnce;

impl Model for AtOnce {
    fn ask<'a>(
        &'a self,
        call: &'a Call,
        _: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        let offers = |name: &str| call.request.tools.iter().any(|tool| tool.name == name);
        let turn = call.request.messages.iter().filter(|message| message.role == Role::Assistant).count();
        let path = format!("src/file{}.txt", turn / 2);
        let (name, arguments): (&str, Value) = match () {
            () if offers("submit_requirements") => ("submit_requirements", json!({"summary": "Files."})),
            () if offers("submit_plan") => ("submit_plan", json!({"summary": "Write them."})),
            () if turn >= CALLS => ("finish", json!({"summary": "Done."})),
            () if turn.is_multiple_of(2) => {
                ("write_file", json!({"path": path, "content": "some text\n".repeat(100)}))
            }
            () => ("read_file", json!({"path": path})),
        };
        let id = format!("call-{turn}");
        let part = Part::ToolCall(ToolCall { id, name: name.to_owned(), arguments, signature: None });
        let usage = Usage { input_tokens: 1000, output_tokens: 100, ..Usage::default() };
        let message = Message { role: Role::Assistant, parts: vec![part] };
        Box::pin(async move { Ok(Reply { message, finish: Finish::ToolCalls, usage: Some(usage) }) })
    }
}

/// From the start of a build to the end of its workflow, before it is packed: the medians of the whole and of a step.
pub(crate) async fn workflow(place: &Place) -> String {
    let app = App::start(place.config(&[("llm.find_ollama", "false")]), Clock::system()).await.unwrap();
    app.env.llm.add("at-once", Arc::new(AtOnce));
    app.env.sandbox().await.unwrap();
    let mut whole = Vec::new();
    for _ in 0..BUILDS {
        whole.push(build(&app).await);
    }
    let steps = CALLS + 4;
    let median = {
        whole.sort_unstable();
        whole[BUILDS / 2]
    };
    let step = median.as_secs_f64() * 1000.0 / steps as f64;
    let all = client::percentiles(&mut whole);
    app.stop().await;
    format!("{all}; {step:.1} ms a step")
}

async fn build(app: &App) -> Duration {
    let parameters = Parameters { provider: Some("at-once".to_owned()), ..Parameters::default() };
    let job = Build { project_name: "bench".to_owned(), goal: "files".to_owned(), parameters };
    let id: JobId = app.jobs.submit(request(&job, None).unwrap()).await.unwrap().id;
    let me = Caller { user: UserId(app.clock.new_id()), role: Rank::Admin, scopes: Scopes::ALL };
    let (mut seen, mut watch) = app.jobs.watch(id, 0, &me).await.unwrap();
    let (mut started, mut ended) = (None, None);
    while !seen.status.is_final() {
        for line in watch.next().await.unwrap() {
            assert_ne!(line.event.name, "failed", "{:?}", line.event.message);
            match line.event.name.as_str() {
                "started" => started = Some(line.event.at),
                // The last one is said when the workflow is over.
                "cost" => ended = Some(line.event.at),
                _ => {}
            }
            seen.status = line.event.status;
        }
    }
    (ended.unwrap() - started.unwrap()).to_std().unwrap()
}
