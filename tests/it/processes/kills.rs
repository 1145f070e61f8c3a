//! Two replicas share a database and are killed over and over while thousands of jobs run.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::audit::Audit;
use super::client::{Client, some_code};
use super::server::{Recipe, SHORT_LEASES, Server};
use super::{PATIENCE, eventually, holds, within};
use crate::support::postgres::TestDatabase;

const JOBS: usize = 2000;
/// Jobs that end between two deaths.
const STRIDE: i64 = 180;
const SUBMITTERS: usize = 8;

/// What happens to the replicas, one after the other.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// One is killed and started anew.
    One(usize),
    /// Both are killed at once.
    Both,
    /// One stands still until the other has declared it dead, and then goes on as if nothing had happened.
    Stall(usize),
}

const BLOWS: [Blow; 9] = [
    Blow::One(0),
    Blow::One(1),
    Blow::Stall(0),
    Blow::Both,
    Blow::One(0),
    Blow::Stall(1),
    Blow::One(1),
    Blow::Both,
    Blow::One(0),
];

/// Where the replicas answer right now.
type Addresses = Arc<RwLock<Vec<String>>>;

struct Replicas {
    recipe: Recipe,
    servers: Vec<Server>,
    addresses: Addresses,
    audit: Audit,
}

#[tokio::test]
async fn two_thousand_jobs_survive_kill_9_in_a_loop_each_completed_exactly_once() {
    let Some(database) = TestDatabase::create().await else { return };
    let often = [
        ("CODEYARD_ENGINE_MAX_CRASHES", "1000"),
        ("CODEYARD_QUEUES_ANALYSIS_SLOTS", "12"),
        ("CODEYARD_LOG_FILTER", "warn"),
    ];
    let recipe = Recipe::shared(&database.url(), &SHORT_LEASES).with(&often);
    let mut replicas = Replicas::start(recipe, Audit::of(&database.url()).await).await;
    let client = Client::register(replicas.servers[0].url()).await;

    let submitting = tokio::spawn(submit_all(client.clone(), Arc::clone(&replicas.addresses)));
    for (number, blow) in (1..).zip(BLOWS) {
        replicas.audit.until_ended(number * STRIDE, PATIENCE).await;
        replicas.suffer(blow).await;
    }
    let ids = within(PATIENCE, "all are submitted", submitting).await.unwrap();

    assert_eq!(ids.len(), JOBS, "a repeated submit made a second job");
    replicas.audit.check(i64::try_from(JOBS).unwrap()).await;
    assert!(replicas.audit.rescues().await > 0, "nothing was running when the processes died");
}

impl Replicas {
    async fn start(recipe: Recipe, audit: Audit) -> Self {
        let servers = vec![recipe.start().await, recipe.start().await];
        let addresses = servers.iter().map(|server| server.url().to_owned()).collect();
        Self { recipe, servers, addresses: Arc::new(RwLock::new(addresses)), audit }
    }

    async fn suffer(&mut self, blow: Blow) {
        match blow {
            Blow::One(which) => self.replace(which).await,
            Blow::Both => {
                self.servers[1].signal("KILL").await;
                self.replace(0).await;
                self.replace(1).await;
            }
            Blow::Stall(which) => self.stall(which).await,
        }
    }

    async fn replace(&mut self, which: usize) {
        self.servers[which].signal("KILL").await;
        let fresh = self.recipe.start().await;
        self.addresses.write().unwrap()[which] = fresh.url().to_owned();
        let dead = std::mem::replace(&mut self.servers[which], fresh);
        dead.ended(PATIENCE).await;
    }

    async fn stall(&self, which: usize) {
        let others = || async { self.audit.processes().await };
        // Those that were killed before must have been missed already, or the count says nothing.
        eventually(PATIENCE, "the dead are buried", async || {
            let there = others().await;
            holds(there == 2, there)
        })
        .await;
        self.servers[which].signal("STOP").await;
        eventually(PATIENCE, "the process that stands still is declared dead", async || {
            let there = others().await;
            holds(there == 1, there)
        })
        .await;
        self.servers[which].signal("CONT").await;
    }
}

/// Submits all jobs over whichever replica answers; a submit that was not answered is repeated under the same key.
/// Returns the ids, each once.
async fn submit_all(client: Client, addresses: Addresses) -> HashSet<String> {
    let submitters = (0..SUBMITTERS).map(|submitter| {
        let (client, addresses) = (client.clone(), Arc::clone(&addresses));
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for number in (submitter..JOBS).step_by(SUBMITTERS) {
                ids.push(submit_one(&client, &addresses, number).await);
            }
            ids
        })
    });
    futures::future::join_all(submitters).await.into_iter().flat_map(Result::unwrap).collect()
}

async fn submit_one(client: &Client, addresses: &Addresses, number: usize) -> String {
    for attempt in number.. {
        let url = {
            let addresses = addresses.read().unwrap();
            addresses[attempt % addresses.len()].clone()
        };
        match client.try_submit(&url, &format!("job-{number}"), &some_code(number)).await {
            Ok(reply) if reply.was_accepted() => return reply.accepted(),
            // Killed, stalled or turned away: the other one may be there.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    unreachable!("it tries until it is accepted")
}
