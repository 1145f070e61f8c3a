//! What is known about a value: the constant it is, what tainted it, what it was made by, what it holds.

use std::rc::Rc;
use std::sync::Arc;

use super::ir::{At, Class, Const, Function, Name};
use super::models::Source;
use super::state::State;

/// The rules that a mark no longer counts for, a bit each.
pub(super) type Mask = u64;

/// A place in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) at: At,
}

/// Everything known about a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Value {
    pub(super) constant: Option<Const>,
    pub(super) taint: Taint,
    /// Where in a library it is from, for example `flask.request.args`.
    pub(super) path: Option<Rc<Path>>,
    /// The objects on the heap that it may be, in order.
    pub(super) objects: Vec<u32>,
    pub(super) callable: Option<Rc<Callable>>,
}

/// Something of the project's own that can be called.
#[derive(Debug)]
pub(super) enum Callable {
    Function {
        function: Arc<Function>,
        this: Option<Value>,
        outer: Option<Rc<Captured>>,
    },
    Class {
        class: Arc<Class>,
        outer: Option<Rc<Captured>>,
    },
    /// A module of the project.
    Module(u32),
}

/// What a function sees of the function around it.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) function: Arc<Function>,
    pub(super) state: State,
    pub(super) this: Option<Value>,
    pub(super) outer: Option<Rc<Captured>>,
}

/// How something of a library is reached: names and calls from left to right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) parent: Option<Rc<Path>>,
    pub(super) name: Name,
    pub(super) called: bool,
    depth: u8,
}

const DEEPEST_PATH: u8 = 12;

impl Path {
    pub(super) fn root(name: &str) -> Rc<Self> {
        let mut path: Option<Rc<Self>> = None;
        for part in name.split('.') {
            let (part, called) = part.strip_suffix("()").map_or((part, false), |part| (part, true));
            let depth = path.as_ref().map_or(0, |path| path.depth + 1);
            path = Some(Rc::new(Self { parent: path, name: Arc::from(part), called, depth }));
        }
        path.unwrap_or_else(|| Rc::new(Self { parent: None, name: Arc::from(""), called: false, depth: 0 }))
    }

    pub(super) fn field(self: &Rc<Self>, name: &Name) -> Option<Rc<Self>> {
        (self.depth < DEEPEST_PATH).then(|| {
            Rc::new(Self {
                parent: Some(Rc::clone(self)),
                name: Arc::clone(name),
                called: false,
                depth: self.depth + 1,
            })
        })
    }

    pub(super) fn call(self: &Rc<Self>) -> Rc<Self> {
        Rc::new(Self {
            parent: self.parent.clone(),
            name: Arc::clone(&self.name),
            called: true,
            depth: self.depth,
        })
    }

    /// The dotted form.
    pub(super) fn text(&self) -> String {
        let mut text = self.parent.as_ref().map(|parent| parent.text() + ".").unwrap_or_default();
        text.push_str(&self.name);
        if self.called {
            text.push_str("()");
        }
        text
    }
}

/// The marks on a value, at most a few.
#[derive(Clone, Debug, Default)]
pub(super) struct Taint(Option<Rc<Vec<Mark>>>);

/// That a value is under somebody's control.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Which kind of source.
    pub(super) kind: u8,
    /// The rules for which it was made harmless.
    pub(super) cleared: Mask,
    /// Who it is: marks with the same origin are about the same data.
    pub(super) origin: Place,
    pub(super) trace: Rc<Step>,
}

/// One step of the way of a mark.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) note: Note,
    pub(super) before: Option<Rc<Step>>,
    pub(super) length: u8,
}

/// What happens at a step.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// It comes from here, which is what the model says.
    Source(Name),
    Assigned(Name),
    Passed(Name),
    Returned(Name),
}

const MOST_MARKS: usize = 4;
const LONGEST_TRACE: u8 = 24;

impl Taint {
    pub(super) fn source(source: &Source, place: Place) -> Self {
        let Source { kind, says, clears } = source;
        let note = Note::Source(Arc::clone(says));
        let trace = Rc::new(Step { place, note, before: None, length: 1 });
        Self(Some(Rc::new(vec![Mark { kind: *kind, cleared: *clears, origin: place, trace }])))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn marks(&self) -> &[Mark] {
        self.0.as_ref().map_or(&[], |marks| marks.as_slice())
    }

    /// Both; a mark that is in both is as harmless as it is in each.
    pub(super) fn join(&mut self, other: &Self) {
        let Some(theirs) = &other.0 else { return };
        let Some(ours) = &mut self.0 else {
            self.0 = Some(Rc::clone(theirs));
            return;
        };
        if Rc::ptr_eq(ours, theirs) {
            return;
        }
        let mut marks = (**ours).clone();
        for mark in theirs.iter() {
            match marks.iter_mut().find(|m| m.origin == mark.origin && m.kind == mark.kind) {
                Some(same) => {
                    if mark.cleared & !same.cleared == 0 && mark.trace.length < same.trace.length {
                        same.trace = Rc::clone(&mark.trace);
                    } else if same.cleared & !mark.cleared != 0 {
                        // The way on which it stays harmful is the one to tell.
                        same.trace = Rc::clone(&mark.trace);
                    }
                    same.cleared &= mark.cleared;
                }
                None => marks.push(mark.clone()),
            }
        }
        marks.sort_by_key(|mark| (mark.kind, mark.origin));
        marks.truncate(MOST_MARKS);
        *ours = Rc::new(marks);
    }

    /// The same marks, harmless for these rules too.
    pub(super) fn clear(&mut self, mask: Mask) {
        if let Some(marks) = &self.0 {
            if mask == Mask::MAX {
                self.0 = None;
                return;
            }
            let cleared = marks.iter().map(|mark| Mark { cleared: mark.cleared | mask, ..mark.clone() });
            self.0 = Some(Rc::new(cleared.collect()));
        }
    }

    /// The same marks, one step further.
    pub(super) fn step(&mut self, place: Place, note: &Note) {
        let Some(marks) = &self.0 else { return };
        if marks.iter().all(|mark| mark.trace.place == place || mark.trace.length >= LONGEST_TRACE) {
            return;
        }
        let stepped = marks.iter().map(|mark| {
            let length = mark.trace.length + 1;
            if length > LONGEST_TRACE || mark.trace.place == place {
                return mark.clone();
            }
            let before = Some(Rc::clone(&mark.trace));
            Mark { trace: Rc::new(Step { place, note: note.clone(), before, length }), ..mark.clone() }
        });
        self.0 = Some(Rc::new(stepped.collect()));
    }
}

impl Value {
    pub(super) fn constant(constant: Const) -> Self {
        Self { constant: Some(constant), ..Self::default() }
    }

    pub(super) fn path(path: Rc<Path>) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    pub(super) fn object(id: u32) -> Self {
        Self { objects: vec![id], ..Self::default() }
    }

    pub(super) fn tainted(taint: Taint) -> Self {
        Self { taint, ..Self::default() }
    }

    pub(super) fn as_str(&self) -> Option<&Arc<str>> {
        match &self.constant {
            Some(Const::Str(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_int(&self) -> Option<i64> {
        match &self.constant {
            Some(Const::Int(int)) => Some(*int),
            _ => None,
        }
    }

    /// Whether it counts as true, where that is certain.
    pub(super) fn truth(&self) -> Option<bool> {
        Some(match self.constant.as_ref()? {
            Const::Null => false,
            Const::Bool(bool) => *bool,
            Const::Int(int) => *int != 0,
            Const::Str(text) => !text.is_empty(),
        })
    }

    /// Either this or the other.
    pub(super) fn join(&mut self, other: &Self) {
        if self.constant != other.constant {
            self.constant = None;
        }
        self.taint.join(&other.taint);
        if self.path.is_none() {
            self.path.clone_from(&other.path);
        }
        for id in &other.objects {
            if let Err(at) = self.objects.binary_search(id) {
                self.objects.insert(at, *id);
            }
        }
        if self.callable.is_none() {
            self.callable.clone_from(&other.callable);
        }
    }
}
