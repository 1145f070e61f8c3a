//! The state machine as a property: whatever people, workers and accidents do in whatever order, each job goes only
//! where the machine has an arrow, its log has no holes, and it has a row in the queue exactly while it has no outcome.

use codeyard::model::{JobId, ProcessId, Status};
use codeyard::store::{Claim, ProcessRow};
use proptest::prelude::*;
use serde_json::json;

use crate::support::TestApp;

#[derive(Clone, Copy, Debug)]
enum Act {
    Submit,
    Claim,
    Crash,
    Cancel(u8),
    Retry(u8),
    Delete(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let one = prop_oneof![
        3 => Just(Act::Submit),
        3 => Just(Act::Claim),
        2 => Just(Act::Crash),
        2 => any::<u8>().prop_map(Act::Cancel),
        2 => any::<u8>().prop_map(Act::Retry),
        1 => any::<u8>().prop_map(Act::Delete),
    ];
    proptest::collection::vec(one, 1..40)
}

struct World<'a> {
    app: &'a TestApp,
    jobs: Vec<JobId>,
    process: Option<ProcessId>,
}

impl World<'_> {
    async fn act(&mut self, act: Act) {
        let (app, admin) = (self.app, self.app.root());
        let one = |which: u8| self.jobs.get(usize::from(which) % self.jobs.len().max(1)).copied();
        // What is not possible in a state must be refused, and that is all these may do.
        match act {
            Act::Submit => self.jobs.push(app.play(&json!({})).await),
            Act::Claim => self.claim().await,
            Act::Crash => {
                if let Some(process) = self.process.take() {
                    app.app.store.retire_process(process).await.unwrap();
                    app.app.jobs.rescue(true, true, app.app.clock.now()).await.unwrap();
                }
            }
            Act::Cancel(which) => drop(
                futures::future::OptionFuture::from(one(which).map(|job| app.app.jobs.cancel(job, &admin)))
                    .await,
            ),
            Act::Retry(which) => drop(
                futures::future::OptionFuture::from(one(which).map(|job| app.app.jobs.retry(job, &admin)))
                    .await,
            ),
            Act::Delete(which) => {
                if let Some(job) = one(which)
                    && app.app.jobs.delete(job, &admin).await.is_ok()
                {
                    self.jobs.retain(|known| *known != job);
                }
            }
        }
    }

    async fn claim(&mut self) {
        let (store, now) = (&self.app.app.store, self.app.app.clock.now());
        let process = ProcessId(self.app.app.clock.new_id());
        if self.process.is_none() {
            let row = ProcessRow {
                id: process,
                host: "h".into(),
                version: "v".into(),
                started_at: now,
                beat_at: now,
            };
            store.register_process(&row).await.unwrap();
            self.process = Some(process);
        }
        let process = self.process.unwrap();
        let (limit, highest_rank) = (2, now.timestamp_micros());
        store
            .claim(Claim { queue: "builds", process, limit, now, deadline: now, highest_rank })
            .await
            .unwrap();
    }

    async fn check(&self) {
        for job in &self.jobs {
            let mut before = Status::Queued;
            for event in self.app.log(*job).await {
                // A claim is no event, so a job may have been held between two of them.
                let direct = before == event.status || before.may_become(event.status);
                let held = before == Status::Queued && Status::Initializing.may_become(event.status);
                assert!(direct || held, "{job}: {before:?} became {:?}", event.status);
                before = event.status;
            }
            let seen = self.app.app.store.peek_job(*job, None).await.unwrap().unwrap();
            let ended = self.app.app.store.log_bounds(*job).await.unwrap().unwrap().ended;
            assert_eq!(ended, seen.status.is_final());
            assert_eq!(seen.finished_at.is_some(), ended);
        }
        let live = self.app.app.store.queue_depths(self.app.app.clock.now()).await.unwrap();
        let in_queue: i64 = live.iter().map(|depth| depth.queued + depth.running + depth.waiting).sum();
        let mut unended = 0;
        for job in &self.jobs {
            let seen = self.app.app.store.peek_job(*job, None).await.unwrap().unwrap();
            unended += i64::from(!seen.status.is_final());
        }
        assert_eq!(in_queue, unended);
    }
}

#[test]
fn whatever_happens_jobs_go_only_where_the_machine_has_an_arrow() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let apps = runtime.block_on(TestApp::on_each_stage(&[("engine.run_jobs", "false")]));
    for (app, _) in &apps {
        let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(acts in acts())| {
            runtime.block_on(async {
                let mut world = World { app, jobs: Vec::new(), process: None };
                for act in acts {
                    world.act(act).await;
                }
                world.check().await;
                // The next case begins with an empty queue.
                if let Some(process) = world.process {
                    app.app.store.retire_process(process).await.unwrap();
                    app.app.jobs.rescue(true, true, app.app.clock.now()).await.unwrap();
                }
                for job in &world.jobs {
                    drop(app.app.jobs.cancel(*job, &app.root()).await);
                }
            });
        });
    }
}
