//! The list of built-in rules: a rule that is not listed here does not exist.

macro_rules! rules {
    ($($path:literal,)*) => {
        /// Every built-in rule: its path below `src/analysis/rules/` without the extension, and its text.
        pub static BUILTIN: &[(&str, &str)] = &[$(($path, include_str!(concat!($path, ".yml"))),)*];
    };
}

rules!["python/py-exec-used",];
