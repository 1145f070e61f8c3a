//! What a rule is about.

use std::fmt::{self, Write};
use std::process::ExitCode;

use anyhow::{anyhow, bail};

use super::look::Looker;
use crate::analysis::rules::{Rule, catalogue};
use crate::cli::frame::{category, confidence};
use crate::cli::paint::Paint;
use crate::cli::{Surroundings, say};

/// Prints what there is to say about one rule, or a line about each.
pub(super) fn run(id: &str, looker: &Looker<'_>, around: &Surroundings) -> anyhow::Result<ExitCode> {
    let paint = Paint::new(around.paints(&std::io::stdout()));
    let mut rules = catalogue();
    if id == "all" || !rules.iter().any(|rule| rule.is_called(id)) {
        rules.extend(looker.own_rules()?);
    }
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    let mut text = String::new();
    if id == "all" {
        for rule in &rules {
            write_line(&mut text, rule, paint)?;
        }
    } else {
        let rule = rules.iter().find(|rule| rule.is_called(id));
        if let (None, Some((tool, code))) = (rule, id.split_once('/')) {
            bail!("{id} is no rule of ours: if {tool} is an analyzer, its documentation explains {code}");
        }
        let rule = rule.ok_or_else(|| anyhow!("no rule is called {id}; `--explain all` lists them"))?;
        write_page(&mut text, rule, paint)?;
    }
    say(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn write_line(to: &mut String, rule: &Rule, paint: Paint) -> fmt::Result {
    let bad = paint.severity(rule.severity, format!("{:8}", rule.severity.as_str()));
    writeln!(to, "{bad} {:36} {}", rule.id, rule.message)
}

fn write_page(to: &mut String, rule: &Rule, paint: Paint) -> fmt::Result {
    let languages: Vec<&str> = rule.languages.iter().map(|language| language.name()).collect();
    let mut marks = vec![category(rule.category), rule.severity.as_str(), confidence(rule.confidence)];
    marks.extend(rule.cwe.iter().chain(&rule.owasp).map(String::as_str));
    writeln!(to, "{}  {}", paint.severity(rule.severity, &rule.id), paint.bold(&rule.message))?;
    writeln!(to, "{}: {}\n", languages.join(", "), marks.join(", "))?;
    let parts = [("Why", &rule.why), ("Instead", &rule.instead), ("Example", &rule.example)];
    for (title, text) in parts.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
        writeln!(to, "{}", paint.bold(title))?;
        for line in text.trim_end().lines() {
            writeln!(to, "  {line}")?;
        }
        writeln!(to)?;
    }
    if rule.fix.is_some() {
        writeln!(to, "`codeyard analyze --fix` mends it.\n")?;
    }
    for reference in &rule.references {
        writeln!(to, "{reference}")?;
    }
    Ok(())
}
