//! Runs a command in the sandbox.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::attached::KEPT_OUTPUTS;
use crate::agent::bench::{Bench, OUTPUTS};
use crate::agent::clip::clip;
use crate::sandbox::{Finished, KilledBecause};

/// What the model is shown of a command's output.
const SHOWN: usize = 16 << 10;
/// What is kept of each of its two streams: the end.
const KEPT: usize = 4 << 20;
/// How long a command may take if nothing else is said, and at the most.
const SECONDS: u64 = 120;
const MOST_SECONDS: u64 = 600;

pub(super) struct RunCommand;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The command, as a shell (`sh`) takes it. It starts in the workspace.
    command: String,
    /// After how many seconds it is killed: 1 to 600, 120 if absent.
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

impl Tool for RunCommand {
    const NAME: &'static str = "run_command";
    const DESCRIPTION: &'static str = "Runs a command in a sandbox: it sees the workspace and the system's programs, \
                                       reaches no network but what you were told of, has no terminal, and everything it \
                                       starts ends with it. Nothing may \
                                       wait for input. Use `run_tests` to run the tests.";
    const EFFECT: Effect = Effect::Run;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        if arguments.command.trim().is_empty() {
            return Err(Error::BadValue("`command` is empty; say what to run.".to_owned()));
        }
        let seconds = arguments.timeout_seconds.unwrap_or(SECONDS).clamp(1, MOST_SECONDS);
        let command = bench.with(|workspace| Ok(workspace.command("sh"))).await;
        let command = command.map_err(|error| crate::agent::bench::explain("", error, &[]))?;
        let mut command = command.args(["-c", arguments.command.as_str()]);
        command.limits.wall = Duration::from_secs(seconds);
        command.limits.output = KEPT;
        let finished = bench.run(command).await?;
        let (note, output) = (verdict(&finished, seconds), together(&finished));
        if output.is_empty() {
            return Ok(Reply::note(format!("{note} It wrote nothing.")));
        }
        let kept = (output.len() > SHOWN).then(|| bench.keep_output(&output)).flatten();
        let how = match &kept {
            Some(name) => format!("read_file shows all that was kept under `{OUTPUTS}{name}`"),
            None => "run it again with less output".to_owned(),
        };
        let artifact = kept.map(|name| format!("{KEPT_OUTPUTS}/{name}"));
        let reply = Reply { artifact, ..Reply::note(note) };
        Ok(reply.data("the command's output", clip(&output, SHOWN, &how)))
    }
}

/// How it ended, in a sentence.
fn verdict(finished: &Finished, seconds: u64) -> String {
    let took = finished.wall.as_secs_f64();
    match finished.killed_because {
        None => format!("It ended with exit code {} after {took:.1} s.", finished.status),
        Some(KilledBecause::Wall) => {
            format!("It was killed after {took:.0} s (the limit was {seconds} s, or the build's time is up).")
        }
        Some(KilledBecause::Cpu) => {
            format!("It was killed after {took:.0} s: it used too much processor time.")
        }
        Some(KilledBecause::Memory) => {
            "It was killed: its processes together used too much memory.".to_owned()
        }
        Some(KilledBecause::FileSize) => "It was killed: it wrote too large a file.".to_owned(),
        Some(KilledBecause::Disk) => "It was killed: the workspace grew too large.".to_owned(),
        Some(KilledBecause::Output) => "It was killed: it wrote too much.".to_owned(),
        Some(KilledBecause::Stopped) => "It was stopped.".to_owned(),
    }
}

/// What it wrote, both streams; the order between them is not known.
fn together(finished: &Finished) -> String {
    let (out, err) = (String::from_utf8_lossy(&finished.stdout), String::from_utf8_lossy(&finished.stderr));
    let mut all = String::with_capacity(out.len() + err.len() + 20);
    if finished.truncated {
        all += "[… the beginning was not kept …]\n";
    }
    all += &out;
    if !err.is_empty() {
        if !out.is_empty() {
            all += if out.ends_with('\n') { "[stderr]\n" } else { "\n[stderr]\n" };
        }
        all += &err;
    }
    all
}
