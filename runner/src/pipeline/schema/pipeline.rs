//! The keys at the top of a pipeline file.

use super::notify::BUILD_NOTIFICATIONS;
use super::shared::{AGENTS, CACHE, CHECKOUT, ENV, IMAGE, PRIORITY, SECRETS};
use super::step::{STEP_KINDS, STEP_WORDS};
use super::{Attribute, Keys, Shape};

pub(in crate::pipeline) static PIPELINE: Keys = Keys {
    name: "pipeline",
    what: "the pipeline",
    telling: &["steps"],
    attributes: &[&STEPS, &ENV, &AGENTS, &NOTIFY, &SECRETS, &IMAGE, &PRIORITY, &CACHE, &CHECKOUT],
    required: &["steps"],
    // Anchors are kept under keys of the author's choice.
    open: true,
};

static STEPS: Attribute = Attribute {
    names: &["steps"],
    shape: Shape::Either(&[Shape::List(&STEP), Shape::Null]),
    about: "What to do. Steps run side by side, up to the next `wait` or `block`.",
};

/// A step outside groups.
pub(super) const STEP: Shape = Shape::Either(&[STEP_WORDS, Shape::Step(STEP_KINDS)]);

static NOTIFY: Attribute =
    Attribute { names: &["notify"], shape: BUILD_NOTIFICATIONS, about: "Whom to tell how the build ends." };
