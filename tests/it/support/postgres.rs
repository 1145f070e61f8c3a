//! PostgreSQL for the tests: one private cluster for all test processes of a run, one database for each test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use codeyard::config::Config;
use codeyard::store::Store;
use sha2::{Digest, Sha256};

/// A cluster in a directory of its own, reached over a socket in that directory.
pub(crate) struct Cluster {
    programs: PathBuf,
    dir: PathBuf,
    runs_as: Option<(u32, u32)>,
}

/// A database that is dropped with its test.
pub(crate) struct TestDatabase {
    cluster: &'static Cluster,
    name: String,
}

impl TestDatabase {
    /// A database with all migrations applied; `None` where PostgreSQL is not installed.
    pub(crate) async fn create() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let (cluster, template) = shared().await?;
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        cluster.sql("postgres", &format!("create database {name} template {template}"));
        Some(Self { cluster, name })
    }

    /// What `database_url` is to be.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// The same, when its socket is in another directory.
    pub(crate) fn url_at(&self, dir: &Path) -> String {
        url(&self.name, dir)
    }

    /// The server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.cluster.dir.join(".s.PGSQL.5432")
    }

    /// How many transactions it has seen, as far as its sessions have told. Asked from elsewhere, so that asking does
    /// not count.
    pub(crate) fn transactions(&self) -> u64 {
        let sql = format!(
            "select xact_commit + xact_rollback from pg_stat_database where datname = '{}'",
            self.name
        );
        self.cluster.sql("postgres", &sql).parse().unwrap()
    }

    /// Runs a statement as superuser, beside the application; returns what `psql` prints.
    pub(crate) fn sql(&self, statement: &str) -> String {
        self.cluster.sql(&self.name, statement)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("drop database if exists {} with (force)", self.name);
        let _ = self.cluster.psql("postgres", &drop).output();
    }
}

/// Settings of a cluster that nobody will miss.
const HASTY: &str =
    "fsync = off\nfull_page_writes = off\nmax_connections = 400\nshared_buffers = 64MB\nautovacuum = on\n";

fn url(database: &str, dir: &Path) -> String {
    format!("postgres://postgres@localhost/{database}?host={}", dir.display())
}

impl Cluster {
    /// Makes and starts a cluster in `dir`, which must not exist; for tests that restart it or kill its backends.
    /// `None` where PostgreSQL is not installed.
    pub(crate) fn start_in(dir: &Path) -> Option<Self> {
        let cluster = Self::at(dir)?;
        cluster.create(HASTY);
        cluster.start();
        Some(cluster)
    }

    /// As [`Cluster::start_in`], with PostgreSQL's own defaults, `fsync` among them: for benchmarks.
    pub(crate) fn start_durable_in(dir: &Path) -> Option<Self> {
        let cluster = Self::at(dir)?;
        cluster.create("");
        cluster.start();
        Some(cluster)
    }

    fn at(dir: &Path) -> Option<Self> {
        let Some(programs) = programs() else {
            let note = "PostgreSQL is not installed (initdb was not found)";
            assert!(std::env::var_os("CI").is_none(), "{note}");
            eprintln!("skipped: {note}");
            return None;
        };
        // PostgreSQL refuses to run as root.
        let is_root = numbers("id", &["-u"]) == Some(0);
        let runs_as = is_root.then(|| {
            let number = |flag| numbers("id", &[flag, "postgres"]).expect("root needs a user postgres");
            (number("-u"), number("-g"))
        });
        Some(Self { programs, dir: dir.to_owned(), runs_as })
    }

    /// The address of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        url(database, &self.dir)
    }

    /// Runs a statement as superuser; returns what `psql` prints.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        said(&self.psql(database, statement).output().unwrap(), statement)
    }

    /// Starts it, and waits until it takes connections.
    pub(crate) fn start(&self) {
        let log = self.dir.join("log");
        let log = log.to_str().unwrap();
        let socket = self.dir.display();
        let options = format!("-c listen_addresses='' -c unix_socket_directories='{socket}'");
        self.ctl(&["-l", log, "-o", &options, "-w", "start"]);
    }

    /// Stops it as `mode` says (`smart`, `fast`, `immediate`). Blocks this thread: the app must have another.
    pub(crate) fn stop(&self, mode: &str) {
        self.ctl(&["-m", mode, "-w", "stop"]);
    }

    /// Whether its server process lives.
    pub(crate) fn is_running(&self) -> bool {
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let pid = pid.lines().next().unwrap_or_default().trim().to_owned();
        !pid.is_empty() && self.program("pg_ctl").arg("status").output().is_ok_and(|out| out.status.success())
    }

    fn create(&self, settings: &str) {
        fs::create_dir_all(&self.dir).unwrap();
        if let Some((uid, gid)) = self.runs_as {
            std::os::unix::fs::chown(&self.dir, Some(uid), Some(gid)).unwrap();
        }
        let initdb = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
        said(&self.program("initdb").args(initdb).output().unwrap(), "initdb");
        fs::write(self.data().join("postgresql.auto.conf"), settings).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn ctl(&self, arguments: &[&str]) {
        said(&self.program("pg_ctl").args(arguments).stdin(Stdio::null()).output().unwrap(), "pg_ctl");
    }

    fn psql(&self, database: &str, statement: &str) -> Command {
        let mut command = self.program("psql");
        let arguments = ["-X", "-q", "-A", "-t", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-d", database];
        command.arg("-h").arg(&self.dir).args(arguments).args(["-c", statement]);
        command
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir("/").env("PGDATA", self.data());
        if let Some((uid, gid)) = self.runs_as {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The cluster of this run and the name of the migrated template in it. Whoever comes first starts it; every test
/// process holds a shared lock as long as it lives; a watchdog ends the cluster when nobody has held one for a while.
async fn shared() -> Option<&'static (Cluster, String)> {
    static SHARED: tokio::sync::OnceCell<Option<(Cluster, String)>> = tokio::sync::OnceCell::const_new();
    static IN_USE: OnceLock<File> = OnceLock::new();
    let start = async || {
        let base = std::env::temp_dir().join(format!("codeyard-pg-{}", fingerprint(&[])));
        let cluster = Cluster::at(&base.join("cluster"))?;
        fs::create_dir_all(&base).unwrap();
        let users = base.join("users.lock");
        let in_use = File::options().create(true).truncate(false).write(true).open(&users).unwrap();
        in_use.lock_shared().unwrap();
        IN_USE.set(in_use).unwrap();
        let starting = File::create(base.join("start.lock")).unwrap();
        starting.lock().unwrap();
        if !cluster.is_running() {
            let _ = fs::remove_dir_all(&cluster.dir);
            cluster.create(HASTY);
            cluster.start();
            watch(&cluster, &users);
        }
        let template = migrated_template(&cluster).await;
        Some((cluster, template))
    };
    SHARED.get_or_init(start).await.as_ref()
}

/// Migrations that changed while the cluster of the last run still stands make another template.
async fn migrated_template(cluster: &Cluster) -> String {
    let mut files: Vec<_> =
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres")).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().path());
    let texts: Vec<_> = files.into_iter().map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    let name = format!("template_{}", fingerprint(&texts));
    let exists = format!("select 1 from pg_database where datname = '{name}' and datistemplate");
    if cluster.sql("postgres", &exists).is_empty() {
        cluster.sql("postgres", &format!("drop database if exists {name}"));
        cluster.sql("postgres", &format!("create database {name}"));
        let flags = [("database_url".to_owned(), cluster.url(&name))];
        let store = Store::open(&Config::load(None, [], flags).unwrap()).unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        cluster.sql("postgres", &format!("alter database {name} is_template true"));
    }
    name
}

/// Ends the cluster when no test process has used it for a few seconds.
fn watch(cluster: &Cluster, users: &Path) {
    let script = "while sleep 8; do flock -n -x \"$1\" sh -c '\"$1\" -D \"$2\" -m immediate stop; rm -rf \"$2\"' - \"$2\" \"$3\" && exit; done";
    let mut command = Command::new("sh");
    command.args(["-c", script, "codeyard-test-watchdog"]).arg(users);
    command.arg(cluster.programs.join("pg_ctl")).arg(cluster.data()).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some((uid, gid)) = cluster.runs_as {
        std::os::unix::fs::chown(users, Some(uid), Some(gid)).unwrap();
        command.uid(uid).gid(gid);
    }
    // It outlives this process on purpose; whoever adopts it waits for it.
    let mut watchdog = command.spawn().unwrap();
    drop(std::thread::spawn(move || watchdog.wait()));
}

/// Sets worktrees and versions of the schema apart.
fn fingerprint(texts: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_MANIFEST_DIR"));
    texts.iter().for_each(|text| hash.update(text));
    hex::encode(&hash.finalize()[..6])
}

/// Where `initdb` is: beside what `pg_config` names, on the path, or where Debian hides it.
fn programs() -> Option<PathBuf> {
    let config = Command::new("pg_config").arg("--bindir").output().ok();
    let named = config.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim().to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let places = named.into_iter().chain(debian.into_iter().rev()).chain(std::env::split_paths(&path));
    places.into_iter().find(|dir| dir.join("initdb").is_file() && dir.join("psql").is_file())
}

fn numbers(program: &str, arguments: &[&str]) -> Option<u32> {
    let out = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8_lossy(&out.stdout).trim().parse().ok()
}

fn said(out: &Output, what: &str) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{what}: {stdout}{stderr}");
    stdout.trim().to_owned()
}
