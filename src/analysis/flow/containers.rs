//! Lists, maps and builders of libraries: what is put in under a key comes out under that key.

use std::sync::Arc;

use super::calls::ArgValue;
use super::ir::{Const, Name};
use super::machine::{Frame, Machine};
use super::models::Method;
use super::state::{ObjectKind, key_of};
use super::values::Value;

impl Machine<'_> {
    /// A method of a container, by what the models call it.
    pub(super) fn container(
        &mut self,
        f: &mut Frame,
        receiver: &Value,
        name: &Name,
        args: &[ArgValue],
    ) -> Option<Value> {
        let first = receiver.objects.first()?;
        let kind = f.state.heap.get(*first)?.kind;
        let arg = |index: usize| args.get(index).map(|arg| arg.value.clone()).unwrap_or_default();
        if kind == ObjectKind::Instance {
            return self.bean(f, receiver, name, args);
        }
        let method = *self.model.containers.methods.get(&**name)?;
        self.writes +=
            usize::from(!matches!(method, Method::Get | Method::First | Method::Last | Method::Items));
        let one = receiver.objects.len() == 1;
        match (method, kind) {
            (Method::Append | Method::Insert | Method::Prepend | Method::Extend, ObjectKind::List) => {
                self.add_item(f, receiver, method, args, one);
            }
            (Method::Put, _) => {
                let key = key_of(&arg(0));
                self.put(f, receiver, key.as_ref(), &arg(1));
            }
            (Method::Append | Method::Extend, ObjectKind::Map) => {
                let added = self.deep_taint(f, &arg(0));
                self.put(f, receiver, None, &Value::tainted(added));
            }
            (Method::Get, _) => {
                let mut value = self.item(f, receiver, key_of(&arg(0)).as_ref());
                if args.len() > 1 {
                    value.join(&arg(1));
                }
                return Some(value);
            }
            (Method::First, ObjectKind::List) => return Some(self.item(f, receiver, Some(&Const::Int(0)))),
            (Method::Last, ObjectKind::List) => return Some(self.item(f, receiver, Some(&Const::Int(-1)))),
            (Method::Pop | Method::PopFirst | Method::Remove, _) => {
                return Some(self.take_item(f, receiver, method, args, one));
            }
            (Method::Clear, _) if one => {
                if let Some(object) = f.state.heap.get_mut(*first) {
                    object.fields.clear();
                    object.rest = Value::default();
                    object.exact = true;
                }
            }
            (Method::Items, _) => {
                let mut value = Value::tainted(self.deep_taint(f, receiver));
                value.constant = None;
                return Some(value);
            }
            _ => return None,
        }
        Some(Value::default())
    }

    fn add_item(&mut self, f: &mut Frame, receiver: &Value, method: Method, args: &[ArgValue], one: bool) {
        let given: Vec<Value> = args.iter().map(|arg| arg.value.clone()).collect();
        let added = match method {
            Method::Extend => given.first().and_then(|more| self.list_of(f, more)),
            _ => None,
        };
        for id in &receiver.objects {
            let Some(object) = f.state.heap.get(*id) else { continue };
            let items = if one { object.items() } else { None };
            let held: Vec<_> = given.iter().map(|value| self.deep_taint(f, value)).collect();
            let Some(object) = f.state.heap.get_mut(*id) else { continue };
            match (items, method, given.as_slice()) {
                (Some(mut items), Method::Append, [value]) => {
                    items.push(value.clone());
                    object.set_items(items);
                }
                (Some(mut items), Method::Prepend, [value]) => {
                    items.insert(0, value.clone());
                    object.set_items(items);
                }
                (Some(mut items), Method::Append | Method::Insert, [at, value])
                    if at
                        .as_int()
                        .and_then(|at| usize::try_from(at).ok())
                        .is_some_and(|at| at <= items.len()) =>
                {
                    let at = at.as_int().and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
                    items.insert(at, value.clone());
                    object.set_items(items);
                }
                (Some(mut items), Method::Extend, _) if added.is_some() => {
                    items.extend(added.clone().unwrap_or_default());
                    object.set_items(items);
                }
                _ => {
                    object.forget_keys();
                    for taint in held {
                        object.rest.taint.join(&taint);
                    }
                }
            }
        }
    }

    fn take_item(
        &mut self,
        f: &mut Frame,
        receiver: &Value,
        method: Method,
        args: &[ArgValue],
        one: bool,
    ) -> Value {
        let key = args.first().and_then(|arg| key_of(&arg.value));
        let key = match (method, key) {
            (Method::PopFirst, None) => Some(Const::Int(0)),
            (_, None) => Some(Const::Int(-1)),
            (_, key) => key,
        };
        let value = self.item(f, receiver, key.as_ref());
        for id in &receiver.objects {
            let Some(object) = f.state.heap.get_mut(*id) else { continue };
            match (object.items(), &key) {
                (Some(mut items), Some(Const::Int(index))) if one => {
                    let length = i64::try_from(items.len()).unwrap_or(0);
                    let at = if *index < 0 { index + length } else { *index };
                    if let Ok(at) = usize::try_from(at)
                        && at < items.len()
                    {
                        items.remove(at);
                        object.set_items(items);
                    }
                }
                _ if object.kind == ObjectKind::Map => {
                    if let Some(key) = key.as_ref().filter(|_| one) {
                        object.fields.retain(|(known, _)| known != key);
                    }
                }
                _ => object.forget_keys(),
            }
        }
        value
    }

    /// An object of a library: `setX(v)` and `setFeature(k, v)` are remembered, `getX()` gives it back, sections
    /// and keys of a configuration are a key together.
    fn bean(&mut self, f: &mut Frame, receiver: &Value, name: &Name, args: &[ArgValue]) -> Option<Value> {
        let value = |index: usize| args.get(index).map(|arg| arg.value.clone()).unwrap_or_default();
        let both = || match (key_of(&value(0)), key_of(&value(1))) {
            (Some(a), Some(b)) => Some(Const::text(format!("{a:?} {b:?}"))),
            _ => None,
        };
        let method = self.model.containers.methods.get(&**name).copied();
        match (method, args.len()) {
            (Some(Method::Put2), 3) => {
                let key = both();
                self.put(f, receiver, key.as_ref(), &value(2));
                return Some(Value::default());
            }
            (Some(Method::Get2 | Method::Get), 2..) if args[1].name.is_none() => {
                return both().and_then(|key| self.known_field(f, receiver, &as_name(&key)));
            }
            _ => {}
        }
        let property = |prefix: &str| {
            let rest = name
                .strip_prefix(prefix)
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))?;
            let mut chars = rest.chars();
            let first = chars.next()?.to_ascii_lowercase();
            Some(Const::text(format!("{first}{}", chars.as_str())))
        };
        if let Some(key) = property("set") {
            match args {
                [one] => self.put(f, receiver, Some(&key), &one.value),
                [key, value] => {
                    let key = key_of(&key.value);
                    self.put(f, receiver, key.as_ref(), &value.value);
                }
                _ => return None,
            }
            return Some(Value::default());
        }
        let key = property("get").filter(|_| args.is_empty())?;
        self.known_field(f, receiver, &as_name(&key))
    }
}

fn as_name(key: &Const) -> Name {
    match key {
        Const::Str(text) => Arc::clone(text),
        _ => Arc::from(""),
    }
}
