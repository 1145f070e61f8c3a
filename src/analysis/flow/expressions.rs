//! Expressions: what is known of a value from what is known of its parts.

use std::rc::Rc;
use std::sync::Arc;

use super::fold;
use super::ir::{Comprehension, Const, Expr, ExprKind, Name, Op};
use super::machine::{Frame, Machine};
use super::models;
use super::state::{Object, ObjectKind, key_of};
use super::values::{Callable, Path, Place, Taint, Value};
use crate::analysis::languages::Language;

impl Machine<'_> {
    /// The value of an expression.
    pub(super) fn eval(&mut self, f: &mut Frame, expr: &Expr) -> Value {
        // Part of an expression may have left the function.
        if f.state.dead || !self.step() || !self.deeper() {
            return Value::default();
        }
        let value = self.eval_here(f, expr);
        self.shallower();
        value
    }

    #[expect(clippy::too_many_lines, reason = "an arm for each kind of expression")]
    fn eval_here(&mut self, f: &mut Frame, expr: &Expr) -> Value {
        match &expr.kind {
            ExprKind::Const(constant) => Value::constant(constant.clone()),
            ExprKind::Name(slot) => match &f.state.vars[*slot as usize] {
                Some(value) => value.clone(),
                None => {
                    let name = Arc::clone(&f.function.names[*slot as usize]);
                    let mut value = self.look_up(f, &name);
                    self.place_source(f, &mut value, expr);
                    value
                }
            },
            ExprKind::This => f.this.clone().unwrap_or_else(|| {
                let captured = f.outer.as_ref().and_then(|outer| outer.this.clone());
                captured.unwrap_or_else(|| Value::path(Path::root("this")))
            }),
            ExprKind::Field(base, name) => {
                let base = self.eval(f, base);
                let value = self.field(f, &base, name, expr);
                as_checked(f, value)
            }
            ExprKind::Index(base, key) => {
                let base = self.eval(f, base);
                let key = self.eval(f, key);
                let value = self.indexed(f, &base, &key, expr);
                as_checked(f, value)
            }
            ExprKind::Slice(base, from, to) => {
                let base = self.eval(f, base);
                let from = from.as_ref().map(|from| self.eval(f, from));
                let to = to.as_ref().map(|to| self.eval(f, to));
                let constant = fold::slice(&base, from.as_ref(), to.as_ref());
                Value { constant, taint: self.deep_taint(f, &base), path: base.path, ..Value::default() }
            }
            ExprKind::Call(call) => self.call(f, call, expr.at),
            ExprKind::Binary(op, left, right) => {
                let left = self.eval(f, left);
                let right = self.eval(f, right);
                self.binary(f, *op, &left, &right)
            }
            ExprKind::Not(inner) => {
                let truth = self.eval(f, inner).truth();
                truth.map(|truth| Value::constant(Const::Bool(!truth))).unwrap_or_default()
            }
            ExprKind::And(left, right) => self.either(f, left, right, false),
            ExprKind::Or(left, right) => self.either(f, left, right, true),
            ExprKind::Cond(parts) => self.conditional(f, parts),
            ExprKind::Concat(parts) => {
                let mut whole = Value::constant(Const::text(""));
                for part in parts {
                    let part = self.eval(f, part);
                    whole = self.joined_text(f, &whole, &part);
                }
                whole
            }
            ExprKind::List(items) => {
                let items = items.iter().map(|item| self.eval(f, item)).collect();
                let id = self.allocate(&mut f.state, Object::list(items));
                Value::object(id)
            }
            ExprKind::Map(entries) => self.map(f, entries),
            ExprKind::Lambda(function) => {
                let outer = self.capture(f);
                self.enqueue(function, None, Some(Rc::clone(&outer)));
                let (function, this) = (Arc::clone(function), f.this.clone());
                let callable = Callable::Function { function, this, outer: Some(outer) };
                Value { callable: Some(Rc::new(callable)), ..Value::default() }
            }
            ExprKind::Assign(assign) => self.assign_expr(f, assign),
            ExprKind::Typed(ty, inner) => {
                let mut value = self.eval(f, inner);
                if let Some(path) = self.instance_path(ty) {
                    value.path = Some(path);
                }
                value
            }
            ExprKind::Do(body, value) => {
                self.exec(f, body);
                self.eval(f, value)
            }
            ExprKind::Comprehension(comprehension) => self.comprehension(f, comprehension),
            ExprKind::Opaque(parts) => {
                for part in parts {
                    self.eval(f, part);
                }
                Value::default()
            }
        }
    }

    /// Says where a source was read, now that it is known.
    fn place_source(&self, f: &Frame, value: &mut Value, expr: &Expr) {
        if !value.taint.is_empty()
            && let Some(path) = value.path.clone()
            && self.model.sources.find(&path).next().is_some()
        {
            value.taint = self.at_path(path, Place { file: f.function.file, at: expr.at }).taint;
        }
    }

    fn conditional(&mut self, f: &mut Frame, parts: &[Expr; 3]) -> Value {
        let [cond, yes, no] = parts;
        match self.eval(f, cond).truth() {
            Some(true) => self.eval(f, yes),
            Some(false) => self.eval(f, no),
            None => {
                let before = f.state.clone();
                self.refine(f, cond, true);
                let mut value = self.eval(f, yes);
                let facts = f.state.ruled_out.clone();
                let cleared: Vec<_> =
                    value.taint.marks().iter().map(|m| f.state.ruled_out(m.origin)).collect();
                // What the condition says about the value holds for this branch only.
                if facts != before.ruled_out && cleared.iter().any(|mask| *mask != 0) {
                    let mask = cleared.into_iter().fold(u64::MAX, |all, mask| all & mask);
                    value.taint.clear(mask);
                }
                let after = std::mem::replace(&mut f.state, before);
                self.refine(f, cond, false);
                value.join(&self.eval(f, no));
                f.state.join(after);
                value
            }
        }
    }

    /// `and` and `or` give one of their operands.
    fn either(&mut self, f: &mut Frame, left: &Expr, right: &Expr, on_truth: bool) -> Value {
        let mut value = self.eval(f, left);
        match value.truth() {
            Some(truth) if truth == on_truth => value,
            Some(_) => self.eval(f, right),
            None => {
                let before = f.state.clone();
                self.refine(f, left, !on_truth);
                let other = self.eval(f, right);
                f.state.join(before);
                value.join(&other);
                value
            }
        }
    }

    fn map(&mut self, f: &mut Frame, entries: &[(Expr, Expr)]) -> Value {
        let mut object = Object::new(ObjectKind::Map);
        for (key, value) in entries {
            let spread = matches!(key.kind, ExprKind::Opaque(_));
            let key = self.eval(f, key);
            let value = self.eval(f, value);
            if spread {
                for held in value.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
                    for (key, value) in &held.fields {
                        object.set(key, value.clone());
                    }
                    object.rest.join(&held.rest);
                }
                object.blur(&Value::tainted(value.taint));
                continue;
            }
            match key_of(&key) {
                Some(key) => object.set(&key, value),
                None => object.blur(&value),
            }
        }
        let id = self.allocate(&mut f.state, object);
        Value::object(id)
    }

    fn comprehension(&mut self, f: &mut Frame, comprehension: &Comprehension) -> Value {
        for (target, items) in &comprehension.loops {
            let items = self.eval(f, items);
            let item = self.element(f, &items);
            self.assign(f, target, item, None);
        }
        for condition in &comprehension.conditions {
            self.eval(f, condition);
            self.refine(f, condition, true);
        }
        let element = self.eval(f, &comprehension.element);
        let mut object = Object { exact: false, ..Object::new(ObjectKind::List) };
        object.blur(&element);
        let id = self.allocate(&mut f.state, object);
        Value::object(id)
    }

    /// What a module or a class of the project has under a name.
    fn static_member(&mut self, f: &mut Frame, base: &Value, name: &Name) -> Option<Value> {
        let (class, outer) = match base.callable.as_deref() {
            Some(Callable::Module(file)) => return self.module_member(f, *file, name),
            Some(Callable::Class { class, outer }) => (Arc::clone(class), outer.clone()),
            _ => return None,
        };
        if let Some((_, function)) = self.project.method(&class, name) {
            let callable = Callable::Function { function, this: None, outer };
            return Some(Value { callable: Some(Rc::new(callable)), ..Value::default() });
        }
        if let Some(value) = self.static_field(f, &class, name) {
            return Some(value);
        }
        let inner = class.inner.iter().find(|inner| inner.name == *name)?;
        let callable = Callable::Class { class: Arc::clone(inner), outer };
        Some(Value { callable: Some(Rc::new(callable)), ..Value::default() })
    }

    /// A field of a value: of a module, a class, an object, or of something from a library.
    pub(super) fn field(&mut self, f: &mut Frame, base: &Value, name: &Name, expr: &Expr) -> Value {
        if let Some(value) = self.static_member(f, base, name) {
            return value;
        }
        let unknown = Path::root("?");
        let path = base.path.as_ref().unwrap_or(&unknown).field(name);
        let mut value = match &path {
            Some(path) => self.at_path(Rc::clone(path), Self::place(f, expr.at)),
            None => Value::default(),
        };
        if base.callable.is_none()
            && let Some(path) = &path
            && !path.called
            && let Some(imported) = self.project_member(path)
        {
            return imported;
        }
        if let Some(path) = &path
            && let Some(function) = self.package_function(path)
        {
            return function;
        }
        if self.language() == Language::Ruby
            && base.objects.is_empty()
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && let Some(class) = self.project.class(name, f.function.file)
        {
            // `Module::Class`.
            let callable = Callable::Class { class: Arc::clone(class), outer: None };
            return Value { callable: Some(Rc::new(callable)), ..Value::path(Path::root(name)) };
        }
        if value.taint.is_empty() {
            value.taint.join(&base.taint);
        }
        if let Some(known) = self.known_field(f, base, name) {
            if known.path.is_some() {
                value.path = None;
            }
            value.join(&known);
            value.constant = known.constant;
        } else {
            for object in base.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
                value.taint.join(&object.rest.taint);
            }
        }
        value
    }

    /// What an index gives.
    fn indexed(&mut self, f: &mut Frame, base: &Value, key: &Value, expr: &Expr) -> Value {
        let mut value = self.item(f, base, key_of(key).as_ref());
        if let (Some(text), Some(index)) = (base.as_str(), key.as_int()) {
            value.constant = fold::char_at(text, index);
        }
        if let Some(path) = &base.path {
            let name = key.as_str().cloned().unwrap_or_else(|| Arc::from("[]"));
            if let Some(path) = path.field(&name) {
                let at = self.at_path(path, Self::place(f, expr.at));
                if value.taint.is_empty() {
                    value.taint = at.taint;
                }
                if value.path.is_none() {
                    value.path = at.path;
                }
            }
        }
        value
    }

    /// What lies under a key, from everything that is known of the holder.
    pub(super) fn item(&self, f: &Frame, base: &Value, key: Option<&Const>) -> Value {
        let mut found: Option<Value> = None;
        for object in base.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
            let key = match (key, object.length()) {
                (Some(Const::Int(index)), Some(length)) if *index < 0 => Some(Const::Int(index + length)),
                (key, _) => key.cloned(),
            };
            let value = object.look(key.as_ref());
            match &mut found {
                Some(found) => found.join(&value),
                None => found = Some(value),
            }
        }
        let mut value = found.unwrap_or_default();
        value.taint.join(&base.taint);
        value
    }

    /// A binary operation.
    pub(super) fn binary(&mut self, f: &mut Frame, op: Op, left: &Value, right: &Value) -> Value {
        if let (Some(a), Some(b)) = (&left.constant, &right.constant)
            && let Some(constant) = fold::binary(op, a, b)
        {
            return Value::constant(constant);
        }
        match op {
            Op::Add => {
                let mut value = self.joined_text(f, left, right);
                value.constant = None;
                value
            }
            // A path and its next part; a text and what is put into it. Elsewhere the result is a number.
            Op::Div | Op::Rem | Op::Mul if matches!(self.language(), Language::Python | Language::Ruby) => {
                let mut taint = self.deep_taint(f, left);
                taint.join(&self.deep_taint(f, right));
                let path = left.path.clone().filter(|_| op == Op::Div);
                Value { taint, path, ..Value::default() }
            }
            Op::In | Op::NotIn => {
                let known = left.as_str().zip(right.as_str());
                let constant = known.map(|(a, b)| Const::Bool(b.contains(&**a) == (op == Op::In)));
                Value { constant, ..Value::default() }
            }
            _ => Value::default(),
        }
    }

    /// Text made of two parts, or a list of both.
    fn joined_text(&mut self, f: &mut Frame, left: &Value, right: &Value) -> Value {
        let constant = match (&left.constant, &right.constant) {
            (Some(a), Some(b)) => fold::concat(a, b),
            _ => None,
        };
        let lists = [left, right].map(|side| self.list_of(f, side));
        if let [Some(mut a), Some(b)] = lists {
            a.extend(b);
            let id = self.allocate(&mut f.state, Object::list(a));
            return Value::object(id);
        }
        let mut added = self.deep_taint(f, right);
        if left.as_str().is_some_and(|text| leads_somewhere(text)) {
            let rules = ["open-redirect", "request-forgery"];
            added.clear(rules.iter().filter_map(|id| models::bit(id)).fold(0, |mask, bit| mask | bit));
        }
        let mut taint = self.deep_taint(f, left);
        taint.join(&added);
        Value { constant, taint, ..Value::default() }
    }

    /// The items of a list that is known item by item.
    pub(super) fn list_of(&self, f: &Frame, value: &Value) -> Option<Vec<Value>> {
        match value.objects.as_slice() {
            [id] => f.state.heap.get(*id)?.items(),
            _ => None,
        }
    }

    /// The marks of a value and of everything it holds, a few levels down.
    pub(super) fn deep_taint(&self, f: &Frame, value: &Value) -> Taint {
        let mut taint = value.taint.clone();
        self.add_held(f, value, &mut taint, 3);
        taint
    }

    fn add_held(&self, f: &Frame, value: &Value, taint: &mut Taint, depth: usize) {
        if depth == 0 {
            return;
        }
        for object in value.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
            for held in object.fields.iter().map(|(_, held)| held).chain([&object.rest]) {
                taint.join(&held.taint);
                self.add_held(f, held, taint, depth - 1);
            }
        }
    }

    /// The marks of a value as far as it is text: of a list the first item counts (body, status, headers).
    pub(super) fn text_marks(&self, f: &Frame, value: &Value) -> Taint {
        let mut taint = value.taint.clone();
        for object in value.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
            match object.kind {
                ObjectKind::List => taint.join(&object.look(Some(&Const::Int(0))).taint),
                // Text builders keep what they were given there.
                ObjectKind::Instance => taint.join(&object.rest.taint),
                ObjectKind::Map => {}
            }
        }
        taint
    }
}

/// A value without what a condition has found to be harmless about the place that it was read from.
fn as_checked(f: &Frame, mut value: Value) -> Value {
    if let Some(path) = &value.path
        && let Some((_, mask)) = f.state.checked.iter().find(|(known, _)| known == path)
    {
        value.taint.clear(*mask);
    }
    value
}

/// Whether an address that begins like this leads to a place of the program's choice: a host is named to its end, or
/// it is a path of the same host.
fn leads_somewhere(text: &str) -> bool {
    // A whole header line may be put together.
    let text = text
        .strip_prefix("Location:")
        .or_else(|| text.strip_prefix("location:"))
        .unwrap_or(text)
        .trim_start();
    match text.split_once("://") {
        Some((_, rest)) => rest.contains(['/', '?', '#']),
        None if text.starts_with('/') => text[1..].starts_with(|c: char| c != '/' && c != '\\'),
        None => text.contains(['/', '?', '#']) && !text.contains([':', '\\']),
    }
}
