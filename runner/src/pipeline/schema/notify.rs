//! Notifications of builds, groups and steps.

use super::{Attribute, Keys, Shape, TEXTS};

/// Those of a build or a group.
pub(super) const BUILD_NOTIFICATIONS: Shape = Shape::List(&Shape::Either(&[
    WORDS,
    Shape::Variant(&[&EMAIL, &SLACK, &BASECAMP, &WEBHOOK, &PAGERDUTY, &COMMIT_STATUS, &CHECK]),
]));

/// Those of a step.
pub(super) const STEP_NOTIFICATIONS: Shape =
    Shape::List(&Shape::Either(&[WORDS, Shape::Variant(&[&SLACK, &BASECAMP, &COMMIT_STATUS, &CHECK])]));

const WORDS: Shape = Shape::Word(&["github_check", "github_commit_status"]);

static IF: Attribute = Attribute {
    names: &["if"],
    shape: Shape::Either(&[Shape::Condition, Shape::Boolean]),
    about: "Tell only where this condition holds.",
};

static EMAIL: Keys = notification(
    "email",
    "an email notification",
    &["email"],
    &[&Attribute { names: &["email"], shape: Shape::Text, about: "The address to write to." }, &IF],
);

static BASECAMP: Keys = notification(
    "basecamp",
    "a Basecamp notification",
    &["basecamp_campfire"],
    &[
        &Attribute { names: &["basecamp_campfire"], shape: Shape::Text, about: "The address of the chat room's bot." },
        &IF,
    ],
);

static WEBHOOK: Keys = notification(
    "webhook",
    "a webhook notification",
    &["webhook"],
    &[&Attribute { names: &["webhook"], shape: Shape::Text, about: "The address to send the build to." }, &IF],
);

static PAGERDUTY: Keys = notification(
    "pagerduty",
    "a PagerDuty notification",
    &["pagerduty_change_event"],
    &[&Attribute { names: &["pagerduty_change_event"], shape: Shape::Text, about: "The integration key." }, &IF],
);

static SLACK: Keys = notification(
    "slack",
    "a Slack notification",
    &["slack"],
    &[
        &Attribute {
            names: &["slack"],
            shape: Shape::Either(&[Shape::Text, Shape::Keys(&SLACK_MESSAGE)]),
            about: "A channel or user, such as `#releases`; or several with a message.",
        },
        &IF,
    ],
);

static SLACK_MESSAGE: Keys = Keys {
    name: "slack_message",
    what: "`slack`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["channels"], shape: TEXTS, about: "Channels and users to tell." },
        &Attribute { names: &["message"], shape: Shape::Text, about: "What to tell them." },
    ],
    required: &[],
    open: false,
};

static COMMIT_STATUS: Keys = notification(
    "github_commit_status",
    "a commit status",
    &["github_commit_status"],
    &[
        &Attribute {
            names: &["github_commit_status"],
            shape: Shape::Keys(&COMMIT_STATUS_SETTINGS),
            about: "Set a status of the commit on GitHub.",
        },
        &IF,
    ],
);

static COMMIT_STATUS_SETTINGS: Keys = Keys {
    name: "commit_status_settings",
    what: "`github_commit_status`",
    telling: &[],
    attributes: &[
        &Attribute { names: &["context"], shape: Shape::Text, about: "The name of the status." },
        &Attribute {
            names: &["blocked_builds_as_pending"],
            shape: Shape::Boolean,
            about: "Whether a blocked build counts as pending.",
        },
    ],
    required: &[],
    open: false,
};

static CHECK: Keys = notification(
    "github_check",
    "a GitHub check",
    &["github_check"],
    &[
        &Attribute {
            names: &["github_check"],
            shape: Shape::Either(&[Shape::Map(&Shape::Any), Shape::Null]),
            about: "Make a check of the commit on GitHub.",
        },
        &IF,
    ],
);

const fn notification(
    name: &'static str,
    what: &'static str,
    service: &'static [&'static str],
    attributes: &'static [&'static Attribute],
) -> Keys {
    Keys { name, what, telling: service, attributes, required: service, open: false }
}
