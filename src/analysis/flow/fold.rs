//! Constants: what can be computed from what the code states.

use std::sync::Arc;

use super::calls::ArgValue;
use super::ir::{Const, Op};
use super::values::Value;

/// Longer texts are not put together.
const LONGEST_TEXT: usize = 2_000;

/// The result of an operation on constants, where it has one that is the same in every language.
pub(super) fn binary(op: Op, a: &Const, b: &Const) -> Option<Const> {
    if let (Const::Int(a), Const::Int(b)) = (a, b) {
        return integers(op, *a, *b);
    }
    if let (Const::Str(a), Const::Str(b)) = (a, b) {
        return Some(Const::Bool(match op {
            Op::Eq => a == b,
            Op::Ne => a != b,
            Op::Lt => a < b,
            Op::Le => a <= b,
            Op::Gt => a > b,
            Op::Ge => a >= b,
            Op::In => b.contains(&**a),
            Op::NotIn => !b.contains(&**a),
            Op::Add => return concat(&Const::Str(Arc::clone(a)), &Const::Str(Arc::clone(b))),
            _ => return None,
        }));
    }
    match op {
        Op::Eq if std::mem::discriminant(a) == std::mem::discriminant(b) => Some(Const::Bool(a == b)),
        Op::Ne if std::mem::discriminant(a) == std::mem::discriminant(b) => Some(Const::Bool(a != b)),
        // Something that is there is not nothing.
        Op::Eq if matches!(a, Const::Null) != matches!(b, Const::Null) => Some(Const::Bool(false)),
        Op::Ne if matches!(a, Const::Null) != matches!(b, Const::Null) => Some(Const::Bool(true)),
        Op::Add => concat(a, b),
        _ => None,
    }
}

fn integers(op: Op, a: i64, b: i64) -> Option<Const> {
    let int = match op {
        Op::Add => a.checked_add(b),
        Op::Sub => a.checked_sub(b),
        Op::Mul => a.checked_mul(b),
        // Where languages differ (`/` on integers), only an exact result is certain enough.
        Op::Div | Op::FloorDiv => a.checked_div(b),
        Op::Rem => a.checked_rem(b).filter(|_| a >= 0 && b > 0),
        Op::Power => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        _ => None,
    };
    if let Some(int) = int {
        return Some(Const::Int(int));
    }
    Some(Const::Bool(match op {
        Op::Eq => a == b,
        Op::Ne => a != b,
        Op::Lt => a < b,
        Op::Le => a <= b,
        Op::Gt => a > b,
        Op::Ge => a >= b,
        _ => return None,
    }))
}

/// Two texts as one; numbers are written out beside a text.
pub(super) fn concat(a: &Const, b: &Const) -> Option<Const> {
    let text = |constant: &Const| match constant {
        Const::Str(text) => Some(text.to_string()),
        Const::Int(int) => Some(int.to_string()),
        _ => None,
    };
    if !matches!(a, Const::Str(_)) && !matches!(b, Const::Str(_)) {
        return None;
    }
    let whole = text(a)? + &text(b)?;
    (whole.len() <= LONGEST_TEXT).then(|| Const::text(whole))
}

/// The character at an index, from the end if it is negative.
pub(super) fn char_at(text: &str, index: i64) -> Option<Const> {
    let length = i64::try_from(text.chars().count()).ok()?;
    let at = usize::try_from(if index < 0 { index + length } else { index }).ok()?;
    text.chars().nth(at).map(|c| Const::text(c.to_string()))
}

/// Part of a constant text.
pub(super) fn slice(base: &Value, from: Option<&Value>, to: Option<&Value>) -> Option<Const> {
    let text = base.as_str()?;
    let length = i64::try_from(text.chars().count()).ok()?;
    let bound = |value: Option<&Value>, missing: i64| {
        let index = match value {
            None => missing,
            Some(value) => value.as_int()?,
        };
        usize::try_from(if index < 0 { (index + length).max(0) } else { index.min(length) }).ok()
    };
    let (from, to) = (bound(from, 0)?, bound(to, length)?);
    let part: String = text.chars().skip(from).take(to.saturating_sub(from)).collect();
    Some(Const::text(part))
}

/// A method of a constant text.
pub(super) fn method(receiver: &Value, name: &str, args: &[ArgValue]) -> Option<Const> {
    let text = receiver.as_str()?;
    let string = |index: usize| args.get(index).and_then(|arg| arg.value.as_str());
    let int = |index: usize| args.get(index).and_then(|arg| arg.value.as_int());
    Some(match name {
        "length" | "len" | "size" => Const::Int(i64::try_from(text.chars().count()).ok()?),
        "charAt" | "codePointAt" => char_at(text, int(0)?)?,
        "lower" | "toLowerCase" | "downcase" => Const::text(text.to_lowercase()),
        "upper" | "toUpperCase" | "upcase" => Const::text(text.to_uppercase()),
        "strip" | "trim" if args.is_empty() => Const::text(text.trim()),
        "toString" | "str" | "encode" | "decode" if args.len() < 2 => Const::Str(Arc::clone(text)),
        "concat" => concat(receiver.constant.as_ref()?, &Const::Str(Arc::clone(string(0)?)))?,
        "equals" => Const::Bool(text == string(0)?),
        "equalsIgnoreCase" => Const::Bool(text.eq_ignore_ascii_case(string(0)?)),
        "contains" | "includes" => Const::Bool(text.contains(&**string(0)?)),
        "startsWith" | "startswith" => Const::Bool(text.starts_with(&**string(0)?)),
        "endsWith" | "endswith" => Const::Bool(text.ends_with(&**string(0)?)),
        "isEmpty" => Const::Bool(text.is_empty()),
        "replace" => Const::text(text.replace(&**string(0)?, string(1)?)),
        "substring" => {
            let to = args.get(1).map(|arg| arg.value.as_int()).map_or(Some(None), |to| to.map(Some))?;
            let value = |index: i64| Value::constant(Const::Int(index));
            slice(receiver, Some(&value(int(0)?)), to.map(value).as_ref())?
        }
        _ => return None,
    })
}

/// Methods that give a text made of the receiver and the arguments.
pub(super) fn is_text_method(name: &str) -> bool {
    matches!(
        name,
        "format"
            | "join"
            | "concat"
            | "replace"
            | "replaceAll"
            | "formatted"
            | "sprintf"
            | "append"
            | "center"
            | "ljust"
            | "rjust"
            | "toString"
            | "trim"
            | "strip"
            | "substring"
            | "split"
            | "encode"
            | "decode"
            | "toUpperCase"
            | "toLowerCase"
            | "lower"
            | "upper"
            | "getBytes"
            | "toCharArray"
            | "equals"
            | "length"
            | "valueOf"
    )
}
