//! The configuration of a plugin, read option by option; what nobody asked for is an error at its place.

use super::Plugged;
use crate::pipeline::model::Plugin;
use crate::pipeline::{Diagnostic, Node, NodeKind, Span, Spanned};

/// Options being read. `-` and `_` in their names are the same.
pub(super) struct Options<'a> {
    plugin: String,
    span: Span,
    given: Vec<Given<'a>>,
    known: Vec<&'static str>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

struct Given<'a> {
    name: String,
    span: Span,
    value: &'a Node,
    read: bool,
}

impl<'a> Options<'a> {
    pub(super) fn new(plugin: &'a Plugin) -> Self {
        let mut options = Self {
            plugin: plugin.name(),
            span: plugin.source.span,
            given: Vec::new(),
            known: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        match &plugin.config.kind {
            NodeKind::Null => {}
            NodeKind::Mapping(entries) => options.given.extend(entries.iter().map(|(name, entry)| Given {
                name: name.replace('_', "-"),
                span: entry.key_span,
                value: &entry.value,
                read: false,
            })),
            _ => options.error(plugin.config.span, "the configuration of a plugin is a mapping", "write `name: value`"),
        }
        options
    }

    /// Where the plugin is named.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// The value of an option, unless it is null.
    pub(super) fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        let given = self.given.iter_mut().find(|given| given.name == name)?;
        given.read = true;
        Some(given.value).filter(|node| !node.is_null())
    }

    /// A scalar as text; nothing when it is empty, which often is a variable without a value.
    pub(super) fn text(&mut self, name: &'static str) -> Option<Spanned<String>> {
        self.written(name).filter(|text| !text.is_empty())
    }

    /// A scalar as text, even when it is empty.
    pub(super) fn written(&mut self, name: &'static str) -> Option<Spanned<String>> {
        let node = self.node(name)?;
        self.keep(node.to_spanned_text())
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let node = self.node(name)?;
        let flag = as_flag(node);
        if flag.is_none() {
            self.error(node.span, &format!("`{name}` is {}, expected true or false", node.describe()), "");
        }
        flag
    }

    pub(super) fn number(&mut self, name: &'static str) -> Option<f64> {
        let text = self.text(name)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
        if number.is_none() {
            self.error(text.span, &format!("`{name}` is `{}`, expected a number above 0", text.value), "");
        }
        number
    }

    /// A scalar, or a list of them; empty ones are left out.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<Spanned<String>>> {
        let node = self.node(name)?;
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        let texts = items.iter().filter_map(|item| self.keep(item.to_spanned_text()));
        Some(texts.collect::<Vec<_>>().into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// Options that ask for what is so anyway, or for what has no meaning here.
    pub(super) fn without_effect(&mut self, names: &[&'static str]) {
        for name in names {
            self.node(name);
        }
    }

    /// Options that cannot be had, with what to do instead. Switched off they are no mistake.
    pub(super) fn refuse(&mut self, refused: &[(&'static str, &str)]) {
        for (name, instead) in refused {
            let Some(given) = self.given.iter_mut().find(|given| given.name == *name) else { continue };
            given.read = true;
            let off = given.value.is_null()
                || as_flag(given.value) == Some(false)
                || given.value.as_sequence().is_some_and(<[Node]>::is_empty);
            if !off {
                let (span, message) =
                    (given.span, format!("`{name}` of the plugin `{}` is not available", self.plugin));
                self.error(span, &message, instead);
            }
        }
    }

    pub(super) fn error(&mut self, span: Span, message: &str, help: &str) {
        let error = Diagnostic::error(message).at(span);
        self.errors.push(if help.is_empty() { error } else { error.help(help) });
    }

    pub(super) fn warn(&mut self, span: Span, message: &str) {
        self.warnings.push(Diagnostic::warning(message).at(span));
    }

    pub(super) fn keep<T>(&mut self, value: Result<T, Diagnostic>) -> Option<T> {
        value.map_err(|error| self.errors.push(error)).ok()
    }

    /// Leaves the rest unread, because something is wrong that all of it depends on.
    pub(super) fn give_up(&mut self) -> Plugged {
        self.given.iter_mut().for_each(|given| given.read = true);
        Plugged::default()
    }

    /// What was made of the options, unless something was wrong with them.
    pub(super) fn finish(
        mut self,
        plugged: Plugged,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Plugged, Vec<Diagnostic>> {
        self.known.sort_unstable();
        self.known.dedup();
        let known = self.known.join(", ");
        for given in self.given.iter().filter(|given| !given.read) {
            let message = format!("`{}` of the plugin `{}` is not available", given.name, self.plugin);
            self.errors.push(Diagnostic::error(message).at(given.span).help(format!("there are: {known}")));
        }
        warnings.append(&mut self.warnings);
        if self.errors.is_empty() { Ok(plugged) } else { Err(self.errors) }
    }
}

fn as_flag(node: &Node) -> Option<bool> {
    match &node.kind {
        NodeKind::Bool(value) => Some(*value),
        NodeKind::String(text) => match text.as_str() {
            "true" | "on" | "1" => Some(true),
            "false" | "off" | "0" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
