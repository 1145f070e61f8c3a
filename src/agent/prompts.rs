//! What the model is told: files beside the code, with placeholders, that a server may replace by its own.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

/// One prompt: its name, which is that of its file, its text, and what may be filled in.
struct Builtin(&'static str, &'static str, &'static [&'static str]);

/// Which prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    System,
    Analyze,
    Plan,
    Generate,
    Mend,
    Recover,
    Nudge,
    Condensed,
}

const TASK: &[&str] = &["project", "goal", "wishes", "workspace"];

/// Every prompt there is, in the order of [`Prompt`].
const ALL: [Builtin; 8] = [
    Builtin("system", include_str!("prompts/system.md"), &["network"]),
    Builtin("analyze", include_str!("prompts/analyze.md"), TASK),
    Builtin(
        "plan",
        include_str!("prompts/plan.md"),
        &["project", "goal", "wishes", "workspace", "requirements", "comments"],
    ),
    Builtin(
        "generate",
        include_str!("prompts/generate.md"),
        &["project", "goal", "wishes", "workspace", "requirements", "plan", "comments"],
    ),
    Builtin("mend", include_str!("prompts/mend.md"), &["verdict", "failures", "round"]),
    Builtin("recover", include_str!("prompts/recover.md"), &["problem", "state"]),
    Builtin("nudge", include_str!("prompts/nudge.md"), &["problem", "tool"]),
    Builtin("condensed", include_str!("prompts/condensed.md"), &["count", "digest"]),
];

/// The prompts of this server.
#[derive(Clone, Debug)]
pub struct Prompts {
    texts: Vec<String>,
    version: String,
}

/// Why a prompt cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there and cannot be read.
    #[error("the prompt {file} cannot be read: {error}")]
    Unreadable {
        /// Its name.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// It asks for something that is not there to be filled in.
    #[error("the prompt {file} has the placeholder {{{{{name}}}}}; it may use {known}")]
    UnknownPlaceholder {
        /// Its name.
        file: String,
        /// What it asks for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Prompts {
    /// The prompts of this server, by `agent.prompts_dir`.
    pub fn of(settings: &crate::config::Agent) -> Result<Self, Error> {
        let folder = Some(&settings.prompts_dir).filter(|folder| !folder.is_empty());
        Self::load(folder.map(Path::new))
    }

    /// The prompts, those in `folder` in place of ours: a file there has the name of the prompt it replaces, such as
    /// `plan.md`.
    pub fn load(folder: Option<&Path>) -> Result<Self, Error> {
        let mut texts = Vec::with_capacity(ALL.len());
        let mut hash = Sha256::new();
        for Builtin(name, builtin, known) in &ALL {
            let file = format!("{name}.md");
            let text = match folder.map(|folder| fs::read_to_string(folder.join(&file))) {
                Some(Ok(text)) => text,
                Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Unreadable { file, error });
                }
                _ => (*builtin).to_owned(),
            };
            if let Some(name) = placeholders(&text).find(|name| !known.contains(name)) {
                let (name, known) = (name.to_owned(), known.join(", "));
                return Err(Error::UnknownPlaceholder { file, name, known });
            }
            hash.update(&text);
            texts.push(without_header(&text).to_owned());
        }
        Ok(Self { texts, version: hex::encode(&hash.finalize()[..6]) })
    }

    /// Which wording this is: a hash of all texts, written into every transcript.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A prompt with its placeholders filled in. What is filled in is not looked at again, so that it can hold
    /// nothing to be filled in itself; three empty lines in a row become one.
    pub(super) fn fill(&self, prompt: Prompt, values: &[(&str, &str)]) -> String {
        let mut rest = self.texts.get(prompt as usize).map_or("", String::as_str);
        let mut filled = String::with_capacity(rest.len() * 2);
        while let Some((before, name, after)) = next_placeholder(rest) {
            filled.push_str(before);
            let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
            let _ = filled.write_str(value);
            rest = if value.is_empty() { after.strip_prefix("\n\n").unwrap_or(after) } else { after };
        }
        filled.push_str(rest);
        filled.trim().to_owned()
    }
}

/// The comment with the version is for whoever edits the file.
fn without_header(text: &str) -> &str {
    match text.strip_prefix("<!--").and_then(|rest| rest.split_once("-->")) {
        Some((_, rest)) => rest.trim_start(),
        None => text,
    }
}

fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, name, after) = next_placeholder(rest)?;
        rest = after;
        Some(name)
    })
}

fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name.trim(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_of_ours_is_known_and_every_known_one_is_used() {
        for Builtin(name, text, known) in &ALL {
            let mut used: Vec<_> = placeholders(text).collect();
            let mut known = known.to_vec();
            used.sort_unstable();
            known.sort_unstable();
            assert_eq!(used, known, "{name}.md");
            assert!(text.starts_with("<!-- version: "), "{name}.md has no version");
        }
    }

    #[test]
    fn the_list_is_in_the_order_of_the_names() {
        use Prompt::{Analyze, Condensed, Generate, Mend, Nudge, Plan, Recover, System};
        let order = [System, Analyze, Plan, Generate, Mend, Recover, Nudge, Condensed];
        for (place, (prompt, Builtin(name, ..))) in order.iter().zip(&ALL).enumerate() {
            assert_eq!(*prompt as usize, place);
            assert_eq!(format!("{prompt:?}").to_lowercase(), *name);
        }
    }

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        let prompts = Prompts::load(None).unwrap();
        let filled = prompts.fill(Prompt::Nudge, &[("problem", "{{tool}}"), ("tool", "finish")]);
        assert!(filled.contains("{{tool}} Call `finish`"), "{filled}");
        assert!(!filled.contains("version:"));
    }

    #[test]
    fn a_server_replaces_single_prompts_and_a_wrong_one_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("nudge.md"), "Use {{tool}}!").unwrap();
        let prompts = Prompts::load(Some(folder.path())).unwrap();
        assert_eq!(prompts.fill(Prompt::Nudge, &[("tool", "finish")]), "Use finish!");
        assert!(prompts.fill(Prompt::System, &[]).contains("Codeyard"));
        assert_ne!(prompts.version(), Prompts::load(None).unwrap().version());

        fs::write(folder.path().join("plan.md"), "Plan {{gaol}}").unwrap();
        let error = Prompts::load(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("plan.md") && error.contains("{{gaol}}") && error.contains("goal"), "{error}");
    }
}
