//! A server with nothing to do does next to nothing.

use std::time::Duration;

use crate::support::TestApp;

/// What the README states: queries a minute and process, with the default settings.
const STATED: u64 = 60;

/// PostgreSQL counts for us, so that what other tests do at the same time does not matter. This is a measurement over
/// time, the one place where a test waits for a clock.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_asks_no_more_than_the_stated_number_of_queries() {
    const WINDOW: Duration = Duration::from_secs(30);
    for app in TestApp::on_each_database().await {
        let Some(database) = app.postgres() else { continue };
        let transactions = || {
            let sql =
                "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
            database.sql(sql).parse::<u64>().unwrap()
        };
        // What belongs to the start (migrations, registration, the first maintenance) is over by then, and counted:
        // a session that has nothing to do tells its counts only after ten seconds.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let before = transactions();
        tokio::time::sleep(WINDOW).await;
        let asked = transactions() - before;
        // Our own looks and their sessions count, too, and autovacuum when it passes by.
        let allowed = STATED * WINDOW.as_secs() / 60 + 6;
        assert!(asked <= allowed, "{asked} in {WINDOW:?}");
        assert!(asked > 3, "{asked}: nobody counts");
    }
}
