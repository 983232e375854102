//! Wait, trigger and group steps, and the list of all kinds.

use super::command::COMMAND_STEP;
use super::input::{BLOCK_STEP, INPUT_STEP};
use super::notify::BUILD_NOTIFICATIONS;
use super::shared::{
    ALLOW_DEPENDENCY_FAILURE, BRANCHES, DEPENDS_ON, ENV, IF, IF_CHANGED, KEY, LABEL, SCALAR, SKIP, SOFT_FAIL,
};
use super::{Attribute, Keys, Shape};

/// All kinds of steps.
pub(in crate::pipeline) static STEP_KINDS: &[&Keys] =
    &[&COMMAND_STEP, &WAIT_STEP, &BLOCK_STEP, &INPUT_STEP, &TRIGGER_STEP, &GROUP_STEP];

/// The kinds that may be in a group.
static GROUPED_KINDS: &[&Keys] = &[&COMMAND_STEP, &WAIT_STEP, &BLOCK_STEP, &INPUT_STEP, &TRIGGER_STEP];

/// The steps that are one word.
pub(super) const STEP_WORDS: Shape = Shape::Word(&["wait", "waiter", "block", "input", "manual"]);

pub(in crate::pipeline) static WAIT_STEP: Keys = Keys {
    name: "wait_step",
    what: "a wait step",
    telling: &["wait", "waiter"],
    attributes: &[
        &Attribute {
            names: &["wait", "waiter"],
            shape: Shape::Either(&[Shape::Text, Shape::Null, Shape::Keys(&WAIT_STEP)]),
            about: "Wait until all steps before this one have passed.",
        },
        &Attribute {
            names: &["continue_on_failure"],
            shape: Shape::Boolean,
            about: "Go on even when a step before has failed; the build fails all the same. Default: false.",
        },
        &IF,
        &BRANCHES,
        &DEPENDS_ON,
        &ALLOW_DEPENDENCY_FAILURE,
        &KEY,
        &LABEL,
        &Attribute { names: &["type"], shape: Shape::Word(&["wait", "waiter"]), about: "The kind of step." },
    ],
    required: &[],
    open: false,
};

pub(in crate::pipeline) static TRIGGER_STEP: Keys = Keys {
    name: "trigger_step",
    what: "a trigger step",
    telling: &["trigger"],
    attributes: &[
        &Attribute {
            names: &["trigger"],
            shape: Shape::Either(&[Shape::Text, Shape::Keys(&TRIGGER_STEP)]),
            about: "The pipeline to start a build of.",
        },
        &LABEL,
        &KEY,
        &Attribute { names: &["build"], shape: Shape::Keys(&BUILD), about: "What to start the build with." },
        &Attribute {
            names: &["async"],
            shape: Shape::Boolean,
            about: "Pass as soon as the build exists, without waiting for its end. Default: false.",
        },
        &IF,
        &BRANCHES,
        &IF_CHANGED,
        &DEPENDS_ON,
        &ALLOW_DEPENDENCY_FAILURE,
        &SKIP,
        &SOFT_FAIL,
        &Attribute {
            names: &["parallelism"],
            shape: Shape::Integer { least: 0, most: i64::MAX },
            about: "How many builds to start.",
        },
        &Attribute { names: &["type"], shape: Shape::Word(&["trigger"]), about: "The kind of step." },
    ],
    required: &["trigger"],
    open: false,
};

static BUILD: Keys = Keys {
    name: "triggered_build",
    what: "`build`",
    telling: &[],
    attributes: &[
        &Attribute {
            names: &["message"],
            shape: SCALAR,
            about: "The message of the build. Default: the label of the step.",
        },
        &Attribute { names: &["commit"], shape: SCALAR, about: "The commit to build. Default: `HEAD`." },
        &Attribute {
            names: &["branch"],
            shape: SCALAR,
            about: "The branch to build. Default: that of the other pipeline.",
        },
        &Attribute {
            names: &["meta_data"],
            shape: Shape::Either(&[Shape::Map(&SCALAR), Shape::Null]),
            about: "Meta-data to set in the build.",
        },
        &ENV,
    ],
    required: &[],
    open: false,
};

pub(in crate::pipeline) static GROUP_STEP: Keys = Keys {
    name: "group_step",
    what: "a group",
    telling: &["group"],
    attributes: &[
        &Attribute {
            names: &["group"],
            shape: Shape::Either(&[Shape::Text, Shape::Null]),
            about: "What people see as the name of the group.",
        },
        &Attribute {
            names: &["steps"],
            shape: Shape::Filled(&Shape::Either(&[STEP_WORDS, Shape::Step(GROUPED_KINDS)])),
            about: "The steps of the group; none of them may be a group.",
        },
        &KEY,
        &LABEL,
        &IF,
        &IF_CHANGED,
        &SKIP,
        &DEPENDS_ON,
        &ALLOW_DEPENDENCY_FAILURE,
        &Attribute { names: &["notify"], shape: BUILD_NOTIFICATIONS, about: "Whom to tell how the group ends." },
        &Attribute { names: &["type"], shape: Shape::Word(&["group"]), about: "The kind of step." },
    ],
    required: &["group", "steps"],
    open: false,
};
