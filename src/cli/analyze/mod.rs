//! `codeyard analyze`: the analysis without a server.

mod explain;
mod text;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio_util::sync::CancellationToken;

use super::meter::{How, Meter};
use super::paint::Paint;
use super::{Surroundings, runtime, say};
use crate::analysis::{self, Comparison, Language, Options, Report, Watch};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::export;
use crate::kinds::{analysis as kind, sandbox_settings};
use crate::model::{Confidence, Finding, Severity, SourceFile};
use crate::sandbox::{Level, Sandbox};
use crate::source::{self, Limits, Source, Tree};

/// How the report is written: for people, or in one of the formats of `export`, which all are there by their names.
#[derive(Clone, Copy)]
enum Format {
    Text,
    Export(&'static export::Format),
}

/// The name of [`Format::Text`].
const TEXT: &str = "text";

/// What is written.
struct Sheet<'a> {
    answer: &'a kind::Answer,
    /// Against the baseline, if there is one.
    comparison: Option<&'a Comparison>,
    /// What the code is called.
    name: &'a str,
    fail_on: Threshold,
}

/// Analyse code on this machine, without a server.
///
/// Reads a directory (honouring its .gitignore files), a single file or a git repository, and writes a report.
/// The caps of [intake] in the configuration hold; what they leave out, the report names.
///
/// Exit code: 0 when clean, 1 when there are findings at or above --fail-on (of medium or high confidence: a hint
/// alone fails nothing), 2 when there is no report.
#[derive(Debug, Args)]
pub(super) struct Analyze {
    /// A directory, a file, or the https address of a git repository.
    #[arg(default_value = ".")]
    path: String,
    /// How the report is written: text is for people, all others are for other tools.
    #[arg(long, short, default_value = TEXT, value_parser = format_parser())]
    format: Format,
    /// Write the report into this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Analyse only these languages (separated by commas); other files are only counted.
    #[arg(long, value_name = "LANGUAGE", value_delimiter = ',', value_parser = language)]
    lang: Vec<Language>,
    /// Leave out what matches this glob, as in .gitignore; may be repeated.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Apply the rules in this YAML file, too; may be repeated.
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Do not apply the rule with this id; may be repeated.
    #[arg(long, value_name = "RULE")]
    disable_rule: Vec<String>,
    /// Compare with a former report (--format json): text shows new findings only, and only they fail the run.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Look at every file again, and keep nothing for the next time.
    #[arg(long)]
    no_cache: bool,
    /// Say what a rule finds, why that matters and what to do instead, and analyse nothing; `all` lists the rules.
    #[arg(long, value_name = "RULE")]
    explain: Option<String>,
    /// Let these external analyzers look as well (separated by commas), such as ruff, mypy, eslint, clippy. They are
    /// looked for in the system's folders and those of [analyzers] in the configuration.
    #[arg(long, value_name = "ANALYZER", value_delimiter = ',')]
    with: Vec<String>,
    /// Print the JSON Schema of what `--format json` writes, and analyse nothing.
    #[arg(long)]
    schema: bool,
    /// End with exit code 1 when there are findings this bad or worse.
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: Threshold,
}

/// From where on a finding fails the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Threshold {
    /// Fix it now
    Critical,
    /// Fix it before the next release
    High,
    /// Fix it soon
    Medium,
    /// Fix it when you pass by
    Low,
    /// Worth knowing
    Info,
    /// Findings never fail the run
    Never,
}

/// The exit codes when there is a report.
const CLEAN: u8 = 0;
const FINDINGS: u8 = 1;

impl Analyze {
    /// Reads, analyses, writes.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        if let Some(rule) = &self.explain {
            return explain::run(rule, around);
        }
        if self.schema {
            say(&serde_json::to_string_pretty(&export::schema()?)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let config = around.config([])?;
        let cache = self.cache(&config, around);
        let memory = cache.clone().map(|cache| cache as Arc<dyn analysis::Memory>);
        let options = Options { memory, ..self.options()? };
        let before = self.baseline.as_deref().map(read_report).transpose()?;
        let meter = Meter::new(How::WhenLong);
        let Tree { files, skipped, revision } = self.take_in(&config, &meter)?;
        let options = Options { external: self.run_others(&files, &config, &meter)?, ..options };
        let report = analysis::analyze(&files, skipped, &options, &Watcher(&meter))?;
        meter.clear();
        if let Some(Err(error)) = cache.map(|cache| cache.trim()) {
            tracing::warn!(%error, "the cache of results is not trimmed");
        }
        let comparison = before.map(|before| analysis::compare(&before, &report));
        let answer = kind::Answer { revision, report };
        let name = self.name();
        let sheet =
            Sheet { answer: &answer, comparison: comparison.as_ref(), name: &name, fail_on: self.fail_on };
        self.write(&sheet, around)?;
        Ok(ExitCode::from(if sheet.failing() > 0 { FINDINGS } else { CLEAN }))
    }

    /// What the code is called: the last part of its path.
    fn name(&self) -> String {
        let path = Path::new(&self.path);
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        whole.file_name().map_or_else(|| self.path.clone(), |name| name.to_string_lossy().into_owned())
    }

    fn cache(&self, config: &Config, around: &Surroundings) -> Option<Arc<Cache>> {
        let home = || around.variable("HOME").map(|home| Path::new(home).join(".cache"));
        let caches = around.variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        let cache = || Cache::of(&config.analysis, Some(caches?.join("codeyard")));
        if self.no_cache { None } else { cache().map(Arc::new) }
    }

    fn options(&self) -> anyhow::Result<Options> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("--rules {}", file.display()))
        };
        let options = Options {
            languages: (!self.lang.is_empty()).then(|| self.lang.clone()),
            rules: self.rules.iter().map(read).collect::<anyhow::Result<_>>()?,
            disabled_rules: self.disable_rule.clone(),
            today: Some(Clock::system().now().date_naive()),
            ..Options::default()
        };
        options.validate().map_err(|error| match error {
            analysis::Error::BadRule { document, bad } => {
                let file = self.rules.get(document).map(|file| file.display().to_string());
                anyhow!("--rules {}: {bad}", file.unwrap_or_default())
            }
            other => other.into(),
        })?;
        Ok(options)
    }

    /// Lets external analyzers look. What lies on this machine is its user's own; what comes from elsewhere is not.
    fn run_others(
        &self,
        files: &[SourceFile],
        config: &Config,
        meter: &Meter,
    ) -> anyhow::Result<Vec<analysis::external::Run>> {
        let wanted = kind::external::Wanted::named(&self.with, &config.analyzers);
        let wanted = wanted.map_err(|(_, why)| anyhow!("--with: {why}"))?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let trusted = !self.path.contains("://");
        runtime::small()?.block_on(async {
            let sandbox = Sandbox::detect(&sandbox_settings(config)?).await?;
            let note = |text: &str| meter.show(0, text);
            Ok(wanted.run(files, trusted, &sandbox, &CancellationToken::new(), &note).await?)
        })
    }

    fn take_in(&self, config: &Config, meter: &Meter) -> anyhow::Result<Tree> {
        let mut limits = kind::intake(&config.intake);
        limits.exclude.extend(self.exclude.iter().cloned());
        let path = Path::new(&self.path);
        if self.path.contains("://") {
            let source = Source::Repository { url: self.path.clone(), reference: None };
            return take_in(source, &limits, config, meter);
        }
        let meta = path.metadata().with_context(|| self.path.clone())?;
        if meta.is_file() {
            return one_file(path, meta.len(), &limits);
        }
        take_in(Source::Directory(path.to_owned()), &limits, config, meter)
    }

    fn write(&self, sheet: &Sheet<'_>, around: &Surroundings) -> anyhow::Result<()> {
        let Some(file) = &self.output else {
            let stdout = io::stdout();
            let paint = Paint::new(around.paints(&stdout));
            return match self.format.write(sheet, paint, &mut BufWriter::new(stdout.lock())) {
                // Whoever reads us has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                other => Ok(other?),
            };
        };
        let failed = || format!("--output {}", file.display());
        let mut to = BufWriter::new(File::create(file).with_context(failed)?);
        self.format.write(sheet, Paint::new(false), &mut to).with_context(failed)?;
        eprintln!("The report is in {}.", file.display());
        Ok(())
    }
}

impl Format {
    fn write(self, sheet: &Sheet<'_>, paint: Paint, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Text => text::write(sheet, paint, to)?,
            Self::Export(format) => {
                to.write_all(&(format.write)(&sheet.document()).map_err(io::Error::other)?)?;
            }
        }
        to.flush()
    }
}

impl Sheet<'_> {
    fn document(&self) -> export::Document<'_> {
        export::Document {
            comparison: self.comparison,
            name: Some(self.name),
            revision: self.answer.revision.as_deref(),
            ..export::Document::from(&self.answer.report)
        }
    }

    /// What counts: all findings, or those that are new against the baseline.
    fn findings(&self) -> Vec<&Finding> {
        match self.comparison {
            Some(comparison) => comparison.new.iter().collect(),
            None => self.answer.report.findings().collect(),
        }
    }

    /// How many of them fail the run.
    fn failing(&self) -> usize {
        let fails = |finding: &&&Finding| {
            finding.confidence >= Confidence::Medium && self.fail_on.is_met_by(finding.severity)
        };
        self.findings().iter().filter(fails).count()
    }
}

/// Reads a report that was written as JSON.
fn read_report(file: &Path) -> anyhow::Result<Report> {
    let failed = || format!("--baseline {}", file.display());
    let text = std::fs::read(file).with_context(failed)?;
    serde_json::from_slice(&text).context("is no report as --format json writes it").with_context(failed)
}

/// Takes a source in, with no sandbox where none is needed: a directory is only read.
pub(super) fn take_in(
    source: Source,
    limits: &Limits,
    config: &Config,
    meter: &Meter,
) -> anyhow::Result<Tree> {
    runtime::small()?.block_on(async {
        let settings = sandbox_settings(config)?;
        let sandbox = match source {
            Source::Repository { .. } => Sandbox::detect(&settings).await?,
            _ => Sandbox::untested(&settings, Level::ProcessOnly)?,
        };
        let note = |text: &str| meter.show(0, text);
        Ok(source::take_in(source, limits, &sandbox, &CancellationToken::new(), &note).await?)
    })
}

fn one_file(path: &Path, size: u64, limits: &Limits) -> anyhow::Result<Tree> {
    if size > limits.max_file_bytes {
        bail!("{}: larger than {} bytes (intake.max_file_bytes)", path.display(), limits.max_file_bytes);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let content = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Tree { files: vec![SourceFile { path: name, content }], ..Tree::default() })
}

struct Watcher<'m>(&'m Meter);

impl Watch for Watcher<'_> {
    fn progress(&self, done: usize, total: usize, path: &str) {
        let percent = u64::try_from(done * 100 / total.max(1)).unwrap_or(100);
        self.0.show(percent, path);
    }
}

impl Threshold {
    fn severity(self) -> Option<Severity> {
        Some(match self {
            Self::Critical => Severity::Critical,
            Self::High => Severity::High,
            Self::Medium => Severity::Medium,
            Self::Low => Severity::Low,
            Self::Info => Severity::Info,
            Self::Never => return None,
        })
    }

    fn is_met_by(self, severity: Severity) -> bool {
        self.severity().is_some_and(|threshold| severity >= threshold)
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => TEXT,
            Self::Export(format) => format.name,
        })
    }
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    let names = std::iter::once(TEXT).chain(export::FORMATS.iter().map(|format| format.name));
    PossibleValuesParser::new(names).map(|name| export::format(&name).map_or(Format::Text, Format::Export))
}

fn language(name: &str) -> Result<Language, String> {
    Language::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Language::ALL.iter().map(|language| language.name()).collect();
        format!("no such language; known are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_itself_fails_and_never_never_does() {
        assert!(Threshold::High.is_met_by(Severity::High));
        assert!(Threshold::Info.is_met_by(Severity::Critical));
        assert!(!Threshold::High.is_met_by(Severity::Medium));
        assert!(!Threshold::Never.is_met_by(Severity::Critical));
    }
}
