//! `--fix`: puts into the files what rules are certain of, or shows what that would be.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use similar::{ChangeTag, TextDiff};

use super::look::{Looked, Looker};
use super::{CLEAN, FINDINGS};
use crate::analysis::{Mended, mend};
use crate::cli::Surroundings;
use crate::cli::paint::{Grade, Paint, count, harmless};
use crate::model::Finding;

/// Rounds after which it ends: a rule whose fix it finds again would go on for ever.
const ROUNDS: usize = 10;

/// Mends until there is nothing left to mend; returns what is found then.
pub(super) fn run(looker: &Looker<'_>) -> anyhow::Result<Looked> {
    let root = looker.local().context("--fix: works on this machine only")?;
    let mut looked = looker.look()?;
    let (mut findings, mut files) = (0, std::collections::BTreeSet::new());
    for round in 1.. {
        let mended = mended(&looked);
        let done = mended.iter().map(|file| file.done.len()).sum::<usize>();
        if done == 0 {
            tell_refused(&mended);
            break;
        }
        if round > ROUNDS {
            eprintln!(
                "After {ROUNDS} rounds there is still something to fix; some rule finds its own fix again."
            );
            break;
        }
        for file in mended.iter().filter(|file| !file.done.is_empty()) {
            write(root, file)?;
            for finding in &file.done {
                eprintln!("Fixed {}", place(finding));
            }
            files.insert(file.path.clone());
        }
        findings += done;
        looked = looker.look()?;
    }
    let in_files = count(files.len(), "file");
    eprintln!("{} fixed in {in_files}.", count(findings, "finding"));
    Ok(looked)
}

/// Prints what one round would change, as a diff; ends with 1 if that is anything.
pub(super) fn show(looker: &Looker<'_>, around: &Surroundings) -> anyhow::Result<ExitCode> {
    let mended = mended(&looker.look()?);
    let stdout = io::stdout();
    let paint = Paint::new(around.paints(&stdout));
    let mut stdout = stdout.lock();
    for file in mended.iter().filter(|file| !file.done.is_empty()) {
        match write_diff(file, paint, &mut stdout) {
            // Whoever reads us has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            other => other?,
        }
    }
    tell_refused(&mended);
    let done = mended.iter().map(|file| file.done.len()).sum();
    eprintln!("{} would be fixed.", count(done, "finding"));
    Ok(ExitCode::from(if done > 0 { FINDINGS } else { CLEAN }))
}

/// What can be mended of what is shown: not what a baseline has already.
fn mended(looked: &Looked) -> Vec<Mended> {
    let mut report = looked.answer.report.clone();
    report.narrow(Finding::is_new);
    mend(&looked.files, &report)
}

/// Writes a file in its place, so that its owner, its permissions and other names of it stay.
fn write(root: &Path, file: &Mended) -> anyhow::Result<()> {
    let path = if root.is_dir() { root.join(&file.path) } else { root.to_owned() };
    let failed = || format!("--fix {}", path.display());
    if std::fs::read(&path).with_context(failed)? != file.before.as_bytes() {
        bail!("{}: it has changed since it was read", failed());
    }
    std::fs::write(&path, &file.after).with_context(failed)
}

fn tell_refused(mended: &[Mended]) {
    for finding in mended.iter().flat_map(|file| &file.refused) {
        eprintln!("Not fixed, as that would break the syntax: {}", place(finding));
    }
}

fn place(finding: &Finding) -> String {
    let region = &finding.region;
    format!("{}:{}:{} {}", harmless(&region.path), region.line, region.column, harmless(&finding.rule))
}

fn write_diff(file: &Mended, paint: Paint, to: &mut dyn Write) -> io::Result<()> {
    let diff = TextDiff::from_lines(&file.before, &file.after);
    let path = harmless(&file.path);
    writeln!(to, "{}\n{}", paint.bold(format!("--- a/{path}")), paint.bold(format!("+++ b/{path}")))?;
    for hunk in diff.unified_diff().iter_hunks() {
        writeln!(to, "{}", paint.dim(hunk.header().to_string().trim_end()))?;
        for change in hunk.iter_changes() {
            let line = format!("{}{}", change.tag(), change.value().trim_end_matches(['\n', '\r']));
            match change.tag() {
                ChangeTag::Equal => writeln!(to, "{line}")?,
                ChangeTag::Insert => writeln!(to, "{}", paint.graded(Grade::Good, line))?,
                ChangeTag::Delete => writeln!(to, "{}", paint.graded(Grade::Bad, line))?,
            }
            if change.missing_newline() {
                writeln!(to, "\\ No newline at end of file")?;
            }
        }
    }
    Ok(())
}
