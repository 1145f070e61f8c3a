//! Where a build ends that does not end by itself.

use serde_json::json;

use super::flow::{TEST, WRONG, mending};
use super::model::{Script, Turn, call, write};
use super::stage::Yard;

#[tokio::test]
async fn a_build_that_meets_a_limit_keeps_what_it_has_and_says_how_its_tests_stand() {
    let yard = Yard::open().await;
    for (parameters, limit) in [(json!({"iterations": 4}), "iterations"), (json!({"tokens": 4400}), "tokens")]
    {
        let build = yard.build(mending(), parameters).await;
        let done = yard.done(&build).await;
        assert_eq!(done["state"]["ended"], json!({"reason": "limit", "limit": limit}));
        assert_eq!(done["state"]["tests"]["verdict"], "failed");
        assert_eq!(done["files"], json!({"wc.py": WRONG, "test_wc.py": TEST}));
        assert_eq!(build.model.asked().len(), 4);
    }
}

#[tokio::test]
async fn a_build_that_meets_a_limit_with_nothing_in_its_hands_has_failed() {
    let yard = Yard::open().await;
    let build = yard.build(mending(), json!({"iterations": 2})).await;
    assert_eq!(yard.failed(&build).await, "LIMIT_MET");
}

#[tokio::test]
async fn a_project_without_tests_is_asked_for_some_once() {
    let yard = Yard::open().await;
    let work = vec![Turn::Calls(vec![write("notes.txt", "hello")]), call("finish", json!({}))];
    let build = yard.build(Script::new(&["notes.txt"], work), json!({})).await;
    let done = yard.done(&build).await;
    assert_eq!(done["state"]["ended"]["reason"], "no_tests");
    assert!(build.model.last_seen().contains("tests: not run, because no tests were recognised"));
    assert_eq!(build.model.asked().len(), 5);
}
