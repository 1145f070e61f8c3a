//! What the server signs tokens with, whom it sends mail through, and which models it asks.

use std::time::Duration;

use super::Check;
use crate::artifacts::Artifacts;
use crate::auth::signs_with;
use crate::clock::Clock;
use crate::config::Config;
use crate::llm::Llm;
use crate::mail::Mailer;

/// Whether tokens can be signed as the settings say.
pub(super) fn tokens(config: &Config) -> Check {
    const NAME: &str = "tokens";
    match signs_with(&config.auth) {
        Ok(Some(algorithm)) => Check::ok(NAME, format!("signed with {algorithm}, by a key of yours")),
        Ok(None) => Check::ok(NAME, "signed with a secret that the first start makes and keeps"),
        Err(error) => Check::problem(NAME, format!("{error:#}"), "mend [auth] jwt_secret or jwt_key_file"),
    }
}

/// Which models can be asked.
pub(super) async fn models(config: &Config) -> Check {
    const NAME: &str = "models";
    match Llm::survey(&config.llm).await {
        Ok(usable) if usable.is_empty() => Check::ok(
            NAME,
            "none can be asked: no provider of [llm.providers] has a key, and no Ollama answers",
        ),
        Ok(usable) => Check::ok(NAME, format!("can be asked: {}", usable.join(", "))),
        Err(error) => Check::problem(NAME, format!("{error:#}"), "mend [llm] prices_file"),
    }
}

/// Whether jobs can leave files behind.
pub(super) async fn artifacts(config: &Config) -> Check {
    const NAME: &str = "artifacts";
    const PATIENCE: Duration = Duration::from_secs(10);
    let place = if config.artifacts.url.is_empty() { "the local directory" } else { "the bucket" };
    let surveyed = Artifacts::survey(config, Clock::system().new_id());
    match tokio::time::timeout(PATIENCE, surveyed).await {
        Ok(Ok(true)) => Check::ok(NAME, format!("a file was written to {place}, read and removed")),
        Ok(Ok(false)) => Check::ok(NAME, "kept below the data directory, from the first start on"),
        Ok(Err(error)) => Check::problem(NAME, format!("{place}: {error:#}"), "mend [artifacts]"),
        Err(_) => Check::problem(NAME, format!("{place} does not answer"), "mend [artifacts]"),
    }
}

/// Whether mail can be sent.
pub(super) async fn mail(config: &Config) -> Check {
    const NAME: &str = "mail";
    let mailer = match Mailer::new(&config.mail) {
        Ok(Some(mailer)) => mailer,
        Ok(None) => return Check::ok(NAME, "none is sent: mail.server is not set"),
        Err(error) => return Check::problem(NAME, format!("{error:#}"), "mend [mail]"),
    };
    match mailer.greet().await {
        Ok(()) => Check::ok(NAME, "the mail server answers"),
        Err(error) => Check::warning(
            NAME,
            error.to_string(),
            "nobody can replace a forgotten password until it answers",
        ),
    }
}
