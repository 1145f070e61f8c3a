//! Numbers about functions, files and the project.

mod functions;
mod halstead;
mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use functions::maintainability_index;
pub use walk::{Symbol, Token, Walk, walk};

/// The numbers of the project, its files and their functions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Metrics {
    /// The whole project.
    pub project: ProjectMetrics,
    /// Every file of text, by path.
    pub files: Vec<FileMetrics>,
}

/// The numbers of the whole project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProjectMetrics {
    /// Files of text.
    pub files: usize,
    /// Lines of all of them.
    pub lines: Lines,
    /// Comment lines as a share of code and comment lines, from 0 to 1.
    pub comment_share: f64,
    /// Functions and methods.
    pub functions: usize,
    /// Sum of the cyclomatic complexities.
    pub cyclomatic: usize,
    /// Sum of the cognitive complexities.
    pub cognitive: usize,
    /// Mean cyclomatic complexity of a function.
    pub mean_cyclomatic: f64,
    /// The deepest nesting of control structures.
    pub max_nesting: usize,
    /// Lines that stand somewhere else too.
    pub duplicated_lines: usize,
    /// Them as a share of the analysed lines of code, from 0 to 1.
    pub duplicated_share: f64,
    /// The share of lines that tests reach, from 0 to 1, where a report says it.
    pub coverage: Option<f64>,
    /// Mean of the files' maintainability indices, weighted by their lines of code; none without code.
    pub maintainability_index: Option<f64>,
}

/// The numbers of one file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileMetrics {
    /// The path.
    pub path: String,
    /// The language, or what the text is.
    pub language: String,
    /// Bytes.
    pub bytes: usize,
    /// Lines.
    pub lines: Lines,
    /// Cyclomatic complexity of everything in the file.
    pub cyclomatic: usize,
    /// Cognitive complexity of everything in the file.
    pub cognitive: usize,
    /// The deepest nesting of control structures.
    pub max_nesting: usize,
    /// From 0 (unmaintainable) to 100; none where the file was not parsed.
    pub maintainability_index: Option<f64>,
    /// Places where the syntax could not be understood.
    pub syntax_errors: usize,
    /// Whether the file was parsed, measured and checked against the rules.
    pub analysed: bool,
    /// Its functions, in order.
    pub functions: Vec<FunctionMetrics>,
}

/// The numbers of one function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FunctionMetrics {
    /// The name, qualified by the classes and functions around it.
    pub name: String,
    /// The line it starts on.
    pub line: usize,
    /// The line it ends on.
    pub end_line: usize,
    /// Lines that hold code.
    pub code_lines: usize,
    /// Parameters, without the receiver.
    pub parameters: usize,
    /// Decisions plus one.
    pub cyclomatic: usize,
    /// SonarSource's cognitive complexity.
    pub cognitive: usize,
    /// The deepest nesting of control structures.
    pub nesting: usize,
    /// Halstead's numbers.
    pub halstead: Halstead,
    /// From 0 (unmaintainable) to 100.
    pub maintainability_index: f64,
}

/// Halstead's counts; the derived numbers follow from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Halstead {
    /// Different operators: keywords, punctuation and signs.
    pub distinct_operators: usize,
    /// Different operands: names and literals.
    pub distinct_operands: usize,
    /// All operators.
    pub operators: usize,
    /// All operands.
    pub operands: usize,
    /// Length times the binary logarithm of the vocabulary.
    pub volume: f64,
    /// How hard it is to write or understand.
    pub difficulty: f64,
    /// Volume times difficulty.
    pub effort: f64,
}

/// How many lines there are of what. Each line is exactly one of code, comment and blank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lines {
    /// All lines.
    pub physical: usize,
    /// Lines with code on them.
    pub code: usize,
    /// Lines with nothing but comment on them (Python's docstrings are comments).
    pub comment: usize,
    /// Lines with nothing on them.
    pub blank: usize,
}

impl Lines {
    /// Counts other text, in which every line with something on it is code.
    pub fn of_text(text: &str) -> Self {
        let mut lines = Self::default();
        for line in text.lines() {
            lines.physical += 1;
            if line.trim().is_empty() {
                lines.blank += 1;
            } else {
                lines.code += 1;
            }
        }
        lines
    }

    /// Adds what another file has.
    pub fn add(&mut self, other: Self) {
        self.physical += other.physical;
        self.code += other.code;
        self.comment += other.comment;
        self.blank += other.blank;
    }
}

impl Metrics {
    /// Sums up files, which must be in order of their paths.
    pub fn of(files: Vec<FileMetrics>, duplicated_lines: usize) -> Self {
        let mut project = ProjectMetrics { files: files.len(), ..ProjectMetrics::default() };
        let (mut weighted, mut weight, mut function_cyclomatic) = (0.0, 0.0, 0_usize);
        let mut analysed = Lines::default();
        for file in &files {
            project.lines.add(file.lines);
            project.functions += file.functions.len();
            project.cyclomatic += file.cyclomatic;
            project.cognitive += file.cognitive;
            project.max_nesting = project.max_nesting.max(file.max_nesting);
            function_cyclomatic += file.functions.iter().map(|f| f.cyclomatic).sum::<usize>();
            if let Some(index) = file.maintainability_index {
                weighted += index * file.lines.code as f64;
                weight += file.lines.code as f64;
                analysed.add(file.lines);
            }
        }
        project.duplicated_lines = duplicated_lines;
        project.duplicated_share = round(share(duplicated_lines, analysed.physical).min(1.0));
        project.comment_share = share(analysed.comment, analysed.code + analysed.comment);
        project.mean_cyclomatic = round(share(function_cyclomatic, project.functions));
        project.maintainability_index = (weight > 0.0).then(|| round(weighted / weight));
        Self { project, files }
    }

    /// Files and lines by language, most code first.
    pub fn languages(&self) -> Vec<LanguageLines> {
        let mut by_name = BTreeMap::<&str, LanguageLines>::new();
        for file in &self.files {
            let entry = by_name.entry(&file.language).or_insert_with(|| LanguageLines {
                language: file.language.clone(),
                ..LanguageLines::default()
            });
            entry.files += 1;
            entry.lines.add(file.lines);
        }
        let mut all: Vec<_> = by_name.into_values().collect();
        all.sort_by(|a, b| b.lines.code.cmp(&a.lines.code).then_with(|| a.language.cmp(&b.language)));
        all
    }
}

/// How much there is of one language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LanguageLines {
    /// The language, or what the text is.
    pub language: String,
    /// Files.
    pub files: usize,
    /// Lines.
    pub lines: Lines,
}

/// A part of a whole, from 0 to 1; nothing of nothing is 0.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Two decimals: more would only be noise in a report.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
