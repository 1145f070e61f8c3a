//! Sends mail over SMTP.

use std::time::Duration;

use anyhow::Context;
use lettre::message::{Mailbox, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config;

/// How long one mail may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to a mail server.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can be written to there.
    #[error("{0:?} is no address for mail")]
    Address(String),
    /// It cannot be put into words that mail servers understand.
    #[error("the mail cannot be written: {0}")]
    Message(#[from] lettre::error::Error),
    /// The server is there, and does not do as mail servers do.
    #[error("the mail server does not answer as one")]
    Silent,
    /// The server did not take it.
    #[error("the mail server did not take it: {0}")]
    Refused(#[from] lettre::transport::smtp::Error),
}

impl Mailer {
    /// As `[mail]` says; `None` where it names no server.
    pub fn new(config: &config::Mail) -> anyhow::Result<Option<Self>> {
        if config.server.is_empty() {
            return Ok(None);
        }
        let from = config.from.parse().with_context(|| format!("mail.from {:?}", config.from))?;
        // The URL may hold a password, so it stands in no message.
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&config.server);
        let transport =
            transport.context("mail.server: expected smtp://, smtps:// or smtp://…?tls=required")?;
        Ok(Some(Self { transport: transport.timeout(Some(PATIENCE)).build(), from }))
    }

    /// Says hello, to see whether the server is there and knows us.
    pub async fn greet(&self) -> Result<(), Error> {
        match self.transport.test_connection().await? {
            true => Ok(()),
            false => Err(Error::Silent),
        }
    }

    /// Sends plain text to one address.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), Error> {
        let address = to.parse().map_err(|_| Error::Address(to.to_owned()))?;
        let mail = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)?;
        self.transport.send(mail).await?;
        Ok(())
    }
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from.email.to_string()).finish_non_exhaustive()
    }
}
