//! What a command finds around it: arguments, environment, terminals.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError};

/// Arguments and environment, read once by whoever starts.
#[derive(Debug)]
pub struct Surroundings {
    pub(super) arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    /// What `--config` names.
    pub(super) config_file: Option<PathBuf>,
    /// What `--color` says.
    pub(super) color: Color,
}

/// When to write colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Surroundings {
    /// From the process's own, the program's name being the first argument.
    pub fn new(
        arguments: impl IntoIterator<Item = OsString>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        Self {
            arguments: arguments.into_iter().collect(),
            variables: variables.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
            config_file: None,
            color: Color::Auto,
        }
    }

    /// The settings: defaults, then the file, then the environment, then `flags` (a setting's path and its value).
    pub(super) fn config<'f>(
        &self,
        flags: impl IntoIterator<Item = (&'f str, Option<String>)>,
    ) -> Result<Config, ConfigError> {
        let given = flags.into_iter().filter_map(|(path, value)| Some((path.to_owned(), value?)));
        Config::load(self.config_path(), self.variables.iter().cloned(), given)
    }

    /// The file that the settings come from, if there is one.
    pub(super) fn config_path(&self) -> Option<&Path> {
        let named = || self.variable("CODEYARD_CONFIG").map(Path::new);
        self.config_file.as_deref().or_else(named)
    }

    /// A variable, unless it is missing or empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether to write colours to this stream.
    pub(super) fn paints(&self, stream: &impl IsTerminal) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let plain = self.variable("NO_COLOR").is_some() || self.variable("TERM") == Some("dumb");
                stream.is_terminal() && !plain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings::new([], variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn a_flag_that_was_not_given_changes_nothing() {
        let around = around(&[("CODEYARD_DATA_DIR", "/from/variable"), ("HOME", "/root")]);
        let dir = |flag: Option<String>| around.config([("data_dir", flag)]).unwrap().data_dir;
        assert_eq!(dir(None), Path::new("/from/variable"));
        assert_eq!(dir(Some("/from/flag".into())), Path::new("/from/flag"));
    }

    #[test]
    fn the_flag_for_the_file_beats_its_variable() {
        let mut around = around(&[("CODEYARD_CONFIG", "/a.toml")]);
        assert_eq!(around.config_path(), Some(Path::new("/a.toml")));
        around.config_file = Some("/b.toml".into());
        assert_eq!(around.config_path(), Some(Path::new("/b.toml")));
    }

    #[test]
    fn no_color_is_heard_only_when_nobody_insists() {
        let mut around = around(&[("NO_COLOR", "1")]);
        assert!(!around.paints(&std::io::stdout()));
        around.color = Color::Always;
        assert!(around.paints(&std::io::stdout()));
    }
}
