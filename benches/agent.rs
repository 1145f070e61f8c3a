//! Builds with a model that answers at once: what remains is the workflow's own cost; and many at once, waiting for one
//! that does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use codeyard::app::App;
use codeyard::clock::Clock;
use codeyard::config::Config;
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

/// Builds that wait at once, how long each answer takes, and how many files each writes and reads.
const WAITING: usize = 100;
const SLOW: Duration = Duration::from_secs(2);
const FILES: usize = 2;

/// Writes and reads files, so many calls in all, and takes its time for each answer.
struct Writes {
    calls: usize,
    pause: Duration,
}

impl Model for Writes {
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
            () if turn >= self.calls => ("finish", json!({"summary": "Done."})),
            () if turn.is_multiple_of(2) => {
                ("write_file", json!({"path": path, "content": "some text\n".repeat(100)}))
            }
            () => ("read_file", json!({"path": path})),
        };
        let id = format!("call-{turn}");
        let part = Part::ToolCall(ToolCall { id, name: name.to_owned(), arguments, signature: None });
        let usage = Usage { input_tokens: 1000, output_tokens: 100, ..Usage::default() };
        let message = Message { role: Role::Assistant, parts: vec![part] };
        let pause = self.pause;
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            Ok(Reply { message, finish: Finish::ToolCalls, usage: Some(usage) })
        })
    }
}

/// From the start of a build to the end of its workflow, before it is packed: the medians of the whole and of a step.
pub(crate) async fn workflow(place: &Place) -> String {
    let app = App::start(place.config(&[("llm.find_ollama", "false")]), Clock::system()).await.unwrap();
    app.env.llm.add("writes", Arc::new(Writes { calls: CALLS, pause: Duration::ZERO }));
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
    let (id, me) = submit(app).await;
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

/// Many builds at once on a slow model, in a process of their own.
pub(crate) async fn waiting(place: &Place) -> String {
    let settings = place.settings.iter().map(|(path, value)| format!("{path}={value}"));
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap());
    let output = program.arg("--waiting").args(settings).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The process of [`waiting`]; `arguments` are settings as `path=value`. Prints how it went: the latest event is the
/// longest time from when something happened to when whoever watches in this process has it.
pub(crate) fn wait(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let settings = arguments.iter().filter_map(|argument| argument.split_once('='));
    let more = [("llm.find_ollama", "false"), ("queues.builds.slots", "100")];
    let settings = settings.chain(more).map(|(path, value)| (path.to_owned(), value.to_owned()));
    let config = Config::load(None, [], settings).unwrap();
    runtime.block_on(async {
        let app = App::start(config, Clock::system()).await.unwrap();
        app.env.llm.add("writes", Arc::new(Writes { calls: 2 * FILES, pause: SLOW }));
        app.env.sandbox().await.unwrap();
        let (idle, begun) = (memory(), Instant::now());
        let builds = (0..WAITING).map(|_| {
            let app = app.clone();
            tokio::spawn(async move { watched(&app).await })
        });
        let builds: Vec<_> = builds.collect();
        let mut most = idle;
        while !builds.iter().all(tokio::task::JoinHandle::is_finished) {
            most = most.max(memory());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut latest = Duration::ZERO;
        for build in builds {
            latest = latest.max(build.await.unwrap());
        }
        println!(
            "{WAITING} done in {:.1} s; latest event {} ms; {idle:.0} MiB idle, {most:.0} MiB at most, {:.2} MiB a build",
            begun.elapsed().as_secs_f64(),
            latest.as_millis(),
            (most - idle) / WAITING as f64,
        );
        app.stop().await;
    });
}

/// Runs one build; returns how late its latest event was.
async fn watched(app: &App) -> Duration {
    let (id, me) = submit(app).await;
    let (mut seen, mut watch) = app.jobs.watch(id, 0, &me).await.unwrap();
    let mut latest = Duration::ZERO;
    while !seen.status.is_final() {
        for line in watch.next().await.unwrap() {
            assert_ne!(line.event.name, "failed", "{:?}", line.event.message);
            latest = latest.max((app.clock.now() - line.event.at).to_std().unwrap_or_default());
            seen.status = line.event.status;
        }
    }
    latest
}

async fn submit(app: &App) -> (JobId, Caller) {
    let provider = Some("writes".to_owned());
    let parameters = Parameters { provider, scaffold: Some(false), ..Parameters::default() };
    let job = Build { project_name: "bench".to_owned(), goal: "files".to_owned(), parameters };
    let id: JobId = app.jobs.submit(request(&job, None).unwrap()).await.unwrap().id;
    (id, Caller { user: UserId(app.clock.new_id()), role: Rank::Admin, scopes: Scopes::ALL })
}

/// Resident memory of this process, in MiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
