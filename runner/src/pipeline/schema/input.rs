//! Block and input steps and their fields.

use super::shared::{ALLOW_DEPENDENCY_FAILURE, BRANCHES, DEPENDS_ON, IF, KEY, LABEL};
use super::{Attribute, Keys, Name, Shape, TEXTS};

pub(in crate::pipeline) static BLOCK_STEP: Keys = Keys {
    name: "block_step",
    what: "a block step",
    telling: &["block", "manual"],
    attributes: &[
        &Attribute {
            names: &["block", "manual"],
            shape: Shape::Either(&[Shape::Text, Shape::Null, Shape::Keys(&BLOCK_STEP)]),
            about: "Wait until a person lets the build go on. The text is the label.",
        },
        &PROMPT,
        &FIELDS,
        &SUBMIT,
        &BLOCKED_STATE,
        &ALLOWED_TEAMS,
        &IF,
        &BRANCHES,
        &DEPENDS_ON,
        &ALLOW_DEPENDENCY_FAILURE,
        &KEY,
        &LABEL,
        &Attribute { names: &["type"], shape: Shape::Word(&["block", "manual"]), about: "The kind of step." },
    ],
    required: &[],
    open: false,
};

pub(in crate::pipeline) static INPUT_STEP: Keys = Keys {
    name: "input_step",
    what: "an input step",
    telling: &["input"],
    attributes: &[
        &Attribute {
            names: &["input"],
            shape: Shape::Either(&[Shape::Text, Shape::Null, Shape::Keys(&INPUT_STEP)]),
            about: "Ask a person for something, without holding the other steps back. The text is the label.",
        },
        &PROMPT,
        &FIELDS,
        &SUBMIT,
        &BLOCKED_STATE,
        &ALLOWED_TEAMS,
        &IF,
        &BRANCHES,
        &DEPENDS_ON,
        &ALLOW_DEPENDENCY_FAILURE,
        &KEY,
        &LABEL,
        &Attribute { names: &["type"], shape: Shape::Word(&["input"]), about: "The kind of step." },
    ],
    required: &[],
    open: false,
};

static PROMPT: Attribute = Attribute { names: &["prompt"], shape: Shape::Text, about: "What to say to the person." };

static SUBMIT: Attribute =
    Attribute { names: &["submit"], shape: Shape::Text, about: "The text of the button. Default: `Continue`." };

static BLOCKED_STATE: Attribute = Attribute {
    names: &["blocked_state"],
    shape: Shape::Word(&["passed", "failed", "running"]),
    about: "What the build counts as while it waits. Default: `passed`.",
};

static ALLOWED_TEAMS: Attribute = Attribute {
    names: &["allowed_teams"],
    shape: TEXTS,
    about: "The teams whose members may unblock it. Default: everybody.",
};

static FIELDS: Attribute = Attribute {
    names: &["fields"],
    shape: Shape::List(&Shape::Variant(&[&SELECT_FIELD, &TEXT_FIELD])),
    about: "What to ask for; the answers become meta-data.",
};

static TEXT_FIELD: Keys = Keys {
    name: "text_field",
    what: "a text field",
    telling: &["text", "key"],
    attributes: &[
        &Attribute { names: &["text"], shape: Shape::Text, about: "The question; the answer is text." },
        &FIELD_KEY,
        &HINT,
        &REQUIRED,
        &Attribute { names: &["default"], shape: Shape::Text, about: "The answer to begin with." },
        &Attribute {
            names: &["format"],
            shape: Shape::Text,
            about: "A regular expression that the whole answer must match.",
        },
    ],
    required: &["key"],
    open: false,
};

static SELECT_FIELD: Keys = Keys {
    name: "select_field",
    what: "a select field",
    telling: &["select", "options"],
    attributes: &[
        &Attribute { names: &["select"], shape: Shape::Text, about: "The question; the answer is chosen." },
        &FIELD_KEY,
        &Attribute {
            names: &["options"],
            shape: Shape::Filled(&Shape::Keys(&OPTION)),
            about: "What there is to choose from.",
        },
        &HINT,
        &REQUIRED,
        &Attribute {
            names: &["default"],
            shape: TEXTS,
            about: "The value chosen to begin with; a list where several may be chosen.",
        },
        &Attribute {
            names: &["multiple"],
            shape: Shape::Boolean,
            about: "Whether several may be chosen; the answer then has one value a line. Default: false.",
        },
    ],
    required: &["key", "options"],
    open: false,
};

static OPTION: Keys = Keys {
    name: "option",
    what: "an option",
    telling: &[],
    attributes: &[
        &Attribute { names: &["label"], shape: Shape::Text, about: "What the person sees." },
        &Attribute { names: &["value"], shape: Shape::Text, about: "What the meta-data gets." },
        &HINT,
        &REQUIRED,
    ],
    required: &["value"],
    open: false,
};

static FIELD_KEY: Attribute = Attribute {
    names: &["key"],
    shape: Shape::Name(Name { most: 100, also: Some("_-/") }),
    about: "The meta-data key of the answer.",
};

static HINT: Attribute = Attribute { names: &["hint"], shape: Shape::Text, about: "More about it." };

static REQUIRED: Attribute =
    Attribute { names: &["required"], shape: Shape::Boolean, about: "Whether an answer is needed. Default: true." };
