//! Networks, at the top level and in a service.

use super::keys::{self, Place};
use super::model::{Attachment, Network};
use super::name::is_name;
use super::problem::{Code, Findings};
use super::value;
use super::yaml::{Node, Value};

/// The network of services that name none.
pub const DEFAULT: &str = "default";

/// Reads the top-level `networks`, and adds `default`.
pub fn declared(node: Option<&Node>, findings: &mut Findings) -> Vec<Network> {
    let mut networks = Vec::new();
    for entry in node.map(|node| value::map(node, findings)).unwrap_or_default() {
        if !is_name(&entry.key) {
            refuse_name(&entry.key, entry.at, findings);
            continue;
        }
        let mut network = Network { name: entry.key.clone(), internal: false };
        for entry in value::map(&entry.node, findings) {
            let node = &entry.node;
            match entry.key.as_str() {
                "driver" => {
                    if value::text(node, findings)
                        .is_some_and(|driver| !matches!(driver.as_str(), "bridge" | "default"))
                    {
                        let remedy = "leave it out; networks are plain bridges";
                        findings.refuse(Code::NetworkDriver, node.at, "this network driver is not available", remedy);
                    }
                }
                "internal" => network.internal = value::boolean(node, findings).unwrap_or_default(),
                "external" => external(node, "network", findings),
                "name" | "labels" => findings.warn(entry.at, format!("`{}` has no effect in a test", entry.key)),
                key => keys::refuse(Place::Network, key, entry.at, findings),
            }
        }
        networks.push(network);
    }
    if networks.iter().all(|network| network.name != DEFAULT) {
        networks.push(Network { name: DEFAULT.to_owned(), internal: false });
    }
    networks
}

/// Reads `networks` of a service: names, or a mapping from names to aliases.
pub fn joined(node: &Node, declared: &[Network], findings: &mut Findings) -> Vec<Attachment> {
    let mut joined = Vec::new();
    match &node.value {
        Value::List(items) => {
            for (network, at) in value::texts(items, findings) {
                joined.push((Attachment { network: network.to_owned(), aliases: Vec::new() }, at));
            }
        }
        _ => {
            for entry in value::map(node, findings) {
                let mut aliases = Vec::new();
                for option in value::map(&entry.node, findings) {
                    if option.key != "aliases" {
                        keys::refuse(Place::Attachment, &option.key, option.at, findings);
                        continue;
                    }
                    for (alias, at) in value::texts(value::list(&option.node, findings), findings) {
                        if is_name(alias) {
                            aliases.push(alias.to_owned());
                        } else {
                            refuse_name(alias, at, findings);
                        }
                    }
                }
                joined.push((Attachment { network: entry.key.clone(), aliases }, entry.at));
            }
        }
    }
    for (index, (attachment, at)) in joined.iter().enumerate() {
        if joined[..index].iter().any(|(earlier, _)| earlier.network == attachment.network) {
            let message = format!("the network `{}` stands here twice", attachment.network.escape_debug());
            findings.refuse(Code::Value, *at, message, "remove one of the two");
        }
        if declared.iter().all(|network| network.name != attachment.network) {
            let message = format!("the network `{}` is not declared", attachment.network.escape_debug());
            let remedy = format!("add at the top level: `networks: {{ {}: {{}} }}`", attachment.network);
            findings.refuse(Code::Name, *at, message, remedy);
        }
    }
    joined.into_iter().map(|(attachment, _)| attachment).collect()
}

/// Refuses `external: true`, and the old form with a name.
pub fn external(node: &Node, what: &str, findings: &mut Findings) {
    let own = matches!(&node.value, Value::Scalar(text) if text == "false");
    if !own {
        let message = format!("a {what} of another project is not available in a test");
        findings.refuse(
            Code::External,
            node.at,
            message,
            format!("leave `external` out; the test gets a {what} of its own"),
        );
    }
}

/// Refuses a name.
pub fn refuse_name(name: &str, at: super::problem::Mark, findings: &mut Findings) {
    let message = format!("`{}` cannot be a name", name.escape_debug());
    let remedy = "expected letters, digits, `.`, `_` and `-`, beginning with a letter or a digit, at most 63";
    findings.refuse(Code::Name, at, message, remedy);
}
