//! A person's word: on the plan, and on what the model asks.

use codeyard::model::Status;
use serde_json::{Value, json};

use super::flow::mending;
use super::model::call;
use super::stage::Yard;
use crate::support::SignedIn;

async fn say(yard: &Yard, who: &SignedIn, job: &str, word: &str, body: Value) -> crate::support::Answer {
    yard.app.post(&format!("/api/build/{job}/{word}"), body).bearer(&who.access).await
}

#[tokio::test]
async fn a_plan_waits_for_a_word_is_made_again_after_a_no_and_carried_out_after_a_yes() {
    let yard = Yard::open().await;
    let root = yard.app.admin().await;
    let other = yard.app.sign_up("other@example.com").await;
    let build = yard.build(mending(), json!({"require_approval": true})).await;
    let job = build.job.to_string();
    yard.app.until(build.job, Status::Waiting).await;
    assert!(build.model.asked().len() == 2, "nothing is built before the word");
    let asked = yard.said(&build, "awaiting_approval").await;
    assert_eq!(
        (&asked[0]["approval_id"], &asked[0]["plan"]["files"][0]["path"]),
        (&json!("plan-1"), &json!("wc.py"))
    );

    assert_eq!(say(&yard, &other, &job, "approve", json!({})).await.refused(404), "NOT_FOUND");
    assert_eq!(
        say(&yard, &root, &job, "approve", json!({"approval_id": "plan-9"})).await.refused(409),
        "NOT_WAITING"
    );
    assert_eq!(say(&yard, &root, &job, "approve", json!({"yes": 1})).await.status, 422);
    let long = json!({"comment": "x".repeat(10_001)});
    assert_eq!(say(&yard, &root, &job, "reject", long).await.status, 422);

    let rejected = say(&yard, &root, &job, "reject", json!({"comment": "Use argparse."})).await.expect(200);
    assert_eq!(
        (&rejected["approval"]["state"], &rejected["approval"]["comment"]),
        (&json!("rejected"), &json!("Use argparse."))
    );
    yard.app.until_event_after(build.job, "awaiting_approval", 1).await;
    yard.app.until(build.job, Status::Waiting).await;
    let seen = build.model.last_seen();
    assert!(seen.contains("rejected by the person") && seen.contains("Use argparse."), "{seen}");

    // Without a body, too.
    let path = format!("/api/build/{job}/approve");
    let approved = yard.app.ask(axum::http::Method::POST, &path).bearer(&root.access).await.expect(200);
    assert_eq!(approved["approval"]["approval_id"], "plan-2");
    let state = yard.done(&build).await["state"].clone();
    assert_eq!(state["ended"]["reason"], "tests_passed");
    assert_eq!(state["approvals"][1]["answer"]["approved"], true);
    assert_eq!(say(&yard, &root, &job, "approve", json!({})).await.refused(409), "NOT_WAITING");
}

#[tokio::test]
async fn a_model_may_ask_and_is_told_the_answer() {
    let yard = Yard::open().await;
    let root = yard.app.admin().await;
    let mut script = mending();
    script.work.insert(0, call("ask_approval", json!({"question": "May I use regular expressions?"})));
    let build = yard.build(script, json!({"require_approval": true})).await;
    let job = build.job.to_string();
    yard.app.until(build.job, Status::Waiting).await;
    say(&yard, &root, &job, "approve", json!({})).await.expect(200);
    yard.app.until_event_after(build.job, "awaiting_approval", 1).await;
    yard.app.until(build.job, Status::Waiting).await;
    say(&yard, &root, &job, "reject", json!({"comment": "Too clever."})).await.expect(200);
    let state = yard.done(&build).await["state"].clone();
    assert_eq!(state["ended"]["reason"], "tests_passed");
    assert!(build.model.results()[0].0.contains("says: No: Too clever."), "{:?}", build.model.results()[0]);
    let asked = yard.said(&build, "awaiting_approval").await;
    assert_eq!(asked[1]["question"], "May I use regular expressions?");
}

#[tokio::test]
async fn where_nobody_answers_nobody_is_asked() {
    let yard = Yard::open().await;
    let mut script = mending();
    script.work.insert(0, call("ask_approval", json!({"question": "May I?"})));
    let build = yard.build(script, json!({})).await;
    yard.done(&build).await;
    let (said, error) = &build.model.results()[0];
    assert!(*error && said.contains("not available in this phase"), "{said}");
}
