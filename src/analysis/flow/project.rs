//! All files of a project, what can be found in them by name, and what each analysis has asked of the others.
//!
//! Names are looked up in outlines; a file is lowered when something in it is really needed. So a file that is
//! remembered takes part without being parsed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ir::{Class, Function, Name, Stmt, Unit};
use crate::analysis::languages::Language;
use crate::analysis::memory::Key;

/// A method and the class it stands in.
pub(super) type Method = (Arc<Class>, Arc<Function>);

/// What others can find in a file by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outline {
    language: Language,
    /// What it imports, by dotted path.
    pub(super) imports: Vec<Name>,
    pub(super) package: Name,
    classes: Vec<ClassOutline>,
    /// The functions of its top level, for languages whose packages span files.
    functions: Vec<Name>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ClassOutline {
    name: Name,
    bases: Vec<Name>,
    methods: Vec<Name>,
}

impl Outline {
    pub(super) fn of(unit: &Unit) -> Self {
        let class = |class: &Arc<Class>| ClassOutline {
            name: Arc::clone(&class.name),
            bases: class.bases.clone(),
            methods: class.methods.iter().map(|method| Arc::clone(&method.name.0)).collect(),
        };
        let shared = matches!(unit.language, Language::Go | Language::Php);
        let functions = functions(unit).filter(|_| shared).map(|function| Arc::clone(&function.name.0));
        Self {
            language: unit.language,
            imports: unit.imports.clone(),
            package: Arc::clone(&unit.package),
            classes: unit.classes.iter().map(class).collect(),
            functions: functions.collect(),
        }
    }

    pub(super) fn language(&self) -> Language {
        self.language
    }
}

/// The functions of a file's top level.
fn functions(unit: &Unit) -> impl Iterator<Item = &Arc<Function>> {
    unit.module.body.iter().filter_map(|stmt| match stmt {
        Stmt::Function(_, function) => Some(function),
        _ => None,
    })
}

/// A class: its file, and which of that file's classes it is.
type ClassId = (u32, usize);
/// A method: its class, and which of that class's methods it is.
type MethodId = (ClassId, usize);
/// How a file is lowered when it is needed.
type Lower<'f> = Box<dyn Fn(u32) -> Option<Unit> + Send + Sync + 'f>;

/// Files and indexes over them. A file without an outline is one that has nothing to do with any flow.
pub(super) struct Project<'f> {
    paths: &'f [&'f str],
    outlines: Vec<Option<Outline>>,
    units: Vec<OnceLock<Option<Unit>>>,
    lower: Lower<'f>,
    /// Modules by the last part of their dotted path.
    modules: Modules,
    classes: HashMap<Name, Vec<ClassId>>,
    /// Classes by the names of what they extend or implement.
    heirs: HashMap<Name, Vec<ClassId>>,
    methods: HashMap<Name, Vec<MethodId>>,
    /// Functions by package, for languages whose packages span files.
    functions: HashMap<String, (u32, usize)>,
}

/// A call that could go to more methods than this goes to none.
const MOST_TARGETS: usize = 6;
/// Classes above a class that are looked through for a method.
const MOST_BASES: usize = 8;

impl<'f> Project<'f> {
    /// `units` are those that are lowered already.
    pub(super) fn new(
        paths: &'f [&'f str],
        outlines: Vec<Option<Outline>>,
        units: Vec<Option<Unit>>,
        lower: Lower<'f>,
    ) -> Self {
        let lowered = |unit: Option<Unit>| unit.map_or_else(OnceLock::new, |unit| OnceLock::from(Some(unit)));
        let mut project = Self {
            paths,
            outlines: Vec::new(),
            units: units.into_iter().map(lowered).collect(),
            lower,
            modules: modules(paths),
            classes: HashMap::new(),
            heirs: HashMap::new(),
            methods: HashMap::new(),
            functions: HashMap::new(),
        };
        for (file, outline) in (0..).zip(&outlines) {
            let Some(outline) = outline else { continue };
            for (at, class) in outline.classes.iter().enumerate() {
                project.classes.entry(Arc::clone(&class.name)).or_default().push((file, at));
                for base in &class.bases {
                    project.heirs.entry(Arc::clone(base)).or_default().push((file, at));
                }
                for (method, name) in class.methods.iter().enumerate() {
                    project.methods.entry(Arc::clone(name)).or_default().push(((file, at), method));
                }
            }
            for (at, name) in outline.functions.iter().enumerate() {
                project.functions.entry(format!("{} {name}", outline.package)).or_insert((file, at));
            }
        }
        project.outlines = outlines;
        project
    }

    /// A file in the intermediate form.
    pub(super) fn unit(&self, file: u32) -> Option<&Unit> {
        self.outline(file)?;
        self.units[file as usize].get_or_init(|| (self.lower)(file)).as_ref()
    }

    fn outline(&self, file: u32) -> Option<&Outline> {
        self.outlines.get(file as usize)?.as_ref()
    }

    fn class_outline(&self, (file, at): ClassId) -> Option<&ClassOutline> {
        self.outline(file)?.classes.get(at)
    }

    fn language(&self, file: u32) -> Option<Language> {
        self.outline(file).map(Outline::language)
    }

    /// The file that a dotted path names, as seen from another file: the one that shares most folders with it.
    fn module(&self, path: &str) -> Option<u32> {
        find_module(&self.modules, path).filter(|file| self.outline(*file).is_some())
    }

    /// The class of this name, the one of the same file first; none if it is not clear which.
    fn class(&self, name: &str, file: u32) -> Option<ClassId> {
        let all = self.classes.get(name)?;
        let here = all.iter().find(|class| class.0 == file);
        let only = || match all.as_slice() {
            [one] if self.language(one.0) == self.language(file) => Some(one),
            _ => None,
        };
        here.or_else(only).copied()
    }

    /// A method of a class or of what it extends.
    fn method(&self, class: ClassId, name: &str) -> Option<MethodId> {
        let mut class = class;
        for _ in 0..MOST_BASES {
            let outline = self.class_outline(class)?;
            if let Some(at) = outline.methods.iter().position(|method| &**method == name) {
                return Some((class, at));
            }
            class = outline.bases.iter().find_map(|base| self.class(base, class.0))?;
        }
        None
    }

    /// The methods of this name in the classes below a class.
    fn overrides(&self, class: &str, name: &str) -> Vec<MethodId> {
        let heirs = self.heirs.get(class).into_iter().flatten();
        few(heirs.filter_map(|heir| self.method(*heir, name)))
    }

    /// Every method of this name in files of the language, if they are few.
    fn methods_named(&self, name: &str, language: Language) -> Vec<MethodId> {
        let all = self.methods.get(name).into_iter().flatten();
        few(all.filter(|((file, _), _)| self.language(*file) == Some(language)).copied())
    }

    /// A function of a package that spans files.
    fn function(&self, package: &str, name: &str) -> Option<(u32, usize)> {
        if self.functions.is_empty() {
            None
        } else {
            self.functions.get(&format!("{package} {name}")).copied()
        }
    }

    fn class_at(&self, (file, at): ClassId) -> Option<&Arc<Class>> {
        self.unit(file)?.classes.get(at)
    }

    fn method_at(&self, (class, at): MethodId) -> Option<Method> {
        let class = self.class_at(class)?;
        Some((Arc::clone(class), Arc::clone(class.methods.get(at)?)))
    }

    /// What the answer to a question is now: a hash over what was found and the contents of the files it stands in.
    pub(super) fn answer(&self, question: &Question, contents: &[Key]) -> u64 {
        let file_of = |path: &str| self.paths.binary_search(&path).ok().and_then(|at| u32::try_from(at).ok());
        let mut hash = Sha256::new();
        let mut add = |file: u32, places: [usize; 2]| {
            hash.update(contents.get(file as usize).copied().unwrap_or_default());
            places.iter().for_each(|place| hash.update(place.to_le_bytes()));
        };
        match question {
            Question::Module(path) => self.module(path).into_iter().for_each(|file| add(file, [0, 0])),
            Question::Class(name, path) => {
                let class = file_of(path).and_then(|file| self.class(name, file));
                class.into_iter().for_each(|(file, at)| add(file, [at, 0]));
            }
            Question::Overrides(class, name) => {
                self.overrides(class, name)
                    .into_iter()
                    .for_each(|((file, at), method)| add(file, [at, method]));
            }
            Question::Methods(name, language) => {
                let methods = self.methods_named(name, *language);
                methods.into_iter().for_each(|((file, at), method)| add(file, [at, method]));
            }
            Question::Function(package, name) => {
                self.function(package, name).into_iter().for_each(|(file, at)| add(file, [at, 0]));
            }
        }
        hash.finalize().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// All of them, or none where they are many.
fn few<T>(found: impl Iterator<Item = T>) -> Vec<T> {
    let found: Vec<T> = found.take(MOST_TARGETS + 1).collect();
    if found.len() > MOST_TARGETS { Vec::new() } else { found }
}

/// What the analysis of one file wants to know of the others. What it does depends on the answers, on its own content
/// and on nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Question {
    /// Which file a dotted path names.
    Module(String),
    /// Which class a name means in a file.
    Class(String, String),
    /// The methods of a name below a class.
    Overrides(String, String),
    /// The methods of a name.
    Methods(String, Language),
    /// A function of a package.
    Function(String, String),
}

/// A project as the analysis of one file sees it: what it asks is noted.
pub(super) struct View<'p> {
    project: &'p Project<'p>,
    /// None where nobody wants to know.
    asked: Option<RefCell<BTreeSet<Question>>>,
}

impl<'p> View<'p> {
    pub(super) fn new(project: &'p Project<'p>, noting: bool) -> Self {
        Self { project, asked: noting.then(RefCell::default) }
    }

    /// Everything that was asked.
    pub(super) fn asked(self) -> BTreeSet<Question> {
        self.asked.map(RefCell::into_inner).unwrap_or_default()
    }

    fn note(&self, question: impl FnOnce() -> Question) {
        if let Some(asked) = &self.asked {
            asked.borrow_mut().insert(question());
        }
    }

    /// A file that was given in an answer, or the file itself.
    pub(super) fn unit(&self, file: u32) -> Option<&'p Unit> {
        self.project.unit(file)
    }

    /// The file that a dotted path names.
    pub(super) fn module(&self, path: &str) -> Option<u32> {
        self.note(|| Question::Module(path.to_owned()));
        self.project.module(path)
    }

    fn class_id(&self, name: &str, file: u32) -> Option<ClassId> {
        let path = || self.project.paths.get(file as usize).copied().unwrap_or_default().to_owned();
        self.note(|| Question::Class(name.to_owned(), path()));
        self.project.class(name, file)
    }

    /// The class of this name, the one of the same file first; none if it is not clear which.
    pub(super) fn class(&self, name: &str, file: u32) -> Option<&'p Arc<Class>> {
        self.project.class_at(self.class_id(name, file)?)
    }

    /// A method of a class or of what it extends.
    pub(super) fn method(&self, class: &Arc<Class>, name: &str) -> Option<Method> {
        let mut class = class;
        for _ in 0..MOST_BASES {
            if let Some(method) = class.methods.iter().find(|method| &*method.name.0 == name) {
                return Some((Arc::clone(class), Arc::clone(method)));
            }
            let base = class.bases.iter().find_map(|base| self.class_id(base, class.file))?;
            class = self.project.class_at(base)?;
        }
        None
    }

    /// The methods of this name in the classes below a class.
    pub(super) fn overrides(&self, class: &str, name: &str) -> Vec<Method> {
        self.note(|| Question::Overrides(class.to_owned(), name.to_owned()));
        let found = self.project.overrides(class, name).into_iter();
        found.filter_map(|method| self.project.method_at(method)).collect()
    }

    /// Every method of this name in files of the language, if they are few.
    pub(super) fn methods_named(&self, name: &str, language: Language) -> Vec<Method> {
        self.note(|| Question::Methods(name.to_owned(), language));
        let found = self.project.methods_named(name, language).into_iter();
        found.filter_map(|method| self.project.method_at(method)).collect()
    }

    /// A function of a package that spans files.
    pub(super) fn function(&self, package: &str, name: &str) -> Option<&'p Arc<Function>> {
        self.note(|| Question::Function(package.to_owned(), name.to_owned()));
        let (file, at) = self.project.function(package, name)?;
        functions(self.unit(file)?).nth(at)
    }
}

type Modules = HashMap<String, Vec<(String, u32)>>;

/// Every file by the last part of its dotted path: `a/b/c.py` is `a.b.c`, a package's own file is the package.
pub(super) fn modules(paths: &[&str]) -> Modules {
    let mut modules: BTreeMap<String, Vec<(String, u32)>> = BTreeMap::new();
    for (file, path) in (0..).zip(paths) {
        let stem = path.rsplit_once('.').map_or(*path, |(stem, _)| stem);
        let stem =
            ["/__init__", "/index", "/mod"].iter().find_map(|own| stem.strip_suffix(own)).unwrap_or(stem);
        let dotted = stem.replace('/', ".");
        let last = dotted.rsplit('.').next().unwrap_or_default().to_owned();
        modules.entry(last).or_default().push((dotted, file));
    }
    modules.into_iter().collect()
}

/// The file with this dotted path, or whose dotted path ends with it; the shortest if there are several.
pub(super) fn find_module(modules: &Modules, path: &str) -> Option<u32> {
    let last = path.rsplit('.').next()?;
    let fits = |dotted: &str| {
        dotted.strip_suffix(path).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let all = modules.get(last)?.iter().filter(|(dotted, _)| fits(dotted));
    all.min_by_key(|(dotted, file)| (dotted.len(), *file)).map(|(_, file)| *file)
}
