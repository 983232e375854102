//! Command steps: what only they have.

use super::grants::GRANTS;
use super::notify::STEP_NOTIFICATIONS;
use super::shared::{
    AGENTS, ALLOW_DEPENDENCY_FAILURE, BRANCHES, CACHE, CHECKOUT, DEPENDS_ON, ENV, IF, IF_CHANGED, IMAGE, KEY, LABEL,
    PRIORITY, SCALAR, SECRETS, SKIP, SKIP_SHAPE, SOFT_FAIL, SOFT_FAIL_SHAPE,
};
use super::{Attribute, Keys, Name, Shape, TEXTS};

pub(in crate::pipeline) static COMMAND_STEP: Keys = Keys {
    name: "command_step",
    what: "a command step",
    telling: &["commands", "command", "plugins", "uses"],
    attributes: &[
        &LABEL,
        &Attribute {
            names: &["commands", "command"],
            shape: Shape::Either(&[
                Shape::Text,
                Shape::List(&SCALAR),
                Shape::Null,
                // Understood by editors of the format only.
                Shape::Keys(&COMMAND_STEP),
            ]),
            about: "The shell script to run; the lines of a list make one script.",
        },
        &Attribute {
            names: &["uses"],
            shape: Shape::Text,
            about: "The component to run: `name@range`, or a file such as `./steps/mine.wasm`. An extension of the format.",
        },
        &Attribute {
            names: &["with"],
            shape: Shape::Map(&Shape::Any),
            about: "The parameters of the component. An extension of the format.",
        },
        &GRANTS,
        &KEY,
        &ENV,
        &Attribute {
            names: &["plugins"],
            shape: Shape::Either(&[
                Shape::List(&Shape::Either(&[Shape::Text, Shape::Map(&Shape::Any)])),
                Shape::Map(&Shape::Any),
                Shape::Null,
            ]),
            about: "The plugins of the step, each by itself or with its configuration.",
        },
        &AGENTS,
        &DEPENDS_ON,
        &ALLOW_DEPENDENCY_FAILURE,
        &IF,
        &BRANCHES,
        &IF_CHANGED,
        &SKIP,
        &SOFT_FAIL,
        &Attribute {
            names: &["retry"],
            shape: Shape::Keys(&RETRY),
            about: "Whether a failed job is tried again, by itself or by a person.",
        },
        &Attribute {
            names: &["timeout_in_minutes", "timeout"],
            shape: Shape::Integer { least: 1, most: i64::MAX },
            about: "After how many minutes the job is ended.",
        },
        &Attribute {
            names: &["parallelism"],
            shape: Shape::Integer { least: 0, most: i64::MAX },
            about: "How many jobs to make of the step; `BUILDKITE_PARALLEL_JOB` counts them from 0.",
        },
        &Attribute {
            names: &["matrix"],
            shape: Shape::Either(&[Shape::List(&ELEMENT), Shape::Keys(&MATRIX)]),
            about: "Values for `{{matrix}}`, or dimensions for `{{matrix.NAME}}`; every combination becomes a job.",
        },
        &Attribute {
            names: &["concurrency"],
            shape: Shape::Integer { least: 1, most: i64::MAX },
            about: "How many jobs of the `concurrency_group` run at the same time.",
        },
        &Attribute {
            names: &["concurrency_group"],
            shape: Shape::Name(Name { most: 200, also: None }),
            about: "The name of the group of jobs that share the limit `concurrency`.",
        },
        &Attribute {
            names: &["concurrency_method"],
            shape: Shape::Word(&["ordered", "eager"]),
            about: "Which job of the group goes next: the oldest (`ordered`, the default) or any that is ready (`eager`).",
        },
        &PRIORITY,
        &Attribute {
            names: &["cancel_on_build_failing"],
            shape: Shape::Boolean,
            about: "End the job as soon as another job of the build has failed. Default: false.",
        },
        &Attribute {
            names: &["artifact_paths", "artifacts"],
            shape: TEXTS,
            about: "Globs of files to keep with the build; in one text separated by `;`.",
        },
        &CACHE,
        &SECRETS,
        &CHECKOUT,
        &IMAGE,
        &Attribute { names: &["notify"], shape: STEP_NOTIFICATIONS, about: "Whom to tell how the step ends." },
        &Attribute { names: &["signature"], shape: Shape::Keys(&SIGNATURE), about: "A signature made by an agent." },
        &Attribute {
            names: &["type"],
            shape: Shape::Word(&["command", "commands", "script"]),
            about: "The kind of step.",
        },
        &Attribute {
            names: &["script"],
            shape: Shape::Keys(&COMMAND_STEP),
            about: "A command step by an old name; write `command` instead.",
        },
    ],
    required: &[],
    open: false,
};

static RETRY: Keys = Keys {
    name: "retry",
    what: "`retry`",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["automatic"],
            shape: Shape::Either(&[
                Shape::Boolean,
                Shape::Keys(&AUTOMATIC_RETRY),
                Shape::List(&Shape::Either(&[Shape::Boolean, Shape::Keys(&AUTOMATIC_RETRY)])),
            ]),
            about: "True for two retries of any failure, or rules; the first that matches applies.",
        },
        &Attribute {
            names: &["manual"],
            shape: Shape::Either(&[Shape::Boolean, Shape::Keys(&MANUAL_RETRY)]),
            about: "Whether a person may retry the job. Default: true.",
        },
    ],
    required: &[],
    open: false,
};

static AUTOMATIC_RETRY: Keys = Keys {
    name: "automatic_retry",
    what: "a retry rule",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["exit_status"],
            shape: Shape::Either(&[
                Shape::Word(&["*"]),
                STATUS,
                Shape::List(&Shape::Either(&[Shape::Word(&["*"]), STATUS])),
            ]),
            about: "The exit statuses the rule is for; `*`, the default, is 1 to 255, and -1 a lost job.",
        },
        &Attribute {
            names: &["signal"],
            shape: Shape::Text,
            about: "The signal the rule is for, such as `SIGKILL`; `none` for no signal. Default: `*`.",
        },
        &Attribute {
            names: &["signal_reason"],
            shape: Shape::Word(&[
                "*",
                "none",
                "agent_incompatible",
                "agent_refused",
                "agent_stop",
                "cancel",
                "process_run_error",
                "signature_rejected",
                "stack_error",
            ]),
            about: "The reason of the signal the rule is for. Default: `*`.",
        },
        &Attribute {
            names: &["limit"],
            shape: Shape::Integer { least: 0, most: 10 },
            about: "How often to retry. Default: 2.",
        },
    ],
    required: &[],
    open: false,
};

const STATUS: Shape = Shape::Integer { least: -1, most: 255 };

static MANUAL_RETRY: Keys = Keys {
    name: "manual_retry",
    what: "`manual`",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["allowed"],
            shape: Shape::Boolean,
            about: "Whether the job can be retried. Default: true.",
        },
        &Attribute {
            names: &["permit_on_passed"],
            shape: Shape::Boolean,
            about: "Whether it can be retried after it has passed.",
        },
        &Attribute { names: &["reason"], shape: Shape::Text, about: "Why it cannot be retried." },
    ],
    required: &[],
    open: false,
};

/// One value of a dimension.
const ELEMENT: Shape = Shape::Name(Name { most: 128, also: None });

static MATRIX: Keys = Keys {
    name: "matrix",
    what: "`matrix`",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["setup"],
            shape: Shape::Either(&[Shape::List(&ELEMENT), Shape::Map(&Shape::List(&ELEMENT))]),
            about: "The values, or the values of each dimension.",
        },
        &Attribute {
            names: &["adjustments"],
            shape: Shape::List(&Shape::Keys(&ADJUSTMENT)),
            about: "Combinations to change, leave out or add.",
        },
    ],
    required: &["setup"],
    open: false,
};

static ADJUSTMENT: Keys = Keys {
    name: "matrix_adjustment",
    what: "an adjustment",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["with"],
            shape: Shape::Either(&[Shape::Map(&ELEMENT), Shape::List(&ELEMENT), ELEMENT]),
            about: "The combination: the value, or the value of each dimension.",
        },
        &Attribute { names: &["skip"], shape: SKIP_SHAPE, about: "Leave the combination out; true or the reason." },
        &Attribute {
            names: &["soft_fail"],
            shape: SOFT_FAIL_SHAPE,
            about: "`soft_fail` for this combination instead of that of the step.",
        },
    ],
    required: &["with"],
    open: false,
};

static SIGNATURE: Keys = Keys {
    name: "signature",
    what: "`signature`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["algorithm"], shape: Shape::Text, about: "The algorithm, such as `EdDSA`." },
        &Attribute { names: &["value"], shape: Shape::Text, about: "The signature itself." },
        &Attribute { names: &["signed_fields"], shape: TEXTS, about: "The fields that are signed." },
    ],
    required: &[],
    open: false,
};
