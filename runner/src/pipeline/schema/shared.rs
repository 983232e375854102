//! Attributes that several kinds of steps have.

use super::{Attribute, Keys, Name, Shape, TEXTS};

pub(super) static KEY: Attribute = Attribute {
    names: &["key", "id", "identifier"],
    shape: Shape::Name(Name { most: 100, also: Some("_-:${}.,") }),
    about: "The name of the step for `depends_on`; no two steps have the same.",
};

pub(super) static LABEL: Attribute = Attribute {
    names: &["label", "name"],
    shape: Shape::Either(&[Shape::Text, Shape::Null]),
    about: "What people see as the name of the step; emoji such as `:rocket:` are welcome.",
};

pub(super) static IF: Attribute = Attribute {
    names: &["if"],
    shape: Shape::Either(&[Shape::Condition, Shape::Boolean]),
    about: "A condition over facts of the build, such as `build.branch == \"main\"`; the step is left out where it does not hold.",
};

pub(super) static BRANCHES: Attribute = Attribute {
    names: &["branches"],
    shape: TEXTS,
    about: "Patterns of branches, separated by spaces; `*` stands for any characters and `!` excludes.",
};

pub(super) static DEPENDS_ON: Attribute = Attribute {
    names: &["depends_on"],
    shape: Shape::Either(&[
        Shape::Null,
        Shape::Text,
        Shape::List(&Shape::Either(&[Shape::Text, Shape::Keys(&DEPENDENCY)])),
    ]),
    about: "Keys of the steps to wait for. It takes the place of the barriers before the step; empty means: wait for nothing.",
};

static DEPENDENCY: Keys = Keys {
    name: "dependency",
    what: "a dependency",
    telling: &[],
    attributes: &[
        &Attribute { names: &["step"], shape: Shape::Text, about: "The key of the step to wait for." },
        &Attribute {
            names: &["allow_failure"],
            shape: Shape::Boolean,
            about: "Go on even when that step has failed. Default: false.",
        },
    ],
    required: &["step"],
    open: false,
};

pub(super) static ALLOW_DEPENDENCY_FAILURE: Attribute = Attribute {
    names: &["allow_dependency_failure"],
    shape: Shape::Boolean,
    about: "Go on even when a step it depends on has failed. Default: false.",
};

pub(super) static IF_CHANGED: Attribute = Attribute {
    names: &["if_changed"],
    shape: Shape::Either(&[Shape::Text, Shape::List(&Shape::Text), Shape::Keys(&CHANGES)]),
    about: "Globs of files; the step is left out when none of them has changed.",
};

static CHANGES: Keys = Keys {
    name: "changes",
    what: "`if_changed`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["include"], shape: TEXTS, about: "At least one changed file must match one of these." },
        &Attribute { names: &["exclude"], shape: TEXTS, about: "Changed files that match one of these do not count." },
    ],
    required: &["include"],
    open: false,
};

pub(super) static SKIP: Attribute = Attribute {
    names: &["skip"],
    shape: SKIP_SHAPE,
    about: "Leave the step out: true, or the reason in at most 70 characters.",
};

pub(super) const SKIP_SHAPE: Shape = Shape::Either(&[Shape::Boolean, Shape::Name(Name { most: 70, also: None })]);

pub(super) static SOFT_FAIL: Attribute = Attribute {
    names: &["soft_fail"],
    shape: SOFT_FAIL_SHAPE,
    about: "Failures that leave the build able to pass: true for all, or a list of exit statuses.",
};

pub(super) const SOFT_FAIL_SHAPE: Shape = Shape::Either(&[Shape::Boolean, Shape::List(&Shape::Keys(&SOFT_FAILURE))]);

static SOFT_FAILURE: Keys = Keys {
    name: "soft_failure",
    what: "an item of `soft_fail`",
    telling: &[],
    attributes: &[&Attribute {
        names: &["exit_status"],
        shape: Shape::Either(&[Shape::Word(&["*"]), Shape::Integer { least: -1, most: 255 }]),
        about: "An exit status, or `*` for every failure.",
    }],
    required: &["exit_status"],
    open: false,
};

pub(super) static ENV: Attribute = Attribute {
    names: &["env"],
    shape: Shape::Either(&[Shape::Map(&SCALAR), Shape::Null]),
    about: "Environment variables, by name.",
};

/// A scalar or nothing, as a variable of an environment may be.
pub(super) const SCALAR: Shape = Shape::Either(&[Shape::Text, Shape::Null]);

pub(super) static AGENTS: Attribute = Attribute {
    names: &["agents", "agent_query_rules"],
    shape: Shape::Either(&[Shape::Map(&SCALAR), Shape::List(&Shape::Text), Shape::Text]),
    about: "The tags an agent must have to run the job, such as `queue: linux`.",
};

pub(super) static PRIORITY: Attribute = Attribute {
    names: &["priority"],
    shape: Shape::Integer { least: i64::MIN, most: i64::MAX },
    about: "Of the jobs that are ready, higher ones go first. Default: 0.",
};

pub(super) static IMAGE: Attribute =
    Attribute { names: &["image"], shape: Shape::Text, about: "The container image to run commands in." };

pub(super) static SECRETS: Attribute = Attribute {
    names: &["secrets"],
    shape: Shape::Either(&[
        Shape::List(&Shape::Either(&[Shape::Text, Shape::Keys(&SECRET)])),
        Shape::Map(&Shape::Text),
    ]),
    about: "Secrets to set as environment variables: a list of names, or a mapping of variables to names.",
};

static SECRET: Keys = Keys {
    name: "secret",
    what: "a secret",
    telling: &[],
    attributes: &[
        &Attribute { names: &["key"], shape: Shape::Text, about: "The name of the secret." },
        &Attribute { names: &["environment_variable"], shape: SCALAR, about: "The variable to set to it." },
    ],
    required: &["key"],
    open: false,
};

pub(super) static CHECKOUT: Attribute = Attribute {
    names: &["checkout"],
    shape: Shape::Either(&[Shape::Keys(&CHECKOUT_SETTINGS), Shape::Null]),
    about: "How the repository is checked out.",
};

static CHECKOUT_SETTINGS: Keys = Keys {
    name: "checkout",
    what: "`checkout`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["skip"], shape: Shape::Boolean, about: "Check nothing out. Default: false." },
        &Attribute { names: &["submodules"], shape: Shape::Boolean, about: "Check submodules out too." },
        &Attribute { names: &["lfs"], shape: Shape::Boolean, about: "Fetch the files of Git LFS." },
        &Attribute {
            names: &["depth"],
            shape: Shape::Integer { least: 1, most: i64::MAX },
            about: "How many commits of history to fetch.",
        },
        &Attribute { names: &["flags"], shape: Shape::Keys(&GIT_FLAGS), about: "Flags for git, by its command." },
        &Attribute { names: &["sparse"], shape: Shape::Keys(&SPARSE), about: "Check only parts of the tree out." },
        &Attribute { names: &["ssh_secret"], shape: Shape::Text, about: "The name of the secret with the SSH key." },
        &Attribute {
            names: &["commit_verification"],
            shape: Shape::Either(&[Shape::Text, Shape::Boolean]),
            about: "Whether the commit must be on its branch: `strict`, `warn` or false.",
        },
    ],
    required: &[],
    open: false,
};

static GIT_FLAGS: Keys = Keys {
    name: "git_flags",
    what: "the flags of `checkout`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["clone"], shape: Shape::Text, about: "Flags for `git clone`." },
        &Attribute { names: &["fetch"], shape: Shape::Text, about: "Flags for `git fetch`." },
        &Attribute { names: &["checkout"], shape: Shape::Text, about: "Flags for `git checkout`." },
        &Attribute { names: &["clean"], shape: Shape::Text, about: "Flags for `git clean`." },
    ],
    required: &[],
    open: false,
};

static SPARSE: Keys = Keys {
    name: "sparse_checkout",
    what: "`sparse`",
    telling: &[],
    attributes: &[&Attribute { names: &["paths"], shape: TEXTS, about: "The directories to check out." }],
    required: &["paths"],
    open: false,
};

pub(super) static CACHE: Attribute = Attribute {
    names: &["cache"],
    shape: Shape::Either(&[Shape::Boolean, Shape::Text, Shape::List(&Shape::Text), Shape::Keys(&CACHE_SETTINGS)]),
    about: "Paths to keep between builds; or `inputs` and `outputs`, with which an unchanged step need not run again.",
};

static CACHE_SETTINGS: Keys = Keys {
    name: "cache",
    what: "`cache`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["paths"], shape: TEXTS, about: "The paths to keep between builds." },
        &Attribute { names: &["name"], shape: Shape::Text, about: "The name of the volume that keeps them." },
        &Attribute { names: &["size"], shape: Shape::Text, about: "The size of that volume, such as `20g`." },
        &Attribute {
            names: &["inputs"],
            shape: TEXTS,
            about: "Globs of the files the result depends on; an extension of the format.",
        },
        &Attribute {
            names: &["outputs"],
            shape: TEXTS,
            about: "Globs of the files the step makes; an extension of the format.",
        },
        &Attribute {
            names: &["env"],
            shape: TEXTS,
            about: "Names of further variables the result depends on; an extension of the format.",
        },
        &Attribute {
            names: &["allow"],
            shape: TEXTS,
            about: "What the step may do although it uses the cache: `push`, `deploy`, `secrets`; an extension.",
        },
    ],
    required: &[],
    open: false,
};
