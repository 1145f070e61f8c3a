//! `codeyard analyze`: the analysis without a server.

mod explain;
mod fix;
mod git;
mod look;
mod text;
mod watch;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::paint::Paint;
use super::{Surroundings, say};
use crate::analysis::{Language, Threshold, check_percentage, check_score};
use crate::cache::Cache;
use crate::config::Config;
use crate::export;
use look::{Looked, Looker};

/// How the report is written: for people, or in one of the formats of `export`, which all are there by their names.
#[derive(Clone, Copy)]
enum Format {
    Text,
    Export(&'static export::Format),
}

/// The name of [`Format::Text`].
const TEXT: &str = "text";

/// Analyse code on this machine, without a server.
///
/// Reads a directory (honouring its .gitignore files), a single file or a git repository, and writes a report.
/// What the project itself says about its analysis stands in a codeyard.toml at the root of the directory; flags come
/// first. The caps of [intake] in the configuration hold; what they leave out, the report names.
///
/// Exit code: 0 when the quality gate passes, 1 when it does not (without any other word: when there are findings at
/// or above --fail-on, of medium or high confidence), 2 when there is no report.
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
    /// Take no notice of the codeyard.toml of the project.
    #[arg(long)]
    isolated: bool,
    /// Compare with a former report (a file of --format json) or with a commit of the git repository: text shows new
    /// findings only, and only they fail the run.
    #[arg(long, value_name = "FILE|REV")]
    baseline: Option<String>,
    /// Report only findings on lines that have changed since this commit, with what is not committed or not even known to
    /// git yet. `REV...` counts from where the two branches parted.
    #[arg(long, value_name = "REV")]
    diff: Option<String>,
    /// Look at every file again, and keep nothing for the next time.
    #[arg(long)]
    no_cache: bool,
    /// Put into the files what rules are certain of, say what that was, and report what is left.
    #[arg(long)]
    fix: bool,
    /// With --fix: write nothing, but print what it would change as a diff; ends with 1 if that is anything.
    #[arg(long, requires = "fix")]
    dry_run: bool,
    /// Look again whenever a file changes, until Ctrl-C.
    #[arg(long, conflicts_with = "fix")]
    watch: bool,
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
    /// End with exit code 1 when there are findings this bad or worse [default: high].
    #[arg(long, value_name = "SEVERITY", value_parser = threshold_parser())]
    fail_on: Option<Threshold>,
    /// End with exit code 1 when the score is below this, from 0 to 10.
    #[arg(long, value_name = "SCORE", value_parser = |text: &str| number(text, check_score))]
    min_score: Option<f64>,
    /// End with exit code 1 when tests reach less than this percentage of the lines.
    #[arg(long, value_name = "PERCENT", value_parser = |text: &str| number(text, check_percentage))]
    min_coverage: Option<f64>,
}

/// The exit codes when there is a report.
const CLEAN: u8 = 0;
const FINDINGS: u8 = 1;

impl Analyze {
    /// Reads, analyses, writes.
    pub(super) fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        if self.schema {
            say(&serde_json::to_string_pretty(&export::schema()?)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let config = around.config([])?;
        let looker = Looker {
            asked: &self,
            config: &config,
            cache: self.cache(&config, around),
            stop: Arc::default(),
        };
        if let Some(rule) = &self.explain {
            return explain::run(rule, &looker, around);
        }
        if self.watch {
            return watch::run(&looker, around);
        }
        if self.dry_run {
            return fix::show(&looker, around);
        }
        let looked = if self.fix { fix::run(&looker)? } else { looker.look()? };
        self.write(&looked, around)?;
        Ok(looked.exit_code())
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

    fn write(&self, looked: &Looked, around: &Surroundings) -> anyhow::Result<()> {
        let Some(file) = &self.output else {
            let stdout = io::stdout();
            let paint = Paint::new(around.paints(&stdout));
            return match self.write_to(looked, paint, &mut BufWriter::new(stdout.lock())) {
                // Whoever reads us has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                other => Ok(other?),
            };
        };
        let failed = || format!("--output {}", file.display());
        let mut to = BufWriter::new(File::create(file).with_context(failed)?);
        self.write_to(looked, Paint::new(false), &mut to).with_context(failed)?;
        eprintln!("The report is in {}.", file.display());
        Ok(())
    }

    fn write_to(&self, looked: &Looked, paint: Paint, to: &mut dyn Write) -> io::Result<()> {
        match self.format {
            Format::Text => text::write(looked, paint, to)?,
            Format::Export(format) => {
                let name = self.name();
                let document = export::Document {
                    name: Some(&name),
                    revision: looked.answer.revision.as_deref(),
                    ..export::Document::from(&looked.answer.report)
                };
                to.write_all(&(format.write)(&document).map_err(io::Error::other)?)?;
            }
        }
        to.flush()
    }
}

impl Looked {
    /// Whether the report is good enough.
    fn exit_code(&self) -> ExitCode {
        let passed = self.answer.report.gate.as_ref().is_none_or(|gate| gate.passed);
        ExitCode::from(if passed { CLEAN } else { FINDINGS })
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

fn threshold_parser() -> impl TypedValueParser<Value = Threshold> {
    let meaning = |threshold| match threshold {
        Threshold::Critical => "Fix it now",
        Threshold::High => "Fix it before the next release",
        Threshold::Medium => "Fix it soon",
        Threshold::Low => "Fix it when you pass by",
        Threshold::Info => "Worth knowing",
        Threshold::Never => "Findings never fail the run",
    };
    let value = |threshold: Threshold| PossibleValue::new(threshold.as_str()).help(meaning(threshold));
    PossibleValuesParser::new(Threshold::ALL.map(value)).map(|name| {
        let found = Threshold::ALL.into_iter().find(|threshold| threshold.as_str() == name);
        found.unwrap_or(Threshold::High)
    })
}

fn number(text: &str, check: fn(f64) -> Result<f64, &'static str>) -> Result<f64, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    check(number).map_err(str::to_owned)
}
