//! Grants, which are an extension of the format.

use super::{Attribute, Keys, Shape, TEXTS};

pub(super) static GRANTS: Attribute = Attribute {
    names: &["grants"],
    shape: Shape::Keys(&ALL),
    about: "What the step may touch; what is not granted is not there. An extension of the format.",
};

static ALL: Keys = Keys {
    name: "grants",
    what: "`grants`",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["workspace"],
            shape: Shape::Either(&[
                Shape::Word(&["read", "write"]),
                Shape::List(&Shape::Text),
                Shape::Keys(&WORKSPACE),
            ]),
            about: "Files of the workspace: `read`, `write`, or paths.",
        },
        &Attribute {
            names: &["env"],
            shape: TEXTS,
            about: "Names of the variables the component may see, such as `BUILDKITE_*`.",
        },
        &Attribute { names: &["secrets"], shape: TEXTS, about: "Names of secrets." },
        &Attribute { names: &["process"], shape: TEXTS, about: "Programs it may start, by path or by name." },
        &Attribute { names: &["docker"], shape: Shape::Keys(&DOCKER), about: "The Docker Engine." },
        &Attribute { names: &["aws"], shape: Shape::Keys(&AWS), about: "AWS CloudFormation." },
        &Attribute { names: &["artifacts"], shape: ACCESS, about: "Files kept with the run." },
        &Attribute { names: &["meta-data"], shape: ACCESS, about: "Data shared by the jobs of a run." },
        &Attribute { names: &["annotations"], shape: Shape::Boolean, about: "Whether it may annotate the run." },
    ],
    required: &[],
    open: false,
};

const ACCESS: Shape = Shape::Word(&["read", "write"]);

static WORKSPACE: Keys = Keys {
    name: "workspace_grant",
    what: "`workspace`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["read"], shape: TEXTS, about: "Paths that may be read." },
        &Attribute { names: &["write"], shape: TEXTS, about: "Paths that may be read and written." },
    ],
    required: &[],
    open: false,
};

static DOCKER: Keys = Keys {
    name: "docker_grant",
    what: "`docker`",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["build"],
            shape: Shape::Either(&[
                Shape::Text,
                Shape::List(&Shape::Either(&[Shape::Text, Shape::Keys(&BUILD_CONTEXT)])),
            ]),
            about: "Directories that may be sent as a build context.",
        },
        &Attribute {
            names: &["images"],
            shape: TEXTS,
            about: "Images that may be pulled, run and built from, such as `postgres:16*`.",
        },
        &Attribute { names: &["push"], shape: TEXTS, about: "Repositories, without a tag, that may be pushed to." },
        &Attribute {
            names: &["containers"],
            shape: Shape::Keys(&CONTAINERS),
            about: "Containers may be run, within these bounds.",
        },
        &Attribute {
            names: &["login"],
            shape: Shape::List(&Shape::Keys(&LOGIN)),
            about: "Credentials the host shows registries. Default: those of Docker's own configuration.",
        },
    ],
    required: &[],
    open: false,
};

static LOGIN: Keys = Keys {
    name: "registry_login",
    what: "a login",
    telling: &[],
    attributes: &[
        &Attribute { names: &["registry"], shape: Shape::Text, about: "The registry, such as `docker.io`." },
        &Attribute { names: &["username"], shape: Shape::Text, about: "The user's name." },
        &Attribute { names: &["password"], shape: Shape::Text, about: "The name of the secret with the password." },
        &Attribute {
            names: &["helper"],
            shape: Shape::Text,
            about: "A credential helper instead, such as `ecr-login`.",
        },
    ],
    required: &["registry"],
    open: false,
};

static BUILD_CONTEXT: Keys = Keys {
    name: "build_context",
    what: "a build context",
    telling: &[],
    attributes: &[
        &Attribute { names: &["context"], shape: Shape::Text, about: "The directory." },
        &Attribute {
            names: &["network"],
            shape: Shape::Word(&["none", "egress"]),
            about: "What the build may reach. Default: `none`.",
        },
    ],
    required: &["context"],
    open: false,
};

static CONTAINERS: Keys = Keys {
    name: "containers_grant",
    what: "`containers`",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["max"],
            shape: Shape::Integer { least: 1, most: u32::MAX as i64 },
            about: "How many may exist at once. Default: 8.",
        },
        &Attribute {
            names: &["memory"],
            shape: Shape::Text,
            about: "The memory of each, such as `512MiB`. Default: `1GiB`.",
        },
        &Attribute { names: &["cpus"], shape: Shape::Number { least: 0.01 }, about: "The CPUs of each. Default: 2." },
        &Attribute {
            names: &["pids"],
            shape: Shape::Integer { least: 0, most: u32::MAX as i64 },
            about: "The processes of each. Default: 512.",
        },
        &Attribute {
            names: &["egress"],
            shape: Shape::Boolean,
            about: "Whether their networks reach addresses outside. Default: false.",
        },
        &Attribute {
            names: &["publish"],
            shape: Shape::List(&Shape::Integer { least: 0, most: u16::MAX as i64 }),
            about: "Container ports that may be published on 127.0.0.1.",
        },
    ],
    required: &[],
    open: false,
};

static AWS: Keys = Keys {
    name: "cloudformation_grant",
    what: "`aws`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["account"], shape: Shape::Text, about: "The account: twelve digits in quotes." },
        &Attribute { names: &["region"], shape: Shape::Text, about: "The region, such as `eu-west-1`." },
        &Attribute { names: &["role"], shape: Shape::Keys(&ROLE), about: "The role to assume." },
        &Attribute { names: &["stacks"], shape: TEXTS, about: "Names of stacks, such as `orders-*`." },
        &Attribute {
            names: &["operations"],
            shape: Shape::Either(&[OPERATION, Shape::List(&OPERATION)]),
            about: "What may be done with the stacks.",
        },
        &Attribute {
            names: &["capabilities"],
            shape: TEXTS,
            about: "Capabilities that may be acknowledged, such as `CAPABILITY_IAM`.",
        },
        &Attribute {
            names: &["replace"],
            shape: TEXTS,
            about: "Types of stateful resources that an update may replace or delete.",
        },
        &Attribute {
            names: &["resources"],
            shape: TEXTS,
            about: "Types that are refused unless listed: nested stacks, custom resources.",
        },
        &Attribute { names: &["transforms"], shape: TEXTS, about: "Transforms that a template may use." },
        &Attribute {
            names: &["references"],
            shape: TEXTS,
            about: "Dynamic references a template may hold, such as `ssm:/orders/*`.",
        },
        &Attribute { names: &["imports"], shape: TEXTS, about: "Exports of other stacks a template may import." },
    ],
    required: &["account", "region"],
    open: false,
};

const OPERATION: Shape = Shape::Word(&["read", "plan", "deploy", "delete", "cancel"]);

static ROLE: Keys = Keys {
    name: "role",
    what: "`role`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["arn"], shape: Shape::Text, about: "The ARN of the role." },
        &Attribute { names: &["external-id"], shape: Shape::Text, about: "The external id its trust policy asks for." },
    ],
    required: &["arn"],
    open: false,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::grant::Grants;
    use serde_json::{Value, json};

    /// The keys that reading grants offers where it finds one it does not know.
    fn offered(grants: &Value) -> Vec<String> {
        let message = Grants::from_needs(grants).unwrap_err().message;
        let (_, list) = message.split_once("expected ").unwrap_or_else(|| panic!("{message}"));
        let names = list.split('`').skip(1).step_by(2);
        let mut names: Vec<String> = names.map(ToOwned::to_owned).collect();
        names.sort();
        names
    }

    #[test]
    fn the_keys_are_those_of_the_permissions() {
        for (keys, unknown) in [
            (&ALL, json!({"?": 1})),
            (&WORKSPACE, json!({"workspace": {"?": 1}})),
            (&DOCKER, json!({"docker": {"?": 1}})),
            (&LOGIN, json!({"docker": {"login": [{"?": 1}]}})),
            (&BUILD_CONTEXT, json!({"docker": {"build": [{"?": 1}]}})),
            (&CONTAINERS, json!({"docker": {"containers": {"?": 1}}})),
            (&AWS, json!({"aws": {"?": 1}})),
            (&ROLE, json!({"aws": {"role": {"?": 1}}})),
        ] {
            let mut names: Vec<_> = keys.names().collect();
            names.sort_unstable();
            assert_eq!(offered(&unknown), names, "{}", keys.name);
        }
        assert_eq!(offered(&json!({"aws": {"operations": ["?"]}})), ["cancel", "delete", "deploy", "plan", "read"]);
    }
}
