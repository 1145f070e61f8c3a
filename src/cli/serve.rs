//! `codeyard serve`: the server.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::server::{Server, Site};
use super::{Surroundings, runtime, say};
use crate::clock::Clock;
use crate::observe::Telemetry;

/// How long threads that are still at work may take when everything else has ended.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Run the server.
///
/// Without any configuration it keeps its data in ./data and listens on 127.0.0.1:8080. On the very first start it
/// prints, once, how to sign in as administrator.
///
/// SIGTERM and Ctrl-C end it well: it takes no more connections, jobs may finish within
/// engine.drain_grace_seconds, what is left runs elsewhere or at the next start, and the exit code is 0. A second
/// Ctrl-C ends it at once.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) place: Place,
}

/// Where a server listens and keeps its data: the flags of every command that starts one.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Address and port to listen on; port 0 takes a free one [default: server.listen].
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
    #[command(flatten)]
    pub(super) data: Data,
}

/// Where the data is: the flags of every command that needs the database.
#[derive(Debug, Args)]
pub(super) struct Data {
    /// Where the embedded database lives [default: data_dir].
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<String>,
    /// PostgreSQL instead of the embedded database [default: database_url].
    #[arg(long, value_name = "URL")]
    pub(super) database_url: Option<String>,
}

impl Data {
    /// As settings.
    pub(super) fn flags(&self) -> [(&'static str, Option<String>); 2] {
        [("data_dir", self.data_dir.clone()), ("database_url", self.database_url.clone())]
    }

    /// A directory for the data of this run alone, unless somebody named one.
    pub(super) fn own_dir(
        &self,
        around: &Surroundings,
        prefix: &str,
    ) -> anyhow::Result<Option<tempfile::TempDir>> {
        let variables = ["CODEYARD_DATA_DIR", "CODEYARD_DATABASE_URL", "CODEYARD_CONFIG"];
        let named = self.data_dir.is_some()
            || self.database_url.is_some()
            || around.config_path().is_some()
            || variables.iter().any(|name| around.variable(name).is_some());
        if named {
            return Ok(None);
        }
        Ok(Some(tempfile::Builder::new().prefix(prefix).tempdir().context("make a directory for the data")?))
    }
}

impl Serve {
    /// Serves until it is asked to stop.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        let Place { listen, data } = self.place;
        let config = around.config(data.flags().into_iter().chain([("server.listen", listen)]))?;
        let runtime = runtime::server()?;
        let ended = runtime.block_on(async {
            let clock = Clock::system();
            // Dropped last: what is said until then is written.
            let _telemetry = Telemetry::start(&config, &clock)?;
            let mut server = Server::start(config, clock).await?;
            announce(&server.site)?;
            let asked = server.until_asked().await;
            server.stop().await;
            asked
        });
        runtime.shutdown_timeout(STRAGGLERS);
        ended.map(|()| ExitCode::SUCCESS)
    }
}

/// Says where it is and, this once, how to sign in.
fn announce(site: &Site) -> anyhow::Result<()> {
    let url = site.url();
    if let Some(admin) = &site.first_admin {
        let (email, password) = (&admin.email, admin.password.expose());
        say(&format!(
            "First start. Sign in as {email} with the password {password}\n\
             It is shown only now; change it with `codeyard user set-password {email}`."
        ))?;
    }
    say(&format!("Codeyard {} listens on {url} (documentation: {url}/docs)", env!("CARGO_PKG_VERSION")))
}
