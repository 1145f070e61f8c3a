//! What the server signs tokens with, whom it sends mail through, and which models it asks.

use super::Check;
use crate::auth::signs_with;
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
