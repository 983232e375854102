//! What jobs of a run have written down: for each other, and for people.

use super::Illegal;
use crate::event::{Annotation, Artifact, EventKind};
use indexmap::IndexMap;
use std::collections::{BTreeMap, HashMap};

/// Meta-data, artifacts, annotations and the values of steps.
#[derive(Debug, Clone, Default)]
pub struct RunData {
    meta_data: BTreeMap<String, String>,
    artifacts: Vec<Artifact>,
    annotations: Vec<Annotation>,
    steps: HashMap<String, BTreeMap<String, String>>,
    unblocked_by: String,
}

/// Bytes of an annotation's body; Buildkite's limit.
const MAX_ANNOTATION: usize = 1 << 20;
/// Annotations of one run.
const MAX_ANNOTATIONS: usize = 1000;

impl RunData {
    /// Takes in what was written, or refuses it and stays as it is.
    pub(super) fn apply(&mut self, kind: &EventKind) -> Result<(), Illegal> {
        match kind {
            EventKind::MetaDataSet { key, value } => {
                self.meta_data.insert(key.clone(), value.clone());
            }
            EventKind::ArtifactStored { artifact } => self.artifacts.push(artifact.clone()),
            EventKind::Annotated { annotation, append } => self.annotate(annotation, *append)?,
            EventKind::AnnotationRemoved { job, context } => {
                self.annotations.retain(|one| one.job != *job || one.context != *context);
            }
            EventKind::StepUpdated { step, attribute, value, append } => {
                let written = self.steps.entry(step.clone()).or_default().entry(attribute.clone()).or_default();
                if !append {
                    written.clear();
                }
                written.push_str(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn annotate(&mut self, annotation: &Annotation, append: bool) -> Result<(), Illegal> {
        let same = |one: &Annotation| one.job == annotation.job && one.context == annotation.context;
        let many = self.annotations.len() >= MAX_ANNOTATIONS;
        let before = self.annotations.iter_mut().find(|one| same(one));
        let kept = before.as_ref().filter(|_| append).map_or(0, |before| before.body.len());
        if kept + annotation.body.len() > MAX_ANNOTATION {
            return Err(Illegal(format!("an annotation has at most {} KiB", MAX_ANNOTATION >> 10)));
        }
        match before {
            Some(before) if append => {
                before.body.push_str(&annotation.body);
                before.style = annotation.style;
                before.priority = annotation.priority;
            }
            Some(before) => *before = annotation.clone(),
            None if many => {
                return Err(Illegal(format!("a run has at most {MAX_ANNOTATIONS} annotations")));
            }
            None => self.annotations.push(annotation.clone()),
        }
        Ok(())
    }

    pub(super) fn unblocked(&mut self, by: &str, fields: &IndexMap<String, String>) {
        by.clone_into(&mut self.unblocked_by);
        self.meta_data.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
    }

    /// The run's meta-data.
    #[must_use]
    pub fn meta_data(&self) -> &BTreeMap<String, String> {
        &self.meta_data
    }

    /// The run's artifacts, in the order of storing.
    #[must_use]
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// The run's annotations: the highest priority first, then the oldest.
    #[must_use]
    pub fn annotations(&self) -> Vec<&Annotation> {
        let mut sorted: Vec<&Annotation> = self.annotations.iter().collect();
        sorted.sort_by_key(|annotation| std::cmp::Reverse(annotation.priority));
        sorted
    }

    /// A value that a job gave to a step: by the step's key, or a job's name.
    #[must_use]
    pub fn step_value(&self, step: &str, attribute: &str) -> Option<&str> {
        self.steps.get(step)?.get(attribute).map(String::as_str)
    }

    /// Who let the run go on last; empty when nobody has.
    #[must_use]
    pub fn unblocked_by(&self) -> &str {
        &self.unblocked_by
    }
}
