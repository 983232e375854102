//! The keys of a command step, and of a pipeline, that have a type while parsing.
//!
//! Everything is read from a borrowed mapping: a step that fails is kept as it was written.

use indexmap::IndexMap;

use super::diagnostic::{Diagnostic, Spanned};
use super::model::{Cache, Checkout, CommandStep, EnvValue, Plugin, Secret, Signature};
use super::node::{Entry, Mapping, Node, NodeKind};

/// The variables of an environment by name.
pub(super) type Variables = IndexMap<String, EnvValue>;

/// Reads the typed keys of a command step. Also returns the keys it has read; all others belong in `rest`.
pub(super) fn command(step: &Mapping) -> Result<(CommandStep, Vec<&'static str>), Diagnostic> {
    let mut fields = Fields { step, taken: Vec::new() };
    let step = CommandStep {
        key: fields.text(&["key", "id", "identifier"])?,
        label: fields.text(&["label", "name"])?,
        command: fields.script()?,
        plugins: fields.read("plugins", plugins)?.unwrap_or_default(),
        secrets: fields.read("secrets", secrets)?.unwrap_or_default(),
        env: fields.read("env", env)?.flatten().unwrap_or_default(),
        signature: fields.read("signature", signature)?.flatten().map(Box::new),
        matrix: fields.read("matrix", super::matrix::decode)?.flatten().map(Box::new),
        cache: fields.read("cache", cache)?.flatten().map(Box::new),
        checkout: fields.read("checkout", checkout)?.flatten().map(Box::new),
        rest: Mapping::new(),
    };
    Ok((step, fields.taken))
}

/// Takes the first of the keys that is present out of a mapping.
pub(super) fn take(mapping: &mut Mapping, keys: &[&str]) -> Option<Entry> {
    let key = keys.iter().find(|key| mapping.contains_key(**key))?;
    mapping.shift_remove(*key)
}

struct Fields<'a> {
    step: &'a Mapping,
    taken: Vec<&'static str>,
}

impl Fields<'_> {
    /// Text under the first of the keys that is present, unless it is empty.
    fn text(&mut self, keys: &[&'static str]) -> Result<Option<Spanned<String>>, Diagnostic> {
        let Some(key) = keys.iter().find(|key| self.step.contains_key(**key)) else { return Ok(None) };
        let text = self.read(key, Node::to_spanned_text)?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Diagnostic>,
    ) -> Result<Option<T>, Diagnostic> {
        let Some(entry) = self.step.get(key) else { return Ok(None) };
        self.taken.push(key);
        read(&entry.value).map(Some)
    }

    /// The lines of `commands`, or else of `command`, as one script.
    fn script(&mut self) -> Result<Option<Spanned<String>>, Diagnostic> {
        let Some(commands) = self.read("commands", script)? else { return self.read("command", script) };
        // `command` loses, but must still be a scalar.
        self.read("command", Node::to_text)?;
        Ok(Some(commands))
    }
}

fn script(node: &Node) -> Result<Spanned<String>, Diagnostic> {
    Ok(Spanned::new(texts(node)?.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n"), node.span))
}

/// A list of scalars as text; one scalar is a list of one, null an empty list.
pub(super) fn texts(node: &Node) -> Result<Vec<Spanned<String>>, Diagnostic> {
    match &node.kind {
        NodeKind::Null => Ok(Vec::new()),
        NodeKind::Sequence(items) => items.iter().map(Node::to_spanned_text).collect(),
        NodeKind::Mapping(_) => Err(wrong(node, "a string or a list of strings")),
        _ => Ok(vec![node.to_spanned_text()?]),
    }
}

/// Variables by name; null is none.
pub(super) fn env(node: &Node) -> Result<Option<Variables>, Diagnostic> {
    match &node.kind {
        NodeKind::Null => Ok(None),
        NodeKind::Mapping(mapping) => mapping
            .iter()
            .map(|(name, Entry { key_span, value })| {
                Ok((name.clone(), EnvValue { key_span: *key_span, value: value.to_spanned_text()? }))
            })
            .collect::<Result<_, _>>()
            .map(Some),
        _ => Err(wrong(node, "a mapping of variables").help("write `NAME: value` below `env:`")),
    }
}

fn plugins(node: &Node) -> Result<Vec<Plugin>, Diagnostic> {
    match &node.kind {
        NodeKind::Null => Ok(Vec::new()),
        NodeKind::Mapping(mapping) => Ok(configured(mapping).collect()),
        NodeKind::Sequence(items) => {
            let mut plugins = Vec::with_capacity(items.len());
            for item in items {
                match &item.kind {
                    NodeKind::Mapping(mapping) => plugins.extend(configured(mapping)),
                    NodeKind::String(source) => plugins.push(Plugin {
                        source: Spanned::new(source.clone(), item.span),
                        config: Node::new(NodeKind::Null, item.span),
                    }),
                    _ => return Err(wrong(item, "the name of a plugin, or a mapping of it to its configuration")),
                }
            }
            Ok(plugins)
        }
        _ => Err(wrong(node, "a list of plugins").help("begin each plugin with `- `")),
    }
}

/// Every entry of a mapping is a plugin, in order.
fn configured(mapping: &Mapping) -> impl Iterator<Item = Plugin> + '_ {
    mapping.iter().map(|(source, entry)| Plugin {
        source: Spanned::new(source.clone(), entry.key_span),
        config: entry.value.clone(),
    })
}

/// Secrets by name; `null` is not a way to have none.
pub(super) fn secrets(node: &Node) -> Result<Vec<Secret>, Diagnostic> {
    match &node.kind {
        NodeKind::Mapping(mapping) => mapping
            .iter()
            .map(|(variable, entry)| match entry.value.as_str() {
                Some(key) if !key.is_empty() && !variable.is_empty() => Ok(Secret {
                    key: Spanned::new(key.to_owned(), entry.value.span),
                    environment_variable: Spanned::new(variable.clone(), entry.key_span),
                }),
                _ => Err(wrong(&entry.value, "the name of a secret, written as `VARIABLE: NAME`")),
            })
            .collect(),
        NodeKind::Sequence(items) => items.iter().map(secret).collect(),
        _ => Err(wrong(node, "a list of secrets or a mapping of variables to secrets")),
    }
}

fn secret(item: &Node) -> Result<Secret, Diagnostic> {
    if let Some(name) = item.as_str() {
        let name = Spanned::new(name.to_owned(), item.span);
        return Ok(Secret { key: name.clone(), environment_variable: name });
    }
    if item.as_mapping().is_none() {
        return Err(wrong(item, "the name of a secret or a mapping with `key`"));
    }
    let Some((key, span)) =
        item.get("key").and_then(|key| Some((key.as_str()?, key.span))).filter(|key| !key.0.is_empty())
    else {
        return Err(Diagnostic::error("the secret has no `key`").at(item.span).label("expected `key: NAME`"));
    };
    let variable = match item.get("environment_variable") {
        Some(variable) if !variable.is_null() => match variable.as_str() {
            Some(name) => Spanned::new(name.to_owned(), variable.span),
            None => return Err(wrong(variable, "the name of a variable")),
        },
        _ => Spanned::new(String::new(), item.span),
    };
    Ok(Secret { key: Spanned::new(key.to_owned(), span), environment_variable: variable })
}

fn signature(node: &Node) -> Result<Option<Signature>, Diagnostic> {
    if node.is_null() {
        return Ok(None);
    }
    if node.as_mapping().is_none() {
        return Err(wrong(node, "a mapping with `algorithm`, `signed_fields` and `value`"));
    }
    let text = |key| node.get(key).map(Node::to_text).transpose().map(Option::unwrap_or_default);
    let fields = node.get("signed_fields").map(texts).transpose()?.unwrap_or_default();
    Ok(Some(Signature {
        algorithm: text("algorithm")?,
        signed_fields: fields.into_iter().map(|field| field.value).collect(),
        value: text("value")?,
    }))
}

fn cache(node: &Node) -> Result<Option<Cache>, Diagnostic> {
    let mut cache = Cache { span: node.span, ..Cache::default() };
    match &node.kind {
        NodeKind::Null => return Ok(None),
        NodeKind::Bool(on) => cache.disabled = !on,
        NodeKind::String(_) | NodeKind::Sequence(_) => cache.paths = texts(node)?,
        NodeKind::Mapping(mapping) => {
            for (key, entry) in mapping.iter() {
                match key.as_str() {
                    "name" => cache.name = Some(entry.value.to_text()?),
                    "size" => cache.size = Some(entry.value.to_text()?),
                    "paths" => cache.paths = texts(&entry.value)?,
                    _ => {
                        cache.rest.insert(key.clone(), entry.clone());
                    }
                }
            }
        }
        _ => return Err(wrong(node, "false, a path, a list of paths or a mapping")),
    }
    Ok(Some(cache))
}

/// Checkout settings; those whose type is known must have it.
pub(super) fn checkout(node: &Node) -> Result<Option<Checkout>, Diagnostic> {
    let settings = match &node.kind {
        NodeKind::Null => return Ok(None),
        NodeKind::Mapping(settings) => settings,
        NodeKind::Bool(on) => {
            let help =
                if *on { "leave it out, or write `checkout: {skip: false}`" } else { "write `checkout: {skip: true}`" };
            return Err(wrong(node, "a mapping of settings").help(help));
        }
        _ => return Err(wrong(node, "a mapping of settings")),
    };
    for (key, entry) in settings.iter() {
        let value = &entry.value;
        let expected = match (key.as_str(), &value.kind) {
            (_, NodeKind::Null) => continue,
            ("skip" | "submodules" | "lfs", kind) if !matches!(kind, NodeKind::Bool(_)) => "true or false",
            ("depth", kind) if !matches!(kind, NodeKind::Int(_)) => "an integer",
            ("flags", kind) if !matches!(kind, NodeKind::Mapping(_)) => "a mapping of git commands to flags",
            _ => continue,
        };
        return Err(wrong(value, expected));
    }
    Ok(Some(Checkout { settings: settings.as_ref().clone(), span: node.span }))
}

/// The finding that a value has the wrong kind.
pub(super) fn wrong(node: &Node, expected: &str) -> Diagnostic {
    Diagnostic::error(format!("expected {expected}, found {}", node.describe())).at(node.span)
}
