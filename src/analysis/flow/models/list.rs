//! The list of models: one that is not listed here does not exist.

macro_rules! models {
    ($($path:literal,)*) => {
        /// Every model: its path below `src/analysis/flow/models/` without the extension, and its text.
        pub static MODELS: &[(&str, &str)] = &[$(($path, include_str!(concat!($path, ".yml"))),)*];
    };
}

models![
    "common",
    "python/language",
    "python/libraries",
    "python/flask",
    "python/django",
    "python/fastapi",
    "java/language",
    "java/servlets",
    "java/spring",
    "javascript/language",
    "javascript/servers",
    "go/language",
    "go/servers",
    "php/language",
    "php/frameworks",
    "ruby/language",
    "ruby/frameworks",
];

/// The rules about flows, a YAML document each.
pub(in crate::analysis::flow) const RULES: &str = include_str!("rules.yml");
