//! The attributes of the format in one table: their names, what they may hold, what they mean.
//!
//! Two readers use it: [`json_schema`], for editors, and the strict check of a file. The table is as generous as the
//! format's own parser: it has what real files write, not only what is documented.

mod command;
mod grants;
mod input;
mod json;
mod notify;
mod pipeline;
mod shared;
mod step;

pub use json::json_schema;

pub(super) use command::COMMAND_STEP;
pub(super) use input::{BLOCK_STEP, INPUT_STEP};
pub(super) use pipeline::PIPELINE;
pub(super) use step::{GROUP_STEP, STEP_KINDS, TRIGGER_STEP, WAIT_STEP};

/// One attribute: what may stand behind a key.
pub(super) struct Attribute {
    /// The key, and other keys that mean the same. Of several in one mapping the first wins.
    pub(super) names: &'static [&'static str],
    /// What may be its value.
    pub(super) shape: Shape,
    /// What it means, for a person who points at it in an editor.
    pub(super) about: &'static str,
}

/// A mapping whose keys the format knows.
pub(super) struct Keys {
    /// Its name among the definitions of the JSON Schema.
    pub(super) name: &'static str,
    /// What to call it in a sentence, with its article.
    pub(super) what: &'static str,
    /// The keys that tell this mapping from others that may stand in its place.
    pub(super) telling: &'static [&'static str],
    /// All its attributes.
    pub(super) attributes: &'static [&'static Attribute],
    /// The keys it cannot do without.
    pub(super) required: &'static [&'static str],
    /// Whether it may have keys nobody knows.
    pub(super) open: bool,
}

/// What a value may be.
pub(super) enum Shape {
    /// Anything.
    Any,
    /// Nothing.
    Null,
    /// True or false.
    Boolean,
    /// A scalar, which is read as text.
    Text,
    /// Text within bounds.
    Name(Name),
    /// A whole number within bounds, both inclusive.
    Integer { least: i64, most: i64 },
    /// A number, not less than this.
    Number { least: f64 },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A condition.
    Condition,
    /// A list.
    List(&'static Shape),
    /// A list that is not empty.
    Filled(&'static Shape),
    /// A mapping whose keys are up to the author.
    Map(&'static Shape),
    /// A mapping with these keys.
    Keys(&'static Keys),
    /// One of several mappings; the first that has one of its telling keys.
    Variant(&'static [&'static Keys]),
    /// A step of one of these kinds, as a mapping.
    Step(&'static [&'static Keys]),
    /// Any of these. At most one of them is a list, and at most one a mapping.
    Either(&'static [Shape]),
}

/// Bounds on a text.
pub(super) struct Name {
    /// At most this many bytes.
    pub(super) most: usize,
    /// The characters it may have besides letters and digits of ASCII; `None` for any at all.
    pub(super) also: Option<&'static str>,
}

impl Keys {
    /// The attribute behind a key.
    pub(super) fn attribute(&self, key: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.names.contains(&key)).copied()
    }

    /// Whether it is that one; names are unique.
    pub(super) fn is(&self, other: &Keys) -> bool {
        self.name == other.name
    }

    /// All keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        self.attributes.iter().flat_map(|attribute| attribute.names.iter().copied())
    }
}

/// A key that belongs to the author, wherever it stands.
pub(super) fn is_extension(key: &str) -> bool {
    key.starts_with("x-")
}

/// Texts, or one text that stands for a list of itself.
const TEXTS: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: &Shape, place: &str) {
        match shape {
            Shape::Either(alternatives) => {
                let count = |wanted: fn(&Shape) -> bool| alternatives.iter().filter(|one| wanted(one)).count();
                assert!(count(|one| matches!(one, Shape::List(_) | Shape::Filled(_))) <= 1, "{place}");
                let mappings =
                    count(|one| matches!(one, Shape::Map(_) | Shape::Keys(_) | Shape::Variant(_) | Shape::Step(_)));
                assert!(mappings <= 1, "{place}");
                assert_eq!(count(|one| matches!(one, Shape::Either(_))), 0, "{place}");
                alternatives.iter().for_each(|one| check(one, place));
            }
            Shape::List(item) | Shape::Filled(item) | Shape::Map(item) => check(item, place),
            _ => {}
        }
    }

    #[test]
    fn the_table_is_unambiguous() {
        let all = json::reachable(&PIPELINE);
        assert!(all.len() > 20);
        for keys in &all {
            assert_eq!(all.iter().filter(|other| other.is(keys)).count(), 1, "two are called {}", keys.name);
            let mut names: Vec<_> = keys.names().collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "a key of {} is there twice", keys.name);
            for key in keys.telling.iter().chain(keys.required) {
                assert!(keys.attribute(key).is_some(), "{} has no {key}", keys.name);
            }
            for attribute in keys.attributes {
                assert!(attribute.about.ends_with('.'), "{}.{}", keys.name, attribute.names[0]);
                check(&attribute.shape, attribute.names[0]);
            }
        }
    }
}
