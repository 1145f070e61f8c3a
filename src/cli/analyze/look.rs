//! Takes the code in, analyses it, compares it and judges it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow, bail};
use tokio_util::sync::CancellationToken;

use super::Analyze;
use super::git::Repository;
use crate::analysis::rules::{self, Rule};
use crate::analysis::{self, Gate, Options, PROJECT_FILE, Project, Report, Watch, compare};
use crate::cache::Cache;
use crate::cli::meter::{How, Meter};
use crate::cli::runtime;
use crate::clock::Clock;
use crate::config::Config;
use crate::kinds::{analysis as kind, sandbox_settings};
use crate::model::SourceFile;
use crate::sandbox::{Level, Sandbox};
use crate::source::{self, Limits, Source, Tree};

/// What came of a look at the code.
pub(super) struct Looked {
    pub(super) answer: kind::Answer,
    /// The files as they were.
    pub(super) files: Vec<SourceFile>,
    /// Findings that `--diff` leaves out.
    pub(super) elsewhere: Option<usize>,
}

/// What is used for every look.
pub(super) struct Looker<'a> {
    pub(super) asked: &'a Analyze,
    pub(super) config: &'a Config,
    pub(super) cache: Option<Arc<Cache>>,
    /// Set when it is to end.
    pub(super) stop: Arc<AtomicBool>,
}

impl Looker<'_> {
    /// Looks once.
    pub(super) fn look(&self) -> anyhow::Result<Looked> {
        let meter = Meter::new(How::WhenLong);
        let root = self.local().filter(|path| path.is_dir() && !self.asked.isolated);
        let stated = root.map(project_of).transpose()?.unwrap_or_default();
        let mut tree = self.take_in(&self.asked.path, &stated, &meter)?;
        let project = if root.is_some() || self.asked.isolated { stated } else { Project::of(&tree.files)? };
        project.leave_out(&mut tree.files, &mut tree.skipped);
        let options = project.complete(self.options()?, &tree.files)?;
        let former = self.former(&project, &options, &meter)?;
        let external = self.run_others(&tree.files, &meter)?;
        let Tree { files, skipped, revision } = tree;
        let options = Options { external, ..options };
        let mut report = analysis::analyze(&files, skipped, &options, &self.watcher(&meter))?;
        meter.clear();
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.trim()) {
            tracing::warn!(%error, "the cache of results is not trimmed");
        }
        if let Some((before, against)) = former {
            compare(&before, &mut report, against);
        }
        let elsewhere = self.narrow(&mut report)?;
        report.gate = Some(self.gate(project.gate)?.judge(&report));
        Ok(Looked { answer: kind::Answer { revision, report }, files, elsewhere })
    }

    /// The rules of the user's own: of the settings, of --rules and of the project.
    pub(super) fn own_rules(&self) -> anyhow::Result<Vec<Rule>> {
        let meter = Meter::new(How::WhenLong);
        let options = self.options()?;
        let options = match self.local().filter(|path| path.is_dir() && !self.asked.isolated) {
            Some(root) => {
                let project = project_of(root)?;
                let tree = self.take_in(&self.asked.path, &project, &meter)?;
                project.complete(options, &tree.files)?
            }
            None => options,
        };
        let documents = options.rules.iter().map(|yaml| rules::read(yaml, false));
        let definitions: Vec<_> = documents.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        Ok(definitions.into_iter().map(|definition| definition.rule).collect())
    }

    fn watcher<'m>(&'m self, meter: &'m Meter) -> Watcher<'m> {
        Watcher { meter, stop: &self.stop }
    }

    /// The path, unless it is an address.
    pub(super) fn local(&self) -> Option<&Path> {
        Some(Path::new(&self.asked.path)).filter(|_| !self.asked.path.contains("://"))
    }

    fn take_in(&self, path: &str, project: &Project, meter: &Meter) -> anyhow::Result<Tree> {
        let mut limits = kind::intake(&self.config.intake);
        limits.exclude.extend(self.asked.exclude.iter().chain(&project.exclude).cloned());
        if path.contains("://") {
            let source = Source::Repository { url: path.to_owned(), reference: None };
            return take_in(source, &limits, self.config, meter);
        }
        let path = Path::new(path);
        let meta = path.metadata().with_context(|| path.display().to_string())?;
        if meta.is_file() {
            return one_file(path, meta.len(), &limits);
        }
        take_in(Source::Directory(path.to_owned()), &limits, self.config, meter)
    }

    fn options(&self) -> anyhow::Result<Options> {
        let asked = self.asked;
        let house = kind::house_rules(&self.config.analysis)?;
        let read = |file: &std::path::PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("--rules {}", file.display()))
        };
        let own = asked.rules.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let first = house.len();
        let options = Options {
            languages: (!asked.lang.is_empty()).then(|| asked.lang.clone()),
            rules: house.into_iter().chain(own).collect(),
            disabled_rules: asked.disable_rule.clone(),
            today: Some(Clock::system().now().date_naive()),
            memory: self.cache.clone().map(|cache| cache as Arc<dyn analysis::Memory>),
            ..Options::default()
        };
        options.validate().map_err(|error| match error {
            analysis::Error::BadRule { document, bad } => {
                let file = asked.rules.get(document.saturating_sub(first));
                anyhow!("--rules {}: {bad}", file.map(|file| file.display().to_string()).unwrap_or_default())
            }
            other => other.into(),
        })?;
        Ok(options)
    }

    fn gate(&self, project: Gate) -> anyhow::Result<Gate> {
        let Analyze { fail_on, min_score, min_coverage, .. } = *self.asked;
        let asked = Gate { fail_on, min_score, min_coverage, new_only: None };
        Ok(asked.or(project).or(kind::house_gate(&self.config.analysis)?))
    }

    /// The report to compare with, and what it is: a file, or what the same options find in a commit.
    fn former(
        &self,
        project: &Project,
        options: &Options,
        meter: &Meter,
    ) -> anyhow::Result<Option<(Report, String)>> {
        let Some(baseline) = self.asked.baseline.as_deref() else { return Ok(None) };
        let failed = || format!("--baseline {baseline}");
        if Path::new(baseline).is_file() {
            let bytes = std::fs::read(baseline).with_context(failed)?;
            let report = serde_json::from_slice(&bytes).context("is no report as --format json writes it");
            return Ok(Some((report.with_context(failed)?, format!("the report {baseline}"))));
        }
        let Some(path) = self.local() else {
            bail!("{}: there is no such file, and commits are compared on this machine only", failed());
        };
        let repository = Repository::around(path).with_context(failed)?;
        let commit =
            repository.commit(baseline).context("there is no such file, either").with_context(failed)?;
        meter.show(0, "Reading the baseline");
        let (_place, inside) = repository.check_out(&commit, path).with_context(failed)?;
        let mut tree = match inside.symlink_metadata() {
            // The file came later: everything in it is new.
            Err(_) => Tree::default(),
            Ok(_) => self.take_in(&inside.to_string_lossy(), project, meter)?,
        };
        project.leave_out(&mut tree.files, &mut tree.skipped);
        let report = analysis::analyze(&tree.files, tree.skipped, options, &self.watcher(meter))?;
        Ok(Some((report, format!("commit {}", commit.get(..12).unwrap_or(&commit)))))
    }

    /// Leaves out what stands on lines that have not changed; returns how many findings that are.
    fn narrow(&self, report: &mut Report) -> anyhow::Result<Option<usize>> {
        let Some(revision) = self.asked.diff.as_deref() else { return Ok(None) };
        let failed = || format!("--diff {revision}");
        let path = self.local().with_context(|| format!("{}: works on this machine only", failed()))?;
        let changes =
            Repository::around(path).with_context(failed)?.changes(revision).with_context(failed)?;
        Ok(Some(report.narrow(|finding| changes.touch(finding))))
    }

    /// Lets external analyzers look. What lies on this machine is its user's own; what comes from elsewhere is not.
    fn run_others(
        &self,
        files: &[SourceFile],
        meter: &Meter,
    ) -> anyhow::Result<Vec<analysis::external::Run>> {
        let wanted = kind::external::Wanted::named(&self.asked.with, &self.config.analyzers);
        let wanted = wanted.map_err(|(_, why)| anyhow!("--with: {why}"))?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let trusted = self.local().is_some();
        runtime::small()?.block_on(async {
            let sandbox = Sandbox::detect(&sandbox_settings(self.config)?).await?;
            let note = |text: &str| meter.show(0, text);
            Ok(wanted.run(files, trusted, &sandbox, &CancellationToken::new(), &note).await?)
        })
    }
}

/// What the file at the root of a directory says, read before the directory is: what it excludes is not even opened.
fn project_of(root: &Path) -> anyhow::Result<Project> {
    match std::fs::read(root.join(PROJECT_FILE)) {
        Ok(content) => Ok(Project::read(&content)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Project::default()),
        Err(error) => Err(error).with_context(|| root.join(PROJECT_FILE).display().to_string()),
    }
}

/// Takes a source in, with no sandbox where none is needed: a directory is only read.
fn take_in(source: Source, limits: &Limits, config: &Config, meter: &Meter) -> anyhow::Result<Tree> {
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

struct Watcher<'m> {
    meter: &'m Meter,
    stop: &'m AtomicBool,
}

impl Watch for Watcher<'_> {
    fn progress(&self, done: usize, total: usize, path: &str) {
        let percent = u64::try_from(done * 100 / total.max(1)).unwrap_or(100);
        self.meter.show(percent, path);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
