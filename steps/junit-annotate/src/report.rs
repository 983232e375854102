//! `JUnit`'s XML to counts and the tests that people want to see. The text may be hostile: nothing in it is expanded.

use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesStart, Event};

/// Bytes kept of what a failure says.
const MAX_DETAIL: usize = 16 << 10;
/// Bytes kept of a name.
const MAX_NAME: usize = 512;
/// Tests kept in full; the rest is counted.
const MAX_KEPT: usize = 10_000;

/// All reports together.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    pub tests: u64,
    pub failures: u64,
    pub errors: u64,
    pub skipped: u64,
    /// Those that failed, could not be run or were skipped, and all with a time.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Case {
    pub name: String,
    pub class: String,
    pub file: String,
    /// Seconds.
    pub time: f64,
    pub outcome: Outcome,
    /// The message of its failure and what stands in it.
    pub detail: String,
}

/// How a test ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    #[default]
    Passed,
    Failed,
    Error,
    Skipped,
}

impl Report {
    /// Whether any test failed or could not be run.
    pub fn has_failed(&self) -> bool {
        self.failures + self.errors > 0
    }

    /// Adds the tests of one report.
    ///
    /// # Errors
    /// Why it is not one.
    pub fn read(&mut self, xml: &[u8]) -> Result<(), String> {
        let mut reader = Reader::from_reader(xml);
        let mut buffer = Vec::new();
        let mut case: Option<Case> = None;
        let mut in_detail = false;
        let mut suites = false;
        let mut depth = 0u64;
        loop {
            buffer.clear();
            let event = reader
                .read_event_into(&mut buffer)
                .map_err(|error| format!("at byte {}: {error}", reader.error_position()))?;
            match event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            match event {
                Event::Start(tag) | Event::Empty(tag)
                    if matches!(tag.local_name().as_ref(), b"testsuites" | b"testsuite") =>
                {
                    suites = true;
                }
                Event::Empty(tag) if tag.local_name().as_ref() == b"testcase" => self.add(test(&tag)?),
                Event::Start(tag) if tag.local_name().as_ref() == b"testcase" => case = Some(test(&tag)?),
                Event::Start(tag) | Event::Empty(tag) if outcome(&tag).is_some() => {
                    if let Some(case) = &mut case {
                        // A failure counts more than what comes after it.
                        if case.outcome == Outcome::Passed {
                            case.outcome = outcome(&tag).unwrap_or_default();
                        }
                        append(&mut case.detail, &attribute(&tag, "message")?);
                        append(&mut case.detail, "\n");
                        in_detail = true;
                    }
                }
                Event::Text(text) if in_detail => {
                    if let Some(case) = &mut case {
                        append(&mut case.detail, &String::from_utf8_lossy(&text));
                    }
                }
                Event::GeneralRef(name) if in_detail => {
                    let name = String::from_utf8_lossy(&name);
                    let character = name.strip_prefix('#').and_then(character);
                    if let Some(case) = &mut case {
                        let shown =
                            character.map(String::from).or_else(|| resolve_xml_entity(&name).map(str::to_owned));
                        append(&mut case.detail, &shown.unwrap_or_else(|| format!("&{name};")));
                    }
                }
                Event::CData(text) if in_detail => {
                    if let Some(case) = &mut case {
                        append(&mut case.detail, &String::from_utf8_lossy(&text));
                    }
                }
                Event::End(tag) => match tag.local_name().as_ref() {
                    b"failure" | b"error" | b"skipped" => in_detail = false,
                    b"testcase" => {
                        in_detail = false;
                        case.take().into_iter().for_each(|case| self.add(case));
                    }
                    _ => {}
                },
                Event::Eof if depth > 0 => return Err("it ends too early".to_owned()),
                Event::Eof => break,
                _ => {}
            }
        }
        if suites { Ok(()) } else { Err("there is no `testsuite` in it".to_owned()) }
    }

    fn add(&mut self, case: Case) {
        self.tests += 1;
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Failed => self.failures += 1,
            Outcome::Error => self.errors += 1,
            Outcome::Skipped => self.skipped += 1,
        }
        let case = Case { detail: case.detail.trim().to_owned(), ..case };
        if self.cases.len() < MAX_KEPT && (case.outcome != Outcome::Passed || case.time > 0.0) {
            self.cases.push(case);
        }
    }
}

fn outcome(tag: &BytesStart<'_>) -> Option<Outcome> {
    match tag.local_name().as_ref() {
        b"failure" => Some(Outcome::Failed),
        b"error" => Some(Outcome::Error),
        b"skipped" => Some(Outcome::Skipped),
        _ => None,
    }
}

fn test(tag: &BytesStart<'_>) -> Result<Case, String> {
    Ok(Case {
        name: short(attribute(tag, "name")?),
        class: short(attribute(tag, "classname")?),
        file: short(attribute(tag, "file")?),
        time: attribute(tag, "time")?.replace(',', "").parse().unwrap_or_default(),
        ..Case::default()
    })
}

/// The value of an attribute; empty when it is not there.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<String, String> {
    let found = tag.try_get_attribute(name).map_err(|error| error.to_string())?;
    let Some(found) = found else { return Ok(String::new()) };
    let text = String::from_utf8_lossy(&found.value).into_owned();
    Ok(unescape(&text).map_or_else(|_| text.clone(), std::borrow::Cow::into_owned))
}

/// A name that fits a line.
fn short(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(MAX_NAME));
    name
}

fn character(number: &str) -> Option<char> {
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

fn append(detail: &mut String, text: &str) {
    let room = MAX_DETAIL.saturating_sub(detail.len());
    detail.push_str(&text[..text.floor_char_boundary(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_and_failures_kept() {
        let xml = br#"<?xml version="1.0"?>
<testsuites><testsuite name="s" tests="99">
  <testcase classname="a.B" name="passes" time="0.5"/>
  <testcase classname="a.B" name="fails &lt;here&gt;" file="b.rb" time="1,000.5">
    <failure message="expected &amp; 1&#10;got 2">at <![CDATA[<line>]]> 3 &#x41;&lt;</failure>
  </testcase>
  <testcase name="breaks"><error>boom</error><failure message="later"/></testcase>
  <testcase name="waits"><skipped/></testcase>
  <testcase name="logs"><system-out>not a failure</system-out></testcase>
</testsuite></testsuites>"#;
        let mut report = Report::default();
        report.read(xml).unwrap();
        report.read(b"<testsuite><testcase name='x'/></testsuite>").unwrap();
        assert_eq!((report.tests, report.failures, report.errors, report.skipped), (6, 1, 1, 1));
        let failed = report.cases.iter().find(|case| case.outcome == Outcome::Failed).unwrap();
        assert_eq!((failed.name.as_str(), failed.file.as_str()), ("fails <here>", "b.rb"));
        assert!((failed.time - 1000.5).abs() < 1e-9);
        assert_eq!(failed.detail, "expected & 1\ngot 2\nat <line> 3 A<");
        assert!(report.has_failed());
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let mut report = Report::default();
        for (xml, problem) in [
            ("", "no `testsuite`"),
            ("<html></html>", "no `testsuite`"),
            ("<testsuite><testcase></testsuite>", "at byte"),
            ("<testsuite><testcase>", "ends too early"),
        ] {
            let error = report.read(xml.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{xml}: {error}");
        }
    }

    #[test]
    fn entities_are_not_expanded() {
        let xml = br#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>
<testsuite><testcase name="&b;"><failure>&b;&f;</failure></testcase></testsuite>"#;
        let mut report = Report::default();
        report.read(xml).unwrap();
        assert_eq!((report.cases[0].name.as_str(), report.cases[0].detail.as_str()), ("&b;", "&b;&f;"));
    }

    #[test]
    fn a_flood_is_kept_within_bounds() {
        let case = "<testcase name='x'><failure message='m'/></testcase>";
        let xml = format!("<testsuite>{}</testsuite>", case.repeat(MAX_KEPT + 10));
        let mut report = Report::default();
        report.read(xml.as_bytes()).unwrap();
        assert_eq!((report.failures as usize, report.cases.len()), (MAX_KEPT + 10, MAX_KEPT));
        let long = format!(
            "<testsuite><testcase name='x'><failure>{}</failure></testcase></testsuite>",
            "é".repeat(MAX_DETAIL)
        );
        let mut report = Report::default();
        report.read(long.as_bytes()).unwrap();
        assert!(report.cases[0].detail.len() <= MAX_DETAIL);
    }
}
