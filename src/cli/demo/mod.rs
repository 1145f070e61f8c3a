//! `codeyard demo`: a server, a job over HTTP, its progress over a socket, its report: all of it, on your own code.

mod client;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clap::Args;
use tokio::net::TcpListener;

use super::frame::{self, Detail};
use super::meter::{How, Meter};
use super::paint::{Paint, count};
use super::serve::Place;
use super::server::{Server, Site};
use super::{Surroundings, pack, runtime, say, summary};
use crate::analysis::Report;
use crate::auth::{NewUser, Secret};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::model::{Finding, Role};
use crate::observe::Telemetry;
use client::Client;

/// The account that the demo makes for itself, and how long its token is good for.
const EMAIL: &str = "demo@localhost";
const GOOD_FOR: TimeDelta = TimeDelta::hours(24);
/// Findings that are shown with their code.
const WORST: usize = 3;
/// The other thing that Codeyard does.
const BUILD_NEXT: &str =
    "Build something: codeyard build \"a command line tool that counts words in files\" --lang python";
/// How long threads that are still at work may take when everything else has ended.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Start a server, analyse PATH through it, and show what it finds.
///
/// Nothing needs to be configured: the server runs on the embedded database in a temporary directory that goes away
/// at the end (unless --data-dir or --database-url says otherwise). PATH is packed into a ZIP (honouring its
/// .gitignore files) and submitted over HTTP; progress comes over a WebSocket. Afterwards the server stays, for you
/// to look around, until Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The directory to analyse.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// End after the report instead of keeping the server.
    #[arg(long, alias = "once")]
    exit: bool,
    #[command(flatten)]
    place: Place,
}

impl Demo {
    /// Shows everything once.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        // Declared first, so that it is removed when the server has let go of it.
        let own_dir = self.place.data.own_dir(around, "codeyard-demo-")?;
        let runtime = runtime::server()?;
        let ended = runtime.block_on(async {
            let config = self.config(around, own_dir.as_ref().map(tempfile::TempDir::path)).await?;
            let clock = Clock::system();
            // Dropped last: what is said until then is written.
            let _telemetry = Telemetry::start(&config, &clock)?;
            let packed = pack::pack(&self.path, &config).await?;
            let begun = Instant::now();
            let mut server = Server::start(config, clock).await?;
            let site = Arc::clone(&server.site);
            say(&format!("Started Codeyard on {} in {} ms.", site.url(), begun.elapsed().as_millis()))?;
            let shown = tokio::select! {
                shown = self.show(&site, packed, around, own_dir.is_some()) => shown.map(|()| !self.exit),
                asked = server.until_asked() => asked.map(|()| false),
            };
            let ended = match shown {
                Ok(true) => server.until_asked().await,
                other => other.map(drop),
            };
            server.stop().await;
            ended
        });
        runtime.shutdown_timeout(STRAGGLERS);
        ended.map(|()| ExitCode::SUCCESS)
    }

    /// The settings: as given, but on a free port if the usual one is taken, and with a quiet log.
    async fn config(
        &self,
        around: &Surroundings,
        own_dir: Option<&std::path::Path>,
    ) -> anyhow::Result<Config> {
        let Place { listen, data } = &self.place;
        let own = own_dir.map(|dir| dir.display().to_string());
        let quiet = around.variable("CODEYARD_LOG_FILTER").is_none().then(|| "warn".to_owned());
        let flags = data.flags().into_iter().chain([
            ("data_dir", own.or_else(|| data.data_dir.clone())),
            ("server.listen", listen.clone()),
            ("log.filter", quiet),
        ]);
        let mut config = around.config(flags)?;
        if listen.is_none() && TcpListener::bind(config.server.listen).await.is_err() {
            config.server.listen.set_port(0);
        }
        Ok(config)
    }

    async fn show(
        &self,
        site: &Site,
        packed: pack::Packed,
        around: &Surroundings,
        goes_away: bool,
    ) -> anyhow::Result<()> {
        let token = sign_in(site).await?;
        let client = Client::new(site.url(), token.expose())?;
        let sent = format!("{}, {} KiB packed", count(packed.files, "file"), packed.zip.len().div_ceil(1024));
        let id = client.submit(packed.name, packed.zip).await?;
        say(&format!("Submitted {} ({sent}): analysis {id}", self.path.display()))?;
        let meter = Meter::new(How::Always);
        client.follow(&id, &meter).await?;
        meter.clear();
        let mut report = client.report(&id).await?;
        // What was not even sent was not analysed either.
        report.skipped.splice(0..0, packed.skipped);
        let paint = Paint::new(around.paints(&std::io::stdout()));
        say(&shown(&report, paint)?)?;
        if self.exit {
            return say(BUILD_NEXT);
        }
        say(&where_next(site, &id, &token, goes_away, paint)?)
    }
}

/// The demo's own account, as any other: it sees what it submitted.
async fn sign_in(site: &Site) -> anyhow::Result<Secret> {
    let auth = &site.app.auth;
    let new = NewUser {
        email: EMAIL.to_owned(),
        name: "Demo".to_owned(),
        password: Secret::random()?,
        role: Role::User,
    };
    match auth.create_user(new).await {
        Ok(_) | Err(Error::Conflict { .. }) => Ok(auth.token_for(EMAIL, GOOD_FOR).await?),
        Err(error) => Err(error.into()),
    }
}

/// The worst findings with their code, and the summary.
fn shown(report: &Report, paint: Paint) -> Result<String, std::fmt::Error> {
    let mut worst: Vec<&Finding> = report.findings().collect();
    worst.sort_by(|a, b| {
        (b.severity, b.confidence).cmp(&(a.severity, a.confidence)).then_with(|| a.region.cmp(&b.region))
    });
    let mut text = String::from("\n");
    for finding in worst.into_iter().take(WORST) {
        frame::write(&mut text, finding, Detail::Brief, paint)?;
        text.push('\n');
    }
    summary::write(&mut text, report, paint)?;
    Ok(text)
}

fn where_next(
    site: &Site,
    id: &str,
    token: &Secret,
    goes_away: bool,
    paint: Paint,
) -> Result<String, std::fmt::Error> {
    let (url, token) = (site.url(), token.expose());
    let mut text = String::new();
    writeln!(text, "{}", paint.bold("Where to look next"))?;
    writeln!(text, "  {url}/docs                every endpoint, to try out")?;
    writeln!(text, "  {url}/api/health/status   how the server is\n")?;
    writeln!(text, "  TOKEN={token}")?;
    writeln!(text, "  curl -H \"Authorization: Bearer $TOKEN\" {url}/api/analysis/{id}")?;
    writeln!(text, "  curl -H \"Authorization: Bearer $TOKEN\" {url}/api/analysis/ \\")?;
    writeln!(
        text,
        "    --json '{{\"code\": \"import os\\nos.system(input())\", \"language\": \"python\"}}'"
    )?;
    if let Some(admin) = &site.first_admin {
        writeln!(text, "\n  The administrator is {}, password {}", admin.email, admin.password.expose())?;
    }
    let data = site.app.config.data_dir.display();
    let fate = if goes_away { "and goes away at the end; --data-dir DIR keeps it" } else { "and stays" };
    writeln!(text, "  The data is in {data}, {fate}.")?;
    write!(text, "\n{BUILD_NEXT}\n\nThe server keeps running; Ctrl-C ends it.")?;
    Ok(text)
}
