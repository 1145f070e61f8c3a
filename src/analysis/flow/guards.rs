//! Conditions: what is harmless where a test has come out one way.

use std::sync::Arc;

use super::ir::{Call, Const, Expr, ExprKind, Name, Op};
use super::machine::{Frame, Machine};
use super::models::{self, Which};
use super::state::State;
use super::values::{Mask, Value};

impl Machine<'_> {
    /// Draws conclusions from a condition that came out as `truth`.
    pub(super) fn refine(&mut self, f: &mut Frame, cond: &Expr, truth: bool) {
        if f.state.dead || !self.step() {
            return;
        }
        match &cond.kind {
            ExprKind::Not(inner) => self.refine(f, inner, !truth),
            ExprKind::And(left, right) if truth => {
                self.refine(f, left, true);
                self.refine(f, right, true);
            }
            ExprKind::Or(left, right) if !truth => {
                self.refine(f, left, false);
                self.refine(f, right, false);
            }
            ExprKind::Binary(op, left, right) => self.refine_comparison(f, *op, left, right, truth),
            ExprKind::Call(call) => self.refine_call(f, call, truth),
            _ => {}
        }
    }

    fn refine_comparison(&mut self, f: &mut Frame, op: Op, left: &Expr, right: &Expr, truth: bool) {
        let same = match op {
            Op::In | Op::Eq => truth,
            Op::NotIn | Op::Ne => !truth,
            _ => return,
        };
        if matches!(op, Op::In | Op::NotIn) && !same {
            // `"x" in value` came out false.
            let (needle, held) = (self.peek(f, left), self.peek(f, right));
            if let Some(needle) = needle.as_str() {
                self.does_not_contain(f, needle, &held, right);
            }
            return;
        }
        if !same {
            return;
        }
        let other = self.peek(f, right);
        let listed = matches!(op, Op::In | Op::NotIn)
            && !other.objects.is_empty()
            && self.deep_taint(f, &other).is_empty()
            && other.taint.is_empty();
        let equal = matches!(op, Op::Eq | Op::Ne) && other.constant.is_some();
        if listed || equal {
            self.is_one_of(f, left);
        } else if op == Op::Eq || op == Op::Ne {
            let this = self.peek(f, left);
            if this.constant.is_some() {
                self.is_one_of(f, right);
            }
        }
    }

    /// A value turned out to be one of those that the code states.
    pub(super) fn is_one_of(&mut self, f: &mut Frame, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(slot) => {
                if let Some(Some(value)) = f.state.vars.get_mut(*slot as usize) {
                    value.taint.clear(Mask::MAX);
                }
            }
            // `url.host in ALLOWED`: the whole address goes to a known place.
            ExprKind::Field(base, name) => {
                self.allowed(f, base, name);
                self.check(f, expr, Mask::MAX);
            }
            ExprKind::Index(..) => self.check(f, expr, Mask::MAX),
            ExprKind::Call(call) => {
                if let ExprKind::Field(base, name) = &call.callee.kind {
                    self.allowed(f, base, name);
                }
            }
            _ => {}
        }
    }

    /// What is read from the same place again is as harmless.
    fn check(&mut self, f: &mut Frame, expr: &Expr, mask: Mask) {
        if matches!(expr.kind, ExprKind::Field(..) | ExprKind::Index(..))
            && let Some(path) = self.peek(f, expr).path
            && &*path.name != "[]"
        {
            f.state.check(&path, mask);
        }
    }

    fn allowed(&mut self, f: &mut Frame, base: &Expr, name: &Name) {
        let model = self.model;
        for (names, clears) in &model.allow_lists {
            if names.contains(&**name) {
                let value = self.peek(f, base);
                self.rule_out(f, &value, *clears);
            }
        }
    }

    fn refine_call(&mut self, f: &mut Frame, call: &Call, truth: bool) {
        let ExprKind::Field(base, name) = &call.callee.kind else {
            if let (ExprKind::Name(slot), [held, needle], false) =
                (&call.callee.kind, call.args.as_slice(), truth)
                && &*f.function.names[*slot as usize] == "str_contains"
                && let Some(needle) = self.peek(f, &needle.value).as_str()
            {
                let value = self.peek(f, &held.value);
                self.does_not_contain(f, needle, &value, &held.value);
            }
            return self.refine_guard(f, call, truth);
        };
        let first = call.args.first().map(|arg| &arg.value);
        match (&**name, first) {
            ("contains" | "includes" | "include?" | "has", Some(needle)) => {
                let (held, wanted) = (self.peek(f, base), self.peek(f, needle));
                if !truth && let Some(needle) = wanted.as_str() {
                    self.does_not_contain(f, needle, &held, base);
                } else if truth && !held.objects.is_empty() && self.deep_taint(f, &held).is_empty() {
                    self.is_one_of(f, needle);
                }
                self.refine_guard(f, call, truth);
            }
            ("equals" | "equalsIgnoreCase", Some(other)) if truth => {
                if self.peek(f, other).constant.is_some() {
                    self.is_one_of(f, base);
                } else if self.peek(f, base).constant.is_some() {
                    self.is_one_of(f, other);
                }
            }
            ("startswith" | "endswith" | "startsWith" | "endsWith", Some(other)) if truth => {
                if self.peek(f, other).as_str().is_some_and(|text| matches!(&**text, "'" | "\"")) {
                    let value = self.peek(f, base);
                    self.rule_out(f, &value, models::bit("quoted").unwrap_or(0));
                }
                self.refine_guard(f, call, truth);
            }
            _ => self.refine_guard(f, call, truth),
        }
    }

    /// A call that the models know as a test.
    fn refine_guard(&mut self, f: &mut Frame, call: &Call, truth: bool) {
        let path = self.peek(f, &call.callee).path;
        let Some(path) = path else { return };
        let model = self.model;
        for guard in model.guards.find(&path) {
            if guard.on != truth {
                continue;
            }
            let expr = match (&guard.arg, &call.callee.kind) {
                (Which::Receiver, ExprKind::Field(base, _)) => Some(&**base),
                (Which::At(index), _) => call.args.get(*index).map(|arg| &arg.value),
                _ => None,
            };
            let Some(expr) = expr else { continue };
            if guard.requires == 0 {
                self.check(f, expr, guard.clears);
            }
            let value = self.peek(f, expr);
            for mark in value.taint.marks() {
                let known = mark.cleared | f.state.ruled_out(mark.origin);
                if known & guard.requires == guard.requires {
                    f.state.rule_out(mark.origin, guard.clears);
                }
            }
        }
    }

    fn does_not_contain(&mut self, f: &mut Frame, needle: &Arc<str>, held: &Value, expr: &Expr) {
        let model = self.model;
        let mut mask = 0;
        for (text, clears) in &model.containing {
            if **text == **needle {
                mask |= clears;
            }
        }
        if matches!(&**needle, "'" | "\"") && is_inside(expr) {
            mask = models::bit("without-quotes").unwrap_or(0);
        }
        self.rule_out(f, held, mask);
    }

    fn rule_out(&self, f: &mut Frame, value: &Value, mask: Mask) {
        if mask != 0 {
            for mark in self.deep_taint(f, value).marks() {
                f.state.rule_out(mark.origin, mask);
            }
        }
    }

    /// The value of an expression, without doing what it does.
    fn peek(&mut self, f: &mut Frame, expr: &Expr) -> Value {
        if let ExprKind::Const(constant) = &expr.kind {
            return Value::constant(constant.clone());
        }
        if let ExprKind::Name(slot) = expr.kind
            && let Some(Some(value)) = f.state.vars.get(slot as usize)
        {
            return value.clone();
        }
        let before: State = f.state.clone();
        let value = self.eval(f, expr);
        let now = std::mem::replace(&mut f.state, before);
        // Objects that were made on the way can still be looked at.
        f.state.heap = now.heap;
        value
    }
}

/// `value[1:-1]` and its like.
fn is_inside(expr: &Expr) -> bool {
    let ExprKind::Slice(_, Some(from), Some(to)) = &expr.kind else { return false };
    matches!(from.kind, ExprKind::Const(Const::Int(1))) && matches!(to.kind, ExprKind::Const(Const::Int(-1)))
}
