//! The state at a point of a function: its variables, the heap, and what its conditions have ruled out.

use std::rc::Rc;
use std::sync::Arc;

use super::ir::{Class, Const};
use super::values::{Mask, Path, Place, Value};

/// Variables, heap and facts. Cloning shares everything that is not written to.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// By slot; none where the function has not set it.
    pub(super) vars: Vec<Option<Value>>,
    pub(super) heap: Heap,
    /// Rules for which data of an origin was found to be harmless.
    pub(super) ruled_out: Vec<(Place, Mask)>,
    /// The same for whatever is read from a place of a library, such as `request.args.name`.
    pub(super) checked: Vec<(Rc<Path>, Mask)>,
    /// Whether control cannot get here.
    pub(super) dead: bool,
}

/// Objects by their number; numbers are never used twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap(Vec<(u32, Rc<Object>)>);

/// A container or an instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub(super) kind: ObjectKind,
    /// What is known by constant key, in order of insertion.
    pub(super) fields: Vec<(Const, Value)>,
    /// What lies under keys that are not known.
    pub(super) rest: Value,
    /// Whether `fields` is everything there is (apart from `rest`).
    pub(super) exact: bool,
    pub(super) class: Option<Arc<Class>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ObjectKind {
    #[default]
    Instance,
    List,
    Map,
}

const MOST_FIELDS: usize = 64;

impl Heap {
    pub(super) fn get(&self, id: u32) -> Option<&Object> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok().map(|at| &*self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Object> {
        let at = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(Rc::make_mut(&mut self.0[at].1))
    }

    /// Adds an object whose number is greater than all others.
    pub(super) fn add(&mut self, id: u32, object: Object) {
        match self.0.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => self.0[at].1 = Rc::new(object),
            Err(at) => self.0.insert(at, (id, Rc::new(object))),
        }
    }

    /// Takes over the objects that it does not have yet.
    pub(super) fn absorb(&mut self, other: &Self) {
        for (id, object) in &other.0 {
            if let Err(at) = self.0.binary_search_by_key(id, |(id, _)| *id) {
                self.0.insert(at, (*id, Rc::clone(object)));
            }
        }
    }

    fn join(&mut self, other: &Self) {
        let mut joined = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            match (ours.peek(), theirs.peek()) {
                (Some((a, mine)), Some((b, its))) if a == b => {
                    let object = if Rc::ptr_eq(mine, its) {
                        Rc::clone(mine)
                    } else {
                        let mut object = (**mine).clone();
                        object.join(its);
                        Rc::new(object)
                    };
                    joined.push((*a, object));
                    ours.next();
                    theirs.next();
                }
                (Some((a, _)), Some((b, _))) if a < b => joined.extend(ours.next().cloned()),
                (Some(_), None) => joined.extend(ours.next().cloned()),
                (_, Some(_)) => joined.extend(theirs.next().cloned()),
                (None, None) => break,
            }
        }
        self.0 = joined;
    }
}

impl Object {
    pub(super) fn new(kind: ObjectKind) -> Self {
        Self { kind, exact: true, ..Self::default() }
    }

    pub(super) fn list(items: Vec<Value>) -> Self {
        let mut object = Self::new(ObjectKind::List);
        for (index, item) in (0..).zip(items) {
            object.set(&Const::Int(index), item);
        }
        object
    }

    /// What lies under a key: none if certainly nothing does and nothing is known of the whole.
    pub(super) fn get(&self, key: &Const) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Puts something under a key.
    pub(super) fn set(&mut self, key: &Const, value: Value) {
        match self.fields.iter().position(|(known, _)| known == key) {
            Some(at) => self.fields[at].1 = value,
            None if self.fields.len() < MOST_FIELDS => self.fields.push((key.clone(), value)),
            None => self.blur(&value),
        }
    }

    /// Puts something under a key that is not known.
    pub(super) fn blur(&mut self, value: &Value) {
        self.rest.join(value);
        self.rest.constant = None;
        self.exact = false;
    }

    /// Forgets which key is which.
    pub(super) fn forget_keys(&mut self) {
        for (_, value) in std::mem::take(&mut self.fields) {
            self.rest.join(&value);
        }
        self.rest.constant = None;
        self.exact = false;
    }

    /// What lies under this key, or under any that is not known.
    pub(super) fn look(&self, key: Option<&Const>) -> Value {
        match key {
            Some(key) => match self.get(key) {
                Some(value) => {
                    let mut value = value.clone();
                    if !self.rest.taint.is_empty() && !self.exact {
                        value.join(&self.rest);
                    }
                    value
                }
                None => self.rest.clone(),
            },
            None => {
                let mut all = self.rest.clone();
                for (_, value) in &self.fields {
                    all.join(value);
                }
                all.constant = None;
                all
            }
        }
    }

    /// The index behind the last item, of a list that is known item by item.
    pub(super) fn length(&self) -> Option<i64> {
        (self.exact && self.kind == ObjectKind::List).then(|| i64::try_from(self.fields.len()).unwrap_or(0))
    }

    /// The items of a list in order, if each is known.
    pub(super) fn items(&self) -> Option<Vec<Value>> {
        self.length()?;
        let indexed = |(key, value): &(Const, Value)| match key {
            Const::Int(index) => Some((*index, value.clone())),
            _ => None,
        };
        let mut items: Vec<_> = self.fields.iter().map(indexed).collect::<Option<_>>()?;
        items.sort_by_key(|(index, _)| *index);
        Some(items.into_iter().map(|(_, value)| value).collect())
    }

    /// Becomes a list of exactly these.
    pub(super) fn set_items(&mut self, items: Vec<Value>) {
        self.fields = (0..).zip(items).map(|(index, item)| (Const::Int(index), item)).collect();
    }

    fn join(&mut self, other: &Self) {
        let same_keys = self.fields.len() == other.fields.len()
            && self.fields.iter().all(|(key, _)| other.get(key).is_some());
        if self.kind == ObjectKind::List && !same_keys {
            // Items may have moved: what lies at an index is no longer known, except for what both agree on.
            self.forget_keys();
            let mut theirs = other.clone();
            theirs.forget_keys();
            self.rest.join(&theirs.rest);
            return;
        }
        for (key, value) in &other.fields {
            match self.fields.iter_mut().find(|(known, _)| known == key) {
                Some((_, mine)) => mine.join(value),
                None => {
                    let mut value = value.clone();
                    value.constant = None;
                    self.fields.push((key.clone(), value));
                }
            }
        }
        for (key, value) in &mut self.fields {
            if other.get(key).is_none() {
                value.constant = None;
            }
        }
        self.rest.join(&other.rest);
        self.exact &= other.exact;
    }
}

impl State {
    pub(super) fn with_slots(slots: usize) -> Self {
        Self { vars: vec![None; slots], ..Self::default() }
    }

    /// What holds where two ways meet.
    pub(super) fn join(&mut self, other: Self) {
        if other.dead {
            return;
        }
        if self.dead {
            *self = other;
            return;
        }
        for (ours, theirs) in self.vars.iter_mut().zip(other.vars) {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => ours.join(&theirs),
                (slot @ None, Some(mut theirs)) => {
                    theirs.constant = None;
                    *slot = Some(theirs);
                }
                (Some(ours), None) => ours.constant = None,
                (None, None) => {}
            }
        }
        self.heap.join(&other.heap);
        self.checked.retain_mut(|(path, mask)| {
            let theirs = other.checked.iter().find(|(other, _)| other == path);
            *mask &= theirs.map_or(0, |(_, mask)| *mask);
            *mask != 0
        });
        self.ruled_out.retain_mut(|(origin, mask)| {
            let theirs = other.ruled_out.iter().find(|(other, _)| other == origin);
            *mask &= theirs.map_or(0, |(_, mask)| *mask);
            *mask != 0
        });
    }

    /// From here on, what is read from there is harmless for these rules.
    pub(super) fn check(&mut self, path: &Rc<Path>, mask: Mask) {
        match self.checked.iter_mut().find(|(known, _)| known == path) {
            Some((_, known)) => *known |= mask,
            None => self.checked.push((Rc::clone(path), mask)),
        }
    }

    /// From here on, data of this origin is harmless for these rules.
    pub(super) fn rule_out(&mut self, origin: Place, mask: Mask) {
        match self.ruled_out.iter_mut().find(|(known, _)| *known == origin) {
            Some((_, known)) => *known |= mask,
            None => self.ruled_out.push((origin, mask)),
        }
    }

    pub(super) fn ruled_out(&self, origin: Place) -> Mask {
        self.ruled_out.iter().find(|(known, _)| *known == origin).map_or(0, |(_, mask)| *mask)
    }
}

/// The key that a value is, for constants and for named constants of libraries.
pub(super) fn key_of(value: &Value) -> Option<Const> {
    let named = || value.path.as_ref().map(|path: &Rc<Path>| Const::text(path.text()));
    value.constant.clone().or_else(named)
}
