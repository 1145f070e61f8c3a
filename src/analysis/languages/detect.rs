//! What a file is: by extension, name, `#!` line and content.

use std::borrow::Cow;

use super::Language;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Source in a language that is analysed.
    Code(Language),
    /// Other text, by the name people know it by.
    Text(&'static str),
}

/// The text of a file, or why there is nothing to analyse in it.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Text to analyse. Bytes that are not UTF-8 have become U+FFFD.
    Text(Cow<'a, str>),
    /// Text that only its lines are counted of: generated or minified.
    Uncharted(Cow<'a, str>, &'static str),
    /// No text.
    Binary,
}

/// Other text by extension or whole file name.
static TEXT_KINDS: &[(&str, &[&str])] = &[
    ("Batch", &["bat", "cmd"]),
    ("C#", &["cs"]),
    ("CMake", &["cmake", "CMakeLists.txt"]),
    ("CSS", &["css", "scss", "sass", "less"]),
    ("CSV", &["csv", "tsv"]),
    ("Dart", &["dart"]),
    ("Dockerfile", &["Dockerfile", "Containerfile", "dockerfile"]),
    ("Elixir", &["ex", "exs"]),
    ("GraphQL", &["graphql", "gql"]),
    ("HTML", &["html", "htm", "xhtml", "vue", "svelte", "erb", "jinja", "j2"]),
    ("INI", &["ini", "cfg", "conf", "properties", "env", ".env", ".editorconfig"]),
    ("JSON", &["json", "jsonc", "json5", "ipynb", "webmanifest"]),
    ("Kotlin", &["kt", "kts"]),
    ("Lua", &["lua"]),
    ("Makefile", &["mk", "Makefile", "GNUmakefile", "makefile"]),
    ("Markdown", &["md", "markdown", "mdx"]),
    ("Perl", &["pl", "pm"]),
    ("PowerShell", &["ps1", "psm1"]),
    ("Protocol Buffers", &["proto"]),
    ("R", &["r", "rmd"]),
    ("reStructuredText", &["rst"]),
    ("SQL", &["sql"]),
    ("Scala", &["scala", "sbt"]),
    ("Shell", &["sh", "bash", "zsh", "fish", "ksh"]),
    ("Swift", &["swift"]),
    ("TOML", &["toml"]),
    ("Terraform", &["tf", "tfvars", "hcl"]),
    ("XML", &["xml", "xsd", "xsl", "svg", "pom", "csproj", "plist"]),
    ("YAML", &["yml", "yaml"]),
];

/// Bytes that are looked at to tell binary files from text.
const BINARY_WINDOW: usize = 8_000;
/// Lines at the top of a file in which a generator signs its work.
const HEADER_LINES: usize = 30;
/// A file of code with a line as long as this was not written by hand.
const LONGEST_LINE: usize = 20_000;

/// Decides what a file is. C headers that use C++ count as C++.
pub fn classify(path: &str, text: &str) -> FileKind {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = extension(name);
    let by_name = Language::ALL.into_iter().find(|l| l.entry().file_names.contains(&name));
    let by_extension = || {
        let extension = extension.as_deref()?;
        Language::ALL.into_iter().find(|l| l.entry().extensions.contains(&extension))
    };
    let by_shebang = || if extension.is_none() { shebang(text) } else { None };
    match by_name.or_else(by_extension).or_else(by_shebang) {
        Some(Language::C) if extension.as_deref() == Some("h") && looks_like_cpp(text) => {
            FileKind::Code(Language::Cpp)
        }
        Some(language) => FileKind::Code(language),
        None => FileKind::Text(text_kind(name)),
    }
}

/// What other text is called, by its file name.
pub fn text_kind(name: &str) -> &'static str {
    let extension = extension(name);
    TEXT_KINDS
        .iter()
        .find(|(_, keys)| keys.contains(&name) || extension.as_deref().is_some_and(|e| keys.contains(&e)))
        .map_or("Text", |(kind, _)| kind)
}

impl<'a> Content<'a> {
    /// Reads bytes as text: UTF-8, UTF-16 with a byte order mark, and as much as is legible of anything else.
    pub fn read(bytes: &'a [u8]) -> Self {
        let text = match bytes {
            [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest),
            [0xFF, 0xFE, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
            [0xFE, 0xFF, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
            _ if bytes.iter().take(BINARY_WINDOW).any(|&b| b == 0) => return Self::Binary,
            _ => String::from_utf8_lossy(bytes),
        };
        match unwritten(&text) {
            Some(reason) => Self::Uncharted(text, reason),
            None => Self::Text(text),
        }
    }
}

/// Why a file was not written by hand, if it was not.
fn unwritten(text: &str) -> Option<&'static str> {
    if text.lines().take(HEADER_LINES).any(signed_by_generator) {
        return Some("generated: its header says so");
    }
    let (mut lines, mut longest) = (0_usize, 0_usize);
    for line in text.lines() {
        lines += 1;
        longest = longest.max(line.len());
    }
    if longest > LONGEST_LINE {
        return Some("minified or data: it has a line of more than 20000 bytes");
    }
    let average = text.len() / lines.max(1);
    (text.len() > 5_000 && average > 300).then_some("minified: its lines are 300 bytes long on average")
}

/// Whether a line is a generator's signature, not prose that happens to speak of one.
fn signed_by_generator(line: &str) -> bool {
    let line = line.trim();
    let Some(comment) =
        ["//", "#", "/*", "*", "--", "<!--", ";", "%"].iter().find_map(|m| line.strip_prefix(m))
    else {
        return false;
    };
    let comment = comment.trim_start_matches(['/', '#', '*', '!', ' ']);
    let lower = comment.to_ascii_lowercase();
    lower.starts_with("@generated")
        || lower.starts_with("<auto-generated")
        || lower.starts_with("this file is automatically generated")
        || lower.starts_with("this file was automatically generated")
        || lower.starts_with("autogenerated by")
        || (lower.contains("generated") && lower.contains("do not edit"))
        || (lower.contains("generated") && lower.contains("do not modify"))
}

/// The extension in lower case, unless the whole name is one (`.bashrc` has none).
fn extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}

/// The language whose interpreter the first line calls, with or without `env` and a version.
fn shebang(text: &str) -> Option<Language> {
    let line = text.lines().next()?.strip_prefix("#!")?;
    let mut words = line.split_whitespace();
    let mut program = words.next()?.rsplit('/').next()?;
    if program == "env" {
        program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    }
    let program = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    Language::ALL.into_iter().find(|l| l.entry().interpreters.contains(&program))
}

/// Whether a header uses what only C++ has.
fn looks_like_cpp(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        [
            "class ",
            "namespace ",
            "template<",
            "template <",
            "using namespace",
            "public:",
            "private:",
            "virtual ",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_by_extension_name_and_interpreter() {
        let code = |path, text| match classify(path, text) {
            FileKind::Code(language) => language.name(),
            FileKind::Text(kind) => kind,
        };
        assert_eq!(code("a/b.py", ""), "Python");
        assert_eq!(code("A.TSX", ""), "TSX");
        assert_eq!(code("Rakefile", ""), "Ruby");
        assert_eq!(code("bin/run", "#!/usr/bin/env -S python3.11 -u\n"), "Python");
        assert_eq!(code("bin/run", "#!/usr/bin/node\n"), "JavaScript");
        assert_eq!(code("bin/run", "#!/bin/sh\n"), "Text");
        assert_eq!(code("x.h", "int f(void);\n"), "C");
        assert_eq!(code("x.h", "namespace a {\n}\n"), "C++");
        assert_eq!(code("README.md", "#!/usr/bin/python\n"), "Markdown");
        assert_eq!(code("Dockerfile", ""), "Dockerfile");
        assert_eq!(code(".bashrc", ""), "Text");
    }

    #[test]
    fn generated_minified_and_binary_files_are_told_from_written_ones() {
        let why = |bytes: &[u8]| {
            match Content::read(bytes) {
                Content::Text(_) => "",
                Content::Uncharted(_, reason) => reason,
                Content::Binary => "binary",
            }
            .to_owned()
        };
        assert_eq!(why(b"package a\n"), "");
        assert!(why(b"// Code generated by protoc. DO NOT EDIT.\npackage a\n").starts_with("generated"));
        assert_eq!(why(b"x = 'generated, DO NOT EDIT'\n"), "");
        assert_eq!(why(b"\x7fELF\0\0"), "binary");
        assert!(why(&[b"a;".repeat(20_000), b"\n".to_vec()].concat()).starts_with("minified"));
        assert_eq!(why(b"\xff\xfea\0b\0"), "");
        assert_eq!(Content::read(b"\xff\xfea\0b\0"), Content::Text(Cow::Borrowed("ab")));
        assert_eq!(Content::read(b"a\xffb"), Content::Text(Cow::Borrowed("a\u{fffd}b")));
    }
}
