//! What a tool says when it cannot do what it was asked: always with what to do next.

/// Why a call came to nothing, in words for the model that made it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such tool.
    #[error("there is no tool `{name}`. Call one of: {known}.")]
    UnknownTool {
        /// What was called.
        name: String,
        /// What there is.
        known: String,
    },
    /// There is such a tool, but not now.
    #[error("`{tool}` is not available in this phase. Call one of: {known}.")]
    NotNow {
        /// What was called.
        tool: String,
        /// What there is.
        known: String,
    },
    /// The arguments are no JSON.
    #[error(
        "the arguments of `{tool}` are not valid JSON ({why}). Send the call again with one complete JSON object; if \
         the content is long, write it in smaller pieces."
    )]
    NoJson {
        /// What was called.
        tool: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The arguments do not fit.
    #[error("the arguments of `{tool}` do not fit at `{field}`: {why}. Correct this field and call again.")]
    BadArguments {
        /// What was called.
        tool: &'static str,
        /// Which field.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// A value is out of its range.
    #[error("{0}")]
    BadValue(String),
    /// A path that leads nowhere it may.
    #[error(
        "the path `{path}` cannot be used: {why}. Use a path relative to the workspace, such as `src/main.py`."
    )]
    BadPath {
        /// What was asked for.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// No such file.
    #[error("there is no `{path}`.{} Use `list_files` to see what there is.", did_you_mean(near))]
    NotFound {
        /// What was asked for.
        path: String,
        /// Files that are called alike.
        near: Vec<String>,
    },
    /// A folder where a file was expected.
    #[error("`{0}` is a folder. Use `list_files` to see what is in it.")]
    IsFolder(String),
    /// Not a text.
    #[error("`{0}` is not text (it holds bytes that are not UTF-8), so it cannot be shown or edited.")]
    NotText(String),
    /// More than this tool handles.
    #[error("{what} is too large: {size} bytes, at most {most} are possible. {instead}")]
    TooLarge {
        /// What.
        what: String,
        /// How large.
        size: u64,
        /// How large it may be.
        most: u64,
        /// What to do.
        instead: &'static str,
    },
    /// The text to replace is not there.
    #[error("`{path}` does not contain the text in `old`, so nothing was changed. {hint}")]
    NoMatch {
        /// The file.
        path: String,
        /// What most likely went wrong, and what to do.
        hint: String,
        /// What stands there instead.
        actual: String,
    },
    /// The text to replace is there more than once.
    #[error(
        "the text in `old` stands {count} times in `{path}` (at lines {lines}), so nothing was changed. Add lines \
         before or after it until it is unique, or set `replace_all` to true."
    )]
    Ambiguous {
        /// The file.
        path: String,
        /// How often.
        count: usize,
        /// Where.
        lines: String,
    },
    /// Nothing would change.
    #[error("{0} Nothing was changed. If this is what you want, go on with the next step.")]
    Unchanged(String),
    /// A patch that does not apply.
    #[error(
        "the patch was not applied, not even in part: {0}. Read the files as they are now and make the patch anew \
         (a unified diff with `--- a/path` and `+++ b/path` lines), or use `edit_file`."
    )]
    BadPatch(String),
    /// A pattern that is none.
    #[error("{0}. Patterns are regular expressions; put `\\` before characters that stand for themselves.")]
    BadPattern(String),
    /// The rules of this build forbid it.
    #[error("{what} is not allowed in this build. {instead}")]
    Refused {
        /// What.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// It was tried and did not work.
    #[error("{what} failed: {why}. {instead}")]
    Failed {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
        /// What to do.
        instead: &'static str,
    },
    /// The server stopped while it ran.
    #[error(
        "the server was interrupted while this ran, and its result is not known. Changes that it made to files were \
         undone. Call it again if it is still needed."
    )]
    Interrupted,
    /// The build is to stop.
    #[error("the build was asked to stop")]
    Stopped,
}

impl Error {
    /// What it quotes, and from where: somebody else's words, not ours.
    pub fn quote(&self) -> Option<(&str, &str)> {
        match self {
            Self::NoMatch { path, actual, .. } if !actual.is_empty() => Some((path, actual)),
            _ => None,
        }
    }

    /// A stable name, for events and transcripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTool { .. } => "unknown_tool",
            Self::NotNow { .. } => "not_now",
            Self::NoJson { .. } => "no_json",
            Self::BadArguments { .. } | Self::BadValue(_) => "bad_arguments",
            Self::BadPath { .. } => "bad_path",
            Self::NotFound { .. } => "not_found",
            Self::IsFolder(_) => "is_folder",
            Self::NotText(_) => "not_text",
            Self::TooLarge { .. } => "too_large",
            Self::NoMatch { .. } => "no_match",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Unchanged(_) => "unchanged",
            Self::BadPatch(_) => "bad_patch",
            Self::BadPattern(_) => "bad_pattern",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
        }
    }
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    let names: Vec<_> = near.iter().map(|path| format!("`{path}`")).collect();
    format!(" Did you mean {}?", names.join(" or "))
}
