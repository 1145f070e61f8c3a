//! Ruby to the intermediate form.
//!
//! Everything gives a value, so statements are lowered with the place that their value goes to ([`Gives`]). A name
//! that nothing was bound to is a call. Blocks are functions that share the variables around them.

mod definitions;

use std::sync::Arc;

use tree_sitter::Node;

use super::{Builder, Gives, all, assign, at, call, children, constant, give, integer, opaque, unescape};
use crate::analysis::flow::ir::{Arg, Arm, Assign, Call, Const, Expr, ExprKind, Handler, Op, Stmt};
use definitions::{bare, block, class, last_name, method};

/// What a block is called among arguments and parameters.
const BLOCK: &str = "&block";

pub(super) fn module(b: &mut Builder<'_>, root: Node<'_>) -> Vec<Stmt> {
    body(b, children(root), Gives::Nothing)
}

/// Statements in order, of which the last gives the value; `rescue`, `else` and `ensure` may follow them.
fn body(b: &mut Builder<'_>, nodes: Vec<Node<'_>>, gives: Gives) -> Vec<Stmt> {
    let nodes = nodes.into_iter().filter(|node| node.kind() != "heredoc_body");
    let (clauses, nodes): (Vec<_>, Vec<_>) =
        nodes.partition(|node| matches!(node.kind(), "rescue" | "ensure" | "else"));
    let has_else = clauses.iter().any(|clause| clause.kind() == "else");
    let mut inner = sequence(b, nodes, if has_else { Gives::Nothing } else { gives });
    if clauses.is_empty() {
        return inner;
    }
    let (mut handlers, mut last) = (Vec::new(), Vec::new());
    for clause in clauses {
        match clause.kind() {
            "rescue" => {
                let then = clause.child_by_field_name("body").map(children).unwrap_or_default();
                handlers.push(Handler { body: body(b, then, gives) });
            }
            "else" => inner.extend(body(b, children(clause), gives)),
            _ => last = body(b, children(clause), Gives::Nothing),
        }
    }
    vec![Stmt::Try { body: inner, handlers, last }]
}

fn sequence(b: &mut Builder<'_>, nodes: Vec<Node<'_>>, gives: Gives) -> Vec<Stmt> {
    b.nested(Vec::new(), |b| {
        let last = nodes.len().saturating_sub(1);
        let mut all = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            all.extend(stmt(b, node, if index == last { gives } else { Gives::Nothing }));
        }
        all
    })
}

/// The statements of a branch; one that is missing gives nothing.
fn branch(b: &mut Builder<'_>, node: Node<'_>, name: &str, gives: Gives) -> Vec<Stmt> {
    match node.child_by_field_name(name) {
        Some(inner) if matches!(inner.kind(), "then" | "do" | "else" | "body_statement" | "block_body") => {
            body(b, children(inner), gives)
        }
        Some(inner) => sequence(b, vec![inner], gives),
        None => match gives {
            Gives::Nothing => Vec::new(),
            _ => vec![give(node, constant(node, Const::Null), gives)],
        },
    }
}

fn stmt(b: &mut Builder<'_>, node: Node<'_>, gives: Gives) -> Vec<Stmt> {
    let one = match node.kind() {
        "if" | "elsif" | "if_modifier" | "unless" | "unless_modifier" => {
            let cond = field(b, node, "condition");
            let is_unless = node.kind().starts_with("unless");
            let cond = if is_unless { Expr::new(at(node), ExprKind::Not(Box::new(cond))) } else { cond };
            let then = if node.kind().ends_with("modifier") { "body" } else { "consequence" };
            let then = branch(b, node, then, gives);
            Stmt::If { cond, then, other: branch(b, node, "alternative", gives) }
        }
        "while" | "until" | "while_modifier" | "until_modifier" => {
            let cond = field(b, node, "condition");
            let forever = matches!(cond.kind, ExprKind::Const(Const::Bool(true)));
            let is_until = node.kind().starts_with("until");
            let cond = if is_until { Expr::new(at(node), ExprKind::Not(Box::new(cond))) } else { cond };
            let body = branch(b, node, "body", Gives::Nothing);
            Stmt::While { cond: (!forever).then_some(cond), body, step: Vec::new(), first_round: false }
        }
        "for" => {
            let items = node.child_by_field_name("value").and_then(|value| children(value).first().copied());
            let items = items.map_or_else(|| opaque(node, Vec::new()), |items| expr(b, items));
            let target = node.child_by_field_name("pattern").map(|pattern| target(b, pattern));
            let target = target.unwrap_or_else(|| opaque(node, Vec::new()));
            Stmt::Each { target, items, ty: None, body: branch(b, node, "body", Gives::Nothing) }
        }
        "case" => case(b, node, gives),
        "case_match" => case_match(b, node, gives),
        "begin" | "parenthesized_statements" | "ERROR" | "begin_block" | "block_body" => {
            Stmt::Block(body(b, children(node), gives))
        }
        "return" => Stmt::Return(given(b, node), at(node)),
        "next" | "break" | "redo" | "retry" => leave(b, node),
        "method" | "singleton_method" => match node.child_by_field_name("name") {
            Some(name) => Stmt::Function(b.slot_of(name), method(b, node)),
            None => return Vec::new(),
        },
        "class" | "module" | "singleton_class" => return class(b, node),
        "alias" | "undef" | "empty_statement" | "comment" => return Vec::new(),
        _ => give(node, expr(b, node), gives),
    };
    vec![one]
}

/// What `return`, `next` and `break` give: one value as it is, several as a list.
fn given(b: &mut Builder<'_>, node: Node<'_>) -> Option<Expr> {
    let list = *children(node).first()?;
    let mut values = all(b, list, expr);
    match values.len() {
        0 => None,
        1 => values.pop(),
        _ => Some(Expr::new(at(node), ExprKind::List(values))),
    }
}

/// `next` and `break` leave the loop or the block around them, whichever is nearer.
fn leave(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let mut around = node.parent();
    while let Some(outer) = around {
        match outer.kind() {
            "do_block" | "block" | "method" | "lambda" => break,
            "while" | "until" | "for" | "while_modifier" | "until_modifier" => {
                return if node.kind() == "break" { Stmt::Break } else { Stmt::Continue };
            }
            _ => around = outer.parent(),
        }
    }
    Stmt::Return(given(b, node), at(node))
}

fn case(b: &mut Builder<'_>, node: Node<'_>, gives: Gives) -> Stmt {
    let subject = node.child_by_field_name("value").map(|value| expr(b, value));
    let (mut arms, mut chain, mut other) = (Vec::new(), Vec::new(), None);
    for clause in children(node) {
        match clause.kind() {
            "when" => {
                let patterns: Vec<Expr> = children(clause)
                    .into_iter()
                    .filter(|child| child.kind() == "pattern")
                    .flat_map(|pattern| all(b, pattern, expr))
                    .collect();
                let body = branch(b, clause, "body", gives);
                if subject.is_some() {
                    arms.push(Arm { patterns, is_default: false, body });
                } else {
                    let either = |x, y| Expr::new(at(clause), ExprKind::Or(Box::new(x), Box::new(y)));
                    chain.extend(patterns.into_iter().reduce(either).map(|cond| (cond, body)));
                }
            }
            "else" => other = Some(body(b, children(clause), gives)),
            _ => {}
        }
    }
    let other = other.unwrap_or_else(|| branch(b, node, "alternative", gives));
    match subject {
        Some(subject) => {
            arms.push(Arm { patterns: Vec::new(), is_default: true, body: other });
            Stmt::Switch { subject, arms, falls_through: false }
        }
        None => Stmt::Block(
            chain.into_iter().rev().fold(other, |other, (cond, then)| vec![Stmt::If { cond, then, other }]),
        ),
    }
}

/// `case … in`: every name in a pattern may be anything that the subject holds.
fn case_match(b: &mut Builder<'_>, node: Node<'_>, gives: Gives) -> Stmt {
    let subject = field(b, node, "value");
    let slot = b.slot(&Arc::from(format!("case {}", node.start_byte())));
    let held = |node: Node<'_>| Expr::new(at(node), ExprKind::Name(slot));
    let mut arms = Vec::new();
    for clause in children(node).into_iter().filter(|child| child.kind() == "in_clause") {
        let mut body = Vec::new();
        let mut patterns: Vec<Node<'_>> = clause.child_by_field_name("pattern").into_iter().collect();
        while let Some(pattern) = patterns.pop() {
            if pattern.kind() == "identifier" {
                let target = target(b, pattern);
                body.push(Stmt::Expr(assign(pattern, target, held(pattern))));
            }
            patterns.extend(children(pattern));
        }
        body.extend(branch(b, clause, "body", gives));
        arms.push(Arm { patterns: vec![opaque(clause, Vec::new())], is_default: false, body });
    }
    let subject = assign(node, held(node), subject);
    Stmt::Switch { subject, arms, falls_through: false }
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

fn expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    b.nested(opaque(node, Vec::new()), |b| lower_expr(b, node))
}

#[expect(clippy::too_many_lines, reason = "an arm for each kind of node")]
fn lower_expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let kind = match node.kind() {
        "identifier" => {
            let name = b.name_of(node);
            if b.is_local(&name) {
                ExprKind::Name(b.slot(&name))
            } else {
                let callee = Expr::new(at(node), ExprKind::Name(b.slot(&name)));
                ExprKind::Call(Box::new(Call { callee, args: Vec::new(), is_new: false }))
            }
        }
        "constant" => {
            let name = last_name(b, node);
            ExprKind::Name(b.slot(&name))
        }
        "scope_resolution" => match node.child_by_field_name("scope") {
            Some(scope) => {
                let base = Box::new(expr(b, scope));
                let name = node.child_by_field_name("name").map(|name| last_name(b, name));
                ExprKind::Field(base, name.unwrap_or_else(|| Arc::from("")))
            }
            None => return field(b, node, "name"),
        },
        "instance_variable" | "class_variable" => {
            let this = Box::new(Expr::new(at(node), ExprKind::This));
            ExprKind::Field(this, bare(b, node))
        }
        "global_variable" => return b.variable(node),
        "self" => ExprKind::This,
        "nil" => ExprKind::Const(Const::Null),
        "true" => ExprKind::Const(Const::Bool(true)),
        "false" => ExprKind::Const(Const::Bool(false)),
        "integer" => match integer(b.text(node)) {
            Some(int) => ExprKind::Const(Const::Int(int)),
            None => ExprKind::Opaque(Vec::new()),
        },
        "simple_symbol" | "hash_key_symbol" => ExprKind::Const(Const::Str(bare(b, node))),
        "string" | "bare_string" | "bare_symbol" | "delimited_symbol" | "chained_string" => text(b, node),
        "heredoc_beginning" => match heredoc(node) {
            Some(body) => text(b, body),
            None => ExprKind::Const(Const::text("")),
        },
        "subshell" => {
            let command = Expr::new(at(node), text(b, node));
            return call(b, node, "system", vec![command]);
        }
        "array" | "string_array" | "symbol_array" | "right_assignment_list" => {
            ExprKind::List(all(b, node, expr))
        }
        "hash" => hash(b, node),
        "call" => return any_call(b, node),
        "element_reference" => element(b, node),
        "assignment" | "operator_assignment" => return assignment(b, node),
        "binary" => return binary(b, node),
        "unary" => return unary(b, node),
        "conditional" => ExprKind::Cond(Box::new([
            field(b, node, "condition"),
            field(b, node, "consequence"),
            field(b, node, "alternative"),
        ])),
        "lambda" => match node.child_by_field_name("body") {
            Some(inner) => ExprKind::Lambda(block(b, inner, node)),
            None => ExprKind::Opaque(Vec::new()),
        },
        "yield" => {
            let args = children(node).into_iter().flat_map(|list| all(b, list, expr)).collect();
            return call(b, node, BLOCK, args);
        }
        "rescue_modifier" => ExprKind::Or(boxed(b, node, "body"), boxed(b, node, "handler")),
        "splat_argument" | "hash_splat_argument" | "block_argument" | "pattern" | "interpolation" => {
            match children(node).first() {
                Some(inner) => return expr(b, *inner),
                None => ExprKind::Opaque(Vec::new()),
            }
        }
        "parenthesized_statements" if children(node).len() == 1 => return expr(b, children(node)[0]),
        "if"
        | "unless"
        | "elsif"
        | "case"
        | "case_match"
        | "begin"
        | "parenthesized_statements"
        | "if_modifier"
        | "unless_modifier"
        | "while"
        | "until"
        | "for"
        | "return"
        | "next"
        | "break"
        | "method"
        | "class"
        | "module"
        | "ERROR" => {
            let slot = b.slot(&Arc::from(format!("value {}", node.start_byte())));
            let inner = stmt(b, node, Gives::To(slot));
            ExprKind::Do(inner, Box::new(Expr::new(at(node), ExprKind::Name(slot))))
        }
        _ => ExprKind::Opaque(all(b, node, expr)),
    };
    Expr::new(at(node), kind)
}

/// Text and what is put into it.
fn text(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let mut pieces = Vec::new();
    for part in children(node) {
        match part.kind() {
            "string_content" | "heredoc_content" => pieces.push(constant(part, Const::text(b.text(part)))),
            "escape_sequence" => pieces.push(constant(part, Const::text(unescape(b.text(part))))),
            "heredoc_end" => {}
            "interpolation" => pieces.extend(all(b, part, expr)),
            _ => pieces.push(expr(b, part)),
        }
    }
    match pieces.as_slice() {
        [Expr { kind: ExprKind::Const(constant), .. }] => ExprKind::Const(constant.clone()),
        _ => ExprKind::Concat(pieces),
    }
}

/// The text that belongs to `<<NAME`: the next one behind the line.
fn heredoc(node: Node<'_>) -> Option<Node<'_>> {
    let mut inner = node;
    while let Some(outer) = inner.parent() {
        let mut next = inner.next_named_sibling();
        while let Some(sibling) = next {
            if sibling.kind() == "heredoc_body" {
                return Some(sibling);
            }
            if sibling.start_position().row > node.end_position().row {
                break;
            }
            next = sibling.next_named_sibling();
        }
        inner = outer;
    }
    None
}

fn hash(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let mut entries = Vec::new();
    for pair in children(node) {
        match pair.child_by_field_name("key") {
            Some(key) => entries.push((expr(b, key), pair_value(b, pair, key))),
            None => entries.push((opaque(pair, Vec::new()), expr(b, pair))),
        }
    }
    ExprKind::Map(entries)
}

/// `{ name: }` means the variable or method of this name.
fn pair_value(b: &mut Builder<'_>, pair: Node<'_>, key: Node<'_>) -> Expr {
    match pair.child_by_field_name("value") {
        Some(value) => expr(b, value),
        None => {
            let slot = b.slot_of(key);
            Expr::new(at(key), ExprKind::Name(slot))
        }
    }
}

fn element(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let base = node.child_by_field_name("object");
    let mut keys: Vec<_> = children(node).into_iter().filter(|child| Some(*child) != base).collect();
    let base = boxed(b, node, "object");
    match keys.as_slice() {
        [key] if key.kind() != "range" => ExprKind::Index(base, Box::new(expr(b, *key))),
        _ => {
            let args = keys.drain(..).map(|key| Arg { name: None, value: expr(b, key) }).collect();
            let callee = Expr::new(at(node), ExprKind::Field(base, Arc::from("slice")));
            ExprKind::Call(Box::new(Call { callee, args, is_new: false }))
        }
    }
}

/// What stands on the left: names are bound from here on.
fn target(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    match node.kind() {
        "identifier" => {
            let name = b.name_of(node);
            if !b.is_local(&name) {
                b.local(&name);
            }
            b.variable(node)
        }
        "left_assignment_list" | "destructured_left_assignment" | "destructured_parameter" => {
            let targets = children(node).into_iter().map(|part| target(b, part)).collect();
            Expr::new(at(node), ExprKind::List(targets))
        }
        "rest_assignment" | "splat_parameter" => match children(node).first() {
            Some(inner) => target(b, *inner),
            None => opaque(node, Vec::new()),
        },
        "call" => match (node.child_by_field_name("receiver"), node.child_by_field_name("method")) {
            (Some(base), Some(name)) => {
                let base = Box::new(expr(b, base));
                Expr::new(at(node), ExprKind::Field(base, b.name_of(name)))
            }
            _ => opaque(node, Vec::new()),
        },
        _ => expr(b, node),
    }
}

fn assignment(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "right");
    let Some(left) = node.child_by_field_name("left") else { return value };
    let op = node.child_by_field_name("operator").map(|op| op.kind().trim_end_matches('='));
    match op.filter(|_| node.kind() == "operator_assignment") {
        Some("||") => {
            let target = target(b, left);
            let value = ExprKind::Or(Box::new(expr(b, left)), Box::new(value));
            assign(node, target, Expr::new(at(node), value))
        }
        Some("&&") => assign(node, target(b, left), value),
        op => {
            let op = op.map(operator);
            let target = target(b, left);
            Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op, ty: None })))
        }
    }
}

fn binary(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let (left, right) = (boxed(b, node, "left"), boxed(b, node, "right"));
    let method = |base: Box<Expr>, name: &str, arg: Expr| {
        let callee = Expr::new(at(node), ExprKind::Field(base, Arc::from(name)));
        let args = vec![Arg { name: None, value: arg }];
        Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new: false })))
    };
    let kind = match node.child_by_field_name("operator").map_or("", |op| op.kind()) {
        "&&" | "and" => ExprKind::And(left, right),
        "||" | "or" => ExprKind::Or(left, right),
        "<<" => return method(left, "<<", *right),
        "=~" => return method(left, "match?", *right),
        "!~" => ExprKind::Not(Box::new(method(left, "match?", *right))),
        op => ExprKind::Binary(operator(op), left, right),
    };
    Expr::new(at(node), kind)
}

fn unary(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "operand");
    match (node.child_by_field_name("operator").map_or("", |op| op.kind()), &value.kind) {
        ("!" | "not", _) => Expr::new(at(node), ExprKind::Not(Box::new(value))),
        ("-", ExprKind::Const(Const::Int(int))) => constant(node, Const::Int(int.wrapping_neg())),
        _ => opaque(node, vec![value]),
    }
}

fn arguments(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Arg> {
    let mut args = Vec::new();
    for arg in node.child_by_field_name("arguments").map(children).unwrap_or_default() {
        let (name, value) = match (arg.kind(), arg.child_by_field_name("key")) {
            ("pair", Some(key)) if matches!(key.kind(), "hash_key_symbol" | "simple_symbol" | "string") => {
                (Some(bare(b, key)), pair_value(b, arg, key))
            }
            ("pair", _) => (None, field(b, arg, "value")),
            ("block_argument", _) => (Some(Arc::from(BLOCK)), expr(b, arg)),
            _ => (None, expr(b, arg)),
        };
        args.push(Arg { name, value });
    }
    args
}

fn any_call(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let said = node.child_by_field_name("method").map_or("call", |name| b.text(name));
    let receiver = node.child_by_field_name("receiver");
    let body = node.child_by_field_name("block");
    if let Some(inner) = body
        && (matches!(said, "lambda" | "proc") && receiver.is_none())
    {
        return Expr::new(at(node), ExprKind::Lambda(block(b, inner, node)));
    }
    let mut args = arguments(b, node);
    if receiver.is_none() {
        match (said, args.first().map(|arg| &arg.value.kind)) {
            ("require" | "require_relative" | "load", Some(ExprKind::Const(Const::Str(path)))) => {
                let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rb");
                b.imports.push(Arc::from(stem));
                return opaque(node, Vec::new());
            }
            ("raise" | "fail" | "halt" | "exit" | "abort", _) => {
                let thrown = opaque(node, args.into_iter().map(|arg| arg.value).collect());
                let body = vec![Stmt::Throw(Some(thrown))];
                return Expr::new(at(node), ExprKind::Do(body, Box::new(constant(node, Const::Null))));
            }
            _ => {}
        }
    }
    if let Some(inner) = body {
        let function = block(b, inner, node);
        let value = Expr::new(at(inner), ExprKind::Lambda(function));
        args.push(Arg { name: Some(Arc::from(BLOCK)), value });
    }
    let (callee, is_new) = match (receiver, said) {
        (Some(receiver), "new") => (expr(b, receiver), true),
        // `function.call(…)` and `function.(…)`.
        (Some(receiver), "call" | "()") if receiver.kind() == "identifier" => (expr(b, receiver), false),
        (Some(receiver), "send" | "public_send" | "__send__") => {
            let base = Box::new(expr(b, receiver));
            let name = match args.first().map(|arg| &arg.value.kind) {
                Some(ExprKind::Const(Const::Str(name))) => Some(Arc::clone(name)),
                _ => None,
            };
            let name = match name {
                Some(name) => {
                    args.remove(0);
                    name
                }
                None => b.name(said),
            };
            (Expr::new(at(node), ExprKind::Field(base, name)), false)
        }
        (Some(receiver), _) => {
            let base = Box::new(expr(b, receiver));
            (Expr::new(at(node), ExprKind::Field(base, b.name(said))), false)
        }
        (None, _) => {
            let name = b.name(said);
            (Expr::new(at(node), ExprKind::Name(b.slot(&name))), false)
        }
    };
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new })))
}

fn operator(text: &str) -> Op {
    match text {
        "+" => Op::Add,
        "-" => Op::Sub,
        "*" => Op::Mul,
        "/" => Op::FloorDiv,
        "%" => Op::Rem,
        "**" => Op::Power,
        "==" | "===" | "eql?" => Op::Eq,
        "!=" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        _ => Op::Other,
    }
}
