//! A finding with the code it is about.

use std::fmt::{self, Write};

use super::paint::{Paint, harmless};
use crate::model::{Category, Confidence, Finding, FlowStep, Region, Severity};

/// How much of a finding is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// With why it matters and what to do instead.
    Full,
    /// With the code, and nothing else.
    Brief,
}

/// Writes a finding: what and how bad, where, the code, and, in full, why and what to do.
pub(super) fn write(to: &mut impl Write, finding: &Finding, detail: Detail, paint: Paint) -> fmt::Result {
    let label = format!("{}[{}]", finding.severity.as_str(), harmless(&finding.rule));
    let label = paint.severity(finding.severity, label);
    writeln!(to, "{label} {}{}", paint.bold(harmless(&finding.message)), paint.dim(marks(finding)))?;
    write_region(to, &finding.region, finding.severity, paint)?;
    if detail == Detail::Full {
        let gutter = gutter(&finding.region);
        for (word, text) in [("why", &finding.why), ("fix", &finding.fix)] {
            for (at, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
                let word = if at == 0 { format!("{word}:") } else { String::new() };
                writeln!(to, "{:gutter$} {} {:4} {}", "", paint.dim("="), paint.bold(word), harmless(line))?;
            }
        }
        write_flow(to, &finding.flow, gutter, paint)?;
    }
    Ok(())
}

fn write_flow(to: &mut impl Write, flow: &[FlowStep], gutter: usize, paint: Paint) -> fmt::Result {
    for (number, step) in flow.iter().enumerate() {
        let place = format!("{}:{}", harmless(&step.region.path), step.region.line);
        writeln!(
            to,
            "{:gutter$} {} {}. {place} {}",
            "",
            paint.dim("="),
            number + 1,
            harmless(&step.message)
        )?;
    }
    Ok(())
}

/// The place, and the lines of the code with a mark under what is meant.
fn write_region(to: &mut impl Write, region: &Region, severity: Severity, paint: Paint) -> fmt::Result {
    let gutter = gutter(region);
    let place = format!("{}:{}:{}", harmless(&region.path), region.line, region.column);
    writeln!(to, "{:gutter$}{} {place}", "", paint.dim("-->"))?;
    let lines: Vec<&str> = region.snippet.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let number = region.line + at;
        writeln!(to, "{} {} {}", paint.dim(format!("{number:gutter$}")), paint.dim("|"), harmless(line))?;
        if at == 0 {
            let last = if region.end_line == region.line { Some(region.end_column) } else { None };
            let (skip, width) = under(line, region.column, last);
            let mark = paint.severity(severity, "^".repeat(width));
            writeln!(to, "{:gutter$} {} {:skip$}{mark}", "", paint.dim("|"), "")?;
        }
    }
    let left = (region.end_line + 1).saturating_sub(region.line + lines.len());
    if left > 0 && !lines.is_empty() {
        writeln!(to, "{:gutter$} {} {}", "", paint.dim("|"), paint.dim(format!("… {left} more")))?;
    }
    Ok(())
}

/// How far to go and how much to mark under a line as [`harmless`] shows it.
fn under(line: &str, column: usize, end: Option<usize>) -> (usize, usize) {
    let shown = |from: usize, to: usize| {
        let part: String = line.chars().skip(from).take(to.saturating_sub(from)).collect();
        harmless(&part).chars().count()
    };
    let length = line.chars().count();
    let start = column.saturating_sub(1).min(length);
    let end = end.map_or(length, |end| end.saturating_sub(1)).min(length);
    (shown(0, start), shown(start, end).max(1))
}

/// The width of the line numbers.
fn gutter(region: &Region) -> usize {
    let last = region.line + region.snippet.lines().count().saturating_sub(1);
    last.to_string().len()
}

/// `  (security, CWE-78, low confidence)`
fn marks(finding: &Finding) -> String {
    let mut marks = vec![category(finding.category).to_owned()];
    marks.extend(finding.cwe.iter().map(|cwe| harmless(cwe)));
    if finding.confidence == Confidence::Low {
        marks.push(confidence(finding.confidence).to_owned());
    }
    format!("  ({})", marks.join(", "))
}

/// The word for a category.
pub(super) fn category(category: Category) -> &'static str {
    match category {
        Category::Security => "security",
        Category::Bug => "bug",
        Category::Smell => "smell",
        Category::Type => "type",
        Category::Performance => "performance",
        Category::Style => "style",
    }
}

/// The word for how sure a finding is.
pub(super) fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "high confidence",
        Confidence::Medium => "medium confidence",
        Confidence::Low => "low confidence",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fingerprints, Origin};

    fn finding(snippet: &str, columns: (usize, usize), end_line: usize) -> Finding {
        Finding {
            rule: "python-eval".into(),
            category: Category::Security,
            severity: Severity::High,
            confidence: Confidence::Medium,
            cwe: vec!["CWE-95".into()],
            owasp: Vec::new(),
            message: "`eval` runs whatever it is given".into(),
            why: "It runs code.".into(),
            fix: "Use `ast.literal_eval`.".into(),
            replacement: None,
            region: Region {
                path: "app/run.py".into(),
                line: 9,
                column: columns.0,
                end_line,
                end_column: columns.1,
                snippet: snippet.into(),
            },
            symbol: String::new(),
            fingerprints: Fingerprints::default(),
            origin: Origin::Builtin,
            also: Vec::new(),
            flow: Vec::new(),
            state: None,
        }
    }

    fn shown(finding: &Finding) -> String {
        let mut text = String::new();
        write(&mut text, finding, Detail::Full, Paint::new(false)).unwrap();
        text
    }

    #[test]
    fn a_frame_marks_the_place_and_says_why_and_what_to_do() {
        let text = shown(&finding("\tx = eval(y)", (6, 13), 9));
        let expected = "\
high[python-eval] `eval` runs whatever it is given  (security, CWE-95)
 --> app/run.py:9:6
9 |     x = eval(y)
  |         ^^^^^^^
  = why: It runs code.
  = fix: Use `ast.literal_eval`.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_long_place_is_marked_on_its_first_line_and_says_how_much_follows() {
        let text = shown(&finding("if x:\n    a()", (1, 8), 14));
        let expected = "\
 9 | if x:
   | ^^^^^
10 |     a()
   | … 4 more
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn places_beyond_the_line_do_no_harm() {
        assert_eq!(under("abc", 9, Some(12)), (3, 1));
        assert_eq!(under("", 1, None), (0, 1));
        assert_eq!(under("a\u{1b}b", 3, Some(4)), (7, 1));
    }
}
