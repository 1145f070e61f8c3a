//! Settings: read once, in layers, from the embedded defaults up to the command line.

mod hidden;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{File, FileFormat, Value, ValueKind};
use serde::Deserialize;

pub use hidden::Hidden;

/// The commented defaults, as shipped.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Everything that can be set; what each field means stands in `config/default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every setting, and a test compares the two")]
pub struct Config {
    pub data_dir: PathBuf,
    pub database_url: String,
    pub server: Server,
    pub database: Database,
    pub engine: Engine,
    pub queues: BTreeMap<String, Queue>,
    pub maintenance: Maintenance,
    pub retention: Retention,
    pub auth: Auth,
    pub mail: Mail,
    pub limits: Limits,
    pub analysis: Analysis,
    pub intake: Intake,
    pub sandbox: Sandbox,
    pub analyzers: Analyzers,
    pub agent: Agent,
    pub llm: Llm,
    pub artifacts: Artifacts,
    pub log: Log,
    pub telemetry: Telemetry,
}

/// Declares a section whose fields are documented in `config/default.toml`.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "config/default.toml documents every setting")]
        pub struct $name { $(pub $field: $type),* }
    };
}

section!(
    /// `[server]`
    Server {
        listen: SocketAddr,
        cors_origins: Vec<String>,
        body_limit_bytes: usize,
        upload_limit_bytes: usize,
        request_timeout_seconds: u64,
        max_in_flight: usize,
        max_sockets: usize,
        socket_idle_seconds: u64,
        socket_ping_seconds: u64,
        socket_messages_per_minute: u32,
        trusted_proxies: Vec<String>,
        behind_tls: bool,
    }
);
section!(
    /// `[database]`
    Database {
        max_connections: u32,
        acquire_timeout_seconds: u64,
        statement_timeout_seconds: u64,
        slow_query_ms: u64,
        sqlite_synchronous: SqliteSynchronous,
    }
);
section!(
    /// `[engine]`
    Engine {
        run_jobs: bool,
        lease_seconds: u64,
        heartbeat_seconds: u64,
        rescue_seconds: u64,
        poll_seconds: u64,
        soft_timeout_seconds: u64,
        hard_timeout_seconds: u64,
        cancel_grace_seconds: u64,
        drain_grace_seconds: u64,
        max_crashes: i32,
        ageing_seconds: u32,
        max_queued: u64,
        batch: usize,
        lanes: usize,
        max_events_per_job: u32,
    }
);
section!(
    /// `[queues.…]`
    Queue { slots: u32, concurrency: u32, per_user: u32 }
);
section!(
    /// `[maintenance]`
    Maintenance { cleanup_minutes: u64, health_check_minutes: u64 }
);
section!(
    /// `[retention]`
    Retention { jobs_days: u32, events_days: u32, llm_calls_days: u32, idempotency_hours: u32, batch: u32 }
);
section!(
    /// `[auth]`
    Auth {
        jwt_secret: String,
        jwt_key_file: String,
        access_minutes: u32,
        refresh_days: u32,
        registration: bool,
        login_attempts_per_minute: u32,
        reset_minutes: u32,
        reset_url: String,
        hashing_slots: usize,
        ticket_seconds: u32,
    }
);
section!(
    /// `[mail]`
    Mail {
        server: String,
        from: String,
    }
);
section!(
    /// `[limits]`
    Limits { requests_per_minute: u32, builds_per_minute: u32, analyses_per_minute: u32 }
);
section!(
    /// `[analysis]`
    Analysis {
        cache_dir: String,
        cache_bytes: u64,
        rules: Vec<String>,
        fail_on: String,
        min_score: f64,
        min_coverage: f64,
    }
);
section!(
    /// `[intake]`
    Intake {
        max_files: usize,
        max_file_bytes: u64,
        max_total_bytes: u64,
        max_depth: usize,
        max_archive_entries: usize,
        max_archive_ratio: u64,
        max_clone_bytes: u64,
        git_ca_file: String,
        allow_private_addresses: bool,
        git_timeout_seconds: u64,
    }
);
section!(
    /// `[agent]`
    Agent {
        prompts_dir: String,
        page_hosts: Vec<String>,
        max_tokens: i64,
        max_cost_micros: i64,
        max_seconds: u64,
        max_iterations: u32,
        context_tokens: usize,
    }
);
section!(
    /// `[sandbox]`
    Sandbox {
        level: SandboxLevel, scratch_dir: String, program: String, toolchains: Vec<String>,
        network: Vec<String>, private_networks: Vec<String>, network_bytes: u64, network_connections: usize,
    }
);
section!(
    /// `[artifacts]`
    Artifacts {
        url: String,
        endpoint: String,
        region: String,
        access_key_id: String,
        secret_access_key: String,
        virtual_hosted: bool,
        max_file_bytes: u64,
    }
);
section!(
    /// `[llm]`
    Llm {
        provider: String,
        find_ollama: bool,
        max_output_tokens: u32,
        timeout_seconds: u64,
        silence_seconds: u64,
        retries: u32,
        max_wait_seconds: u64,
        breaker_failures: u32,
        breaker_seconds: u64,
        user_requests_per_minute: u32,
        user_tokens_per_minute: u32,
        cache_seconds: u64,
        cache_bytes: u64,
        prices_file: String,
        key_secret: Hidden,
        allow_private_addresses: bool,
        proxy: String,
        providers: BTreeMap<String, LlmProvider>,
    }
);
section!(
    /// `[analyzers]`
    Analyzers {
        allowed: Vec<String>,
        folders: Vec<String>,
        timeout_seconds: u64,
        sarif: BTreeMap<String, Vec<String>>,
    }
);
section!(
    /// `[log]`
    Log { format: LogFormat, filter: String }
);
section!(
    /// `[telemetry]`
    Telemetry { otlp_endpoint: String }
);

/// How hard SQLite makes sure that a commit is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqliteSynchronous {
    /// Survives power loss.
    Full,
    /// Survives a crash of the process.
    Normal,
}

/// How strongly commands are confined, at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxLevel {
    /// The strongest that passes its self-test.
    Auto,
    /// Namespaces, by bubblewrap.
    Bubblewrap,
    /// Landlock and seccomp.
    Landlock,
    /// A process with limits, and nothing else.
    Process,
}

/// `[llm.providers.…]`: what is left out is as in `LlmProvider::default()`, because a server of one's own is not in the
/// defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "config/default.toml documents every setting")]
pub struct LlmProvider {
    pub dialect: Dialect,
    pub base_url: String,
    pub key: Hidden,
    pub key_env: String,
    pub key_file: String,
    pub models: Vec<String>,
    pub requests_per_minute: u32,
    pub tokens_per_minute: u32,
    pub free: bool,
    pub stream: bool,
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Default for LlmProvider {
    fn default() -> Self {
        Self {
            dialect: Dialect::Openai,
            base_url: String::new(),
            key: Hidden::default(),
            key_env: String::new(),
            key_file: String::new(),
            models: Vec::new(),
            requests_per_minute: 0,
            tokens_per_minute: 0,
            free: false,
            stream: true,
            extra: BTreeMap::new(),
        }
    }
}

/// What a model provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's chat completions.
    Openai,
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's `generateContent`.
    Gemini,
    /// Ollama's own.
    Ollama,
}

impl Dialect {
    /// As settings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// Why the settings cannot be used: a sentence that names the setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or value that does not read, or a name that no setting has.
    #[error("configuration: {0}")]
    Unreadable(#[from] config::ConfigError),
    /// A variable that looks like a setting but is none.
    #[error("configuration: no setting is called {0} (config/default.toml lists them all)")]
    UnknownVariable(String),
    /// Values that read but cannot be meant.
    #[error("configuration: {0}")]
    Invalid(String),
}

/// Variables that start like settings but steer the command line instead.
const NOT_SETTINGS: [&str; 5] =
    ["CODEYARD_CONFIG", "CODEYARD_URL", "CODEYARD_TOKEN", "CODEYARD_API_KEY", "CODEYARD_LOG"];

impl Config {
    /// Layers the defaults, `file` if there is one, `variables` (name and value, as in the environment) and
    /// `flags` (a setting's path and its value), the later the stronger.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            layers = layers.add_source(File::from(file).format(FileFormat::Toml));
        }
        let settings = setting_paths();
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        for (name, value) in &variables {
            if !name.starts_with("CODEYARD_") || NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let Some(path) = settings.iter().find(|path| variable_of(path) == *name) else {
                return Err(ConfigError::UnknownVariable(name.clone()));
            };
            layers = layers.set_override(path, typed(value))?;
        }
        for (path, value) in flags {
            layers = layers.set_override(path, typed(&value))?;
        }
        let mut config: Self = layers.build()?.try_deserialize()?;
        for (name, provider) in &mut config.llm.providers {
            provider.find_key(name, &variables)?;
        }
        config.checked()
    }

    /// The defaults, with nothing on top.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::load(None, [], [])
    }

    /// Whether jobs live in PostgreSQL, where other processes can share them.
    pub fn uses_postgres(&self) -> bool {
        self.database_url.starts_with("postgres://") || self.database_url.starts_with("postgresql://")
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let engine = &self.engine;
        let complaints = [
            (
                engine.heartbeat_seconds * 2 > engine.lease_seconds,
                "engine.lease_seconds must be at least twice engine.heartbeat_seconds",
            ),
            (
                engine.soft_timeout_seconds > engine.hard_timeout_seconds,
                "engine.soft_timeout_seconds must not be above engine.hard_timeout_seconds",
            ),
            (engine.batch == 0, "engine.batch must be at least 1"),
            (engine.lanes == 0, "engine.lanes must be at least 1"),
            (
                engine.poll_seconds == 0 || engine.rescue_seconds == 0 || engine.heartbeat_seconds == 0,
                "engine.poll_seconds, rescue_seconds and heartbeat_seconds must be at least 1",
            ),
            (self.database.max_connections < 2, "database.max_connections must be at least 2"),
            (self.auth.hashing_slots == 0, "auth.hashing_slots must be at least 1"),
            (
                !self.auth.jwt_secret.is_empty() && self.auth.jwt_secret.len() < 32,
                "auth.jwt_secret must have at least 32 bytes",
            ),
            (
                !self.llm.key_secret.is_empty() && self.llm.key_secret.expose().len() < 32,
                "llm.key_secret must have at least 32 bytes",
            ),
            (
                self.llm.max_output_tokens == 0
                    || self.llm.timeout_seconds == 0
                    || self.llm.silence_seconds == 0,
                "llm.max_output_tokens, timeout_seconds and silence_seconds must be at least 1",
            ),
            (
                self.llm
                    .providers
                    .values()
                    .any(|provider| !provider.base_url.is_empty() && !provider.base_url.starts_with("http")),
                "llm.providers.….base_url must start with http:// or https://",
            ),
            (
                !self.database_url.is_empty() && !self.uses_postgres(),
                "database_url must start with postgres:// (leave it empty for the embedded SQLite)",
            ),
        ];
        match complaints.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, complaint)) => Err(ConfigError::Invalid(complaint.to_owned())),
            None => Ok(self),
        }
    }
}

impl LlmProvider {
    /// Fills in the key from where the settings say that it is; a key that stands there itself wins.
    fn find_key(&mut self, name: &str, variables: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        if !self.key.is_empty() {
            self.key = Hidden::new(self.key.expose());
        } else if !self.key_file.is_empty() {
            let read = std::fs::read_to_string(&self.key_file);
            self.key = Hidden::new(&read.map_err(|error| {
                ConfigError::Invalid(format!("llm.providers.{name}.key_file cannot be read: {error}"))
            })?);
        } else if let Some(key) = variables.get(&self.key_env) {
            self.key = Hidden::new(key);
        }
        Ok(())
    }
}

impl Engine {
    /// See `engine.lease_seconds`.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// How much earlier one step of priority puts a job in its queue.
    pub fn ageing(&self) -> Duration {
        Duration::from_secs(self.ageing_seconds.into())
    }
}

/// The dotted path of every setting, as `config/default.toml` has them.
fn setting_paths() -> BTreeSet<String> {
    fn walk(table: &toml::Table, prefix: &str, paths: &mut BTreeSet<String>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(inner) => walk(inner, &format!("{prefix}{name}."), paths),
                _ => drop(paths.insert(format!("{prefix}{name}"))),
            }
        }
    }
    let mut paths = BTreeSet::new();
    walk(&DEFAULTS.parse().unwrap_or_default(), "", &mut paths);
    paths
}

/// `auth.access_minutes` → `CODEYARD_AUTH_ACCESS_MINUTES`.
fn variable_of(path: &str) -> String {
    format!("CODEYARD_{}", path.replace('.', "_").to_uppercase())
}

/// Text from outside as what it looks like: TOML's arrays, else a string that is converted when it is read.
fn typed(text: &str) -> Value {
    let list = text.starts_with('[').then(|| format!("v = {text}").parse::<toml::Table>().ok()).flatten();
    let items = list.as_ref().and_then(|table| table.get("v")).and_then(|value| value.as_array());
    let kind = match items {
        Some(items) => ValueKind::Array(
            items.iter().map(|item| Value::from(item.as_str().unwrap_or_default())).collect(),
        ),
        None => ValueKind::String(text.to_owned()),
    };
    Value::new(Some(&"the environment or a flag".to_owned()), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::load(None, variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())), [])
    }

    #[test]
    fn a_variable_beats_the_default_and_a_flag_beats_the_variable() {
        let config =
            with(&[("CODEYARD_AUTH_ACCESS_MINUTES", "5"), ("CODEYARD_QUEUES_BUILDS_SLOTS", "9")]).unwrap();
        assert_eq!((config.auth.access_minutes, config.queues["builds"].slots), (5, 9));
        let flags = [("auth.access_minutes".to_owned(), "7".to_owned())];
        let both = Config::load(None, [("CODEYARD_AUTH_ACCESS_MINUTES".into(), "5".into())], flags).unwrap();
        assert_eq!(both.auth.access_minutes, 7);
    }

    #[test]
    fn a_list_can_come_from_a_variable() {
        let config =
            with(&[("CODEYARD_SERVER_CORS_ORIGINS", r#"["https://a.example", "https://b.example"]"#)]);
        assert_eq!(config.unwrap().server.cors_origins, ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn what_no_setting_is_called_is_refused_by_name() {
        let error = with(&[("CODEYARD_AUTH_ACESS_MINUTES", "5")]).unwrap_err().to_string();
        assert!(error.contains("CODEYARD_AUTH_ACESS_MINUTES"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("codeyard.toml");
        std::fs::write(&file, "[auth]\nacess_minutes = 5\n").unwrap();
        let error = Config::load(Some(&file), [], []).unwrap_err().to_string();
        assert!(error.contains("acess_minutes"), "{error}");
    }

    #[test]
    fn a_key_comes_from_the_settings_a_file_or_the_variable_that_they_name_and_is_not_printed() {
        let key = |config: &Config, name: &str| config.llm.providers[name].key.expose().to_owned();
        let config =
            with(&[("OPENAI_API_KEY", " from the variable "), ("CODEYARD_LLM_PROVIDERS_GEMINI_KEY", "set")]);
        let config = config.unwrap();
        assert_eq!(
            (key(&config, "openai"), key(&config, "gemini")),
            ("from the variable".into(), "set".into())
        );
        assert!(!format!("{config:?}").contains("from the variable"));
        let dir = tempfile::tempdir().unwrap();
        let [file, settings] = ["key", "settings.toml"].map(|name| dir.path().join(name));
        std::fs::write(&file, "from the file\n").unwrap();
        let own = format!("[llm.providers.mine]\nbase_url = \"http://mine\"\nkey_file = {file:?}\n");
        std::fs::write(&settings, own).unwrap();
        let config = Config::load(Some(&settings), [], []).unwrap();
        assert_eq!(
            (key(&config, "mine"), config.llm.providers["mine"].stream),
            ("from the file".into(), true)
        );
        std::fs::remove_file(&file).unwrap();
        let said = Config::load(Some(&settings), [], []).unwrap_err().to_string();
        assert!(said.contains("llm.providers.mine"));
    }

    #[test]
    fn a_short_secret_and_a_lease_below_two_heartbeats_are_refused() {
        assert!(with(&[("CODEYARD_AUTH_JWT_SECRET", "too short")]).is_err());
        assert!(with(&[("CODEYARD_ENGINE_LEASE_SECONDS", "5")]).is_err());
    }
}
