//! What the engine and its doors reach, printed as one table with the settings.
//!
//! `cargo bench` runs everything on SQLite and on a private PostgreSQL in its default configuration;
//! `cargo bench -- burn pickup` only the rows whose names contain one of the words, and `engine.lanes=1` among them
//! tries a setting. The server of the HTTP and socket
//! rows is a process of its own: this program, started again with `--server` (and with `--waiting` for the builds that
//! wait).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on says so and ends"
)]

mod agent;
mod client;
mod doors;
mod engine;
#[path = "../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "benchmarks need a cluster, not a database for each test")]
mod postgres;
mod server;
mod sockets;

use std::collections::BTreeMap;

use codeyard::config::Config;

use postgres::Cluster;

/// Where a row is measured.
pub(crate) struct Place {
    /// `SQLite` or `PostgreSQL`
    pub(crate) name: &'static str,
    /// What both a server and the engine itself are started with.
    pub(crate) settings: Vec<(String, String)>,
}

impl Place {
    /// The settings, with more on top.
    pub(crate) fn config(&self, more: &[(&str, &str)]) -> Config {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, [], self.settings.iter().cloned().chain(more)).unwrap()
    }
}

/// What was measured: row → place → result.
pub(crate) type Table = BTreeMap<&'static str, BTreeMap<&'static str, String>>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--bench")).collect();
    if words.first().is_some_and(|word| word == "--server") {
        return server::run(&words[1..]);
    }
    if words.first().is_some_and(|word| word == "--waiting") {
        return agent::wait(&words[1..]);
    }
    let (tried, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.contains('='));
    let dir = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let cluster = Cluster::start_durable_in(&dir.path().join("postgresql"));
    let wanted = |row: &str| words.is_empty() || words.iter().any(|word| row.contains(word.as_str()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut table = Table::new();
    for (row, measure) in ROWS {
        for name in ["SQLite", "PostgreSQL"] {
            if !wanted(row) || (name == "PostgreSQL" && cluster.is_none()) {
                continue;
            }
            // Every row begins with an empty database.
            let mut place = place(name, &dir.path().join(format!("{row}-{name}")), cluster.as_ref(), row);
            let tried = tried.iter().filter_map(|setting| setting.split_once('='));
            place.settings.extend(tried.map(|(path, value)| (path.to_owned(), value.to_owned())));
            eprintln!("{row} on {name} …");
            let result = runtime.block_on(measure(&place));
            eprintln!("  {result}");
            table.entry(row).or_default().insert(name, result);
        }
    }
    if let Some(cluster) = cluster {
        cluster.stop("immediate");
    }
    print(&table);
}

type Measure = for<'a> fn(&'a Place) -> std::pin::Pin<Box<dyn Future<Output = String> + 'a>>;

const ROWS: [(&str, Measure); 11] = [
    ("burn", |place| Box::pin(engine::burn(place))),
    ("pickup", |place| Box::pin(engine::pickup(place))),
    ("post-build", |place| Box::pin(doors::post_build(place))),
    ("get-build", |place| Box::pin(doors::get_build(place))),
    ("health", |place| Box::pin(doors::health(place))),
    ("fan-out", |place| Box::pin(sockets::fan_out(place))),
    ("event-latency", |place| Box::pin(sockets::latency(place))),
    ("start-and-memory", |place| Box::pin(doors::start_and_memory(place))),
    ("rescue", |place| Box::pin(engine::rescue(place))),
    ("workflow", |place| Box::pin(agent::workflow(place))),
    ("waiting-builds", |place| Box::pin(agent::waiting(place))),
];

fn place(name: &'static str, dir: &std::path::Path, cluster: Option<&Cluster>, row: &str) -> Place {
    let mut settings = vec![
        ("data_dir".to_owned(), dir.display().to_string()),
        ("limits.requests_per_minute".to_owned(), "0".to_owned()),
        ("limits.builds_per_minute".to_owned(), "0".to_owned()),
        ("log.filter".to_owned(), "warn".to_owned()),
    ];
    if let Some(cluster) = cluster.filter(|_| name == "PostgreSQL") {
        let database = row.replace('-', "_");
        cluster.sql("postgres", &format!("create database bench_{database}"));
        settings.push(("database_url".to_owned(), cluster.url(&format!("bench_{database}"))));
    }
    Place { name, settings }
}

fn print(table: &Table) {
    println!("\n| row | SQLite | PostgreSQL |\n|---|---|---|");
    for (row, results) in table {
        let result = |name| results.get(name).map_or("–", String::as_str);
        println!("| {row} | {} | {} |", result("SQLite"), result("PostgreSQL"));
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "\n{cores} cores shared by client, server and database; release build; SQLite: WAL, synchronous = full; \
         PostgreSQL: default configuration, fsync and synchronous_commit on."
    );
}
