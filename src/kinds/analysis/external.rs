//! Runs the analyzers of others over a source: in the sandbox, without a network, on a copy.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::analysis::external::{Analyzer, AnalyzerState, Hit, Output, Run, SARIF, TOOLS, Tool, When, tool};
use crate::config;
use crate::model::SourceFile;
use crate::sandbox::{Command, Error, Finished, Level, Limits, Overflow, Sandbox, Workspace};

/// Files that are named to one run of a program, and characters of what it complains of that are kept.
const MOST_NAMED: usize = 500;
const LONGEST_COMPLAINT: usize = 500;
/// Where programs are looked for besides the folders of the settings.
const SYSTEM: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The analyzers that an analysis asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    tools: Vec<Planned>,
    folders: Vec<PathBuf>,
    wall: Duration,
}

/// An analyzer and how it is started here.
#[derive(Clone)]
struct Planned {
    name: String,
    tool: &'static Tool,
    program: String,
    args: Vec<String>,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Wanted {
    /// Checks names against what the settings allow. An error is the place in the list and what is wrong with it.
    pub fn allowed(names: &[String], settings: &config::Analyzers) -> Result<Self, (usize, String)> {
        for (place, name) in names.iter().enumerate() {
            if !settings.allowed.contains(name) && !settings.sarif.contains_key(name) {
                let known = settings.allowed.iter().chain(settings.sarif.keys()).cloned().collect::<Vec<_>>();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err((
                    place,
                    format!("{name} is not among the analyzers that are allowed here: {known}"),
                ));
            }
        }
        Self::named(names, settings)
    }

    /// The same for somebody who may run whatever there is.
    pub fn named(names: &[String], settings: &config::Analyzers) -> Result<Self, (usize, String)> {
        let mut tools = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            let planned = plan(name, settings).ok_or_else(|| {
                let known: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
                (place, format!("{name} is no analyzer that we know: {}", known.join(", ")))
            })?;
            tools.insert(name.clone(), planned);
        }
        Ok(Self {
            tools: tools.into_values().collect(),
            folders: settings.folders.iter().map(PathBuf::from).collect(),
            wall: Duration::from_secs(settings.timeout_seconds),
        })
    }

    /// Whether nothing is to be run.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Runs them, one after the other. How each went is part of the answer; the only error is that the sandbox
    /// cannot be used at all.
    ///
    /// The configuration of many analyzers is code. Where nothing but limits stands around them, they are run only
    /// if the source is `trusted`.
    pub async fn run(
        &self,
        files: &[SourceFile],
        trusted: bool,
        sandbox: &Sandbox,
        stop: &CancellationToken,
        note: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<Run>, Error> {
        let mut runs = Vec::new();
        let mut folder = None;
        for planned in &self.tools {
            if stop.is_cancelled() {
                break;
            }
            let about: Vec<&str> = files
                .iter()
                .map(|file| file.path.as_str())
                .filter(|path| planned.tool.when.is_about(path))
                .collect();
            let analyzer = Analyzer {
                name: planned.name.clone(),
                state: AnalyzerState::NotApplicable,
                version: None,
                checks_types: planned.tool.checks_types,
                findings: 0,
                detail: String::new(),
            };
            if about.is_empty() {
                runs.push(Run {
                    analyzer: Analyzer { detail: planned.tool.when.wants(), ..analyzer },
                    hits: Vec::new(),
                });
                continue;
            }
            if sandbox.level() == Level::ProcessOnly && !trusted {
                let detail = "there is no sandbox here that could hold it".to_owned();
                let analyzer = Analyzer { state: AnalyzerState::Failed, detail, ..analyzer };
                runs.push(Run { analyzer, hits: Vec::new() });
                continue;
            }
            note(&format!("Running {}", planned.name));
            let folder = match &mut folder {
                Some(folder) => folder,
                none => none.insert(copy(files, sandbox).await?),
            };
            let place = Place { wanted: self, planned, folder: folder.path(), sandbox, stop };
            runs.push(place.run(analyzer, &about).await);
        }
        Ok(runs)
    }
}

fn plan(name: &str, settings: &config::Analyzers) -> Option<Planned> {
    if let Some(tool) = tool(name) {
        let args = tool.args.iter().map(|arg| (*arg).to_owned()).collect();
        return Some(Planned { name: name.to_owned(), tool, program: tool.program.to_owned(), args });
    }
    let (program, args) = settings.sarif.get(name)?.split_first()?;
    Some(Planned { name: name.to_owned(), tool: &SARIF, program: program.clone(), args: args.to_vec() })
}

/// The source as files, in a directory that goes when it is dropped.
async fn copy(files: &[SourceFile], sandbox: &Sandbox) -> Result<Workspace, Error> {
    let folder = sandbox.workspace()?;
    let root = folder.path().to_owned();
    let files = files.to_vec();
    let write = move || {
        for file in &files {
            // `source` lets no other paths in; this is the last door.
            let path = Path::new(&file.path);
            if path.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
                continue;
            }
            let path = root.join(path);
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(path, &file.content)?;
        }
        Ok(())
    };
    let written = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other).flatten();
    written.map_err(|error: std::io::Error| Error::Io("copy the source for an analyzer", error))?;
    sandbox.hand_over(folder.path())?;
    Ok(folder)
}

/// One analyzer at its work.
struct Place<'a> {
    wanted: &'a Wanted,
    planned: &'a Planned,
    folder: &'a Path,
    sandbox: &'a Sandbox,
    stop: &'a CancellationToken,
}

impl Place<'_> {
    async fn run(&self, analyzer: Analyzer, about: &[&str]) -> Run {
        let tool = self.planned.tool;
        let version = self.start(tool.version.iter().map(|arg| (*arg).to_owned())).await;
        let version = match version {
            Ok(told) => version_in(&told),
            Err(error) => {
                let analyzer =
                    Analyzer { state: AnalyzerState::NotInstalled, detail: error.to_string(), ..analyzer };
                return Run { analyzer, hits: Vec::new() };
            }
        };
        let analyzer = Analyzer { version, ..analyzer };
        match self.look(about).await {
            Ok(hits) => {
                let analyzer = Analyzer { state: AnalyzerState::Ran, findings: hits.len(), ..analyzer };
                Run { analyzer, hits }
            }
            Err(detail) => {
                let detail = detail.chars().take(LONGEST_COMPLAINT).collect();
                Run {
                    analyzer: Analyzer { state: AnalyzerState::Failed, detail, ..analyzer },
                    hits: Vec::new(),
                }
            }
        }
    }

    /// What it finds, or why it finds nothing.
    async fn look(&self, about: &[&str]) -> Result<Vec<Hit>, String> {
        let named: Vec<&[&str]> = match self.planned.tool.when {
            When::Listed(_) => about.chunks(MOST_NAMED).collect(),
            _ => vec![&[]],
        };
        let mut hits = Vec::new();
        for files in named {
            // A file may be called like an option.
            let files = files.iter().map(|path| format!("./{path}"));
            let finished = self.start(self.planned.args.iter().cloned().chain(files)).await;
            let finished = finished.map_err(|error| error.to_string())?;
            hits.extend(self.read(&finished)?);
        }
        Ok(hits)
    }

    fn read(&self, finished: &Finished) -> Result<Vec<Hit>, String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(reason) = finished.killed_because {
            return Err(format!("it was killed ({reason:?}) after {:.0} s", finished.wall.as_secs_f64()));
        }
        let output = Output { stdout: text(&finished.stdout), stderr: text(&finished.stderr) };
        if !self.planned.tool.ends_with.contains(&finished.status) {
            let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
            return Err(format!("it ended with exit code {}: {}", finished.status, said.trim()));
        }
        let mut hits = (self.planned.tool.read)(&output)?;
        for hit in &mut hits {
            hit.path = self.relative(&hit.path);
        }
        Ok(hits)
    }

    /// The path as the source has it.
    fn relative(&self, path: &str) -> String {
        let path = Path::new(path).strip_prefix(self.folder).unwrap_or(Path::new(path));
        let path = path.strip_prefix(".").unwrap_or(path);
        path.to_string_lossy().into_owned()
    }

    async fn start(&self, args: impl Iterator<Item = String>) -> Result<Finished, Error> {
        let folders = self.wanted.folders.iter();
        let inside: Vec<PathBuf> = folders
            .clone()
            .flat_map(|folder| [folder.join("bin"), folder.join(".bin"), folder.clone()])
            .collect();
        let program =
            inside.iter().map(|folder| folder.join(&self.planned.program)).find(|path| path.is_file());
        let program = program.map_or_else(|| OsString::from(&self.planned.program), PathBuf::into_os_string);
        let path: Vec<String> = inside.iter().map(|folder| folder.display().to_string()).collect();
        let mut command = Command::new(program, self.folder)
            .args(args)
            .env("PATH", [path.as_slice(), &[SYSTEM.to_owned()]].concat().join(":"))
            .env("NO_COLOR", "1")
            .limits(Limits {
                wall: self.wanted.wall,
                cpu: Some(self.wanted.wall),
                // Go and Node reserve far more than they use.
                memory: Some(16 << 30),
                output: 64 << 20,
                overflow: Overflow::Kill,
                ..Limits::default()
            });
        for (name, value) in self.planned.tool.env {
            command = command.env(*name, *value);
        }
        command.readable.extend(folders.filter(|folder| folder.is_dir()).cloned());
        self.sandbox.run(&command, self.stop).await
    }
}

/// The first word that looks like a version in what a program says about itself.
fn version_in(told: &Finished) -> Option<String> {
    let text = [told.stdout.as_slice(), b" ", told.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let version = |word: &str| {
        let word = word.trim_start_matches("go").trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let word = word.trim_start_matches('v');
        (word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit())).then(|| word.to_owned())
    };
    text.split_whitespace().find_map(version)
}
