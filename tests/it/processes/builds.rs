//! A build whose server is killed over and over goes on from its last step, and ends with the same files.

use serde_json::{Value, json};

use super::client::Client;
use super::server::{Recipe, SHORT_LEASES, Server};
use super::{PATIENCE, within};

/// Kills, at the most.
const BLOWS: usize = 12;

fn build() -> Value {
    let goal = "a command line tool that counts words in files";
    json!({"project_name": "word-count", "goal": goal, "parameters": {"language": "python"}})
}

async fn files(client: &Client, url: &str, job: &str) -> Vec<Value> {
    let list = client.get(url, &format!("/api/build/{job}/artifacts")).await.expect(200);
    let all = list["artifacts"].as_array().unwrap().clone();
    // The others tell of times.
    all.into_iter()
        .filter(|file| file["path"].as_str().unwrap().starts_with("project."))
        .map(|file| file["sha256"].clone())
        .collect()
}

#[tokio::test]
async fn a_build_survives_kill_9_at_every_step_and_ends_with_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let often = [("CODEYARD_ENGINE_MAX_CRASHES", "1000"), ("CODEYARD_LOG_FILTER", "warn")];
    let recipe = Recipe::embedded(dir.path(), &SHORT_LEASES).with(&often);
    let mut server = recipe.start().await;
    let client = Client::register(server.url()).await;
    let calm = client.post(server.url(), "/api/build/", &build()).await.accepted();
    client.until(server.url(), &calm, &["completion"]).await;
    let expected = files(&client, server.url(), &calm).await;
    assert_eq!(expected.len(), 3);

    let job = client.post(server.url(), "/api/build/", &build()).await.accepted();
    let (end, blows) = strike(&recipe, &mut server, &client, &job).await;
    assert_eq!(end["status"], "completed", "{end}");
    assert!(blows >= 2, "it was killed {blows} times only");
    assert_eq!(files(&client, server.url(), &job).await, expected);
    let tests = client.get(server.url(), &format!("/api/build/{job}")).await.expect(200);
    assert_eq!(tests["results"]["tests"]["verdict"], "passed");
}

/// Kills the server that runs a build whenever the build says something, and starts it again; returns how the build
/// ends, and how often the server was killed.
pub(super) async fn strike(
    recipe: &Recipe,
    server: &mut Server,
    client: &Client,
    job: &str,
) -> (Value, usize) {
    let (mut seen, mut blows) = (1, 0);
    let ended = async {
        while blows < BLOWS {
            // Whatever it says next, in whichever state it is then.
            let path = format!("/api/v1/jobs/{job}/events?limit=1&after={seen}");
            let page = client.get(server.url(), &path).await.expect(200);
            let Some(event) = page["events"].as_array().unwrap().first().cloned() else {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                continue;
            };
            if event["type"] == "completion" {
                break;
            }
            let status = client.get(server.url(), &format!("/api/build/{job}")).await.expect(200);
            seen = seen.max(event["seq"].as_i64().unwrap());
            if status["status"] != "running" {
                continue;
            }
            seen = client.get(server.url(), &format!("/api/v1/jobs/{job}")).await.expect(200)["last_seq"]
                .as_i64()
                .unwrap();
            server.signal("KILL").await;
            let fresh = recipe.start().await;
            std::mem::replace(server, fresh).ended(PATIENCE).await;
            blows += 1;
        }
        client.until(server.url(), job, &["completion"]).await
    };
    (within(PATIENCE * 3, "the build ends", ended).await, blows)
}
