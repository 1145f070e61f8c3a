//! One walk over a syntax tree that measures everything: no recursion, however deep the tree is.

use tree_sitter::{Node, Tree, TreeCursor};

use super::functions::{calls_itself, maintainability_index, name_of, parameter_count, text};
use super::{FunctionMetrics, Halstead, Lines};
use crate::analysis::languages::{Language, Role, Syntax, Table};

/// What a walk found.
#[derive(Default)]
pub struct Walk {
    /// The lines of the file.
    pub lines: Lines,
    /// Functions, in order of their start.
    pub functions: Vec<FunctionMetrics>,
    /// Functions and types with their places, in order of their start.
    pub symbols: Vec<Symbol>,
    /// Every token apart from comments, in order.
    pub tokens: Vec<Token>,
    /// Comments as byte ranges, in order.
    pub comments: Vec<std::ops::Range<usize>>,
    /// Cyclomatic complexity of everything, the top level included.
    pub cyclomatic: usize,
    /// Cognitive complexity of everything, the top level included.
    pub cognitive: usize,
    /// The deepest nesting of control structures.
    pub max_nesting: usize,
    /// The depth of the tree.
    pub depth: usize,
    /// Places that could not be parsed.
    pub syntax_errors: usize,
}

impl Walk {
    /// The innermost function or type around a byte; empty at the top level.
    pub fn symbol_at(&self, byte: usize) -> &str {
        let before = self.symbols.partition_point(|symbol| symbol.range.start <= byte);
        let around = self.symbols[..before].iter().rev().find(|symbol| byte < symbol.range.end);
        around.map_or("", |symbol| &symbol.name)
    }

    /// The tokens within a range, separated by blanks.
    pub fn tokens_in(&self, range: &std::ops::Range<usize>, text: &str) -> String {
        let first = self.tokens.partition_point(|token| (token.start as usize) < range.start);
        let inside = self.tokens[first..].iter().take_while(|token| (token.end as usize) <= range.end);
        let words: Vec<&str> =
            inside.filter_map(|token| text.get(token.start as usize..token.end as usize)).collect();
        words.join(" ")
    }
}

/// A function or type and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The qualified name.
    pub name: String,
    /// Its bytes.
    pub range: std::ops::Range<usize>,
}

/// A leaf of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// A hash of its text.
    pub hash: u32,
    /// Its first byte.
    pub start: u32,
    /// The byte behind it.
    pub end: u32,
    /// Its line, from 0.
    pub line: u32,
    /// Whether it is a name or a literal.
    pub operand: bool,
    /// Whether Halstead counts it.
    pub counted: bool,
}

/// Measures a parsed file. Gives also the nodes whose kind is wanted, in order, so that nobody has to walk again.
pub fn walk<'t>(tree: &'t Tree, source: &str, language: Language, wanted: &[bool]) -> (Walk, Vec<Node<'t>>) {
    let mut walker = Walker::new(source, language, wanted, tree.root_node().has_error());
    let mut cursor = tree.walk();
    loop {
        if walker.enter(&cursor) && cursor.goto_first_child() {
            continue;
        }
        loop {
            walker.leave();
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return walker.finish();
            }
        }
    }
}

/// An opened node, and what it opened with it.
struct Frame<'t> {
    node: Node<'t>,
    role: Role,
    /// The nesting its children run at.
    nesting: usize,
    opens_function: bool,
    opens_name: bool,
    opens_sequence: bool,
    logical: bool,
}

/// A function that is being walked through; the first one stands for the top level of the file.
#[derive(Default)]
struct Scope {
    metrics: FunctionMetrics,
    start: usize,
    first_token: usize,
    /// Cognitive complexity of its own, with nesting counted from its own start.
    own: Cognitive,
    /// The same of the functions inside it, as if they were its own.
    inner: Cognitive,
    /// The same of the functions inside it, each for itself.
    inner_alone: usize,
    recursive: bool,
}

/// A cognitive complexity that can be moved to a deeper place.
#[derive(Clone, Copy, Default)]
struct Cognitive {
    total: usize,
    /// How many of its increments grow by one with each level of nesting.
    nesting_increments: usize,
}

impl Cognitive {
    fn at(self, nesting: usize) -> Self {
        Self { total: self.total + nesting * self.nesting_increments, ..self }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            nesting_increments: self.nesting_increments + other.nesting_increments,
        }
    }
}

/// Functions and types nested deeper than this get no entry of their own: names and counts of hostile code
/// would grow with the square of its depth.
const MOST_NESTED: usize = 32;
const CODE: u8 = 1;
const COMMENT: u8 = 2;

struct Walker<'s, 't> {
    source: &'s str,
    syntax: &'static Syntax,
    table: &'static Table,
    language: Language,
    has_errors: bool,
    frames: Vec<Frame<'t>>,
    scopes: Vec<Scope>,
    names: Vec<String>,
    /// The last operator of each logical sequence that is open.
    sequences: Vec<u16>,
    /// What is on each line.
    marks: Vec<u8>,
    wanted: &'s [bool],
    candidates: Vec<Node<'t>>,
    found: Walk,
}

impl<'s, 't> Walker<'s, 't> {
    fn new(source: &'s str, language: Language, wanted: &'s [bool], has_errors: bool) -> Self {
        Self {
            source,
            syntax: &language.entry().syntax,
            table: Table::of(language),
            language,
            has_errors,
            frames: Vec::new(),
            scopes: vec![Scope::default()],
            names: Vec::new(),
            sequences: Vec::new(),
            marks: vec![0; source.lines().count() + 1],
            wanted,
            candidates: Vec::new(),
            found: Walk::default(),
        }
    }

    /// Opens a node and says whether its children are worth a visit.
    fn enter(&mut self, cursor: &TreeCursor<'t>) -> bool {
        let node = cursor.node();
        let role = self.role(node, cursor);
        self.propose(node);
        let mut frame = Frame {
            node,
            role,
            nesting: self.nesting_for(cursor),
            opens_function: false,
            opens_name: false,
            opens_sequence: false,
            logical: false,
        };
        if self.has_errors {
            self.count_error(node);
        }
        match role {
            Role::Comment => self.comment(node),
            Role::String => self.string(node),
            _ if node.child_count() == 0 => self.leaf(node),
            _ => self.open(&mut frame),
        }
        self.frames.push(frame);
        self.found.depth = self.found.depth.max(self.frames.len());
        !matches!(role, Role::Comment | Role::String)
    }

    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        if frame.opens_sequence {
            self.sequences.pop();
        }
        if frame.opens_function {
            self.close_function(&frame);
        }
        if frame.opens_name {
            self.names.pop();
        }
    }

    /// What a node means here, which its place may change.
    fn role(&self, node: Node<'t>, cursor: &TreeCursor<'t>) -> Role {
        let parent = self.frames.last().map_or(Role::Other, |frame| frame.role);
        match self.table.role(node.kind_id()) {
            Role::If if parent == Role::Else => Role::ElseIf,
            Role::If
                if matches!(parent, Role::If | Role::ElseIf)
                    && cursor.field_name() == Some("alternative") =>
            {
                Role::ElseIf
            }
            Role::Function if self.names.len() >= MOST_NESTED || !self.is_reported(node) => Role::Lambda,
            Role::Type if self.names.len() >= MOST_NESTED => Role::Other,
            role => role,
        }
    }

    /// Whether a function is one that people would name: it has a body, and more than an expression.
    fn is_reported(&self, node: Node<'t>) -> bool {
        match node.child_by_field_name("body") {
            Some(body) => node.kind() != "arrow_function" || body.kind() == "statement_block",
            None => self.language == Language::Ruby,
        }
    }

    /// The nesting of a node: that of its parent's children, except that a condition is not inside its `if`.
    fn nesting_for(&self, cursor: &TreeCursor<'t>) -> usize {
        let Some(parent) = self.frames.last() else { return 0 };
        let condition =
            matches!(parent.role, Role::If | Role::ElseIf) && cursor.field_name() == Some("condition");
        parent.nesting - usize::from(condition && parent.nesting > 0)
    }

    fn open(&mut self, frame: &mut Frame<'t>) {
        match frame.role {
            Role::Function => self.open_function(frame),
            Role::Lambda => frame.nesting += 1,
            Role::Type => self.open_type(frame),
            Role::If | Role::Loop | Role::Catch | Role::Ternary => self.structure(frame, 1),
            Role::Switch => self.structure(frame, 0),
            Role::ElseIf => {
                self.scope().metrics.cyclomatic += 1;
                self.scope().own.total += 1;
            }
            Role::Else => self.open_else(frame.node),
            Role::Case => {
                let counts = !is_default(text(frame.node, self.source));
                self.scope().metrics.cyclomatic += usize::from(counts);
            }
            Role::Decision => self.scope().metrics.cyclomatic += 1,
            Role::Logical => self.open_logical(frame),
            Role::Parentheses => frame.logical = self.frames.last().is_some_and(|parent| parent.logical),
            Role::Jump => self.jump(frame.node),
            Role::Call => self.call(frame.node),
            Role::Comment | Role::String | Role::Other => {}
        }
    }

    /// A structure that costs more the deeper it is nested.
    fn structure(&mut self, frame: &mut Frame<'t>, decisions: usize) {
        let nesting = frame.nesting;
        frame.nesting += 1;
        let scope = self.scope();
        scope.metrics.cyclomatic += decisions;
        scope.metrics.nesting = scope.metrics.nesting.max(nesting + 1);
        scope.own.total += 1 + nesting;
        scope.own.nesting_increments += 1;
    }

    /// An `else` costs one, unless it only leads to the next `if`.
    fn open_else(&mut self, node: Node<'t>) {
        let of_an_if = self.frames.last().is_some_and(|f| matches!(f.role, Role::If | Role::ElseIf));
        let mut cursor = node.walk();
        let chained = node.named_children(&mut cursor).any(|c| self.table.role(c.kind_id()) == Role::If);
        let chained = chained && node.named_child_count() == 1;
        if of_an_if && !chained {
            self.scope().own.total += 1;
        }
    }

    fn open_logical(&mut self, frame: &mut Frame<'t>) {
        frame.logical = match frame.node.child_by_field_name("operator") {
            Some(operator) => self.syntax.logical_operators.contains(&operator.kind()),
            None => frame.node.kind() == "let_chain",
        };
        let continues = self.frames.last().is_some_and(|parent| parent.logical);
        if frame.logical && !continues {
            frame.opens_sequence = true;
            self.sequences.push(0);
        }
    }

    fn jump(&mut self, node: Node<'t>) {
        let mut cursor = node.walk();
        if node.named_children(&mut cursor).any(|child| self.syntax.labels.contains(&child.kind())) {
            self.scope().own.total += 1;
        }
    }

    fn call(&mut self, node: Node<'t>) {
        let source = self.source;
        let inside = self.scopes.len() > 1;
        let scope = self.scope();
        if inside && !scope.recursive && calls_itself(node, &scope.metrics.name, source) {
            scope.recursive = true;
            scope.own.total += 1;
        }
    }

    fn open_type(&mut self, frame: &mut Frame<'t>) {
        let parent = self.frames.last().map(|parent| parent.node);
        self.names.push(name_of(frame.node, parent, self.source));
        frame.opens_name = true;
        let symbol = Symbol { name: self.names.join("."), range: frame.node.byte_range() };
        self.found.symbols.push(symbol);
    }

    fn open_function(&mut self, frame: &mut Frame<'t>) {
        self.open_type(frame);
        frame.opens_function = true;
        frame.nesting = 0;
        let node = frame.node;
        self.scopes.push(Scope {
            metrics: FunctionMetrics {
                name: self.names.join("."),
                line: node.start_position().row + 1,
                end_line: last_row(node) + 1,
                parameters: parameter_count(node, self.syntax, self.source),
                cyclomatic: 1,
                ..FunctionMetrics::default()
            },
            start: self.found.functions.len(),
            first_token: self.found.tokens.len(),
            ..Scope::default()
        });
        // Holds the place, so that functions stay in the order of their start.
        self.found.functions.push(FunctionMetrics::default());
    }

    fn close_function(&mut self, frame: &Frame<'t>) {
        let Some(scope) = self.scopes.pop() else { return };
        let nesting = self.frames.last().map_or(0, |parent| parent.nesting);
        let (whole, alone) = scope.cognitive();
        let outer = self.scope();
        outer.inner = outer.inner.plus(whole.at(nesting + 1));
        outer.inner_alone += alone;
        let mut metrics = scope.metrics;
        let rows = frame.node.start_position().row..=last_row(frame.node);
        metrics.code_lines =
            self.marks.get(rows).unwrap_or_default().iter().filter(|mark| **mark & CODE != 0).count();
        metrics.cognitive = whole.total;
        metrics.halstead = Halstead::of(&self.found.tokens[scope.first_token..]);
        metrics.maintainability_index =
            maintainability_index(metrics.halstead.volume, metrics.cyclomatic, metrics.code_lines);
        self.found.cyclomatic += metrics.cyclomatic;
        self.found.max_nesting = self.found.max_nesting.max(metrics.nesting);
        self.found.functions[scope.start] = metrics;
    }

    fn comment(&mut self, node: Node<'t>) {
        self.mark(node, COMMENT);
        self.found.comments.push(node.byte_range());
    }

    /// A string is one operand. A string that stands alone as a statement of Python is documentation.
    fn string(&mut self, node: Node<'t>) {
        let alone = self.language == Language::Python
            && self.frames.last().is_some_and(|parent| {
                parent.node.kind() == "expression_statement" && parent.node.child_count() == 1
            });
        self.mark(node, if alone { COMMENT } else { CODE });
        self.token(node, true, true);
        self.propose_inside(node);
    }

    fn propose(&mut self, node: Node<'t>) {
        if self.wanted.get(usize::from(node.kind_id())) == Some(&true) {
            self.candidates.push(node);
        }
    }

    /// Code in a string is measured as part of it, but it is code to the rules.
    fn propose_inside(&mut self, node: Node<'t>) {
        let mut cursor = node.walk();
        if !cursor.goto_first_child() {
            return;
        }
        loop {
            self.propose(cursor.node());
            if cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return;
                }
            }
        }
    }

    fn leaf(&mut self, node: Node<'t>) {
        if node.start_byte() == node.end_byte() {
            return;
        }
        self.mark(node, CODE);
        if node.is_named() {
            return self.token(node, true, true);
        }
        let kind = node.kind();
        self.token(node, false, !matches!(kind, ")" | "]" | "}" | "," | ";"));
        let Some(parent) = self.frames.last() else { return };
        if kind == "else" && matches!(parent.role, Role::If | Role::ElseIf) {
            let next = parent.node.child_by_field_name("alternative");
            let chained = next.is_some_and(|next| self.table.role(next.kind_id()) == Role::If);
            self.scope().own.total += usize::from(!chained);
        } else if parent.logical && self.syntax.logical_operators.contains(&kind) {
            self.scope().metrics.cyclomatic += 1;
            let changed = self
                .sequences
                .last_mut()
                .is_some_and(|last| std::mem::replace(last, node.kind_id()) != node.kind_id());
            self.scope().own.total += usize::from(changed);
        }
    }

    fn token(&mut self, node: Node<'t>, operand: bool, counted: bool) {
        let position = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
        self.found.tokens.push(Token {
            hash: hash(text(node, self.source)),
            start: position(node.start_byte()),
            end: position(node.end_byte()),
            line: position(node.start_position().row),
            operand,
            counted,
        });
    }

    fn mark(&mut self, node: Node<'t>, mark: u8) {
        let rows = node.start_position().row..=last_row(node);
        for line in self.marks.get_mut(rows).unwrap_or_default() {
            *line |= mark;
        }
    }

    fn count_error(&mut self, node: Node<'t>) {
        let inside = self.frames.last().is_some_and(|parent| parent.node.is_error());
        if node.is_missing() || (node.is_error() && !inside) {
            self.found.syntax_errors += 1;
        }
    }

    /// The innermost function; the bottom one, for the top level, is never popped.
    fn scope(&mut self) -> &mut Scope {
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn finish(mut self) -> (Walk, Vec<Node<'t>>) {
        let top = std::mem::take(self.scope());
        self.found.cyclomatic += top.metrics.cyclomatic;
        self.found.cognitive = top.own.total + top.inner_alone;
        self.found.max_nesting = self.found.max_nesting.max(top.metrics.nesting);
        for (line, mark) in self.source.lines().zip(&self.marks) {
            let lines = &mut self.found.lines;
            lines.physical += 1;
            if line.trim().is_empty() {
                lines.blank += 1;
            } else if *mark == COMMENT {
                lines.comment += 1;
            } else {
                lines.code += 1;
            }
        }
        (self.found, self.candidates)
    }
}

impl Scope {
    /// The complexity as part of the function around it, and for itself. A function that does nothing but
    /// declare others (a module, a decorator) does not make them more complex: they count alone.
    fn cognitive(&self) -> (Cognitive, usize) {
        if self.own.total == 0 {
            (Cognitive::default(), self.inner_alone)
        } else {
            let whole = self.own.plus(self.inner);
            (whole, whole.total)
        }
    }
}

/// Whether an arm of a switch is the one for everything else.
fn is_default(arm: &str) -> bool {
    let rest = |prefix: &str| arm.strip_prefix(prefix).map(str::trim_start);
    rest("default").is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '-']))
        || rest("_").is_some_and(|rest| rest.starts_with("=>"))
        || rest("case _").is_some_and(|rest| rest.starts_with(':'))
}

/// The last line a node has something on: one that ends at the start of a line ends on the line before.
fn last_row(node: Node<'_>) -> usize {
    let (start, end) = (node.start_position(), node.end_position());
    if end.column == 0 && end.row > start.row { end.row - 1 } else { end.row }
}

/// FNV-1a, 32 bits.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
