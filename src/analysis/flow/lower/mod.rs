//! Syntax trees to the intermediate form: one file per language, and what they share.

mod golang;
mod java;
mod javascript;
mod php;
mod python;
mod ruby;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tree_sitter::{Node, Tree};

use super::ir::{
    Arg, Assign, At, Call, Class, Const, Expr, ExprKind, Function, Name, Name0, Parameter, Stmt, Unit,
};
use super::models;
use crate::analysis::languages::Language;

/// Deeper trees are cut off there: what lies below is unknown.
const DEEPEST: usize = 150;

/// Lowers a file, if its language has a lowering.
pub(super) fn lower(tree: &Tree, source: &str, language: Language, path: &str, file: u32) -> Option<Unit> {
    let mut builder = Builder {
        source,
        file,
        path,
        scopes: vec![Scope::default()],
        interned: HashMap::new(),
        classes: Vec::new(),
        imports: Vec::new(),
        package: Arc::from(""),
        class: None,
        depth: 0,
        language,
    };
    let root = tree.root_node();
    let body = match language {
        Language::Python => python::module(&mut builder, root),
        Language::Java => java::module(&mut builder, root),
        Language::JavaScript | Language::TypeScript | Language::Tsx => javascript::module(&mut builder, root),
        Language::Go => golang::module(&mut builder, root),
        Language::Php => php::module(&mut builder, root),
        Language::Ruby => ruby::module(&mut builder, root),
        _ => return None,
    };
    let scope = builder.scopes.pop().unwrap_or_default();
    builder.imports.sort_unstable();
    builder.imports.dedup();
    let module = Arc::new(Function { body, names: scope.list, file, at: at(root), ..Function::default() });
    Some(Unit {
        language,
        length: source.len(),
        module,
        classes: builder.classes,
        imports: builder.imports,
        package: builder.package,
    })
}

/// What a lowering keeps.
pub(super) struct Builder<'s> {
    source: &'s str,
    file: u32,
    path: &'s str,
    scopes: Vec<Scope>,
    /// Names, and whether they are words of the models.
    interned: HashMap<&'s str, (Name, bool)>,
    classes: Vec<Arc<Class>>,
    imports: Vec<Name>,
    package: Name,
    /// The class that is being lowered.
    class: Option<Name>,
    depth: usize,
    language: Language,
}

/// The names of a function.
#[derive(Default)]
struct Scope {
    slots: HashMap<Name, u32>,
    list: Vec<Name>,
    /// Those that were bound here, in languages whose functions share the variables around them.
    locals: HashSet<Name>,
    matters: bool,
}

/// Where the value of a statement goes, in languages where statements have one.
#[derive(Clone, Copy)]
enum Gives {
    Nothing,
    Return,
    /// Into a slot.
    To(u32),
}

impl<'s> Builder<'s> {
    fn text(&self, node: Node<'_>) -> &'s str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    fn name(&mut self, text: &'s str) -> Name {
        let language = self.language;
        let (name, matters) = self.interned.entry(text).or_insert_with(|| {
            (Arc::from(text), models::model(language).words.contains(&models::word(text)))
        });
        if *matters && let Some(scope) = self.scopes.last_mut() {
            scope.matters = true;
        }
        Arc::clone(name)
    }

    fn name_of(&mut self, node: Node<'_>) -> Name {
        let text = self.text(node);
        self.name(text)
    }

    /// The slot of a name in the function that is being lowered.
    fn slot(&mut self, name: &Name) -> u32 {
        let Some(scope) = self.scopes.last_mut() else { return 0 };
        if let Some(slot) = scope.slots.get(name) {
            return *slot;
        }
        let slot = u32::try_from(scope.list.len()).unwrap_or(u32::MAX);
        scope.list.push(Arc::clone(name));
        scope.slots.insert(Arc::clone(name), slot);
        slot
    }

    fn slot_of(&mut self, node: Node<'_>) -> u32 {
        let name = self.name_of(node);
        self.slot(&name)
    }

    /// A name that is bound here, unless a function around has bound it.
    fn declare(&mut self, node: Node<'_>) -> u32 {
        let name = self.name_of(node);
        self.local(&name);
        self.slot(&name)
    }

    fn local(&mut self, name: &Name) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.locals.insert(Arc::clone(name));
        }
    }

    /// Whether this function or one around it has bound a name.
    fn is_local(&self, name: &Name) -> bool {
        self.scopes.iter().any(|scope| scope.locals.contains(name))
    }

    fn variable(&mut self, node: Node<'_>) -> Expr {
        let slot = self.slot_of(node);
        Expr::new(at(node), ExprKind::Name(slot))
    }

    /// A name that the code does not say.
    fn named(&mut self, node: Node<'_>, name: &str) -> Expr {
        let slot = self.slot(&Arc::from(name));
        Expr::new(at(node), ExprKind::Name(slot))
    }

    /// Lowers something one level deeper; too deep, it is unknown.
    fn nested<T>(&mut self, deep: T, lower: impl FnOnce(&mut Self) -> T) -> T {
        if self.depth >= DEEPEST {
            return deep;
        }
        self.depth += 1;
        let lowered = lower(self);
        self.depth -= 1;
        lowered
    }

    /// Lowers the inside of a function in a scope of its own.
    fn function(
        &mut self,
        node: Node<'_>,
        name: Name,
        inside: impl FnOnce(&mut Self, &mut Function),
    ) -> Arc<Function> {
        self.scopes.push(Scope::default());
        let mut function =
            Function { name: Name0(name), at: at(node), file: self.file, ..Function::default() };
        inside(self, &mut function);
        let scope = self.scopes.pop().unwrap_or_default();
        for (slot, name) in (0..).zip(&scope.list) {
            if !scope.locals.contains(name) && self.is_local(name) {
                self.slot(name);
                function.shares.push(slot);
            }
        }
        if let Some(around) = self.scopes.last_mut() {
            around.matters |= scope.matters;
        }
        function.matters = scope.matters;
        function.names = scope.list;
        Arc::new(function)
    }

    fn parameter(&mut self, node: Node<'_>) -> Parameter {
        let name = self.name_of(node);
        let slot = self.slot(&name);
        Parameter { slot, name, ty: None, marks: Vec::new(), default: None, rest: false }
    }
}

/// The place of a node.
fn at(node: Node<'_>) -> At {
    let byte = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    At { start: byte(node.start_byte()), end: byte(node.end_byte()) }
}

/// The named children of a node apart from comments.
fn children<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|child| !child.kind().ends_with("comment")).collect()
}

/// The children under a field.
fn fields<'t>(node: Node<'t>, field: &str) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.children_by_field_name(field, &mut cursor).collect()
}

/// The children of a node as expressions.
fn all<'s>(b: &mut Builder<'s>, node: Node<'_>, expr: fn(&mut Builder<'s>, Node<'_>) -> Expr) -> Vec<Expr> {
    children(node).into_iter().map(|child| expr(b, child)).collect()
}

/// A statement whose value goes there.
fn give(node: Node<'_>, value: Expr, gives: Gives) -> Stmt {
    match gives {
        Gives::Nothing => Stmt::Expr(value),
        Gives::Return => Stmt::Return(Some(value), at(node)),
        Gives::To(slot) => Stmt::Expr(assign(node, Expr::new(at(node), ExprKind::Name(slot)), value)),
    }
}

/// A plain assignment.
fn assign(node: Node<'_>, target: Expr, value: Expr) -> Expr {
    Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op: None, ty: None })))
}

/// A call of a function by a name that the models know.
fn call(b: &mut Builder<'_>, node: Node<'_>, name: &'static str, args: Vec<Expr>) -> Expr {
    b.name(name);
    let callee = b.named(node, name);
    let args = args.into_iter().map(|value| Arg { name: None, value }).collect();
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new: false })))
}

fn opaque(node: Node<'_>, parts: Vec<Expr>) -> Expr {
    Expr::new(at(node), ExprKind::Opaque(parts))
}

fn constant(node: Node<'_>, constant: Const) -> Expr {
    Expr::new(at(node), ExprKind::Const(constant))
}

/// A whole number as languages write it.
fn integer(text: &str) -> Option<i64> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let text = text.trim_end_matches(['l', 'n']);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return i64::from_str_radix(digits, radix).ok();
        }
    }
    text.parse().ok()
}

/// A text with its escapes resolved, as far as they are the common ones.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('0') => plain.push('\0'),
            Some('\n') | None => {}
            Some(other) => plain.push(other),
        }
    }
    plain
}

/// A text without its quotes.
fn unquoted(text: &str) -> &str {
    let mut chars = text.chars();
    match (chars.next(), chars.next_back()) {
        (Some(open @ ('"' | '\'' | '`')), Some(close)) if open == close => chars.as_str(),
        _ => text,
    }
}

/// Statements that are one expression each.
fn expressions(exprs: Vec<Expr>) -> Vec<Stmt> {
    exprs.into_iter().map(Stmt::Expr).collect()
}
