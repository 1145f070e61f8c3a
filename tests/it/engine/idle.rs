//! A server with nothing to do does next to nothing.

use std::time::Duration;

use crate::support::TestApp;

/// What the README states: queries a minute and process, with the default settings.
const STATED: u64 = 60;

/// PostgreSQL counts for us, so that what other tests do at the same time does not matter. This is a measurement over
/// time, the one place where a test waits for a clock.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_asks_no_more_than_the_stated_number_of_queries() {
    const WINDOW: Duration = Duration::from_secs(60);
    // With the lease that a server has, and the beats that keep it.
    for app in TestApp::on_each_database_with(&[("engine.lease_seconds", "9")]).await {
        let Some(database) = app.postgres() else { continue };
        // What belongs to the start (migrations, registration, the first maintenance) is over by then, and counted:
        // a session that has nothing to do tells its counts only after ten seconds.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let before = database.transactions();
        tokio::time::sleep(WINDOW).await;
        let asked = database.transactions() - before;
        assert!(asked <= STATED, "{asked} in {WINDOW:?}");
        assert!(asked > 6, "{asked}: nobody counts");
    }
}
