//! `build`.

use super::interpolate::Variables;
use super::keys::{self, Place};
use super::model::Build;
use super::path;
use super::problem::{Code, Findings, Mark};
use super::value;
use super::yaml::{Node, Value};

/// Reads how an image is built, and the place of the context: a directory, or a mapping.
pub fn read(node: &Node, directory: &str, variables: &Variables<'_>, findings: &mut Findings) -> Option<(Build, Mark)> {
    let mut build = Build {
        context: String::new(),
        dockerfile: "Dockerfile".to_owned(),
        target: String::new(),
        args: Vec::new(),
        no_cache: false,
        isolated: false,
    };
    let Value::Map(entries) = &node.value else {
        build.context = context(&value::text(node, findings)?, node.at, directory, findings)?;
        return Some((build, node.at));
    };
    let mut written = (".".to_owned(), node.at);
    let before = findings.problems.len();
    for entry in entries {
        let node = &entry.node;
        match entry.key.as_str() {
            "context" => written = (value::text(node, findings).unwrap_or_default(), node.at),
            "dockerfile" => build.dockerfile = dockerfile(node, findings).unwrap_or_default(),
            "target" => build.target = value::text(node, findings).unwrap_or_default(),
            "args" => build.args = value::key_values(node, variables, findings),
            "no_cache" => build.no_cache = value::boolean(node, findings).unwrap_or_default(),
            "network" => match value::text(node, findings).as_deref() {
                Some("none") => build.isolated = true,
                Some("default") | None => {}
                Some(_) => {
                    let remedy = "leave it out; the step's `with: { build_network: … }` decides";
                    findings.refuse(Code::BuildNetwork, node.at, "this network is not available to builds", remedy);
                }
            },
            key => keys::refuse(Place::Build, key, entry.at, findings),
        }
    }
    build.context = context(&written.0, written.1, directory, findings)?;
    (findings.problems.len() == before).then_some((build, written.1))
}

fn context(written: &str, at: Mark, directory: &str, findings: &mut Findings) -> Option<String> {
    let remote = written.contains("://") || written.starts_with("git@") || written.starts_with("github.com/");
    let context = if remote { None } else { path::beneath(directory, written) };
    if context.is_none() {
        let what = if remote { "is an address" } else { "leads out of the workspace" };
        let message = format!("the build context `{}` {what}", written.escape_debug());
        findings.refuse(Code::BuildContext, at, message, "name a directory below the workspace");
    }
    context
}

fn dockerfile(node: &Node, findings: &mut Findings) -> Option<String> {
    let written = value::text(node, findings)?;
    let inside = path::beneath(".", &written).filter(|path| path != ".");
    if inside.is_none() {
        let message = format!("the Dockerfile `{}` is not below its context", written.escape_debug());
        findings.refuse(Code::Path, node.at, message, "name a file below the context, or choose a wider context");
    }
    inside
}
