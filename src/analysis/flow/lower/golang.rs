//! Go to the intermediate form.

use std::sync::Arc;

use tree_sitter::Node;

use super::{Builder, at, children, constant, expressions, fields, integer, opaque, unescape, unquoted};
use crate::analysis::flow::ir::{
    Arg, Arm, Assign, Call, Class, Const, Expr, ExprKind, Function, Name, Op, Parameter, Stmt,
};

pub(super) fn module(b: &mut Builder<'_>, root: Node<'_>) -> Vec<Stmt> {
    b.package = Arc::from(b.path.rsplit_once('/').map_or("", |(folder, _)| folder));
    let mut body = Vec::new();
    let mut methods: Vec<(Name, Arc<Function>)> = Vec::new();
    for node in children(root) {
        match node.kind() {
            "import_declaration" => imports(b, node, &mut body),
            "function_declaration" => {
                if let Some(name) = node.child_by_field_name("name") {
                    let slot = b.slot_of(name);
                    body.push(Stmt::Function(slot, function(b, node)));
                }
            }
            "method_declaration" => {
                if let Some(ty) = receiver(b, node) {
                    methods.push((ty, function(b, node)));
                }
            }
            _ => body.extend(stmt(b, node)),
        }
    }
    // Methods of a type stand apart from it; here they are its class.
    while let Some((name, _)) = methods.first() {
        let name = Arc::clone(name);
        let (mine, others): (Vec<_>, Vec<_>) = methods.into_iter().partition(|(ty, _)| *ty == name);
        let class = Class {
            name,
            bases: Vec::new(),
            methods: mine.into_iter().map(|(_, method)| method).collect(),
            fields: Vec::new(),
            setup: Function::default(),
            inner: Vec::new(),
            file: b.file,
        };
        b.classes.push(Arc::new(class));
        methods = others;
    }
    body
}

fn imports(b: &mut Builder<'_>, node: Node<'_>, body: &mut Vec<Stmt>) {
    for spec in children(node) {
        if spec.kind() == "import_spec_list" {
            imports(b, spec, body);
            continue;
        }
        let Some(path) = spec.child_by_field_name("path") else { continue };
        let path = b.name(unquoted(b.text(path)));
        // `…/v2` is a version, not the name of the package.
        let last = path.rsplit('/').find(|part| !is_version(part)).unwrap_or(&path).to_owned();
        let slot = match spec.child_by_field_name("name") {
            Some(name) => b.slot_of(name),
            None => b.slot(&Arc::from(last)),
        };
        b.imports.push(Arc::clone(&path));
        // Dots in a host name do not part a path.
        body.push(Stmt::Import(slot, path));
    }
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
}

/// The type that a method belongs to.
fn receiver(b: &mut Builder<'_>, node: Node<'_>) -> Option<Name> {
    let list = node.child_by_field_name("receiver")?;
    let declaration = *children(list).first()?;
    Some(type_name(b, declaration.child_by_field_name("type")?))
}

fn type_name(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node).trim_start_matches(['*', '&', '[', ']']);
    let text = text.split(['[', '{', ' ']).next().unwrap_or(text);
    b.name(text)
}

fn function(b: &mut Builder<'_>, node: Node<'_>) -> Arc<Function> {
    let name = match node.child_by_field_name("name") {
        Some(name) => b.name_of(name),
        None => Arc::from("func"),
    };
    b.function(node, name, |b, function| {
        if let Some(list) = node.child_by_field_name("receiver") {
            function.takes_this = true;
            function.parameters.extend(children(list).into_iter().flat_map(|p| parameters(b, p)).take(1));
            function.takes_this = !function.parameters.is_empty();
        }
        if let Some(list) = node.child_by_field_name("parameters") {
            function.parameters.extend(children(list).into_iter().flat_map(|p| parameters(b, p)));
        }
        if let Some(result) = node.child_by_field_name("result")
            && result.kind() != "parameter_list"
        {
            function.returns = Some(type_name(b, result));
        }
        function.body = node.child_by_field_name("body").map(|body| block(b, body)).unwrap_or_default();
    })
}

fn parameters(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Parameter> {
    let ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
    let rest = node.kind() == "variadic_parameter_declaration";
    let named = fields(node, "name").into_iter().map(|name| {
        let mut parameter = b.parameter(name);
        parameter.ty.clone_from(&ty);
        parameter.rest = rest;
        parameter
    });
    named.collect()
}

fn block(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    b.nested(Vec::new(), |b| {
        let mut all = Vec::new();
        for child in children(node) {
            if child.kind() == "statement_list" {
                all.extend(block(b, child));
            } else {
                all.extend(stmt(b, child));
            }
        }
        all
    })
}

fn body(b: &mut Builder<'_>, node: Node<'_>, field: &str) -> Vec<Stmt> {
    node.child_by_field_name(field).map(|inner| b.nested(Vec::new(), |b| stmt(b, inner))).unwrap_or_default()
}

fn stmt(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let one = match node.kind() {
        "block" | "labeled_statement" | "ERROR" => Stmt::Block(block(b, node)),
        "expression_statement" | "go_statement" | "defer_statement" | "send_statement" => {
            return expressions(children(node).into_iter().map(|child| expr(b, child)).collect());
        }
        "short_var_declaration" | "assignment_statement" => return assignment(b, node),
        "var_declaration" | "const_declaration" => return declarations(b, node),
        "var_spec" | "const_spec" => return declaration(b, node),
        "inc_statement" | "dec_statement" => return step(b, node),
        "if_statement" => {
            let mut all = body(b, node, "initializer");
            let cond = field(b, node, "condition");
            let then = body(b, node, "consequence");
            all.push(Stmt::If { cond, then, other: body(b, node, "alternative") });
            Stmt::Block(all)
        }
        "for_statement" => for_statement(b, node),
        "expression_switch_statement" | "type_switch_statement" | "select_statement" => switch(b, node),
        "return_statement" => {
            let list = children(node);
            let values = list.first().map(|list| values(b, *list)).unwrap_or_default();
            Stmt::Return(together(b, node, values), at(node))
        }
        "break_statement" => Stmt::Break,
        "continue_statement" => Stmt::Continue,
        "type_declaration" | "empty_statement" => return Vec::new(),
        _ => Stmt::Expr(expr(b, node)),
    };
    vec![one]
}

/// One value as it is, several as a list.
fn together(_b: &mut Builder<'_>, node: Node<'_>, mut values: Vec<Expr>) -> Option<Expr> {
    match values.len() {
        0 => None,
        1 => values.pop(),
        _ => Some(Expr::new(at(node), ExprKind::List(values))),
    }
}

fn values(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Expr> {
    match node.kind() {
        "expression_list" => children(node).into_iter().map(|child| expr(b, child)).collect(),
        _ => vec![expr(b, node)],
    }
}

fn assign(node: Node<'_>, target: Expr, value: Expr, op: Option<Op>, ty: Option<Name>) -> Stmt {
    Stmt::Expr(Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op, ty }))))
}

fn assignment(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let given = node.child_by_field_name("right").map(|right| values(b, right)).unwrap_or_default();
    let targets = node.child_by_field_name("left").map(|left| values(b, left)).unwrap_or_default();
    let op = node.child_by_field_name("operator").map_or("=", |op| op.kind());
    let op = (op != "=" && op != ":=").then(|| operator(op.trim_end_matches('=')));
    if targets.len() == given.len() {
        return targets
            .into_iter()
            .zip(given)
            .map(|(target, value)| assign(node, target, value, op, None))
            .collect();
    }
    let (Some(target), Some(value)) = (together(b, node, targets), together(b, node, given)) else {
        return Vec::new();
    };
    vec![assign(node, target, value, op, None)]
}

fn declarations(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let mut all = Vec::new();
    for spec in children(node) {
        match spec.kind() {
            "var_spec_list" => all.extend(declarations(b, spec)),
            _ => all.extend(declaration(b, spec)),
        }
    }
    all
}

fn declaration(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
    let given = node.child_by_field_name("value").map(|value| values(b, value)).unwrap_or_default();
    let mut given = given.into_iter();
    let names = fields(node, "name").into_iter().filter(|name| name.kind() == "identifier");
    names
        .map(|name| {
            let value = given.next().unwrap_or_else(|| opaque(node, Vec::new()));
            let target = b.variable(name);
            assign(name, target, value, None, ty.clone())
        })
        .collect()
}

fn step(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let Some(target) = children(node).first().map(|target| expr(b, *target)) else { return Vec::new() };
    let op = if node.kind() == "inc_statement" { Op::Add } else { Op::Sub };
    vec![assign(node, target, constant(node, Const::Int(1)), Some(op), None)]
}

fn for_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let clause = children(node).into_iter().find(|child| child.kind() != "block");
    match clause {
        Some(range) if range.kind() == "range_clause" => {
            let items = field(b, range, "right");
            let mut targets =
                range.child_by_field_name("left").map(|left| values(b, left)).unwrap_or_default();
            // The second of two is the item, the first its index.
            let target = targets.pop().unwrap_or_else(|| opaque(range, Vec::new()));
            Stmt::Each { target, items, ty: None, body: body(b, node, "body") }
        }
        Some(clause) if clause.kind() == "for_clause" => {
            let mut all = body(b, clause, "initializer");
            let cond = clause.child_by_field_name("condition").map(|cond| expr(b, cond));
            let step = body(b, clause, "update");
            all.push(Stmt::While { cond, body: body(b, node, "body"), step, first_round: false });
            Stmt::Block(all)
        }
        clause => {
            let cond = clause.map(|cond| expr(b, cond));
            Stmt::While { cond, body: body(b, node, "body"), step: Vec::new(), first_round: false }
        }
    }
}

fn switch(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let mut all = body(b, node, "initializer");
    let subject = match node.child_by_field_name("value") {
        Some(value) => {
            let value = expr(b, value);
            match node
                .child_by_field_name("alias")
                .map(|alias| values(b, alias))
                .and_then(|mut alias| alias.pop())
            {
                Some(target) => {
                    let assign = Assign { target, value, op: None, ty: None };
                    Expr::new(at(node), ExprKind::Assign(Box::new(assign)))
                }
                None => value,
            }
        }
        None => opaque(node, Vec::new()),
    };
    let mut arms = Vec::new();
    for case in children(node).into_iter().filter(|child| child.kind().ends_with("_case")) {
        let pattern = case.child_by_field_name("value");
        let patterns = match (case.kind(), pattern) {
            ("expression_case", Some(pattern)) => values(b, pattern),
            ("default_case", _) => Vec::new(),
            _ => vec![opaque(case, Vec::new())],
        };
        let inner = children(case).into_iter().filter(|child| Some(*child) != pattern);
        let mut body = Vec::new();
        for child in inner {
            body.extend(if child.kind() == "statement_list" { block(b, child) } else { stmt(b, child) });
        }
        arms.push(Arm { patterns, is_default: case.kind() == "default_case", body });
    }
    all.push(Stmt::Switch { subject, arms, falls_through: false });
    Stmt::Block(all)
}

fn field(b: &mut Builder<'_>, node: Node<'_>, name: &str) -> Expr {
    match node.child_by_field_name(name) {
        Some(inner) => expr(b, inner),
        None => opaque(node, Vec::new()),
    }
}

fn all(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Expr> {
    children(node).into_iter().map(|child| expr(b, child)).collect()
}

fn expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    b.nested(opaque(node, Vec::new()), |b| lower_expr(b, node))
}

fn lower_expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let kind = match node.kind() {
        "identifier" | "package_identifier" | "type_identifier" => return b.variable(node),
        "selector_expression" => {
            let base = field(b, node, "operand");
            let name =
                node.child_by_field_name("field").map_or_else(|| Arc::from(""), |name| b.name_of(name));
            ExprKind::Field(Box::new(base), name)
        }
        "call_expression" => return call(b, node),
        "index_expression" => {
            let (base, key) = (field(b, node, "operand"), field(b, node, "index"));
            ExprKind::Index(Box::new(base), Box::new(key))
        }
        "slice_expression" => {
            let base = Box::new(field(b, node, "operand"));
            let from = node.child_by_field_name("start").map(|from| Box::new(expr(b, from)));
            let to = node.child_by_field_name("end").map(|to| Box::new(expr(b, to)));
            ExprKind::Slice(base, from, to)
        }
        "interpreted_string_literal" => ExprKind::Const(Const::text(unescape(unquoted(b.text(node))))),
        "raw_string_literal" | "rune_literal" => ExprKind::Const(Const::text(unquoted(b.text(node)))),
        "int_literal" => match integer(b.text(node)) {
            Some(int) => ExprKind::Const(Const::Int(int)),
            None => ExprKind::Opaque(Vec::new()),
        },
        "true" => ExprKind::Const(Const::Bool(true)),
        "false" => ExprKind::Const(Const::Bool(false)),
        "nil" => ExprKind::Const(Const::Null),
        "parenthesized_expression" | "literal_element" => match children(node).first() {
            Some(inner) => return expr(b, *inner),
            None => ExprKind::Opaque(Vec::new()),
        },
        "binary_expression" => {
            let (left, right) = (Box::new(field(b, node, "left")), Box::new(field(b, node, "right")));
            match node.child_by_field_name("operator").map_or("", |op| op.kind()) {
                "&&" => ExprKind::And(left, right),
                "||" => ExprKind::Or(left, right),
                op => ExprKind::Binary(operator(op), left, right),
            }
        }
        "unary_expression" => return unary(b, node),
        "composite_literal" => return composite(b, node),
        "func_literal" => ExprKind::Lambda(function(b, node)),
        "type_assertion_expression" | "type_conversion_expression" => return field(b, node, "operand"),
        "expression_list" => ExprKind::List(all(b, node)),
        _ => ExprKind::Opaque(all(b, node)),
    };
    Expr::new(at(node), kind)
}

fn call(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let list = node.child_by_field_name("arguments");
    let args: Vec<Arg> = list
        .map(children)
        .unwrap_or_default()
        .into_iter()
        .map(|arg| Arg { name: None, value: expr(b, arg) })
        .collect();
    let callee = match node.child_by_field_name("function") {
        // `[]byte(text)`.
        Some(callee) if callee.kind() == "slice_type" => b.named(callee, "[]byte"),
        Some(callee) => expr(b, callee),
        None => opaque(node, Vec::new()),
    };
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new: false })))
}

fn unary(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "operand");
    match (node.child_by_field_name("operator").map_or("", |op| op.kind()), &value.kind) {
        ("!", _) => Expr::new(at(node), ExprKind::Not(Box::new(value))),
        ("-", ExprKind::Const(Const::Int(int))) => constant(node, Const::Int(int.wrapping_neg())),
        // What a pointer points to, and a pointer to it, are the same here.
        ("&" | "*" | "<-", _) => value,
        _ => opaque(node, vec![value]),
    }
}

fn composite(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let ty = node.child_by_field_name("type").map(|ty| (ty.kind(), type_name(b, ty)));
    let (mut items, mut entries) = (Vec::new(), Vec::new());
    for element in node.child_by_field_name("body").map(children).unwrap_or_default() {
        let parts = children(element);
        match (element.kind(), parts.as_slice()) {
            ("keyed_element", [key, value]) => {
                let text = b.text(*key);
                let key = constant(*key, Const::text(unquoted(text)));
                entries.push((key, expr(b, *value)));
            }
            _ => items.push(expr(b, element)),
        }
    }
    let kind =
        if entries.is_empty() && !items.is_empty() { ExprKind::List(items) } else { ExprKind::Map(entries) };
    let value = Expr::new(at(node), kind);
    match ty {
        Some(("type_identifier" | "qualified_type", ty)) => {
            Expr::new(at(node), ExprKind::Typed(ty, Box::new(value)))
        }
        _ => value,
    }
}

fn operator(text: &str) -> Op {
    match text {
        "+" => Op::Add,
        "-" => Op::Sub,
        "*" => Op::Mul,
        "/" => Op::FloorDiv,
        "%" => Op::Rem,
        "==" => Op::Eq,
        "!=" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        _ => Op::Other,
    }
}
