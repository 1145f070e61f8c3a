//! The database: reachable, of the right version, writable, its clock near ours.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;

use super::Check;
use super::machine::existing_part;
use crate::cli::migrate::name_of;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{DataDirLock, Examination, Store};

const REACHABLE: &str = "database";
const SCHEMA: &str = "schema";
const WRITABLE: &str = "writable";
const CLOCK: &str = "clock";

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The oldest PostgreSQL that is known to work.
const OLDEST: i64 = 140_000;

/// All that can be said of the database.
pub(super) async fn examine(config: &Config) -> Vec<Check> {
    if config.uses_postgres() { postgres(config).await } else { sqlite(config).await }
}

async fn sqlite(config: &Config) -> Vec<Check> {
    let dir = &config.data_dir;
    if !dir.join("codeyard.db").exists() {
        let new = format!("{} will be made at the first start", name_of(config));
        return vec![Check::ok(REACHABLE, new), may_write(dir)];
    }
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(error) => return vec![unreachable(config, &error)],
    };
    let mut checks = match store.ping(PATIENCE).await {
        Ok(()) => vec![Check::ok(REACHABLE, name_of(config) + in_use(dir))],
        Err(error) => return vec![unreachable(config, &error)],
    };
    checks.push(schema(&store).await);
    checks.push(match store.check_writable().await {
        Ok(()) => may_write(dir),
        Err(error) => Check::problem(
            WRITABLE,
            format!("{} takes no writes: {error}", name_of(config)),
            "give the server's user write access, or find the process that holds the database",
        ),
    });
    store.close().await;
    checks
}

async fn postgres(config: &Config) -> Vec<Check> {
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(error) => return vec![unreachable(config, &error)],
    };
    let clock = Clock::system();
    // The first question opens the connection; only the second tells how far away the database is.
    if let Err(error) = store.ping(PATIENCE).await {
        return vec![unreachable(config, &error)];
    }
    let asked = clock.now();
    let found = match store.examine().await {
        Ok(Some(found)) => found,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![unreachable(config, &error)],
    };
    let middle = asked + (clock.now() - asked) / 2;
    let mut checks = vec![version(config, &found), accepts_writes(&found)];
    checks.push(if found.is_new {
        Check::ok(SCHEMA, "will be made at the first start, or by `codeyard migrate`")
    } else {
        schema(&store).await
    });
    checks.push(skew(found.now - middle, config.engine.heartbeat_seconds));
    store.close().await;
    checks
}

fn version(config: &Config, found: &Examination) -> Check {
    let detail = format!("{}, version {}", name_of(config), found.version);
    if found.version_number < OLDEST {
        return Check::problem(REACHABLE, detail, "Codeyard needs PostgreSQL 14 or newer");
    }
    if i64::from(config.database.max_connections) > found.max_connections {
        let advice = "lower database.max_connections, or raise max_connections there";
        return Check::warning(
            REACHABLE,
            format!("{detail}, takes {} connections", found.max_connections),
            advice,
        );
    }
    Check::ok(REACHABLE, detail)
}

fn accepts_writes(found: &Examination) -> Check {
    if found.read_only {
        let advice = "point database_url to the primary, or switch default_transaction_read_only off";
        return Check::problem(WRITABLE, "it takes no writes (a standby, or set read-only)", advice);
    }
    Check::ok(WRITABLE, "it takes writes")
}

async fn schema(store: &Store) -> Check {
    match store.is_migrated().await {
        Ok(true) => Check::ok(SCHEMA, "of this version"),
        Ok(false) => Check::warning(
            SCHEMA,
            "not of this version",
            "the next start brings it up to date, or `codeyard migrate` does; a newer one needs a newer Codeyard",
        ),
        Err(error) => Check::problem(
            SCHEMA,
            format!("cannot be read: {error}"),
            "grant the server's user its rights on the schema",
        ),
    }
}

/// How far the two clocks are apart. Leases are compared across processes, so that a skew of a heartbeat can make
/// one believe that another is dead.
fn skew(ahead: TimeDelta, heartbeat_seconds: u64) -> Check {
    let off = ahead.abs();
    let detail = match off.num_milliseconds() {
        0..=49 => "as PostgreSQL's".to_owned(),
        millis if ahead < TimeDelta::zero() => format!("{millis} ms ahead of PostgreSQL's"),
        millis => format!("{millis} ms behind PostgreSQL's"),
    };
    let advice = "synchronise both machines' clocks (chrony, systemd-timesyncd): leases depend on them";
    let limit = TimeDelta::seconds(i64::try_from(heartbeat_seconds).unwrap_or(i64::MAX / 1000));
    if off >= limit {
        Check::problem(CLOCK, detail, advice)
    } else if off >= TimeDelta::milliseconds(500) {
        Check::warning(CLOCK, detail, advice)
    } else {
        Check::ok(CLOCK, detail)
    }
}

fn unreachable(config: &Config, error: &sqlx::Error) -> Check {
    let advice = if config.uses_postgres() {
        "start PostgreSQL, or mend database_url (CODEYARD_DATABASE_URL)"
    } else {
        "mend data_dir (CODEYARD_DATA_DIR), or restore the file from a backup"
    };
    Check::problem(REACHABLE, format!("{} does not answer: {error}", name_of(config)), advice)
}

/// Whether a file can be made in the directory, or where it will be made.
fn may_write(dir: &Path) -> Check {
    let place = existing_part(dir);
    match tempfile::tempfile_in(place) {
        Ok(_) => Check::ok(WRITABLE, format!("{} takes files", place.display())),
        Err(error) => Check::problem(
            WRITABLE,
            format!("{}: {error}", place.display()),
            "give the server's user write access, or choose another place (data_dir, CODEYARD_DATA_DIR)",
        ),
    }
}

fn in_use(dir: &Path) -> &'static str {
    match DataDirLock::take(dir) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => " (in use by a running server)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_a_heartbeat_is_a_problem() {
        let state = |millis| skew(TimeDelta::milliseconds(millis), 3).state;
        assert_eq!([0, 499, -499].map(state), [State::Ok; 3]);
        assert_eq!([500, -2_999].map(state), [State::Warning; 2]);
        assert_eq!([3_000, -60_000].map(state), [State::Problem; 2]);
        assert!(skew(TimeDelta::milliseconds(-700), 3).detail.contains("ahead"));
    }

    #[test]
    fn an_old_or_read_only_database_is_a_problem() {
        let config = Config::defaults().unwrap();
        let found = |version_number, read_only, max_connections| Examination {
            version: "13.1".into(),
            version_number,
            now: Clock::system().now(),
            read_only,
            is_new: false,
            max_connections,
        };
        assert_eq!(version(&config, &found(130_001, false, 100)).state, State::Problem);
        assert_eq!(version(&config, &found(140_000, false, 100)).state, State::Ok);
        assert_eq!(version(&config, &found(140_000, false, 3)).state, State::Warning);
        assert_eq!(accepts_writes(&found(140_000, true, 100)).state, State::Problem);
    }
}
