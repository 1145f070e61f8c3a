//! `codeyard user` and `codeyard token`: accounts, for whoever can reach the database.

use std::process::ExitCode;

use chrono::TimeDelta;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::serve::Data;
use super::{Surroundings, paint, runtime, say};
use crate::auth::{Auth, NewKey, NewUser, Secret, UserPatch};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::{Caller, Role, Scope, Scopes};
use crate::store::{Store, UserRow};

/// Make and change accounts.
///
/// Works on the database itself, also while servers run; they notice within seconds.
#[derive(Debug, Args)]
pub(super) struct User {
    #[command(flatten)]
    data: Data,
    #[command(subcommand)]
    action: Action,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
enum Action {
    /// Make an account.
    Create {
        /// Its address.
        email: String,
        /// What it is called [default: as the address before the @].
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
        /// What it may do.
        #[arg(long, default_value = "user")]
        role: RoleName,
        #[command(flatten)]
        password: Password,
    },
    /// List all accounts, the oldest first.
    List {
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Let an account do nothing any more: its sessions end, its keys stop.
    Disable {
        /// Its address.
        email: String,
    },
    /// Let a disabled account do things again.
    Enable {
        /// Its address.
        email: String,
    },
    /// Give an account a new password, and end its sessions.
    SetPassword {
        /// Its address.
        email: String,
        #[command(flatten)]
        password: Password,
    },
    /// Change what an account may do.
    SetRole {
        /// Its address.
        email: String,
        /// What it may do.
        role: RoleName,
    },
}

/// Where a password comes from.
#[derive(Debug, Args)]
struct Password {
    /// Read the password from the first line of standard input; otherwise a random one is made and printed.
    #[arg(long)]
    password_stdin: bool,
}

/// A role, by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Its own things
    User,
    /// Everything of everybody
    Admin,
}

/// Print an access token, or make an API key, for scripts
///
/// The access token is a JWT that is good for --hours; with --api-key NAME it is an API key, which is good until it
/// is revoked or expires. Nothing but the token is printed:
///
///     curl -H "Authorization: Bearer $(codeyard token ada@example.com)" http://127.0.0.1:8080/api/analysis/
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Token {
    /// The account's address.
    email: String,
    /// How long the access token is good for.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: u32,
    /// Make an API key with this name instead.
    #[arg(long, value_name = "NAME")]
    api_key: Option<String>,
    /// What the API key may do.
    #[arg(long, value_delimiter = ',', default_value = "read,write", requires = "api_key")]
    scopes: Vec<ScopeName>,
    /// How many days the API key is good for; without it, until it is revoked.
    #[arg(long, requires = "api_key", value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: Option<u32>,
    #[command(flatten)]
    data: Data,
}

/// A scope, by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeName {
    /// Look at one's things
    Read,
    /// Submit, cancel, retry and delete
    Write,
    /// Use the powers of an administrator, if the account has them
    Admin,
}

impl User {
    /// Does it, and says what it did.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        let config = around.config(self.data.flags())?;
        runtime::small()?.block_on(async {
            let (store, auth, _) = open(&config).await?;
            self.action.run(&auth).await?;
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl Action {
    async fn run(self, auth: &Auth) -> anyhow::Result<()> {
        match self {
            Self::Create { email, name, role, password } => {
                let (password, note) = password.get()?;
                let user = auth.create_user(NewUser { email, name, password, role: role.into() }).await?;
                say(&format!("Made the account {} ({}).{note}", shown(&user), word(user.role)))
            }
            Self::List { json } => list(auth, json).await,
            Self::Disable { email } => {
                let user =
                    change(auth, &email, UserPatch { disabled: Some(true), ..UserPatch::default() }).await?;
                say(&format!("{} is disabled.", shown(&user)))
            }
            Self::Enable { email } => {
                let user =
                    change(auth, &email, UserPatch { disabled: Some(false), ..UserPatch::default() }).await?;
                say(&format!("{} is enabled.", shown(&user)))
            }
            Self::SetPassword { email, password } => {
                let (password, note) = password.get()?;
                let user =
                    change(auth, &email, UserPatch { password: Some(password), ..UserPatch::default() })
                        .await?;
                say(&format!("{} has a new password; its sessions have ended.{note}", shown(&user)))
            }
            Self::SetRole { email, role } => {
                let user =
                    change(auth, &email, UserPatch { role: Some(role.into()), ..UserPatch::default() })
                        .await?;
                say(&format!("{} is {} now.", shown(&user), word(user.role)))
            }
        }
    }
}

impl Token {
    /// Prints the token or key.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        let config = around.config(self.data.flags())?;
        runtime::small()?.block_on(async {
            let (store, auth, clock) = open(&config).await?;
            let secret = match &self.api_key {
                None => auth.token_for(&self.email, TimeDelta::hours(self.hours.into())).await?,
                Some(name) => self.make_key(name.clone(), &auth, &clock).await?,
            };
            store.close().await;
            say(secret.expose())?;
            Ok(ExitCode::SUCCESS)
        })
    }

    async fn make_key(&self, name: String, auth: &Auth, clock: &Clock) -> anyhow::Result<Secret> {
        let user = auth.user_by_email(&self.email).await?;
        anyhow::ensure!(!user.disabled, "{} is disabled", shown(&user));
        let new = NewKey {
            name,
            scopes: self.scopes.iter().map(|scope| (*scope).into()).collect(),
            expires_at: self.days.map(|days| clock.now() + TimeDelta::days(days.into())),
        };
        let by = Caller { user: user.id, role: user.role, scopes: Scopes::ALL };
        Ok(auth.create_key(new, &by).await?.1)
    }
}

/// Opens the database and what accounts need of it; a database that is new or old is brought up to date.
async fn open(config: &Config) -> anyhow::Result<(Store, Auth, Clock)> {
    let (store, clock) = (Store::open(config)?, Clock::system());
    store.migrate().await?;
    let auth = Auth::open(&config.auth, store.clone(), clock.clone(), None).await?;
    Ok((store, auth, clock))
}

async fn change(auth: &Auth, email: &str, patch: UserPatch) -> anyhow::Result<UserRow> {
    let user = auth.user_by_email(email).await?;
    Ok(auth.change_user(user.id, patch).await?)
}

async fn list(auth: &Auth, as_json: bool) -> anyhow::Result<()> {
    /// Accounts read at once.
    const PAGE: u32 = 500;
    let mut seen = 0;
    loop {
        let (users, total) = auth.users(PAGE, seen).await?;
        for user in &users {
            say(&line(user, as_json))?;
        }
        seen += users.len() as u64;
        if users.is_empty() || seen >= u64::try_from(total).unwrap_or_default() {
            return Ok(());
        }
    }
}

fn line(user: &UserRow, as_json: bool) -> String {
    if as_json {
        let UserRow { id, email, name, role, disabled, created_at, .. } = user;
        return json!({ "id": id, "email": email, "name": name, "role": role, "disabled": disabled,
            "created_at": created_at })
        .to_string();
    }
    let state = if user.disabled { "disabled" } else { "enabled" };
    let (email, role, made) = (shown(user), word(user.role), user.created_at.format("%Y-%m-%d"));
    format!("{email:40} {role:6} {state:9} {made}  {}", paint::harmless(&user.name))
}

fn shown(user: &UserRow) -> String {
    paint::harmless(&user.email)
}

fn word(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Admin => "admin",
    }
}

impl Password {
    /// The password, and what to say of it.
    fn get(&self) -> anyhow::Result<(Secret, String)> {
        if !self.password_stdin {
            let random = Secret::random()?;
            let note = format!("\nPassword (shown only now): {}", random.expose());
            return Ok((random, note));
        }
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        Ok((Secret::new(line.trim_end_matches(['\r', '\n'])), String::new()))
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::User => Self::User,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Read => Self::Read,
            ScopeName::Write => Self::Write,
            ScopeName::Admin => Self::Admin,
        }
    }
}
