//! Checks that patterns cannot say, because they compare nodes with each other or count them.
//!
//! What a node is looked at for stands in a table by its kind.

mod branches;
mod functions;
mod list;
mod regexes;
mod values;

use std::ops::Range;
use std::sync::OnceLock;

use tree_sitter::Node;

use super::languages::{Language, Role, Table};
use super::rules::{Match, Rule};
use functions::Scopes;
use list::{CHECKS, Check};

/// What is looked at in a node of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Jump,
    Return,
    If,
    Ternary,
    Logical,
    Switch,
    Assignment,
    Keys,
    Function,
    Type,
    Regex,
    Call,
}

/// The kinds of node that no role of the language tables stands for.
const KINDS: &[(Look, &[&str])] = &[
    (Look::Return, &["return_statement", "return_expression", "return"]),
    (
        Look::Jump,
        &[
            "break_statement",
            "continue_statement",
            "throw_statement",
            "raise_statement",
            "break_expression",
            "continue_expression",
            "throw_expression",
            "break",
            "next",
        ],
    ),
    (Look::Switch, &["switch_body", "switch_block", "case", "expression_switch_statement"]),
    (Look::Assignment, &["assignment", "assignment_expression", "assignment_statement"]),
    (Look::Keys, &["dictionary", "object", "hash", "array_creation_expression"]),
    (Look::Regex, &["regex"]),
    (Look::Call, &["call", "method_invocation", "function_call_expression"]),
];

/// What a file is checked with, and what was found in it.
struct Checker<'t> {
    text: &'t str,
    language: Language,
    table: &'static Table,
    matches: Vec<Match<'static>>,
}

/// The rules that stand for the checks, as they appear in the catalogue.
pub fn rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| CHECKS.iter().map(rule).collect())
}

/// Which kinds of node some check looks at, by their numbers.
pub(super) fn kinds(language: Language) -> impl Iterator<Item = bool> {
    looks(language).iter().map(Option::is_some)
}

/// Everything the checks find in a file; `nodes` are at least those whose kind they look at, in order.
pub(super) fn run<'t>(nodes: &[Node<'t>], text: &'t str, language: Language) -> Vec<Match<'static>> {
    let mut checker = Checker { text, language, table: Table::of(language), matches: Vec::new() };
    let looks = looks(language);
    let mut scopes = Scopes::default();
    values::hidden_directions(&mut checker);
    for node in nodes {
        if let Some(look) = looks.get(usize::from(node.kind_id())).copied().flatten() {
            checker.look(*node, look, &mut scopes);
        }
    }
    scopes.close_before(usize::MAX, &mut checker);
    checker.matches
}

/// What each kind of node of a language is looked at for, by its number.
fn looks(language: Language) -> &'static [Option<Look>] {
    static LOOKS: [OnceLock<Vec<Option<Look>>>; Language::ALL.len()] =
        [const { OnceLock::new() }; Language::ALL.len()];
    LOOKS[language as usize].get_or_init(|| {
        let table = Table::of(language);
        let look = |kind: u16| {
            let name = table.grammar.node_kind_for_id(kind).unwrap_or_default();
            let listed = KINDS.iter().find(|(_, names)| names.contains(&name));
            match (listed, table.role(kind)) {
                _ if !table.grammar.node_kind_is_named(kind) => None,
                (Some((look, _)), _) => Some(*look),
                (None, Role::If) => Some(Look::If),
                (None, Role::Ternary) => Some(Look::Ternary),
                (None, Role::Logical) => Some(Look::Logical),
                (None, Role::Function | Role::Lambda) => Some(Look::Function),
                (None, Role::Type) => Some(Look::Type),
                _ => None,
            }
        };
        (0..=u16::MAX).take(table.grammar.node_kind_count()).map(look).collect()
    })
}

impl<'t> Checker<'t> {
    fn look(&mut self, node: Node<'t>, look: Look, scopes: &mut Scopes<'t>) {
        match look {
            Look::Jump => branches::unreachable(self, node),
            Look::Return => {
                branches::unreachable(self, node);
                scopes.returned(node, self);
            }
            Look::If => branches::chain(self, node),
            Look::Ternary => branches::ternary(self, node),
            Look::Logical => values::same_operands(self, node),
            Look::Switch => branches::cases(self, node),
            Look::Assignment => values::self_assignment(self, node),
            Look::Keys => values::duplicate_keys(self, node),
            Look::Function => {
                scopes.open_function(node, self);
                functions::unused(self, node, scopes);
            }
            Look::Type => {
                scopes.open_type(node, self);
                functions::redefined(self, node);
            }
            Look::Regex => regexes::literal(self, node),
            Look::Call => regexes::call(self, node),
        }
    }

    fn text(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// Whether two nodes are the same code, apart from blanks.
    fn same(&self, one: Node<'_>, other: Node<'_>) -> bool {
        self.text(one).split_whitespace().eq(self.text(other).split_whitespace())
    }

    /// The code of a node with single blanks.
    fn squeezed(&self, node: Node<'_>) -> String {
        self.text(node).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether looking at an expression twice may give different values.
    fn may_change(&self, node: Node<'_>) -> bool {
        const CHANGING: [&str; 8] =
            ["call", "invocation", "creation", "new_", "await", "yield", "update", "assignment"];
        let mut cursor = node.walk();
        loop {
            let kind = cursor.node().kind();
            if CHANGING.iter().any(|word| kind.contains(word)) || matches!(kind, "named_expression" | "<-") {
                return true;
            }
            if cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() || cursor.node() == node {
                    return false;
                }
            }
        }
    }

    /// Reports the first line of a node.
    fn report(&mut self, id: &str, node: Node<'_>, message: String) {
        let range = node.byte_range();
        let first = self.text.get(range.clone()).and_then(|text| text.lines().next()).unwrap_or_default();
        self.report_range(id, range.start..range.start + first.len(), message);
    }

    fn report_range(&mut self, id: &str, range: Range<usize>, message: String) {
        let Some(rule) = rules().iter().find(|rule| rule.id == id) else { return };
        if !rule.languages.contains(&self.language) {
            return;
        }
        let message = if message.is_empty() { rule.message.clone() } else { message };
        self.matches.push(Match {
            rule,
            range,
            message,
            replacement: None,
            identity: None,
            severity: None,
            confidence: None,
            flow: Vec::new(),
        });
    }
}

/// The named children of a node, without comments.
fn statements<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|child| !child.kind().contains("comment")).collect()
}

fn rule(check: &Check) -> Rule {
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Rule {
        id: check.id.to_owned(),
        languages: check.languages.to_vec(),
        category: check.category,
        severity: check.severity,
        confidence: check.confidence,
        cwe: strings(check.cwe),
        owasp: strings(check.owasp),
        message: check.message.to_owned(),
        why: check.why.to_owned(),
        instead: check.instead.to_owned(),
        example: check.example.to_owned(),
        references: strings(check.references),
        aliases: strings(check.aliases),
        fix: None,
        builtin: true,
        files: None,
        ignores: None,
        in_tests: check.in_tests,
    }
}
