//! Regular expressions that take exponential time in an engine that tries one way after the other.
//!
//! The sign is a repetition without end whose body is again one, with nothing that has to stand in between,
//! and something behind it that may fail. Engines that run in linear time (Go, Rust) are left alone.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Repetition};
use tree_sitter::Node;

use super::{Checker, statements};
use crate::analysis::languages::Language;

/// A pattern as a literal of its own.
pub(super) fn literal(checker: &mut Checker<'_>, node: Node<'_>) {
    let parts = statements(node);
    let pattern = match (node.child_by_field_name("pattern"), parts.as_slice()) {
        (Some(pattern), _) => pattern,
        (None, [only]) if only.kind() == "string_content" => *only,
        _ => return,
    };
    let pattern = checker.text(pattern).to_owned();
    judge(checker, node, &pattern);
}

/// A pattern as the first argument of a function that takes one.
pub(super) fn call(checker: &mut Checker<'_>, node: Node<'_>) {
    let field = |name| node.child_by_field_name(name).map(|node| checker.text(node));
    let takes_pattern = match checker.language {
        Language::Python => field("function").and_then(|name| name.strip_prefix("re.")).is_some_and(|name| {
            ["compile", "match", "search", "fullmatch", "findall", "finditer", "sub", "subn", "split"]
                .contains(&name)
        }),
        Language::Java => match (field("object"), field("name")) {
            (Some("Pattern"), Some("compile" | "matches")) => true,
            (_, Some(name)) => ["matches", "replaceAll", "replaceFirst"].contains(&name),
            _ => false,
        },
        Language::Php => {
            field("function").is_some_and(|name| name.starts_with("preg_") && name != "preg_quote")
        }
        _ => false,
    };
    let arguments = node.child_by_field_name("arguments").filter(|_| takes_pattern);
    let Some(argument) = arguments.and_then(|list| list.named_child(0)) else { return };
    let argument =
        if argument.kind() == "argument" { argument.named_child(0).unwrap_or(argument) } else { argument };
    if !matches!(argument.kind(), "string" | "string_literal" | "encapsed_string") {
        return;
    }
    let written = checker.text(argument);
    let raw = written.starts_with(['r', 'R']);
    let quoted = written.trim_start_matches(['r', 'R', 'b', 'B', 'u', 'U']).trim_matches(['"', '\'']);
    let pattern = if raw { quoted.to_owned() } else { quoted.replace("\\\\", "\\") };
    let pattern = match checker.language {
        Language::Php => undelimited(&pattern).to_owned(),
        _ => pattern,
    };
    judge(checker, argument, &pattern);
}

fn judge(checker: &mut Checker<'_>, node: Node<'_>, pattern: &str) {
    // A repetition within a group that is itself repeated: nothing else is worth the parser.
    if !(pattern.contains(")*") || pattern.contains(")+") || pattern.contains("){")) {
        return;
    }
    let parsed = ParserBuilder::new().utf8(false).nest_limit(100).build().parse(pattern);
    if parsed.is_ok_and(|hir| is_exponential(&hir, false)) {
        checker.report("catastrophic-regex", node, String::new());
    }
}

/// Whether some repetition can cut the same text in several ways; `followed` says that more must match after it.
fn is_exponential(hir: &Hir, followed: bool) -> bool {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().enumerate().any(|(at, part)| {
            let behind = parts[at + 1..].iter().any(must_match);
            is_exponential(part, followed || behind)
        }),
        HirKind::Alternation(parts) => parts.iter().any(|part| is_exponential(part, followed)),
        HirKind::Capture(group) => is_exponential(&group.sub, followed),
        HirKind::Repetition(repetition) => {
            (followed && is_endless(repetition) && is_ambiguous(inner(&repetition.sub)))
                || is_exponential(&repetition.sub, followed)
        }
        _ => false,
    }
}

/// Whether the body of a repetition can take a run of characters at once or one after the other.
fn is_ambiguous(body: &Hir) -> bool {
    match body.kind() {
        HirKind::Repetition(repetition) => is_endless(repetition),
        HirKind::Alternation(parts) => parts.iter().any(|part| is_ambiguous(inner(part))),
        HirKind::Concat(parts) => {
            let fixed =
                parts.iter().filter(|part| !is_run(part) && part.properties().minimum_len() != Some(0));
            fixed.count() == 0 && parts.iter().any(is_run)
        }
        _ => false,
    }
}

fn is_run(part: &Hir) -> bool {
    matches!(inner(part).kind(), HirKind::Repetition(repetition) if is_endless(repetition))
}

fn is_endless(repetition: &Repetition) -> bool {
    repetition.max.is_none()
}

fn must_match(part: &Hir) -> bool {
    matches!(part.kind(), HirKind::Look(_))
        || part.properties().minimum_len().is_some_and(|length| length > 0)
}

/// What stands in the groups.
fn inner(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(group) => inner(&group.sub),
        _ => hir,
    }
}

/// A pattern of PHP without its delimiters and flags.
fn undelimited(pattern: &str) -> &str {
    let Some(open) = pattern.chars().next() else { return pattern };
    let close = match open {
        '(' => ')',
        '{' => '}',
        '[' => ']',
        '<' => '>',
        other => other,
    };
    pattern.rfind(close).and_then(|end| pattern.get(open.len_utf8()..end)).unwrap_or(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repetitions_that_can_be_cut_in_several_ways_are_exponential() {
        let exponential = |pattern: &str| is_exponential(&regex_syntax::parse(pattern).unwrap(), false);
        for pattern in [r"^(a+)+$", r"(\w+\s?)*$", r"(a*)*b", r"([^x\\]+|\\.)*x", r"^((\d+,?)+)$"] {
            assert!(exponential(pattern), "{pattern}");
        }
        for pattern in [r"(a+)+", r"(\.\d+)*$", r"^(\d+,)*\d+$", r"(ab)*c", r"^(a{1,3})+$", r"(\s*\w)*;"] {
            assert!(!exponential(pattern), "{pattern}");
        }
    }
}
