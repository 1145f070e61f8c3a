//! The programming languages, one table entry each.

mod c_family;
mod detect;
mod golang;
mod java;
mod javascript;
mod php;
mod python;
mod ruby;
mod rust;
mod syntax;

use std::borrow::Cow;
use std::fmt;

use ast_grep_language::SupportLang;
use serde::{Deserialize, Serialize};

pub use detect::{Content, FileKind, classify, text_kind};
pub use syntax::{Role, Syntax, Table};

/// A language that is analysed, not only counted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python.
    Python,
    /// JavaScript, with JSX.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// Go.
    Go,
    /// Java.
    Java,
    /// Rust.
    Rust,
    /// C.
    C,
    /// C++.
    Cpp,
    /// Ruby.
    Ruby,
    /// PHP.
    Php,
}

impl Language {
    /// Every language. Adding one means: a variant, its entry, its line in [`Language::entry`], its fixtures.
    pub const ALL: [Self; 11] = [
        Self::Python,
        Self::JavaScript,
        Self::TypeScript,
        Self::Tsx,
        Self::Go,
        Self::Java,
        Self::Rust,
        Self::C,
        Self::Cpp,
        Self::Ruby,
        Self::Php,
    ];

    /// What is known about the language.
    pub const fn entry(self) -> &'static Entry {
        match self {
            Self::Python => &python::PYTHON,
            Self::JavaScript => &javascript::JAVASCRIPT,
            Self::TypeScript => &javascript::TYPESCRIPT,
            Self::Tsx => &javascript::TSX,
            Self::Go => &golang::GO,
            Self::Java => &java::JAVA,
            Self::Rust => &rust::RUST,
            Self::C => &c_family::C,
            Self::Cpp => &c_family::CPP,
            Self::Ruby => &ruby::RUBY,
            Self::Php => &php::PHP,
        }
    }

    /// The name people know it by, for example `C++`.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The language that a name or an alias means, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| {
            let entry = language.entry();
            entry.name.eq_ignore_ascii_case(name)
                || entry.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Entry {
    /// The text that the grammar is given: the file's own, except that what is no code is blanked out.
    pub fn code<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.grammar {
            SupportLang::Php => php::without_markup(text),
            _ => Cow::Borrowed(text),
        }
    }
}

/// What is known about a language.
pub struct Entry {
    /// The name people know it by.
    pub name: &'static str,
    /// Other names for it, in lower case.
    pub aliases: &'static [&'static str],
    /// File extensions, without the dot, in lower case.
    pub extensions: &'static [&'static str],
    /// Whole file names.
    pub file_names: &'static [&'static str],
    /// Names of interpreters that a `#!` line may call.
    pub interpreters: &'static [&'static str],
    /// The grammar.
    pub grammar: SupportLang,
    /// The names of its nodes.
    pub syntax: Syntax,
}
