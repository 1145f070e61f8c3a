//! A build dies at every place where it can, and ends the same.

use serde_json::json;

use super::flow::{RIGHT, TEST, mending};
use super::model::{Script, Turn, call, write};
use super::stage::Yard;

#[tokio::test]
async fn a_build_that_dies_at_any_save_ends_with_the_same_files_and_asks_nothing_twice() {
    let yard = Yard::open().await;
    let calm = yard.build(mending(), json!({})).await;
    let done = yard.done(&calm).await;
    let (saves, calls) = (done["saves"].as_u64().unwrap(), calm.model.asked().len());
    assert!(saves > 15, "{saves}");
    for crash_before in [false, true] {
        for crash_at in 1..=saves {
            let build =
                yard.build(mending(), json!({"crash_at": crash_at, "crash_before": crash_before})).await;
            let place = format!("save {crash_at} of {saves}, before: {crash_before}");
            let done = yard.done(&build).await;
            assert_eq!(done["files"], json!({"wc.py": RIGHT, "test_wc.py": TEST}), "{place}");
            assert_eq!(done["state"]["ended"]["reason"], "tests_passed", "{place}");
            let asked = build.model.asked().len();
            // An answer whose save did not reach the disk is asked for once more; one that did never is.
            assert!(
                asked == calls || (crash_before && asked == calls + 1),
                "{place}: {asked} calls, not {calls}"
            );
            assert_eq!(done["state"]["cost"]["calls"], calls, "{place}");
        }
    }
}

#[tokio::test]
async fn a_command_whose_end_nobody_saw_is_told_as_interrupted_and_its_traces_are_gone() {
    let yard = Yard::open().await;
    let script = || {
        let command = json!({"command": "echo half > half.txt; echo done"});
        Script::new(&["a.txt"], vec![Turn::Calls(vec![write("a.txt", "a")]), call("run_command", command)])
    };
    let calm = yard.build(script(), json!({"test_command": "true"})).await;
    let files = yard.done(&calm).await["files"].clone();
    assert_eq!(files, json!({"a.txt": "a", "half.txt": "half\n"}));

    let mut interrupted = 0;
    for crash_at in 1..=calm.model.asked().len() * 3 {
        let build = yard.build(script(), json!({"test_command": "true", "crash_at": crash_at})).await;
        let done = yard.done(&build).await;
        if build
            .model
            .results()
            .iter()
            .any(|(said, error)| *error && said.contains("interrupted while this ran"))
        {
            interrupted += 1;
            assert_eq!(done["files"], json!({"a.txt": "a"}), "what it did was undone");
        } else {
            assert_eq!(done["files"], files);
        }
    }
    assert_eq!(interrupted, 1, "exactly where it was started and its end not saved");
}
