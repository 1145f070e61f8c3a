//! JUnit's XML, which nearly everything writes and every CI system draws.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::escape::{escape, unescape};
use quick_xml::events::{BytesStart, Event};

use super::{Case, Outcome, Tested, message};

/// The cases of a report, as far as it can be read. No entity but XML's own five is known, and nothing is fetched.
pub(super) fn read(text: &str) -> Vec<Case> {
    let mut reader = Reader::from_str(text);
    let mut cases: Vec<Case> = Vec::new();
    // What stands in the tag that says why a case did not pass.
    let mut why: Option<String> = None;
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == b"testcase" => {
                cases.push(case_of(&tag));
                why = None;
            }
            Event::Start(tag) => why = mark(&mut cases, &tag).then(String::new),
            Event::Empty(tag) => drop(mark(&mut cases, &tag)),
            Event::End(_) => why.take().into_iter().for_each(|why| say(&mut cases, &why)),
            Event::Text(piece) => more(&mut why, &String::from_utf8_lossy(&piece)),
            Event::CData(piece) => more(&mut why, &String::from_utf8_lossy(&piece)),
            Event::GeneralRef(name) => {
                more(&mut why, &unescaped(&format!("&{};", String::from_utf8_lossy(&name))));
            }
            _ => {}
        }
    }
    cases
}

fn more(why: &mut Option<String>, piece: &str) {
    if let Some(why) = why {
        why.push_str(piece);
    }
}

fn case_of(tag: &BytesStart<'_>) -> Case {
    Case {
        suite: attribute(tag, "classname").unwrap_or_default(),
        name: attribute(tag, "name").unwrap_or_default(),
        outcome: Outcome::Passed,
        seconds: attribute(tag, "time").and_then(|time| time.parse().ok()),
        message: None,
    }
}

/// A tag within a case may say that it did not pass; whether it does.
fn mark(cases: &mut [Case], tag: &BytesStart<'_>) -> bool {
    let outcome = match tag.local_name().as_ref() {
        b"failure" => Outcome::Failed,
        b"error" => Outcome::Error,
        b"skipped" => Outcome::Skipped,
        _ => return false,
    };
    let Some(case) = cases.last_mut() else { return false };
    case.outcome = outcome;
    case.message = attribute(tag, "message").as_deref().and_then(message);
    true
}

fn say(cases: &mut [Case], why: &str) {
    let Some(case) = cases.last_mut() else { return };
    let said = case.message.take().unwrap_or_default();
    // Many repeat the message in the text.
    case.message = message(&if why.contains(&said) { why.to_owned() } else { format!("{said}\n{why}") });
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    Some(unescaped(&String::from_utf8_lossy(&attribute.value)))
}

/// With XML's own entities replaced; any other stays as it stands.
fn unescaped(raw: &str) -> String {
    unescape(raw).map_or_else(|_| raw.to_owned(), std::borrow::Cow::into_owned)
}

/// Writes what was tested as a report.
#[must_use]
pub fn write(tested: &Tested) -> Vec<u8> {
    let mut suites = BTreeMap::<&str, Vec<&Case>>::new();
    for case in &tested.cases {
        suites.entry(&case.suite).or_default().push(case);
    }
    let sum = &tested.summary;
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        clean(&tested.command),
        sum.total,
        sum.failed,
        sum.errors,
        sum.skipped,
        tested.seconds
    );
    for (suite, cases) in suites {
        let _ = writeln!(xml, "  <testsuite name=\"{}\" tests=\"{}\">", clean(suite), cases.len());
        cases.iter().for_each(|case| write_case(&mut xml, case));
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml.into_bytes()
}

fn write_case(xml: &mut String, case: &Case) {
    let time = case.seconds.map(|seconds| format!(" time=\"{seconds:.3}\"")).unwrap_or_default();
    let head = format!("classname=\"{}\" name=\"{}\"{time}", clean(&case.suite), clean(&case.name));
    let tag = match case.outcome {
        Outcome::Passed => {
            let _ = writeln!(xml, "    <testcase {head}/>");
            return;
        }
        Outcome::Failed => "failure",
        Outcome::Error => "error",
        Outcome::Skipped => "skipped",
    };
    let why = case.message.as_deref().unwrap_or_default();
    let first = clean(why.lines().next_back().unwrap_or_default());
    let _ =
        writeln!(xml, "    <testcase {head}><{tag} message=\"{first}\">{}</{tag}></testcase>", clean(why));
}

/// Text that is safe in XML. Control characters have no place in it at all.
fn clean(text: &str) -> String {
    let allowed =
        |c: &char| (!c.is_control() || matches!(c, '\n' | '\t')) && !matches!(c, '\u{fffe}' | '\u{ffff}');
    escape(text.chars().filter(allowed).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_whoever_wrote_them() {
        let text = r#"<?xml version="1.0"?><testsuites><testsuite name="s" tests="4">
            <testcase classname="a.B" name="adds &amp; more" time="0.25"/>
            <testcase classname="a.B" name="breaks"><failure message="1 &lt; 2">why:
1 &lt; 2</failure><system-out>noise</system-out></testcase>
            <testcase classname="a.B" name="cannot"><error><![CDATA[<gone>]]></error></testcase>
            <testcase name="later"><skipped/></testcase></testsuite></testsuites>"#;
        let cases = read(text);
        let seen: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.outcome)).collect();
        let expected = [
            ("adds & more", Outcome::Passed),
            ("breaks", Outcome::Failed),
            ("cannot", Outcome::Error),
            ("later", Outcome::Skipped),
        ];
        assert_eq!(seen, expected);
        assert_eq!(cases[0].seconds, Some(0.25));
        assert!(cases[1].message.as_ref().unwrap().starts_with("why:\n1 < 2"), "{cases:?}");
        assert_eq!(cases[2].message.as_deref(), Some("<gone>"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let case = |name: &str, outcome, message: Option<&str>| Case {
            suite: "s<1>".to_owned(),
            name: name.to_owned(),
            outcome,
            seconds: None,
            message: message.map(str::to_owned),
        };
        let cases = vec![
            case("a \"quoted\" name", Outcome::Passed, None),
            case("b", Outcome::Failed, Some("x && y\u{1b}")),
            case("c", Outcome::Skipped, Some("later")),
        ];
        let tested = Tested { cases: cases.clone(), ..Tested::not_run("t", "") };
        let read = read(&String::from_utf8(write(&tested)).unwrap());
        assert_eq!(read.len(), 3);
        assert_eq!((&read[0], &read[2]), (&cases[0], &cases[2]));
        assert_eq!(read[1].message.as_deref(), Some("x && y"));
    }

    #[test]
    fn a_report_that_is_none_has_no_cases() {
        assert_eq!(read(""), []);
        assert_eq!(read("<testsuite><testcase"), []);
        assert_eq!(
            read("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><testcase name=\"&e;\"/>")[0].name,
            "&e;"
        );
    }
}
