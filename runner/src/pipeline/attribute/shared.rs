//! The keys that several kinds of steps have.

use super::reader::{Reader, boolean, wrong};
use crate::pipeline::diagnostic::{Diagnostic, Spanned};
use crate::pipeline::node::{Node, NodeKind};

/// The longest key of a step, in bytes.
const MAX_KEY_BYTES: usize = 100;

/// The keys that several kinds of steps have.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shared {
    /// `key`, `id` or `identifier`.
    pub key: Option<Spanned<String>>,
    /// What to call the step: its label, or what stands in for it in this kind of step.
    pub label: Option<Spanned<String>>,
    /// `if`: a condition that decides, before the run, whether the step takes part.
    pub condition: Option<Spanned<String>>,
    /// `branches`: patterns, each possibly several separated by spaces; for [`branches`](crate::pipeline::branches).
    pub branches: Option<Spanned<Vec<String>>>,
    /// `if_changed`: globs of changed files.
    pub if_changed: Option<Spanned<IfChanged>>,
    /// `depends_on`. `None` means the implicit dependencies, an empty list means none at all.
    pub depends_on: Option<Spanned<Vec<Dependency>>>,
    /// `allow_dependency_failure`: run even when dependencies failed.
    pub allow_dependency_failure: bool,
    /// `skip`: the reason, which may be empty. `None` means the step is not skipped.
    pub skip: Option<Spanned<String>>,
}

/// One step another step depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The key of the step to wait for.
    pub step: Spanned<String>,
    /// Whether that step may fail.
    pub allow_failure: bool,
}

/// Globs of changed files that decide whether a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct IfChanged {
    /// At least one changed file must match one of these.
    pub include: Vec<String>,
    /// Files that match one of these do not count.
    pub exclude: Vec<String>,
}

impl Shared {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let key = reader.text(&["key", "id", "identifier"]);
        let label = reader.text(&["label", "name"]);
        Self::read_named(reader, key, label)
    }

    /// Reads all but the key and the label, which some kinds of steps have read while parsing.
    pub(super) fn read_named(
        reader: &mut Reader<'_>,
        key: Option<Spanned<String>>,
        label: Option<Spanned<String>>,
    ) -> Self {
        let shared = Self {
            key,
            label,
            condition: reader.text(&["if"]),
            branches: reader.texts(&["branches"]).map(plain),
            if_changed: if_changed(reader),
            depends_on: depends_on(reader),
            allow_dependency_failure: reader.boolean("allow_dependency_failure").unwrap_or(false),
            skip: skip(reader),
        };
        if let (Some(condition), Some(branches)) = (&shared.condition, &shared.branches) {
            reader.report(
                Diagnostic::error("`if` and `branches` cannot be combined")
                    .at(branches.span)
                    .help(format!("write the branches into the condition: `{}`", condition.trim())),
            );
        }
        shared.check_key(reader);
        shared
    }

    fn check_key(&self, reader: &mut Reader<'_>) {
        let Some(key) = &self.key else { return };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:${}.,".contains(&byte);
        let problem = if key.len() > MAX_KEY_BYTES {
            format!("the key has {} bytes, expected at most {MAX_KEY_BYTES}", key.len())
        } else if !key.bytes().all(legal) {
            format!("the key `{}` has characters that keys cannot have", key.value)
        } else if is_uuid(key) {
            format!("the key `{}` looks like a UUID", key.value)
        } else {
            return;
        };
        let finding = Diagnostic::error(problem).at(key.span);
        reader.report(finding.help("use letters, digits, `-`, `_`, `.`, `:` and `,`"));
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Drops the places of the items of a list.
pub(super) fn plain(list: Spanned<Vec<Spanned<String>>>) -> Spanned<Vec<String>> {
    Spanned::new(list.value.into_iter().map(|item| item.value).collect(), list.span)
}

fn skip(reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    let node = reader.node(&["skip"])?;
    match boolean(node) {
        Some(true) => Some(Spanned::new(String::new(), node.span)),
        Some(false) => None,
        None => reader.text(&["skip"]).filter(|reason| !reason.is_empty()),
    }
}

fn if_changed(reader: &mut Reader<'_>) -> Option<Spanned<IfChanged>> {
    let node = reader.node(&["if_changed"])?;
    let globs = match &node.kind {
        NodeKind::Mapping(mapping) => reader.within(mapping, node.span, |nested, _| IfChanged {
            include: nested.texts(&["include"]).map(plain).unwrap_or_default().value,
            exclude: nested.texts(&["exclude"]).map(plain).unwrap_or_default().value,
        }),
        _ => IfChanged { include: reader.texts(&["if_changed"]).map(plain)?.value, exclude: Vec::new() },
    };
    Some(Spanned::new(globs, node.span))
}

fn depends_on(reader: &mut Reader<'_>) -> Option<Spanned<Vec<Dependency>>> {
    let node = reader.written(&["depends_on"])?;
    let items = match &node.kind {
        NodeKind::Null => &[],
        NodeKind::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut dependencies = Vec::with_capacity(items.len());
    for item in items {
        dependencies.extend(dependency(reader, item));
    }
    Some(Spanned::new(dependencies, node.span))
}

fn dependency<'a>(reader: &mut Reader<'a>, item: &'a Node) -> Option<Dependency> {
    match &item.kind {
        NodeKind::Mapping(mapping) => reader.within(mapping, item.span, |nested, span| {
            let allow_failure = nested.boolean("allow_failure").unwrap_or(false);
            let step = nested.text(&["step"]);
            if step.is_none() {
                nested.report(Diagnostic::error("a dependency names no step").at(span).label("expected `step: KEY`"));
            }
            Some(Dependency { step: step?, allow_failure })
        }),
        NodeKind::Sequence(_) | NodeKind::Null => {
            reader.report(wrong("depends_on", item, "the key of a step"));
            None
        }
        _ => reader.keep(item.to_spanned_text()).map(|step| Dependency { step, allow_failure: false }),
    }
}
