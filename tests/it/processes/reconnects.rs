//! Subscribers that leave and come back at random, to either replica, and must see every event once and in order.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::client::{Client, is_end, next_frame};
use super::server::Recipe;
use super::within;
use crate::support::postgres::TestDatabase;

const JOBS: u64 = 6;
/// Subscribers of each job.
const SUBSCRIBERS: u64 = 3;
/// Each file is a step of progress until there are more files than percent.
const FILES: usize = 85;

#[tokio::test]
async fn who_reconnects_at_random_to_either_replica_sees_every_event_once_and_in_order() {
    let Some(database) = TestDatabase::create().await else { return };
    let recipe = Recipe::shared(&database.url(), &[]);
    let servers = [recipe.start().await, recipe.start().await];
    let urls = servers.each_ref().map(|server| server.url().to_owned());
    let client = Client::register(&urls[0]).await;

    let mut subscribers = Vec::new();
    for number in 0..JOBS {
        let url = &urls[usize::try_from(number % 2).unwrap()];
        let job = client.submit(url, &chatty(number)).await;
        for subscriber in 0..SUBSCRIBERS {
            let seed = number * SUBSCRIBERS + subscriber;
            subscribers
                .push((job.clone(), tokio::spawn(follow(client.clone(), urls.clone(), job.clone(), seed))));
        }
    }

    let mut connections = 0;
    for (job, subscriber) in subscribers {
        let (frames, opened) =
            within(Duration::from_secs(90), "a job is seen to its end", subscriber).await.unwrap();
        connections += opened;
        let log = client.log(&urls[0], &job).await;
        assert!(log.len() > 40, "the job was not chatty: {} events", log.len());
        assert_eq!(frames.len(), log.len(), "{job}");
        for (frame, event) in frames.iter().zip(&log) {
            assert_eq!(frame, event, "{job}");
        }
    }
    let subscribers = JOBS * SUBSCRIBERS;
    assert!(connections > 3 * subscribers, "{connections} connections: nobody came back often");
}

/// Follows a job to its end, a few frames at a time; returns the frames and how many connections they took.
async fn follow(client: Client, urls: [String; 2], job: String, seed: u64) -> (Vec<Value>, u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let (mut frames, mut opened) = (Vec::<Value>::new(), 0);
    loop {
        let url = &urls[usize::from(dice.random_bool(0.5))];
        let seen = i64::try_from(frames.len()).unwrap();
        let mut socket = client.socket(url, &job, seen).await;
        opened += 1;
        let first = next_frame(&mut socket).await.expect("the first frame");
        assert_eq!(first["type"], "connected", "{first}");
        for _ in 0..dice.random_range(0..12) {
            let frame = next_frame(&mut socket).await.expect("the socket ended before its job");
            let expected = i64::try_from(frames.len() + 1).unwrap();
            assert_eq!(frame["seq"], expected, "seed {seed}, after={seen}: {frame}");
            let over = is_end(&frame);
            frames.push(frame);
            if over {
                return (frames, opened);
            }
        }
        // Half of them say goodbye; the others are just gone.
        if dice.random_bool(0.5) {
            let _ = socket.close(None).await;
        }
    }
}

/// An analysis with much to tell.
fn chatty(number: u64) -> Value {
    let line = "def f(a, b):\n    if a > b and b > 0:\n        return a\n    return b\n\n";
    let file = |file: usize| json!({"path": format!("src/m{number}_{file}.py"), "content": line.repeat(40)});
    json!({"files": (0..FILES).map(file).collect::<Vec<_>>()})
}
