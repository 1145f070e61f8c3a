//! What a build's commands find in their environment.

use std::sync::Arc;

use crate::proxy::Proxy;
use crate::sandbox::Command;

/// Tools that ask nobody and paint nothing.
const ALWAYS: [(&str, &str); 7] = [
    ("CI", "1"),
    ("NO_COLOR", "1"),
    ("CARGO_TERM_COLOR", "never"),
    ("GOFLAGS", "-mod=mod"),
    ("GOTOOLCHAIN", "local"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    // What pip takes for the system's is the build's own.
    ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
];
/// Where there is no network, tools are told so: they would try it for long.
const OFFLINE: [(&str, &str); 3] =
    [("CARGO_NET_OFFLINE", "true"), ("GOPROXY", "off"), ("npm_config_offline", "true")];

/// The command with all that, and with a way out if there is one.
pub(super) fn dress(command: Command, network: Option<&Arc<Proxy>>) -> Command {
    let set = |command: Command, (name, value): &(&str, &str)| command.env(name, value);
    let command = ALWAYS.iter().fold(command, set);
    match network {
        Some(network) => network.give_to(command),
        None => OFFLINE.iter().fold(command, set),
    }
}
