//! Values that are written twice, and characters that nobody sees.

use std::collections::HashSet;

use tree_sitter::Node;

use super::{Checker, statements};
use crate::analysis::languages::Language;

/// Characters that open or close a run of text in another direction (Unicode 15, UAX #9, table 1).
const DIRECTIONS: [char; 9] = [
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}',
];

/// A key that stands twice in a literal table. What is spread in between may be what the second one overrides.
pub(super) fn duplicate_keys(checker: &mut Checker<'_>, node: Node<'_>) {
    let mut seen = HashSet::new();
    for entry in statements(node) {
        let kind = entry.kind();
        if kind.contains("splat") || kind.contains("spread") || kind == "variadic_unpacking" {
            seen.clear();
            continue;
        }
        let key = match kind {
            "pair" => entry.child_by_field_name("key"),
            "array_element_initializer" => entry.named_child(0).filter(|_| entry.named_child_count() == 2),
            _ => None,
        };
        let Some(key) = key else { continue };
        if let Some(name) = constant(checker, key)
            && !seen.insert(name)
        {
            let text = checker.text(key);
            checker.report("duplicate-key", key, format!("The key `{text}` stands twice in this table"));
        }
    }
}

/// `a && a`.
pub(super) fn same_operands(checker: &mut Checker<'_>, node: Node<'_>) {
    let field = |name| node.child_by_field_name(name);
    let (Some(left), Some(right)) = (field("left"), field("right")) else { return };
    let logical = field("operator")
        .is_some_and(|operator| checker.language.entry().syntax.logical_operators.contains(&operator.kind()));
    if logical && checker.same(left, right) && !checker.may_change(left) {
        checker.report("same-operands", node, format!("Both sides are `{}`", checker.squeezed(left)));
    }
}

/// `a = a`.
pub(super) fn self_assignment(checker: &mut Checker<'_>, node: Node<'_>) {
    let field = |name| node.child_by_field_name(name);
    let (Some(left), Some(right)) = (field("left"), field("right")) else { return };
    let plain = field("operator").is_none_or(|operator| operator.kind() == "=");
    let name = checker.text(left);
    if !plain || name != checker.text(right) || field("type").is_some() {
        return;
    }
    let simple = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
    let own = ["this.", "self.", "this->", "$this->"].iter().any(|prefix| {
        let rest = name.strip_prefix(prefix).unwrap_or_default();
        !rest.is_empty() && rest.chars().all(|c| c.is_alphanumeric() || c == '_')
    });
    // In the body of a class, or at the top of a file, it makes a name of its own for what is outside.
    let around = node.parent().and_then(|statement| statement.parent());
    let renames = around.is_some_and(|around| {
        around.kind() == "module" || around.parent().is_some_and(|p| p.kind() == "class_definition")
    });
    if (simple || own) && !renames {
        checker.report("self-assignment", node, format!("`{name}` is assigned to itself"));
    }
}

/// Characters that make a line look different from what it is.
pub(super) fn hidden_directions(checker: &mut Checker<'_>) {
    let text = checker.text;
    // All of them start with this byte, which few files have.
    if !text.as_bytes().contains(&0xE2) {
        return;
    }
    let mut line = usize::MAX;
    for (at, _) in text.match_indices(DIRECTIONS) {
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        if start != line {
            line = start;
            let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
            checker.report_range("bidirectional-text", start..end, String::new());
        }
    }
}

/// The value of a key that is a constant, in a form in which equal keys are equal.
fn constant(checker: &Checker<'_>, key: Node<'_>) -> Option<String> {
    let text = checker.text(key);
    let quoted = |text: &str| text.trim_matches(['"', '\'']).to_owned();
    let script = matches!(checker.language, Language::JavaScript | Language::TypeScript | Language::Tsx);
    match key.kind() {
        "string" | "encapsed_string"
            if statements(key).iter().any(|part| part.kind().contains("interpol")) =>
        {
            None
        }
        "encapsed_string" if text.contains('$') => None,
        "string" | "encapsed_string" if text.starts_with(['"', '\'']) && !text.contains('\\') => {
            Some(if script { quoted(text) } else { format!("\"{}", quoted(text)) })
        }
        "property_identifier" | "integer" | "number" | "hash_key_symbol" | "simple_symbol" => {
            Some(text.to_owned())
        }
        _ => None,
    }
}
