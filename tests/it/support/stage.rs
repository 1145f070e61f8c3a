//! Scripted kinds: a job's payload says what it plays, and the test decides when.

use std::sync::Arc;
use std::time::Duration;

use codeyard::jobs::{Context, Failure, Level, NewChild, NewRequest, Outcome, Policy, Wait};
use codeyard::kinds::{self, Registry};
use codeyard::model::{JobId, UserId};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore, mpsc};

/// How the scripted build is treated: as the real one.
pub(crate) const SCRIPT: Policy =
    Policy { kind: "build", queue: "builds", max_attempts: 3, prepares: false, soft_timeout: None };

/// Where scripted jobs play.
#[derive(Clone)]
pub(crate) struct Stage {
    /// Each permit lets one job that plays `gate` go on.
    pub(crate) gate: Arc<Semaphore>,
    entered: mpsc::UnboundedSender<JobId>,
    entries: Arc<Mutex<mpsc::UnboundedReceiver<JobId>>>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (entered, entries) = mpsc::unbounded_channel();
        Self { gate: Arc::new(Semaphore::new(0)), entered, entries: Arc::new(Mutex::new(entries)) }
    }

    /// All kinds, with the scripted build among them.
    pub(crate) fn registry(&self) -> Registry {
        let stage = self.clone();
        kinds::all().with_start(SCRIPT, move |payload, _, context| {
            let payload: Value = serde_json::from_str(payload.get()).unwrap();
            let stage = stage.clone();
            Box::pin(async move { stage.play(&payload["parameters"], context).await })
        })
    }

    /// The next job whose run has begun.
    pub(crate) async fn next(&self) -> JobId {
        self.entries.lock().await.recv().await.unwrap()
    }

    async fn play(&self, script: &Value, context: Context) -> Result<Outcome, Failure> {
        self.entered.send(context.job()).unwrap();
        match script["play"].as_str().unwrap_or("finish") {
            "finish" => {}
            "fail" => return Err(Failure::transient("SCRIPTED", "as the script says")),
            "fail_for_good" => return Err(Failure::fatal("SCRIPTED", "as the script says")),
            "fail_once" if context.attempt() == 1 => return Err(Failure::transient("SCRIPTED", "once")),
            "fail_once" => {}
            "panic" => panic!("as the script says"),
            "until_cancelled" => {
                context.stop().cancelled().await;
                return Err(context.stopped());
            }
            "ignore_stop" => std::future::pending().await,
            "gate" => self.gate.acquire().await.unwrap().forget(),
            "attach" => {
                attach(&context).await;
                if context.attempt() == 1 {
                    return Err(Failure::transient("SCRIPTED", "once"));
                }
            }
            "chat" => chat(&context, script["times"].as_i64().unwrap_or(10), script["size"].as_u64()).await,
            "wait" if context.saved().await.unwrap().is_none() => {
                assert!(context.save(&json!({"asked": true})).await);
                return Ok(Outcome::Wait(Wait::Signal));
            }
            "wait" => {}
            "nap" if context.saved().await.unwrap().is_none() => {
                assert!(context.save(&json!({"napped": true})).await);
                let until = context.clock().now() + Duration::from_secs(3600);
                return Ok(Outcome::Wait(Wait::Until(until)));
            }
            "nap" => {}
            "children" if context.saved().await.unwrap().is_none() => {
                for number in 0..3 {
                    let child =
                        NewChild { policy: SCRIPT, label: None, payload: payload_of(&script["each"]) };
                    context.spawn(&number.to_string(), child).await.unwrap();
                }
                assert!(context.save(&json!({"spawned": 3})).await);
                return Ok(Outcome::Wait(Wait::Children));
            }
            "children" => {}
            other => panic!("no script plays {other}"),
        }
        Outcome::done(&json!({"played": script["play"], "attempt": context.attempt()}))
    }
}

/// Adds to two files, and tells of it with them.
async fn attach(context: &Context) {
    let _held_back = context.hold_back();
    context.progress(context.attempt() * 10, "attaching").await;
    context.log(Level::Info, "attached").await;
    let bytes = format!("{} ", context.attempt()).into_bytes();
    let files = vec![("notes".to_owned(), bytes), ("other".to_owned(), vec![0, 255])];
    assert!(context.save_with(&json!({"attempt": context.attempt()}), files).await);
    let saved = context.saved_files("notes").await.unwrap();
    assert_eq!(saved.len(), usize::try_from(context.attempt()).unwrap(), "what was saved can be read");
    context.log(Level::Info, "read").await;
}

/// Two events each time; the lines of the log have this many bytes and a few more.
async fn chat(context: &Context, times: i64, size: Option<u64>) {
    let padding = ".".repeat(size.map_or(0, |size| usize::try_from(size).unwrap()));
    for time in 0..times {
        context.progress(i32::try_from(time * 100 / times).unwrap(), &format!("step {time}")).await;
        context.log(Level::Info, &format!("line {time}{padding}")).await;
    }
}

/// The payload of a scripted build.
pub(crate) fn payload_of(script: &Value) -> Box<RawValue> {
    to_raw_value(&json!({"project_name": "script", "goal": "play", "parameters": script})).unwrap()
}

/// A scripted build, ready to submit.
pub(crate) fn scripted(owner: Option<UserId>, script: &Value) -> NewRequest {
    NewRequest { label: Some("script".to_owned()), ..NewRequest::new(SCRIPT, owner, payload_of(script)) }
}
