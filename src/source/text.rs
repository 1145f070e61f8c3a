//! Takes in code that came in the request itself.

use super::basket::{Basket, too_large_file, too_many_bytes, too_many_files};
use super::{Error, Limits, SourceFileText, Tree, path};

/// A name for a piece of code that came without one, so that its language shows.
const EXTENSIONS: &[(&str, &str)] = &[
    ("python", "py"),
    ("javascript", "js"),
    ("jsx", "jsx"),
    ("typescript", "ts"),
    ("tsx", "tsx"),
    ("go", "go"),
    ("golang", "go"),
    ("java", "java"),
    ("rust", "rs"),
    ("c", "c"),
    ("cpp", "cpp"),
    ("c++", "cpp"),
    ("ruby", "rb"),
    ("php", "php"),
    ("csharp", "cs"),
    ("c#", "cs"),
    ("kotlin", "kt"),
    ("swift", "swift"),
    ("scala", "scala"),
    ("shell", "sh"),
    ("bash", "sh"),
    ("lua", "lua"),
    ("sql", "sql"),
    ("html", "html"),
    ("css", "css"),
    ("json", "json"),
    ("yaml", "yaml"),
    ("toml", "toml"),
    ("markdown", "md"),
];

/// The name of a piece of code.
pub(super) fn name(language: Option<&str>, filename: Option<&str>, limits: &Limits) -> Result<String, Error> {
    if let Some(filename) = filename.filter(|name| !name.is_empty()) {
        return clean(filename, limits);
    }
    let language = language.unwrap_or_default().to_ascii_lowercase();
    let known = EXTENSIONS.iter().find(|(name, end)| *name == language || *end == language);
    Ok(format!("snippet.{}", known.map_or("txt", |(_, end)| *end)))
}

/// One piece of code: it is the whole source, so nothing of it is skipped, only refused.
pub(super) fn inline(
    code: String,
    language: Option<&str>,
    filename: Option<&str>,
    limits: &Limits,
) -> Result<Tree, Error> {
    check_inline(&code, language, filename, limits)?;
    let mut basket = Basket::new(limits)?;
    basket.keep(name(language, filename, limits)?, code.into_bytes())?;
    Ok(basket.into_tree(None))
}

/// See [`super::check`].
pub(super) fn check_inline(
    code: &str,
    language: Option<&str>,
    filename: Option<&str>,
    limits: &Limits,
) -> Result<(), Error> {
    name(language, filename, limits)?;
    if code.len() as u64 > limits.max_file_bytes {
        return Err(too_large_file(limits));
    }
    Ok(())
}

/// A list of files. Whoever names a file one by one means it: nothing is taken for vendored.
pub(super) fn files(list: Vec<SourceFileText>, limits: &Limits) -> Result<Tree, Error> {
    check_files(&list, limits)?;
    let limits = Limits { skip_vendored: false, ..limits.clone() };
    let mut basket = Basket::new(&limits)?;
    for file in list {
        let path = clean(&file.path, &limits)?;
        if basket.wants(&path, file.content.len() as u64, &|_| false) {
            basket.add(path, file.content.into_bytes())?;
        }
    }
    Ok(basket.into_tree(None))
}

/// See [`super::check`].
pub(super) fn check_files(list: &[SourceFileText], limits: &Limits) -> Result<(), Error> {
    if list.is_empty() {
        return Err(Error::Invalid("the list of files is empty".to_owned()));
    }
    if list.len() > limits.max_files {
        return Err(too_many_files(limits));
    }
    let mut bytes: u64 = 0;
    let mut paths = std::collections::HashSet::new();
    for file in list {
        bytes = bytes.saturating_add(file.content.len() as u64);
        let path = clean(&file.path, limits)?;
        if let Some(path) = paths.replace(path) {
            return Err(Error::Invalid(format!("the path `{path}` is there twice")));
        }
    }
    if bytes > limits.max_total_bytes { Err(too_many_bytes(limits)) } else { Ok(()) }
}

/// What a caller writes by hand is refused where it is wrong, so that it can be put right.
fn clean(raw: &str, limits: &Limits) -> Result<String, Error> {
    path::clean(raw, limits.max_depth)
        .map_err(|fault| Error::Invalid(format!("the path `{}` {fault}", path::printable(raw))))
}
