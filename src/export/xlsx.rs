//! A workbook: summary, findings, files, functions, duplicates, technologies.

use rust_xlsxwriter::{Color, DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use super::{Document, Error, clipped, word};
use crate::analysis::Report;
use crate::model::Severity;

/// Excel's own limits: characters of a cell, and rows of a sheet without that of the headings.
const LONGEST: usize = 32_767;
const MOST_ROWS: usize = 1_048_575;

/// Writes the report as a workbook. Text is text: nothing in it becomes a formula or a link.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut workbook = Workbook::new();
    workbook.set_properties(&properties(document)?);
    summary(workbook.add_worksheet(), document)?;
    findings(workbook.add_worksheet(), report)?;
    files(workbook.add_worksheet(), report)?;
    functions(workbook.add_worksheet(), report)?;
    duplicates(workbook.add_worksheet(), report)?;
    technologies(workbook.add_worksheet(), report)?;
    Ok(workbook.save_to_buffer()?)
}

/// Without a date of its own the workbook would hold the time of writing.
fn properties(document: &Document<'_>) -> Result<DocProperties, XlsxError> {
    let seconds = document.date.map_or(0, |date| date.timestamp());
    let date = ExcelDateTime::from_timestamp(seconds)?;
    Ok(DocProperties::new()
        .set_title("Code quality report")
        .set_author("Codeyard")
        .set_creation_datetime(&date))
}

/// What a cell holds.
enum Cell {
    Text(String),
    Severity(Severity),
    Number(f64),
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(clipped(text, LONGEST))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<Severity> for Cell {
    fn from(severity: Severity) -> Self {
        Self::Severity(severity)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(number as f64)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// A row of cells out of values of any sort.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Cell::from($value)),*] };
}

/// Columns by heading and width, and the rows below them, with a filter on top.
fn table(
    sheet: &mut Worksheet,
    name: &str,
    columns: &[(&str, f64)],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> Result<(), XlsxError> {
    let heading =
        Format::new().set_bold().set_background_color(Color::RGB(0x3F_46C8)).set_font_color(Color::White);
    sheet.set_name(name)?.set_freeze_panes(1, 0)?;
    for (at, (title, width)) in (0_u16..).zip(columns) {
        sheet.write_string_with_format(0, at, *title, &heading)?;
        sheet.set_column_width(at, *width)?;
    }
    let mut last = 0;
    for (line, cells) in (1_u32..).zip(rows.take(MOST_ROWS)) {
        for (at, cell) in (0_u16..).zip(cells) {
            write_cell(sheet, line, at, cell)?;
        }
        last = line;
    }
    let end = u16::try_from(columns.len()).unwrap_or(1).saturating_sub(1);
    sheet.autofilter(0, 0, last, end)?;
    Ok(())
}

fn write_cell(sheet: &mut Worksheet, line: u32, at: u16, cell: Cell) -> Result<(), XlsxError> {
    match cell {
        Cell::Text(text) => sheet.write_string(line, at, text)?,
        Cell::Severity(severity) => {
            sheet.write_string_with_format(line, at, word(severity), &paint(severity))?
        }
        Cell::Number(number) => sheet.write_number(line, at, number)?,
        Cell::Empty => return Ok(()),
    };
    Ok(())
}

/// The colours of a severity.
fn paint(severity: Severity) -> Format {
    let (ink, paper) = match severity {
        Severity::Critical => (0x8F_1239, 0xFD_E7EE),
        Severity::High => (0xC2_410C, 0xFE_ECE0),
        Severity::Medium => (0xA1_6207, 0xFD_F3D3),
        Severity::Low => (0x25_63A8, 0xE4_EFFB),
        Severity::Info => (0x5D_6270, 0xEE_EEEA),
    };
    Format::new().set_font_color(Color::RGB(ink)).set_background_color(Color::RGB(paper))
}

fn summary(sheet: &mut Worksheet, document: &Document<'_>) -> Result<(), XlsxError> {
    let report = document.report;
    let (totals, project) = (&report.summary, &report.metrics.project);
    let mut rows = vec![
        row!["Name", document.name],
        row!["Commit", document.revision],
        row!["Analysed", document.date.map(|date| date.to_rfc3339())],
        row!["Written by", format!("Codeyard {}", report.analyzer_version)],
        row!["Quality score, 0 to 10", report.quality_score],
        row!["Share of the code it speaks for", report.score.covers],
        row!["Not above, because of", report.score.cap.as_ref().map(|cap| cap.because.as_str())],
    ];
    for dimension in &report.score.dimensions {
        let title = format!("Score: {} (weight {})", dimension.name, dimension.weight);
        rows.push(row![title, dimension.score, dimension.detail.as_str()]);
    }
    rows.push(row!["Findings", totals.findings]);
    for entry in &totals.by_severity {
        rows.push(row![format!("Findings: {}", word(entry.severity)), entry.count]);
    }
    for entry in &totals.by_category {
        rows.push(row![format!("Findings: {}", word(entry.category)), entry.count]);
    }
    for condition in report.gate.iter().flat_map(|gate| &gate.conditions) {
        let title = format!("Gate: {}", condition.name);
        let verdict = if condition.passed { "passed" } else { "failed" };
        rows.push(row![title, verdict, format!("{}; wanted: {}", condition.found, condition.wanted)]);
    }
    if let Some(baseline) = &report.baseline {
        rows.push(row!["Compared with", baseline.against.as_str()]);
        rows.push(row!["New since then", baseline.new]);
        rows.push(row!["Unchanged since then", baseline.unchanged]);
        rows.push(row!["Moved since then", baseline.moved]);
        rows.push(row!["Fixed since then", baseline.fixed.len()]);
    }
    rows.extend([
        row!["Files", totals.files],
        row!["Files analysed", totals.files_analysed],
        row!["Lines", totals.lines],
        row!["Lines of code", totals.code_lines],
        row!["Functions", totals.functions],
        row!["Comment share", project.comment_share],
        row!["Duplicated lines", project.duplicated_lines],
        row!["Coverage", project.coverage],
        row!["Maintainability index", project.maintainability_index],
        row!["Formula of the score", report.score.formula.as_str()],
    ]);
    table(sheet, "Summary", &[("What", 40.0), ("Value", 24.0), ("Detail", 70.0)], rows.into_iter())
}

fn findings(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let columns = [
        ("Severity", 10.0),
        ("Category", 12.0),
        ("Rule", 30.0),
        ("Message", 70.0),
        ("File", 40.0),
        ("Line", 8.0),
        ("Column", 8.0),
        ("Confidence", 12.0),
        ("CWE", 14.0),
        ("OWASP", 12.0),
        ("Instead", 70.0),
        ("Symbol", 24.0),
        ("Fingerprint", 24.0),
        ("State", 12.0),
    ];
    let mut findings: Vec<_> = report.findings().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let rows = findings.into_iter().map(|finding| {
        row![
            finding.severity,
            word(finding.category),
            finding.rule.as_str(),
            finding.message.as_str(),
            finding.region.path.as_str(),
            finding.region.line,
            finding.region.column,
            word(finding.confidence),
            finding.cwe.join(" "),
            finding.owasp.join(" "),
            finding.fix.as_str(),
            finding.symbol.as_str(),
            finding.fingerprints.stable.as_str(),
            finding.state.map(word).unwrap_or_default(),
        ]
    });
    table(sheet, "Findings", &columns, rows)
}

fn files(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let columns = [
        ("File", 50.0),
        ("Language", 14.0),
        ("Bytes", 10.0),
        ("Lines", 10.0),
        ("Code", 10.0),
        ("Comment", 10.0),
        ("Blank", 10.0),
        ("Functions", 10.0),
        ("Cyclomatic", 11.0),
        ("Cognitive", 11.0),
        ("Nesting", 10.0),
        ("Maintainability", 15.0),
        ("Coverage", 10.0),
        ("Syntax errors", 13.0),
    ];
    let coverage: std::collections::BTreeMap<&str, f64> = report
        .coverage
        .iter()
        .flat_map(|all| &all.files)
        .map(|file| (file.path.as_str(), file.share))
        .collect();
    let rows = report.metrics.files.iter().map(|file| {
        row![
            file.path.as_str(),
            file.language.as_str(),
            file.bytes,
            file.lines.physical,
            file.lines.code,
            file.lines.comment,
            file.lines.blank,
            file.functions.len(),
            file.cyclomatic,
            file.cognitive,
            file.max_nesting,
            file.maintainability_index,
            coverage.get(file.path.as_str()).copied(),
            file.syntax_errors,
        ]
    });
    table(sheet, "Files", &columns, rows)
}

fn functions(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let columns = [
        ("Function", 40.0),
        ("File", 50.0),
        ("Line", 8.0),
        ("Code", 8.0),
        ("Parameters", 11.0),
        ("Cyclomatic", 11.0),
        ("Cognitive", 11.0),
        ("Nesting", 9.0),
        ("Maintainability", 15.0),
        ("Halstead volume", 16.0),
    ];
    let all = report.metrics.files.iter().flat_map(|file| file.functions.iter().map(move |f| (file, f)));
    let rows = all.map(|(file, function)| {
        row![
            function.name.as_str(),
            file.path.as_str(),
            function.line,
            function.code_lines,
            function.parameters,
            function.cyclomatic,
            function.cognitive,
            function.nesting,
            function.maintainability_index,
            function.halstead.volume,
        ]
    });
    table(sheet, "Functions", &columns, rows)
}

fn duplicates(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let columns = [
        ("Group", 8.0),
        ("Lines", 8.0),
        ("Tokens", 8.0),
        ("File", 60.0),
        ("From line", 10.0),
        ("To line", 10.0),
    ];
    let places = (1_usize..).zip(&report.duplicates).flat_map(|(number, group)| {
        group.places.iter().map(move |place| {
            row![number, group.lines, group.tokens, place.path.as_str(), place.line, place.end_line]
        })
    });
    table(sheet, "Duplicates", &columns, places)
}

/// Technologies first, then the packages.
fn technologies(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let columns = [
        ("Kind", 14.0),
        ("Name", 40.0),
        ("Version", 16.0),
        ("Asked for", 16.0),
        ("Relation", 12.0),
        ("Licence", 20.0),
        ("Named in", 40.0),
    ];
    let technologies = report.technologies.iter().map(|technology| {
        let version = technology.version.as_deref();
        row![
            word(technology.kind),
            technology.name.as_str(),
            version,
            None::<f64>,
            None::<f64>,
            None::<f64>,
            technology.evidence.as_str(),
        ]
    });
    let packages = report.dependencies.iter().map(|package| {
        row![
            format!("{} package", package.ecosystem),
            package.name.as_str(),
            package.version.as_deref(),
            package.requirement.as_deref(),
            if package.direct { "direct" } else { "transitive" },
            package.licence.as_deref(),
            package.manifest.as_str(),
        ]
    });
    table(sheet, "Technologies", &columns, technologies.chain(packages))
}
