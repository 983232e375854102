//! What a request would need beyond the grant: in words, and as the YAML to add.

/// Grants that are missing; empty when nothing is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing(Vec<Item>);

#[derive(Debug, PartialEq, Eq)]
struct Item {
    what: String,
    list: &'static str,
    element: String,
}

/// Sentences printed; the YAML names everything.
const MAX_SENTENCES: usize = 8;

impl Missing {
    /// Adds what is not granted, a list of `grants.aws` and the element that would grant it.
    pub(super) fn add(&mut self, what: String, list: &'static str, element: impl Into<String>) {
        let item = Item { what, list, element: element.into() };
        if !self.0.contains(&item) {
            self.0.push(item);
        }
    }

    /// Nothing when nothing is missing.
    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Why it is refused and what to write to have it granted.
    pub(super) fn reason(&self) -> String {
        let mut sentences: Vec<&str> = self.0.iter().map(|item| item.what.as_str()).take(MAX_SENTENCES).collect();
        let more = format!("and {} more", self.0.len().saturating_sub(MAX_SENTENCES));
        if self.0.len() > MAX_SENTENCES {
            sentences.push(&more);
        }
        format!("{}; add to the step: grants: {{ aws: {{ {} }} }}", sentences.join("; "), self.yaml())
    }

    fn yaml(&self) -> String {
        let mut lists: Vec<(&str, Vec<String>)> = Vec::new();
        for item in &self.0 {
            // A JSON string is a YAML string.
            let element = serde_json::Value::from(item.element.as_str()).to_string();
            match lists.iter_mut().find(|(list, _)| *list == item.list) {
                Some((_, elements)) if elements.contains(&element) => {}
                Some((_, elements)) => elements.push(element),
                None => lists.push((item.list, vec![element])),
            }
        }
        let lists: Vec<String> =
            lists.into_iter().map(|(list, elements)| format!("{list}: [{}]", elements.join(", "))).collect();
        lists.join(", ")
    }
}
