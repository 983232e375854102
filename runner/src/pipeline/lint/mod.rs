//! The strict check: what the format lets pass and a person did most probably not mean.
//!
//! It looks at the file as written, before interpolation: a value with a variable in it is not judged. Nothing here
//! keeps a pipeline from being run; what does is reported by the ordinary check, and not a second time here.

mod documented;
mod fields;
mod holders;
mod keys;
mod steps;
mod unreachable;
mod variables;

use super::diagnostic::{Diagnostic, Severity, Source, Span};
use super::document::{self, Document};
use super::interpolate::{Env, interpolate};
use super::node::{Entry, Mapping, Node, NodeKind};

/// The most findings that are shown; a file with more is first mended in part.
pub const MAX_SHOWN: usize = 200;
/// The most findings that are looked for. Hostile files would otherwise make work without end.
const MAX_KEPT: usize = 10_000;

/// What the strict check has found.
#[derive(Debug, Clone, Default)]
pub struct Findings(Vec<Finding>);

#[derive(Debug, Clone, PartialEq)]
struct Finding {
    diagnostic: Diagnostic,
    /// Where an error of the ordinary check says the same.
    same: Same,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Same {
    Nowhere,
    /// At exactly this place.
    At(Span),
    /// Anywhere in here.
    Within(Span),
}

/// Checks the first pipeline of a file. `env` has the variables that interpolation will see, those of the pipeline
/// among them. A file that is not YAML has no findings here.
pub fn lint(source: &Source, env: &Env) -> Findings {
    let Ok(Some(Document { root, repeated })) = document::first_document(source) else { return Findings::default() };
    let mut findings = Findings::default();
    for (key, ignored) in repeated {
        let message = format!("the key `{key}` stands here more than once; only the last one counts");
        findings.report(Diagnostic::error(message).at(ignored).label("this one is ignored"), Same::Nowhere);
    }
    keys::check(&root, source, env, &mut findings);
    holders::check(&root, &mut findings);
    interpolation(&root, source, env, &mut findings);
    variables::check(&root, source, env, &mut findings);
    unreachable::check(&root, &mut findings);
    fields::check(&root, &mut findings);
    findings
}

impl Findings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Joins them with what the ordinary check has found, in the order of the file. At most [`MAX_SHOWN`] are kept,
    /// and one that says that there are more.
    #[must_use]
    pub fn join(self, mut ordinary: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let errors: Vec<Span> = ordinary
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .filter_map(|finding| finding.span)
            .collect();
        let said = |finding: &Finding| {
            errors.iter().any(|error| match finding.same {
                Same::Nowhere => false,
                Same::At(place) => place == *error,
                Same::Within(place) => place.start <= error.start && error.end <= place.end,
            })
        };
        let more = self.0.into_iter().filter(|finding| !said(finding)).map(|finding| finding.diagnostic);
        ordinary.extend(more);
        let place = |finding: &Diagnostic| finding.span.map_or((0, 0), |span| (span.start, span.end));
        ordinary.sort_by(|left, right| place(left).cmp(&place(right)).then_with(|| left.message.cmp(&right.message)));
        // What came through aliases was looked at once for each.
        ordinary.dedup();
        if ordinary.len() > MAX_SHOWN {
            ordinary.truncate(MAX_SHOWN);
            ordinary.push(Diagnostic::error(format!("there is more; only {MAX_SHOWN} findings are shown")));
        }
        ordinary
    }

    /// Whether there are so many that more would help nobody.
    fn is_full(&self) -> bool {
        self.0.len() >= MAX_KEPT
    }

    fn report(&mut self, diagnostic: Diagnostic, same: Same) {
        if !self.is_full() {
            self.0.push(Finding { diagnostic, same });
        }
    }
}

/// Every string that cannot be interpolated, where the ordinary check stops at the first.
fn interpolation(root: &Node, source: &Source, env: &Env, findings: &mut Findings) {
    let mut text = |text: &str, span: Span| {
        if let Err(error) = interpolate(text, env) {
            let place = locate(source, span, text, error.start, error.end);
            let finding = Diagnostic { help: error.help, ..Diagnostic::error(error.message).at(place) };
            findings.report(finding, Same::Within(span));
        }
    };
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        match &node.kind {
            NodeKind::String(string) => text(string, node.span),
            NodeKind::Sequence(items) => open.extend(items),
            NodeKind::Mapping(mapping) => {
                for (key, entry) in mapping.iter() {
                    text(key, entry.key_span);
                    // A signature is never interpolated.
                    if key != "signature" {
                        open.push(&entry.value);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Where the bytes `start..end` of a string stand in the file; where the string stands, if that cannot be told.
fn locate(source: &Source, span: Span, string: &str, start: usize, end: usize) -> Span {
    let part = string.get(start..end).filter(|part| !part.is_empty());
    let written = source.text.get(span.start..span.end);
    let (Some(part), Some(written)) = (part, written) else { return span };
    let before = string[..start].matches(part).count();
    match written.match_indices(part).nth(before) {
        Some((at, _)) => Span::new(span.start + at, span.start + at + part.len()),
        None => span,
    }
}

/// Whether a value is known only after interpolation, or for each job of a matrix.
fn is_later(text: &str) -> bool {
    text.contains('$') || text.contains("{{")
}

/// The text of a scalar that will not change any more.
fn settled(mapping: &Mapping, key: &str) -> Option<(String, Span)> {
    let Entry { value, .. } = mapping.get(key)?;
    let text = value.to_text().ok().filter(|text| !is_later(text))?;
    Some((text, value.span))
}

#[cfg(test)]
mod tests;
