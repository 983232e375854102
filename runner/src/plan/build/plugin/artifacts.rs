//! `artifacts`: brings artifacts before the command, stores files after it.

use super::options::Options;
use super::{Plugged, StepFacts};
use crate::pipeline::{Node, NodeKind};
use crate::plan::grant::{Access, Grants, WorkspaceGrant};
use crate::plan::job::Phase;
use serde_json::{Value, json};

const USES: &str = "artifacts@1";

/// Maps the artifacts plugin.
pub(super) fn map(options: &mut Options<'_>, _facts: &StepFacts<'_>) -> Plugged {
    options.refuse(&[
        ("build", "artifacts are those of the same run; hand over what another one makes through a registry"),
        (
            "compressed",
            "pack it in the command (`tar czf x.tgz …`), transfer that file, and unpack it in the other command",
        ),
        ("expand-vars", "variables are replaced before the run already; remove it"),
        ("s3-upload-acl", "artifacts are kept with the run; remove it"),
        ("gs-upload-acl", "artifacts are kept with the run; remove it"),
        ("skip-on-status", "store the files in a step of their own"),
    ]);
    let step = options.text("step").map(|step| step.value).unwrap_or_default();
    let ignore_missing = options.flag("ignore-missing").unwrap_or_default();
    let download = transfers(options, "download");
    let upload = transfers(options, "upload");
    let everything = vec![".".to_owned()];
    let mut plugged = Plugged::default();
    if !download.is_empty() {
        plugged.before.push(Phase {
            uses: USES.to_owned(),
            params: json!({"download": download, "step": step, "ignore_missing": ignore_missing}),
            grants: Grants {
                artifacts: Some(Access::Read),
                workspace: Some(WorkspaceGrant { read: Vec::new(), write: everything.clone() }),
                ..Grants::default()
            },
            ..Phase::default()
        });
    }
    if !upload.is_empty() {
        plugged.after.push(Phase {
            uses: USES.to_owned(),
            params: json!({"upload": upload}),
            grants: Grants {
                artifacts: Some(Access::Write),
                workspace: Some(WorkspaceGrant { read: everything, write: Vec::new() }),
                ..Grants::default()
            },
            ..Phase::default()
        });
    }
    plugged
}

/// A path, a list of them, or mappings of `from` and `to`.
fn transfers(options: &mut Options<'_>, name: &'static str) -> Vec<Value> {
    let Some(node) = options.node(name) else { return Vec::new() };
    let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(|item| transfer(options, name, item)).collect()
}

fn transfer(options: &mut Options<'_>, name: &str, item: &Node) -> Option<Value> {
    let NodeKind::Mapping(entries) = &item.kind else {
        let path = options.keep(item.to_text())?;
        return (!path.is_empty()).then(|| json!({"from": path}));
    };
    let (mut from, mut to) = (None, None);
    for (key, entry) in entries.iter() {
        let text = options.keep(entry.value.to_text());
        match key.as_str() {
            "from" => from = text,
            "to" => to = text,
            _ => options.error(entry.key_span, &format!("`{key}` is no part of `{name}`"), "write `from` and `to`"),
        }
    }
    if from.is_none() {
        options.error(item.span, &format!("an entry of `{name}` has no `from`"), "write `{ from: path, to: path }`");
    }
    Some(json!({"from": from?, "to": to.unwrap_or_default()}))
}
