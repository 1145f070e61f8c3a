//! Projects from a catalogue, without any model: language × what it is, with tests, licence, CI and README.
//!
//! What a project does is one small function in a core. For the goals that the catalogue knows by their words it is the
//! real thing; for all others it is a stand-in, and the README says so. The same order gives the same bytes.

mod list;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use list::FILES;

/// A language of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Python, standard library only.
    Python,
    /// Rust, without dependencies.
    Rust,
    /// Go, standard library only.
    Go,
    /// TypeScript in its JSDoc form: checked by `tsc`, run by Node as it is.
    Typescript,
}

/// What a project is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// Code for other code.
    Library,
    /// A program for the command line.
    Cli,
    /// An HTTP service.
    Service,
}

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// What the project is called: letters, digits, `-` and `_`.
    pub project_name: &'a str,
    /// What it is to do, in somebody's words.
    pub goal: &'a str,
    /// In which language; if nobody says, the goal's words decide, and then Python.
    pub language: Option<Language>,
    /// As what; if nobody says, the goal's words decide, and then a command line.
    pub template: Option<Template>,
}

/// A project, made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// In which language.
    pub language: Language,
    /// As what.
    pub template: Template,
    /// Whether it does what the goal says, as far as its words tell.
    pub does_the_goal: bool,
    /// What it is, honestly, in a few sentences.
    pub summary: String,
    /// How it comes about, in order.
    pub steps: Vec<Step>,
}

/// One step: files that come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In one line.
    pub name: String,
    /// Path and text of each.
    pub files: Vec<(String, String)>,
}

/// What the catalogue knows to do with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Core {
    Words,
    Slug,
    /// The stand-in.
    Lines,
}

/// Makes a project.
#[must_use]
pub fn make(order: &Order<'_>) -> Project {
    let words = words_of(order.goal);
    let language = order.language.or_else(|| Language::of(&words)).unwrap_or(Language::Python);
    let template = order.template.unwrap_or_else(|| Template::of(&words));
    let core = Core::of(&words);
    let values = Values::new(order, language, template, core);
    let step = |name: &str, layers: &[&str], tests: bool| {
        let mut files = Vec::new();
        for (path, text) in FILES {
            let Some(path) = layers.iter().find_map(|layer| path.strip_prefix(layer)?.strip_prefix('/'))
            else {
                continue;
            };
            if is_test(path) == tests {
                files.push((values.path(path), values.fill(text)));
            }
        }
        Step { name: name.to_owned(), files }
    };
    let layer = |name: &str| format!("{}/{name}", language.folder());
    let (common, core_layer, shell) = (layer("common"), layer(core.folder()), layer(template.folder()));
    let steps = vec![
        step("Set up the project", &["shared", &common], false),
        step("Write what the project is about", &[&core_layer], false),
        step(template.step(), &[&shell], false),
        step("Write the tests", &[&common, &core_layer, &shell], true),
    ];
    Project {
        language,
        template,
        does_the_goal: core != Core::Lines,
        summary: core.what_it_is(template),
        steps: steps.into_iter().filter(|step| !step.files.is_empty()).collect(),
    }
}

fn is_test(path: &str) -> bool {
    path.starts_with("test") || path.contains("_test.") || path.contains("/test")
}

/// The words of a goal, in lower case.
fn words_of(goal: &str) -> Vec<String> {
    let words = goal.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn any(words: &[String], of: &[&str]) -> bool {
    words.iter().any(|word| of.contains(&word.as_str()))
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Python, Self::Rust, Self::Go, Self::Typescript];

    /// By its name, or a name that people use for it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "python" | "py" => Some(Self::Python),
            "rust" | "rs" => Some(Self::Rust),
            "go" | "golang" => Some(Self::Go),
            "typescript" | "ts" | "javascript" | "js" | "node" => Some(Self::Typescript),
            _ => None,
        }
    }

    /// The first that a goal names.
    #[must_use]
    pub fn named_in(goal: &str) -> Option<Self> {
        Self::of(&words_of(goal))
    }

    /// The first that is named. `go` is a word like others, and must be meant as a language.
    fn of(words: &[String]) -> Option<Self> {
        let named = |at: usize, word: &str| match word {
            "go" => {
                let before = at.checked_sub(1).and_then(|at| words.get(at)).map(String::as_str);
                matches!(before, Some("in" | "with" | "using" | "a")).then_some(Self::Go)
            }
            word if word.len() > 2 => Self::from_name(word),
            _ => None,
        };
        words.iter().enumerate().find_map(|(at, word)| named(at, word))
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Typescript => "typescript",
        }
    }
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Library, Self::Cli, Self::Service];

    fn of(words: &[String]) -> Self {
        if any(words, &["cli", "command", "terminal", "shell", "script"]) {
            Self::Cli
        } else if any(words, &["http", "rest", "api", "service", "server", "endpoint", "web", "microservice"])
        {
            Self::Service
        } else if any(words, &["library", "package", "module", "crate", "function", "functions"]) {
            Self::Library
        } else {
            Self::Cli
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Cli => "cli",
            Self::Service => "service",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Cli => "command line tool",
            Self::Service => "HTTP service",
        }
    }

    fn step(self) -> &'static str {
        match self {
            Self::Library => "Write the library",
            Self::Cli => "Write the command line",
            Self::Service => "Write the service",
        }
    }
}

impl Core {
    fn of(words: &[String]) -> Self {
        if any(words, &["count", "counts", "counting", "counter", "wc"])
            && any(words, &["word", "words", "wc"])
        {
            Self::Words
        } else if any(words, &["slug", "slugs", "slugify"]) {
            Self::Slug
        } else {
            Self::Lines
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Slug => "slug",
            Self::Lines => "lines",
        }
    }

    fn what_it_is(self, template: Template) -> String {
        let noun = template.noun();
        let made = "Codeyard's scaffold made this project from a catalogue, without a language model.";
        match self {
            Self::Words => format!(
                "A {noun} that counts the lines, words and characters of texts. {made} It went by the words of the \
                 goal: whatever else the goal asks for is not there."
            ),
            Self::Slug => format!(
                "A {noun} that turns titles into slugs, names for addresses. {made} It went by the words of the goal: \
                 whatever else the goal asks for is not there."
            ),
            Self::Lines => format!(
                "**This is a starting point and does not do what the goal says.** {made} The catalogue has nothing for \
                 this goal, so what you have is a working {noun} with tests around a stand-in that tidies the white \
                 space of a text: put the real thing in its place, the function `apply` in the core."
            ),
        }
    }
}

/// What stands for the placeholders of a template.
struct Values(Vec<(&'static str, String)>);

impl Values {
    fn new(order: &Order<'_>, language: Language, template: Template, core: Core) -> Self {
        let package = package_of(order.project_name);
        let module = package.replace('-', "_");
        let quoted: Vec<String> = order.goal.trim().lines().map(harmless).collect();
        let first: String = quoted.first().map(|line| line.chars().take(200).collect()).unwrap_or_default();
        let modules = match (language, template) {
            (Language::Rust, Template::Service) => "pub mod http;\n\n",
            _ => "",
        };
        Self(vec![
            ("name", order.project_name.to_owned()),
            ("goal_quoted", quoted.join("\n> ").replace('<', "&lt;")),
            // What JSON escapes, TOML understands as well.
            ("goal_string", serde_json::to_string(&first).unwrap_or_default()),
            ("what_it_is", core.what_it_is(template)),
            ("usage", usage(language, template, &package, &module)),
            ("develop", develop(language).to_owned()),
            ("scripts", scripts(language, template, &package, &module)),
            ("modules", modules.to_owned()),
            ("identifier", module.replace('_', "")),
            ("package", package),
            ("module", module),
        ])
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The text with its placeholders replaced, once: what comes in is not looked at again.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            let known =
                rest[start + 2..].split_once("}}").and_then(|(name, after)| Some((self.get(name)?, after)));
            let (value, after) = known.unwrap_or(("{{", &rest[start + 2..]));
            filled.push_str(&rest[..start]);
            filled.push_str(value);
            rest = after;
        }
        filled + rest
    }

    fn path(&self, path: &str) -> String {
        let dotted = path
            .split('/')
            .map(|part| part.strip_prefix("dot-").map_or(part.to_owned(), |n| format!(".{n}")));
        let path = dotted.collect::<Vec<_>>().join("/");
        let path = path.replace("MODULE", self.get("module").unwrap_or_default());
        path.replace("IDENTIFIER", self.get("identifier").unwrap_or_default())
    }
}

/// A name that every language and every package manager takes: lower case, a letter first, nobody else's.
fn package_of(name: &str) -> String {
    let name = name.to_lowercase();
    let name = name.trim_end_matches(['-', '_']);
    let name = if name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.to_owned()
    } else {
        format!("p{name}")
    };
    let taken = include_str!("taken.txt").split_whitespace().any(|taken| taken == name.replace('-', "_"));
    if taken { format!("{name}-project") } else { name }
}

/// A line of somebody's words as it may stand in any file.
fn harmless(line: &str) -> String {
    line.chars().filter(|letter| !letter.is_control()).collect()
}

fn usage(language: Language, template: Template, package: &str, module: &str) -> String {
    let run = match (language, template) {
        (Language::Python, Template::Library) => {
            return format!("```python\nfrom {module} import apply\n\nprint(apply(\"Hello World\"))\n```");
        }
        (Language::Rust, Template::Library) => {
            return format!("```rust\nprintln!(\"{{}}\", {module}::apply(\"Hello World\"));\n```");
        }
        (Language::Go, Template::Library) => {
            let identifier = module.replace('_', "");
            return format!(
                "```go\nimport {identifier} \"example.com/{package}\"\n\nfmt.Println({identifier}.Apply(\"Hello World\"))\n```"
            );
        }
        (Language::Typescript, Template::Library) => {
            return "```js\nimport { apply } from \"./src/core.js\";\n\nconsole.log(apply(\"Hello World\"));\n```".to_owned();
        }
        (Language::Python, Template::Cli) => format!("python3 -m {module}"),
        (Language::Python, Template::Service) => format!("python3 -m {module}.service"),
        (Language::Rust, Template::Cli) => "cargo run --".to_owned(),
        (Language::Rust, Template::Service) => "cargo run".to_owned(),
        (Language::Go, _) => "go run .".to_owned(),
        (Language::Typescript, Template::Cli) => "node src/cli.js".to_owned(),
        (Language::Typescript, Template::Service) => "node src/service.js".to_owned(),
    };
    match template {
        Template::Service => format!(
            "```sh\n{run}   # HOST and PORT say where to listen\ncurl --data-binary @README.md http://127.0.0.1:8000/\n\
             curl http://127.0.0.1:8000/health\n```"
        ),
        _ => format!("```sh\n{run} README.md LICENSE\necho \"Hello World\" | {run}\n```"),
    }
}

fn develop(language: Language) -> &'static str {
    match language {
        Language::Python => {
            "Python 3.9 or newer is all it needs.\n\n```sh\npython3 -m unittest discover -v   # the tests\npip install -e .                  # \
             installs it from here\n```"
        }
        Language::Rust => {
            "[Rust](https://rustup.rs) 1.70 or newer is all it needs.\n\n```sh\ncargo test\ncargo build --release\n```"
        }
        Language::Go => "Go 1.19 or newer is all it needs.\n\n```sh\ngo test ./...\ngo build\n```",
        Language::Typescript => {
            "Node.js 20 or newer runs it as it is. The types stand in comments (JSDoc), and TypeScript checks them.\n\n\
             ```sh\nnode --test                      # the tests, which need nothing to be installed\n\
             npm install && npm run check     # the types\n```"
        }
    }
}

/// What a manifest says of the program that it installs.
fn scripts(language: Language, template: Template, package: &str, module: &str) -> String {
    match (language, template) {
        (Language::Python, Template::Cli) => {
            format!("\n[project.scripts]\n{package} = \"{module}.__main__:main\"\n")
        }
        (Language::Python, Template::Service) => {
            format!("\n[project.scripts]\n{package} = \"{module}.service:main\"\n")
        }
        (Language::Typescript, Template::Cli) => {
            format!("\n  \"bin\": {{ \"{package}\": \"./src/cli.js\" }},")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order<'a>(project_name: &'a str, goal: &'a str) -> Order<'a> {
        Order { project_name, goal, language: None, template: None }
    }

    fn file<'a>(project: &'a Project, path: &str) -> &'a str {
        let mut files = project.steps.iter().flat_map(|step| &step.files);
        files.find(|(name, _)| name == path).map(|(_, text)| text.as_str()).unwrap()
    }

    #[test]
    fn the_words_of_a_goal_choose() {
        let chosen = |goal| {
            let Project { language, template, does_the_goal, .. } = make(&order("x1", goal));
            (language, template, does_the_goal)
        };
        assert_eq!(
            chosen("a command line tool that counts words in files"),
            (Language::Python, Template::Cli, true)
        );
        assert_eq!(chosen("Ein REST API in Go"), (Language::Go, Template::Service, false));
        assert_eq!(chosen("a Rust library to slugify titles"), (Language::Rust, Template::Library, true));
        assert_eq!(chosen("where do we go from here"), (Language::Python, Template::Cli, false));
        assert_eq!(chosen("a web page in TypeScript").0, Language::Typescript);
    }

    #[test]
    fn every_project_is_whole_and_nothing_is_left_to_fill_in() {
        for language in Language::ALL {
            for template in Template::ALL {
                for goal in ["counts words", "makes slugs", "something else"] {
                    let order = Order {
                        language: Some(language),
                        template: Some(template),
                        ..order("my-App_2", goal)
                    };
                    let project = make(&order);
                    assert_eq!(project, make(&order));
                    let files: Vec<_> = project.steps.iter().flat_map(|step| &step.files).collect();
                    let paths: std::collections::BTreeSet<_> = files.iter().map(|(path, _)| path).collect();
                    assert_eq!(paths.len(), files.len(), "{paths:?}");
                    for path in ["README.md", "LICENSE", ".gitignore", ".github/workflows/ci.yml"] {
                        assert!(
                            paths.iter().any(|known| *known == path),
                            "{language:?} {template:?}: {path}"
                        );
                    }
                    for name in ["name", "goal_quoted", "usage", "scripts", "modules", "package", "module"] {
                        assert!(
                            !files.iter().any(|(_, text)| text.contains(&format!("{{{{{name}}}}}"))),
                            "{name}"
                        );
                    }
                    assert!(
                        !paths.iter().any(|path| path.contains("MODULE") || path.contains("dot-")),
                        "{paths:?}"
                    );
                    assert!(project.steps.last().unwrap().name == "Write the tests");
                }
            }
        }
    }

    #[test]
    fn a_goal_is_text_wherever_it_stands() {
        let goal = "say \"hi\" {{package}} \u{1b}[2J <script>\n# not a heading";
        let project = make(&order("x", goal));
        assert!(
            file(&project, "README.md")
                .contains("> say \"hi\" {{package}} [2J &lt;script>\n> # not a heading")
        );
        let manifest: toml::Table = file(&project, "pyproject.toml").parse().unwrap();
        assert_eq!(manifest["project"]["description"].as_str(), Some("say \"hi\" {{package}} [2J <script>"));
        let node = make(&Order { language: Some(Language::Typescript), ..order("x", goal) });
        assert!(serde_json::from_str::<serde_json::Value>(file(&node, "package.json")).is_ok());
    }

    #[test]
    fn names_that_are_somebody_elses_get_a_suffix() {
        assert_eq!(
            ["json", "class", "test", "Core", "9-lives", "a_b-", "word-count"].map(package_of),
            [
                "json-project",
                "class-project",
                "test-project",
                "core-project",
                "p9-lives",
                "a_b",
                "word-count"
            ]
        );
    }

    #[test]
    fn only_what_does_the_goal_says_that_it_does() {
        let honest =
            |goal| file(&make(&order("x", goal)), "README.md").contains("does not do what the goal says");
        assert!(honest("a chess engine") && !honest("counts words"));
    }
}
