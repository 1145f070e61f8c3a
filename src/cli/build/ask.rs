//! Asks the person at the terminal what a build wants to know.

use std::io::{BufRead, Write};

use anyhow::{bail, ensure};
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::agent::Decision;
use crate::app::App;
use crate::cli::paint::harmless;
use crate::model::{Caller, JobId};

/// A question of a build, as its event tells it.
pub(super) struct Question {
    pub(super) text: String,
    pub(super) data: Value,
}

/// Gets an answer, or says yes for whoever has said so beforehand, and lets the build go on.
pub(super) async fn answer(
    app: &App,
    job: JobId,
    me: &Caller,
    question: Question,
    says_yes: bool,
) -> anyhow::Result<()> {
    let approval_id = question.data["approval_id"].as_str().unwrap_or_default().to_owned();
    let said = match says_yes {
        true => Some("y".to_owned()),
        false => tokio::task::spawn_blocking(move || ask(&question)).await??,
    };
    let Some(said) = said else {
        app.jobs.cancel(job, me).await?;
        bail!("the build asks for approval, and nobody answers (--yes)");
    };
    let (approved, comment) = meaning(&said);
    let decision = to_raw_value(&Decision { approval_id, approved, comment })?;
    app.jobs.resume(job, Some(decision), me).await?;
    Ok(())
}

/// Shows what it is about, and reads a line that is not empty; `None` when there are no more.
fn ask(question: &Question) -> anyhow::Result<Option<String>> {
    let mut to = std::io::stderr().lock();
    for file in question.data["plan"]["files"].as_array().into_iter().flatten() {
        let text = |name: &str| harmless(file[name].as_str().unwrap_or_default());
        writeln!(to, "  {}  {}", text("path"), text("purpose"))?;
    }
    loop {
        write!(to, "{} [y]es, [n]o, or what to do instead: ", harmless(&question.text))?;
        to.flush()?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim();
        ensure!(line.len() <= 10_000, "an answer has at most 10000 bytes");
        if !line.is_empty() {
            return Ok(Some(line.to_owned()));
        }
    }
}

/// Yes, no, or no with what to do instead.
fn meaning(said: &str) -> (bool, Option<String>) {
    match said.to_lowercase().as_str() {
        "y" | "yes" => (true, None),
        "n" | "no" => (false, None),
        _ => (false, Some(said.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_than_yes_and_no_say_what_to_do_instead() {
        assert_eq!(meaning("Y"), (true, None));
        assert_eq!(meaning("no"), (false, None));
        assert_eq!(meaning("One file."), (false, Some("One file.".to_owned())));
    }
}
