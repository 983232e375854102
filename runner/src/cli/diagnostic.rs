//! Findings about a pipeline as text: `file:line:col`, an excerpt, what is wrong and what to do.

use crate::pipeline::{Diagnostic, Severity, Source};
use annotate_snippets::renderer::Renderer;
use annotate_snippets::{AnnotationKind, Group, Level, Snippet};

/// Findings of one kind that are shown. More help nobody, and each costs a look through the whole file.
pub(super) const MAX_SHOWN: usize = 50;

/// The finding with an excerpt of the file.
pub(super) fn render(source: &Source, finding: &Diagnostic) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut report = level
        .primary_title(finding.message.as_str())
        .elements(std::iter::empty::<Snippet<'_, annotate_snippets::Annotation<'_>>>());
    if let Some(span) = finding.span {
        let length = source.text.len();
        let start = span.start.min(length);
        let end = span.end.clamp(start, first_lines(&source.text, start, span.end.min(length)));
        let annotation = AnnotationKind::Primary.span(start..end).label(finding.label.as_deref());
        report = report.element(Snippet::source(&*source.text).path(source.name.as_str()).annotation(annotation));
    }
    let mut groups: Vec<Group<'_>> = vec![report];
    if let Some(help) = finding.help.as_deref() {
        let last = groups.pop();
        groups.extend(last.map(|group| group.element(Level::HELP.message(help))));
    }
    let mut text = Renderer::styled().render(&groups);
    text.push('\n');
    text
}

/// A message without a place.
pub(super) fn render_plain(word: &str, message: &str, help: &str) -> String {
    let style = Renderer::styled();
    let level = if word == "warning" { Level::WARNING } else { Level::ERROR };
    let mut group = Group::with_title(level.primary_title(message));
    if !help.is_empty() {
        group = group.element(Level::HELP.message(help));
    }
    let mut text = style.render(&[group]);
    text.push('\n');
    text
}

/// The end of a long span, so that an excerpt of a whole step shows its first lines only.
fn first_lines(text: &str, start: usize, end: usize) -> usize {
    const LINES: usize = 3;
    let mut breaks = text[start..end].match_indices('\n').map(|(at, _)| start + at);
    breaks.nth(LINES - 1).unwrap_or(end)
}
