//! The catalogue of rules, generated from the rules themselves: as a page, as Markdown and as JSON.
//!
//! The page needs nothing else, no network and, for reading, no script; its script only searches.

use std::fmt::Write as _;

use askama::Template;
use serde::Serialize;

use super::html::{policy, rich};
use super::{Error, word};
use crate::analysis::Language;
use crate::analysis::rules::{self, Rule};
use crate::model::{Category, Confidence, Severity};

const STYLE: &str = concat!(include_str!("../html/style.css"), include_str!("style.css"));
const SCRIPT: &str = include_str!("script.js");

/// A form of the catalogue.
pub struct CatalogueFormat {
    /// The name by which it is asked for.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Writes the rules in the order in which they are given.
    pub write: fn(Vec<CatalogueEntry>) -> Result<Vec<u8>, Error>,
}

/// Every form of it.
pub static CATALOGUE_FORMATS: &[CatalogueFormat] = &[
    CatalogueFormat {
        name: "html",
        media_type: "text/html; charset=utf-8",
        write: |entries| Ok(Page::of(entries).render()?.into_bytes()),
    },
    CatalogueFormat {
        name: "markdown",
        media_type: "text/markdown; charset=utf-8",
        write: |entries| Ok(markdown(&entries).into_bytes()),
    },
    CatalogueFormat {
        name: "json",
        media_type: "application/json",
        write: |entries| Ok(serde_json::to_vec_pretty(&entries)?),
    },
];

/// A rule as the catalogue shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CatalogueEntry {
    /// The stable id.
    pub id: String,
    /// What it finds, in a sentence.
    pub title: String,
    /// What kind of problem it finds.
    pub category: Category,
    /// How bad the problem is if it is true.
    pub severity: Severity,
    /// How sure a finding is.
    pub confidence: Confidence,
    /// Weakness ids, such as `CWE-89`.
    pub cwe: Vec<String>,
    /// OWASP Top Ten entries, such as `A03:2021`.
    pub owasp: Vec<String>,
    /// The languages it is written for; all of them for what is no matter of language.
    pub languages: Vec<&'static str>,
    /// Why it matters.
    pub why: String,
    /// What to do instead.
    pub instead: String,
    /// Code, or words about code, that it finds.
    pub example: String,
    /// Where to read more.
    pub references: Vec<String>,
    /// What other tools call it, and their suppression marks.
    pub aliases: Vec<String>,
    /// Whether it looks at tests as well.
    pub in_tests: bool,
}

/// Every built-in rule, in the order of the ids.
pub fn catalogue() -> Vec<CatalogueEntry> {
    let mut rules = rules::catalogue();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    rules.into_iter().map(CatalogueEntry::of).collect()
}

impl CatalogueEntry {
    fn of(rule: Rule) -> Self {
        Self {
            title: title(&rule.message),
            id: rule.id,
            category: rule.category,
            severity: rule.severity,
            confidence: rule.confidence,
            cwe: rule.cwe,
            owasp: rule.owasp,
            languages: rule.languages.iter().map(|language| language.name()).collect(),
            why: rule.why,
            instead: rule.instead,
            example: rule.example,
            references: rule.references,
            aliases: rule.aliases,
            in_tests: rule.in_tests,
        }
    }

    /// The languages in a few words.
    fn written_for(&self) -> String {
        if self.languages.len() == Language::ALL.len() {
            "all languages".to_owned()
        } else {
            self.languages.join(", ")
        }
    }

    /// Everything a search may ask for, apart from what the page shows of the rule anyway.
    fn words(&self) -> String {
        self.aliases.join(" ").to_lowercase()
    }
}

/// A message with an ellipsis for each name that a finding fills in.
fn title(message: &str) -> String {
    let mut parts = message.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest =
            part.trim_start_matches(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        text.push_str(if rest.len() < part.len() { "…" } else { "$" });
        text.push_str(rest);
    }
    text
}

#[derive(Template)]
#[template(path = "catalogue/page.html")]
struct Page {
    style: &'static str,
    script: &'static str,
    policy: String,
    version: &'static str,
    entries: Vec<CatalogueEntry>,
    categories: Vec<(String, usize)>,
    severities: Vec<(String, usize)>,
    languages: Vec<(&'static str, usize)>,
}

impl Page {
    fn of(entries: Vec<CatalogueEntry>) -> Self {
        let count = |is: &dyn Fn(&CatalogueEntry) -> bool| entries.iter().filter(|entry| is(entry)).count();
        let some = |(_, count): &(String, usize)| *count > 0;
        let categories =
            Category::ALL.map(|category| (word(category), count(&|entry| entry.category == category)));
        let severities =
            Severity::ALL.map(|severity| (word(severity), count(&|entry| entry.severity == severity)));
        let languages = Language::ALL.map(Language::name);
        let languages = languages.map(|name| (name, count(&|entry| entry.languages.contains(&name))));
        Self {
            style: STYLE,
            script: SCRIPT,
            policy: policy(STYLE, SCRIPT),
            version: env!("CARGO_PKG_VERSION"),
            categories: categories.into_iter().filter(some).collect(),
            severities: severities.into_iter().filter(some).collect(),
            languages: languages.to_vec(),
            entries,
        }
    }
}

fn markdown(entries: &[CatalogueEntry]) -> String {
    let mut text = format!("# Rules of Codeyard\n\n{} rules.\n\n", entries.len());
    text.push_str("| Rule | Finds | Category | Severity | Languages |\n| --- | --- | --- | --- | --- |\n");
    for entry in entries {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| [{id}](#{id}) | {} | {} | {} | {} |",
            entry.title.replace('|', "\\|"),
            word(entry.category),
            word(entry.severity),
            entry.written_for(),
            id = entry.id,
        );
    }
    for entry in entries {
        let _ = section(&mut text, entry);
    }
    text
}

fn section(text: &mut String, entry: &CatalogueEntry) -> std::fmt::Result {
    writeln!(text, "\n## {}\n\n{}.\n", entry.id, entry.title)?;
    let mut marks = vec![word(entry.category), format!("{} severity", word(entry.severity))];
    marks.push(format!("{} confidence", word(entry.confidence)));
    marks.extend(entry.cwe.iter().chain(&entry.owasp).cloned());
    writeln!(text, "*{}; {}*\n", marks.join(", "), entry.written_for())?;
    writeln!(text, "{}\n\n**Instead:** {}\n", entry.why.trim(), entry.instead.trim())?;
    // A fence that the example cannot close.
    let fence = "`".repeat(3.max(longest_run(&entry.example) + 1));
    writeln!(text, "{fence}\n{}\n{fence}", entry.example.trim_end())?;
    if !entry.aliases.is_empty() {
        writeln!(text, "\nElsewhere: {}", entry.aliases.join(", "))?;
    }
    for reference in &entry.references {
        writeln!(text, "\n<{reference}>")?;
    }
    Ok(())
}

/// How many backticks stand in a row, at most.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ellipses_and_money_stays() {
        assert_eq!(title("`os.$FN` hands `$CMD` to a shell"), "`os.…` hands `…` to a shell");
        assert_eq!(title("costs $ 5"), "costs $ 5");
        assert_eq!(longest_run("a ``b`` `c`"), 2);
    }
}
