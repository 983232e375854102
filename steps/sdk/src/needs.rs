//! What a component will ask for, in the shape of a step's `grants`.

use serde_json::{Map, Value, json};

/// Grants a component needs.
#[derive(Debug, Clone, Default)]
pub struct Needs(Map<String, Value>);

impl Needs {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reading a path of the workspace; `.` is all of it.
    #[must_use]
    pub fn read(self, path: &str) -> Self {
        self.push(&["workspace", "read"], json!(path))
    }

    /// Writing a path of the workspace.
    #[must_use]
    pub fn write(self, path: &str) -> Self {
        self.push(&["workspace", "write"], json!(path))
    }

    /// Seeing an environment variable.
    #[must_use]
    pub fn env(self, name: &str) -> Self {
        self.push(&["env"], json!(name))
    }

    /// Using a secret.
    #[must_use]
    pub fn secret(self, name: &str) -> Self {
        self.push(&["secrets"], json!(name))
    }

    /// Running a program.
    #[must_use]
    pub fn process(self, program: &str) -> Self {
        self.push(&["process"], json!(program))
    }

    /// Building an image from a directory; with `egress` its `RUN` instructions reach addresses outside.
    #[must_use]
    pub fn docker_build(self, context: &str, egress: bool) -> Self {
        let network = if egress { "egress" } else { "none" };
        self.push(&["docker", "build"], json!({"context": context, "network": network}))
    }

    /// Pulling and running an image, and building upon it.
    #[must_use]
    pub fn docker_image(self, reference: &str) -> Self {
        self.push(&["docker", "images"], json!(reference))
    }

    /// Tagging and pushing to a repository (no tag, no digest).
    #[must_use]
    pub fn docker_push(self, repository: &str) -> Self {
        self.push(&["docker", "push"], json!(repository))
    }

    /// Running containers: the fields of `grants.docker.containers`.
    #[must_use]
    pub fn docker_containers(mut self, containers: Value) -> Self {
        self.section("docker").insert("containers".to_owned(), containers);
        self
    }

    /// An operation on a stack: `deploy`, `read`, `plan`, `delete` or `cancel`.
    #[must_use]
    pub fn stack(self, name: &str, operation: &str) -> Self {
        self.push(&["aws", "stacks"], json!(name)).push(&["aws", "operations"], json!(operation))
    }

    /// One element of another list of `grants.aws`: `capabilities`, `replace`, `resources`, `transforms`,
    /// `references` or `imports`.
    #[must_use]
    pub fn aws(self, list: &str, element: &str) -> Self {
        self.push(&["aws", list], json!(element))
    }

    /// Reading, or with `write` also setting, the run's meta-data.
    #[must_use]
    pub fn meta_data(self, write: bool) -> Self {
        self.access("meta-data", write)
    }

    /// Reading, or with `write` also storing, the run's artifacts.
    #[must_use]
    pub fn artifacts(self, write: bool) -> Self {
        self.access("artifacts", write)
    }

    /// Writing annotations of the run.
    #[must_use]
    pub fn annotations(mut self) -> Self {
        self.0.insert("annotations".to_owned(), json!(true));
        self
    }

    /// The JSON object of the contract.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    fn access(mut self, name: &str, write: bool) -> Self {
        self.0.insert(name.to_owned(), json!(if write { "write" } else { "read" }));
        self
    }

    fn section(&mut self, name: &str) -> &mut Map<String, Value> {
        let section = self.0.entry(name.to_owned()).or_insert_with(|| json!({}));
        if !section.is_object() {
            *section = json!({});
        }
        match section {
            Value::Object(section) => section,
            _ => unreachable!("made an object above"),
        }
    }

    fn push(mut self, path: &[&str], element: Value) -> Self {
        let list = match path {
            [section, list] => self.section(section).entry((*list).to_owned()),
            [list] => self.0.entry((*list).to_owned()),
            _ => unreachable!("paths have one part or two"),
        };
        if let Value::Array(list) = list.or_insert_with(|| json!([]))
            && !list.contains(&element)
        {
            list.push(element);
        }
        self
    }
}
