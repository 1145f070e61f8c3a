//! Hot statements must use the indexes that were made for them, also when there is a backlog.

use codeyard::model::ProcessId;
use codeyard::store::Claim;
use serde_json::json;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_uses_its_covering_index_and_sorts_nothing() {
    for (app, _) in TestApp::on_each_stage(&[("engine.run_jobs", "false")]).await {
        let script = json!({});
        let submits = (0..2_000).map(|_| app.play(&script));
        futures::future::join_all(submits).await;
        let now = app.app.clock.now();
        let claim = Claim {
            queue: "builds",
            process: ProcessId(app.app.clock.new_id()),
            limit: 1,
            now,
            deadline: now,
            highest_rank: now.timestamp_micros(),
        };
        for analyzed in [false, true] {
            if analyzed {
                app.app.store.analyze().await.unwrap();
            }
            let plan = app.app.store.explain_claim(claim).await.unwrap();
            let name = app.database_name();
            assert!(plan.contains("queue_ready"), "{name}, analyzed: {analyzed}\n{plan}");
            assert!(!plan.contains("Seq Scan on job_queue"), "{name}, analyzed: {analyzed}\n{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{name}, analyzed: {analyzed}\n{plan}");
            if app.postgres().is_none() {
                assert!(plan.contains("COVERING INDEX queue_ready"), "{plan}");
            }
        }
    }
}

/// How PostgreSQL goes about it depends on what it believes of the table: here that nothing is held, as it does when a
/// burst begins. Whatever it chooses, it must not compare every row of a batch with every row it is looked up in.
#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_are_found_without_comparing_every_pair() {
    for (app, _) in TestApp::on_each_stage(&[("engine.run_jobs", "false")]).await {
        let script = json!({});
        let submits = (0..2_000).map(|_| app.play(&script));
        futures::future::join_all(submits).await;
        app.app.store.analyze().await.unwrap();
        let (plan, name) = (app.app.store.explain_removal().await.unwrap(), app.database_name());
        assert!(!plan.contains("Join Filter") && !plan.contains("queue_held"), "{name}\n{plan}");
        assert!(app.postgres().is_some() || plan.contains("PRIMARY KEY"), "{name}\n{plan}");
    }
}
