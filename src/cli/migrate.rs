//! `codeyard migrate`: brings the database up to date, without a server.

use std::process::ExitCode;

use clap::Args;

use super::serve::Data;
use super::{Surroundings, runtime, say};
use crate::config::Config;
use crate::store::{DataDirLock, Store};

/// Bring the database's schema up to date.
///
/// A server does this by itself when it starts; do it beforehand where servers may not change the schema. Several
/// processes may run it at once: one does the work. A database that is newer than this program is refused.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    data: Data,
}

impl Migrate {
    /// Applies what is missing, and says how much that was.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        let config = around.config(self.data.flags())?;
        let applied = runtime::small()?.block_on(async {
            let store = Store::open(&config)?;
            let _alone = if store.is_shared() { None } else { Some(DataDirLock::take(&config.data_dir)?) };
            let applied = store.migrate().await?;
            store.close().await;
            anyhow::Ok(applied)
        })?;
        let database = name_of(&config);
        say(&match applied {
            0 => format!("The schema of {database} is up to date."),
            1 => format!("Applied 1 migration to {database}."),
            more => format!("Applied {more} migrations to {database}."),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What to call the database, without its password.
pub(super) fn name_of(config: &Config) -> String {
    if !config.uses_postgres() {
        return config.data_dir.join("codeyard.db").display().to_string();
    }
    match url::Url::parse(&config.database_url) {
        Ok(url) => {
            let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("this machine");
            format!("PostgreSQL {} on {host}", url.path().trim_start_matches('/'))
        }
        Err(_) => "PostgreSQL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_without_its_password() {
        let named =
            |url: &str| name_of(&Config::load(None, [], [("database_url".into(), url.into())]).unwrap());
        assert_eq!(named("postgres://ada:secret@db.example/yard"), "PostgreSQL yard on db.example");
        assert_eq!(named("postgres:///yard?host=/run/postgresql"), "PostgreSQL yard on this machine");
        assert_eq!(named(""), "data/codeyard.db");
    }
}
