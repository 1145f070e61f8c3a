//! Python to the intermediate form.

use std::sync::Arc;

use tree_sitter::Node;

use super::{Builder, at, children, constant, expressions, fields, integer, opaque, unescape};
use crate::analysis::flow::ir::{
    Arg, Arm, Assign, Call, Class, Comprehension, Const, Expr, ExprKind, Function, Handler, Name, Op,
    Parameter, Stmt,
};

pub(super) fn module(b: &mut Builder<'_>, root: Node<'_>) -> Vec<Stmt> {
    block(b, root)
}

fn block(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    b.nested(Vec::new(), |b| children(node).into_iter().flat_map(|child| stmt(b, child)).collect())
}

fn body(b: &mut Builder<'_>, node: Node<'_>, field: &str) -> Vec<Stmt> {
    node.child_by_field_name(field).map(|inner| block(b, inner)).unwrap_or_default()
}

fn stmt(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let one = match node.kind() {
        "expression_statement" => {
            return expressions(children(node).into_iter().map(|child| expr(b, child)).collect());
        }
        "return_statement" => Stmt::Return(children(node).first().map(|value| expr(b, *value)), at(node)),
        "raise_statement" => Stmt::Throw(children(node).first().map(|value| expr(b, *value))),
        "break_statement" => Stmt::Break,
        "continue_statement" => Stmt::Continue,
        "if_statement" => return if_statement(b, node),
        "while_statement" => while_statement(b, node),
        "for_statement" => for_statement(b, node),
        "try_statement" => try_statement(b, node),
        "with_statement" => with_statement(b, node),
        "match_statement" => match_statement(b, node),
        "function_definition" => function(b, node, Vec::new()),
        "class_definition" => class(b, node),
        "decorated_definition" => decorated(b, node),
        "import_statement" | "import_from_statement" | "future_import_statement" => return import(b, node),
        "assert_statement" | "delete_statement" | "print_statement" | "exec_statement" => {
            let parts = children(node).into_iter().map(|child| expr(b, child)).collect();
            Stmt::Expr(opaque(node, parts))
        }
        "block" | "module" | "ERROR" => Stmt::Block(block(b, node)),
        "global_statement" | "nonlocal_statement" | "pass_statement" => return Vec::new(),
        _ => Stmt::Expr(expr(b, node)),
    };
    vec![one]
}

fn if_statement(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let cond = field(b, node, "condition");
    let then = body(b, node, "consequence");
    let mut other = Vec::new();
    for alternative in fields(node, "alternative").into_iter().rev() {
        if alternative.kind() == "elif_clause" {
            let cond = field(b, alternative, "condition");
            let then = body(b, alternative, "consequence");
            other = vec![Stmt::If { cond, then, other: std::mem::take(&mut other) }];
        } else {
            other = body(b, alternative, "body");
        }
    }
    vec![Stmt::If { cond, then, other }]
}

fn while_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let cond = field(b, node, "condition");
    let forever = matches!(cond.kind, ExprKind::Const(Const::Bool(true) | Const::Int(1)));
    let inner = body(b, node, "body");
    let last = node.child_by_field_name("alternative").map(|last| body(b, last, "body")).unwrap_or_default();
    let cond = (!forever).then_some(cond);
    let mut all = vec![Stmt::While { cond, body: inner, step: Vec::new(), first_round: false }];
    all.extend(last);
    Stmt::Block(all)
}

fn for_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let items = field(b, node, "right");
    let target = field(b, node, "left");
    let inner = body(b, node, "body");
    let mut all = vec![Stmt::Each { target, items, ty: None, body: inner }];
    if let Some(last) = node.child_by_field_name("alternative") {
        all.extend(body(b, last, "body"));
    }
    Stmt::Block(all)
}

fn try_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let mut inner = body(b, node, "body");
    let (mut handlers, mut last) = (Vec::new(), Vec::new());
    for clause in children(node) {
        let Some(block_node) = children(clause).into_iter().rev().find(|child| child.kind() == "block")
        else {
            continue;
        };
        match clause.kind() {
            "except_clause" | "except_group_clause" => {
                handlers.push(Handler { body: block(b, block_node) });
            }
            "else_clause" => inner.extend(block(b, block_node)),
            "finally_clause" => last = block(b, block_node),
            _ => {}
        }
    }
    Stmt::Try { body: inner, handlers, last }
}

fn with_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let mut all = Vec::new();
    for clause in children(node).into_iter().filter(|child| child.kind() == "with_clause") {
        for item in children(clause) {
            if let Some(value) = item.child_by_field_name("value") {
                all.push(Stmt::Expr(expr(b, value)));
            }
        }
    }
    all.extend(body(b, node, "body"));
    Stmt::Block(all)
}

fn match_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let subject = field(b, node, "subject");
    let mut arms = Vec::new();
    let cases = node.child_by_field_name("body").map(children).unwrap_or_default();
    for case in cases.into_iter().filter(|case| case.kind() == "case_clause") {
        let guard = case.child_by_field_name("guard");
        let mut patterns = Vec::new();
        let mut is_default = false;
        for pattern in children(case).into_iter().filter(|child| child.kind() == "case_pattern") {
            is_default |= guard.is_none() && b.text(pattern) == "_";
            pattern_constants(b, pattern, &mut patterns);
        }
        if guard.is_some() {
            patterns.push(opaque(case, Vec::new()));
        }
        let inner = body(b, case, "consequence");
        arms.push(Arm { patterns: if is_default { Vec::new() } else { patterns }, is_default, body: inner });
    }
    Stmt::Switch { subject, arms, falls_through: false }
}

/// `'C' | 'D'` is two constants; anything that is no constant may fit.
fn pattern_constants(b: &mut Builder<'_>, node: Node<'_>, patterns: &mut Vec<Expr>) {
    let inner = children(node);
    match (node.kind(), inner.as_slice()) {
        ("case_pattern" | "union_pattern", [_, ..]) => {
            inner.into_iter().for_each(|child| pattern_constants(b, child, patterns));
        }
        ("string" | "integer" | "concatenated_string" | "true" | "false" | "none", _) => {
            patterns.push(expr(b, node));
        }
        _ => patterns.push(opaque(node, Vec::new())),
    }
}

fn import(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let module = node.child_by_field_name("module_name").map(|name| absolute(b, name));
    let mut all = Vec::new();
    if let Some(module) = &module {
        b.imports.push(Arc::clone(module));
    }
    for name in fields(node, "name") {
        let (path, alias) = match name.kind() {
            "aliased_import" => (name.child_by_field_name("name"), name.child_by_field_name("alias")),
            _ => (Some(name), None),
        };
        let Some(path) = path else { continue };
        let said = b.text(path);
        let whole: Name = match &module {
            Some(module) => Arc::from(format!("{module}.{said}")),
            None => Arc::from(said),
        };
        b.imports.push(Arc::clone(&whole));
        let stmt = match (alias, &module) {
            (Some(alias), _) => Stmt::Import(b.slot_of(alias), whole),
            (None, Some(_)) => Stmt::Import(b.slot_of(path), whole),
            // `import a.b` binds `a`.
            (None, None) => {
                let first = b.name(said.split('.').next().unwrap_or(said));
                Stmt::Import(b.slot(&first), first)
            }
        };
        all.push(stmt);
    }
    all
}

/// The module that `from x import` names; dots in front are resolved by the file's own path.
fn absolute(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node);
    let dots = text.len() - text.trim_start_matches('.').len();
    if dots == 0 {
        return b.name(text);
    }
    let mut folders: Vec<&str> = b.path.split('/').collect();
    folders.truncate(folders.len().saturating_sub(dots));
    let rest = text.trim_start_matches('.');
    if !rest.is_empty() {
        folders.push(rest);
    }
    Arc::from(folders.join("."))
}

fn decorated(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let decorators = children(node)
        .into_iter()
        .filter(|child| child.kind() == "decorator")
        .filter_map(|child| children(child).first().copied())
        .collect();
    match node.child_by_field_name("definition") {
        Some(definition) if definition.kind() == "function_definition" => function(b, definition, decorators),
        Some(definition) => class(b, definition),
        None => Stmt::Block(Vec::new()),
    }
}

fn function(b: &mut Builder<'_>, node: Node<'_>, decorators: Vec<Node<'_>>) -> Stmt {
    let Some(name) = node.child_by_field_name("name") else { return Stmt::Block(Vec::new()) };
    let slot = b.slot_of(name);
    Stmt::Function(slot, lower_function(b, node, decorators, false))
}

fn lower_function(
    b: &mut Builder<'_>,
    node: Node<'_>,
    decorators: Vec<Node<'_>>,
    method: bool,
) -> Arc<Function> {
    let name = match node.child_by_field_name("name") {
        Some(name) => b.name_of(name),
        None => Arc::from("lambda"),
    };
    let is_static = decorators.iter().any(|decorator| b.text(*decorator) == "staticmethod");
    b.function(node, name, |b, function| {
        if let Some(parameters) = node.child_by_field_name("parameters") {
            function.parameters = children(parameters).into_iter().filter_map(|p| parameter(b, p)).collect();
        }
        function.takes_this = method && !is_static;
        function.is_static = is_static;
        function.returns = node.child_by_field_name("return_type").map(|ty| type_name(b, ty));
        function.decorators = decorators.into_iter().map(|decorator| expr(b, decorator)).collect();
        if let Some(inner) = node.child_by_field_name("body") {
            function.body = match inner.kind() {
                "block" => block(b, inner),
                _ => vec![Stmt::Return(Some(expr(b, inner)), at(inner))],
            };
        }
    })
}

fn parameter(b: &mut Builder<'_>, node: Node<'_>) -> Option<Parameter> {
    let first = || children(node).first().copied();
    Some(match node.kind() {
        "identifier" => b.parameter(node),
        "typed_parameter" => {
            let mut parameter = b.parameter(first()?);
            parameter.ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
            parameter
        }
        "default_parameter" | "typed_default_parameter" => {
            let mut parameter = b.parameter(node.child_by_field_name("name")?);
            parameter.ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
            parameter.default = node.child_by_field_name("value").map(|value| expr(b, value));
            parameter
        }
        "list_splat_pattern" => {
            let mut parameter = b.parameter(first()?);
            parameter.rest = true;
            parameter
        }
        "dictionary_splat_pattern" => b.parameter(first()?),
        _ => return None,
    })
}

/// The name of a type, without what it is a container of.
fn type_name(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node);
    let text = text.split(['[', '|']).next().unwrap_or(text).trim().trim_matches(['"', '\'']);
    b.name(text)
}

fn class(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let Some(name_node) = node.child_by_field_name("name") else { return Stmt::Block(Vec::new()) };
    let (slot, name) = (b.slot_of(name_node), b.name_of(name_node));
    let bases = node.child_by_field_name("superclasses").map(children).unwrap_or_default();
    let bases = bases.into_iter().map(|base| {
        let text = b.text(base);
        b.name(text.rsplit('.').next().unwrap_or(text))
    });
    let bases = bases.collect();
    let (mut methods, mut members) = (Vec::new(), Vec::new());
    let setup = b.function(node, Arc::clone(&name), |b, _| {
        for child in node.child_by_field_name("body").map(children).unwrap_or_default() {
            let definition = child.child_by_field_name("definition").unwrap_or(child);
            match definition.kind() {
                "function_definition" => {
                    let decorators = children(child)
                        .into_iter()
                        .filter(|inner| inner.kind() == "decorator")
                        .filter_map(|inner| children(inner).first().copied())
                        .collect();
                    methods.push(lower_function(b, definition, decorators, true));
                }
                "expression_statement" => {
                    for assignment in children(definition).into_iter().filter(|a| a.kind() == "assignment") {
                        let Some(left) = assignment.child_by_field_name("left") else { continue };
                        let value = assignment.child_by_field_name("right").map(|value| expr(b, value));
                        let ty = assignment.child_by_field_name("type").map(|ty| type_name(b, ty));
                        members.push((b.name_of(left), value, ty));
                    }
                }
                "class_definition" => {
                    class(b, definition);
                }
                _ => {}
            }
        }
    });
    let setup = Function { names: setup.names.clone(), ..Function::default() };
    let class =
        Arc::new(Class { name, bases, methods, fields: members, setup, inner: Vec::new(), file: b.file });
    b.classes.push(Arc::clone(&class));
    Stmt::Class(slot, class)
}

fn field(b: &mut Builder<'_>, node: Node<'_>, name: &str) -> Expr {
    match node.child_by_field_name(name) {
        Some(inner) => expr(b, inner),
        None => opaque(node, Vec::new()),
    }
}

fn boxed(b: &mut Builder<'_>, node: Node<'_>, name: &str) -> Box<Expr> {
    Box::new(field(b, node, name))
}

fn all(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Expr> {
    children(node).into_iter().map(|child| expr(b, child)).collect()
}

pub(super) fn expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    b.nested(opaque(node, Vec::new()), |b| lower_expr(b, node))
}

#[expect(clippy::too_many_lines, reason = "an arm for each kind of node")]
fn lower_expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let kind = match node.kind() {
        "identifier" => return b.variable(node),
        "attribute" => {
            let name = node
                .child_by_field_name("attribute")
                .map(|name| b.name_of(name))
                .unwrap_or_else(|| Arc::from(""));
            ExprKind::Field(boxed(b, node, "object"), name)
        }
        "call" => return call(b, node),
        "subscript" => return subscript(b, node),
        "string" => return string(b, node),
        "concatenated_string" => ExprKind::Concat(all(b, node)),
        "integer" => {
            return integer(b.text(node))
                .map_or_else(|| opaque(node, Vec::new()), |n| constant(node, Const::Int(n)));
        }
        "true" => ExprKind::Const(Const::Bool(true)),
        "false" => ExprKind::Const(Const::Bool(false)),
        "none" => ExprKind::Const(Const::Null),
        "parenthesized_expression" | "await" | "type" | "list_splat" | "expression_list_item" => {
            match children(node).first() {
                Some(inner) => return expr(b, *inner),
                None => ExprKind::Opaque(Vec::new()),
            }
        }
        "binary_operator" => {
            let op = node.child_by_field_name("operator").map_or("", |op| op.kind());
            ExprKind::Binary(operator(op), boxed(b, node, "left"), boxed(b, node, "right"))
        }
        "unary_operator" => return unary(b, node),
        "comparison_operator" => return comparison(b, node),
        "boolean_operator" => {
            let (left, right) = (boxed(b, node, "left"), boxed(b, node, "right"));
            match node.child_by_field_name("operator").map(|op| op.kind()) {
                Some("and") => ExprKind::And(left, right),
                _ => ExprKind::Or(left, right),
            }
        }
        "not_operator" => ExprKind::Not(boxed(b, node, "argument")),
        "conditional_expression" => {
            let parts = children(node);
            match parts.as_slice() {
                [yes, cond, no] => ExprKind::Cond(Box::new([expr(b, *cond), expr(b, *yes), expr(b, *no)])),
                _ => ExprKind::Opaque(all(b, node)),
            }
        }
        "list" | "tuple" | "set" | "expression_list" | "pattern_list" | "tuple_pattern" | "list_pattern" => {
            ExprKind::List(all(b, node))
        }
        "dictionary" => dictionary(b, node),
        "list_comprehension" | "set_comprehension" | "generator_expression" | "dictionary_comprehension" => {
            comprehension(b, node)
        }
        "lambda" => {
            let function = lower_function(b, node, Vec::new(), false);
            ExprKind::Lambda(function)
        }
        "assignment" | "augmented_assignment" | "named_expression" => return assignment(b, node),
        "as_pattern" => return as_pattern(b, node),
        "keyword_argument" => return field(b, node, "value"),
        _ => ExprKind::Opaque(all(b, node)),
    };
    Expr::new(at(node), kind)
}

fn assignment(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let (left, right) = match node.kind() {
        "named_expression" => ("name", "value"),
        _ => ("left", "right"),
    };
    if node.child_by_field_name(right).is_none() {
        return opaque(node, Vec::new());
    }
    let value = field(b, node, right);
    let target = field(b, node, left);
    let op = match node.kind() {
        "augmented_assignment" => {
            node.child_by_field_name("operator").map(|op| operator(op.kind().trim_end_matches('=')))
        }
        _ => None,
    };
    let ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
    Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op, ty })))
}

/// `value as name`, in `with` and `except`.
fn as_pattern(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = match children(node).first() {
        Some(value) => expr(b, *value),
        None => return opaque(node, Vec::new()),
    };
    let alias = node.child_by_field_name("alias").and_then(|alias| children(alias).first().copied());
    match alias {
        Some(alias) => {
            let target = expr(b, alias);
            Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op: None, ty: None })))
        }
        None => value,
    }
}

fn call(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let callee = field(b, node, "function");
    let mut args = Vec::new();
    if let Some(list) = node.child_by_field_name("arguments") {
        if list.kind() == "generator_expression" {
            args.push(Arg { name: None, value: expr(b, list) });
        } else {
            for child in children(list) {
                let name = child.child_by_field_name("name").filter(|_| child.kind() == "keyword_argument");
                let name = name.map(|name| b.name_of(name));
                args.push(Arg { name, value: expr(b, child) });
            }
        }
    }
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new: false })))
}

fn subscript(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let base = boxed(b, node, "value");
    let keys = fields(node, "subscript");
    let kind = match keys.as_slice() {
        [slice] if slice.kind() == "slice" => {
            let (mut bounds, mut part) = ([None, None, None], 0);
            let mut cursor = slice.walk();
            for child in slice.children(&mut cursor) {
                if child.kind() == ":" {
                    part += 1;
                } else if child.is_named() && part < 3 {
                    bounds[part] = Some(Box::new(expr(b, child)));
                }
            }
            let [from, to, _] = bounds;
            ExprKind::Slice(base, from, to)
        }
        [key] => ExprKind::Index(base, Box::new(expr(b, *key))),
        _ => ExprKind::Opaque(all(b, node)),
    };
    Expr::new(at(node), kind)
}

fn string(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let parts = children(node);
    let start = parts.first().map_or("", |start| b.text(*start)).to_ascii_lowercase();
    let raw = start.contains('r');
    let mut pieces = Vec::new();
    for part in &parts {
        match part.kind() {
            "string_content" => {
                let text = b.text(*part);
                let text = if raw { text.to_owned() } else { unescape(text) };
                let text =
                    if start.contains('f') { text.replace("{{", "{").replace("}}", "}") } else { text };
                pieces.push(constant(*part, Const::text(text)));
            }
            "interpolation" => {
                pieces.push(field(b, *part, "expression"));
            }
            _ => {}
        }
    }
    match pieces.len() {
        0 => constant(node, Const::text("")),
        1 if !start.contains('f') => Expr { at: at(node), ..pieces.remove(0) },
        _ => Expr::new(at(node), ExprKind::Concat(pieces)),
    }
}

fn unary(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "argument");
    match (b.text(node).starts_with('-'), &value.kind) {
        (true, ExprKind::Const(Const::Int(int))) => constant(node, Const::Int(int.wrapping_neg())),
        _ => opaque(node, vec![value]),
    }
}

fn comparison(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let operands = children(node);
    let mut cursor = node.walk();
    let operators: Vec<&str> =
        node.children_by_field_name("operators", &mut cursor).map(|op| op.kind()).collect();
    match (operands.as_slice(), operators.as_slice()) {
        ([left, right], [op]) => {
            let op = operator(op);
            let (left, right) = (Box::new(expr(b, *left)), Box::new(expr(b, *right)));
            Expr::new(at(node), ExprKind::Binary(op, left, right))
        }
        _ => opaque(node, all(b, node)),
    }
}

fn operator(text: &str) -> Op {
    match text {
        "+" => Op::Add,
        "-" => Op::Sub,
        "*" => Op::Mul,
        "/" => Op::Div,
        "//" => Op::FloorDiv,
        "%" => Op::Rem,
        "**" => Op::Power,
        "==" | "is" => Op::Eq,
        "!=" | "<>" | "is not" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        "in" => Op::In,
        "not in" => Op::NotIn,
        _ => Op::Other,
    }
}

fn dictionary(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let mut entries = Vec::new();
    for pair in children(node) {
        if pair.kind() == "pair" {
            entries.push((field(b, pair, "key"), field(b, pair, "value")));
        } else if let Some(inner) = children(pair).first() {
            entries.push((opaque(pair, Vec::new()), expr(b, *inner)));
        }
    }
    ExprKind::Map(entries)
}

fn comprehension(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let (mut loops, mut conditions) = (Vec::new(), Vec::new());
    for clause in children(node) {
        match clause.kind() {
            "for_in_clause" => {
                let items = field(b, clause, "right");
                loops.push((field(b, clause, "left"), items));
            }
            "if_clause" => conditions.extend(all(b, clause)),
            _ => {}
        }
    }
    let element = match node.child_by_field_name("body") {
        Some(pair) if pair.kind() == "pair" => {
            let parts = vec![field(b, pair, "key"), field(b, pair, "value")];
            Expr::new(at(pair), ExprKind::List(parts))
        }
        Some(inner) => expr(b, inner),
        None => opaque(node, Vec::new()),
    };
    ExprKind::Comprehension(Box::new(Comprehension { loops, conditions, element }))
}
