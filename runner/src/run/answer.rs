//! What a person fills in at a block or input step: checked before it is recorded.

use super::account::Account;
use crate::event::EventKind;
use crate::pipeline::attribute::answer_format;
use crate::plan::{Gate, GateField, JobId};
use indexmap::IndexMap;

/// An answer to a block or input step.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Who gives it, as they call themselves.
    pub by: String,
    /// The account under which it is given.
    pub account: Account,
    /// The fields' values.
    pub fields: IndexMap<String, String>,
}

impl Answer {
    /// The fact that it lets a job go on.
    #[must_use]
    pub fn unblocks(self, job: JobId) -> EventKind {
        let Self { by, account: Account { name: account, host }, fields } = self;
        EventKind::Unblocked { job, by, fields, account, host }
    }
}

/// The meta-data an answer sets: every field of the gate, the given values over the defaults.
///
/// # Errors
/// Everything that is wrong with the given values, one sentence each.
pub fn answer(gate: &Gate, given: &IndexMap<String, String>) -> Result<IndexMap<String, String>, Vec<String>> {
    let mut problems = Vec::new();
    for key in given.keys() {
        if !gate.fields.iter().any(|field| field.key == *key) {
            let known: Vec<&str> = gate.fields.iter().map(|field| field.key.as_str()).collect();
            problems.push(match known.as_slice() {
                [] => format!("there is no field `{key}`: this step asks for nothing"),
                known => format!("there is no field `{key}`; the fields are: {}", known.join(", ")),
            });
        }
    }
    let mut values = IndexMap::new();
    for field in &gate.fields {
        let value = given.get(&field.key).or(field.default.as_ref()).cloned().unwrap_or_default();
        let value = value.replace("\r\n", "\n");
        if let Err(problem) = check(field, &value) {
            problems.push(problem);
        }
        values.insert(field.key.clone(), value);
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

fn check(field: &GateField, value: &str) -> Result<(), String> {
    let key = &field.key;
    if value.is_empty() {
        let missing = format!("the field `{key}` ({}) must be filled in", field.label);
        return if field.required { Err(missing) } else { Ok(()) };
    }
    if !field.options.is_empty() {
        let chosen: Vec<&str> = if field.multiple { value.lines().collect() } else { vec![value] };
        if let Some(wrong) = chosen.iter().find(|choice| !field.options.iter().any(|option| option == *choice)) {
            return Err(format!("`{wrong}` is no choice for `{key}`; the choices are: {}", field.options.join(", ")));
        }
    }
    if let Some(format) = &field.format {
        let pattern = answer_format(format)
            .map_err(|error| format!("the format of `{key}` is not a regular expression: {error}"))?;
        // What takes too long to find out does not match.
        if !pattern.is_match(value).unwrap_or(false) {
            return Err(format!("`{value}` is no value for `{key}`; expected it to match {format}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(key: &str) -> GateField {
        GateField {
            key: key.to_owned(),
            label: key.to_owned(),
            hint: String::new(),
            required: true,
            default: None,
            format: None,
            options: Vec::new(),
            labels: IndexMap::new(),
            multiple: false,
        }
    }

    fn given(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_fill_in_and_wrong_values_are_named() {
        let gate = Gate {
            fields: vec![
                GateField { default: Some("eu".into()), options: vec!["eu".into(), "us".into()], ..field("region") },
                GateField { format: Some("[0-9]+".into()), ..field("count") },
                GateField { required: false, ..field("note") },
            ],
            ..Gate::default()
        };
        let values = answer(&gate, &given(&[("count", "12")])).unwrap();
        assert_eq!(values, given(&[("region", "eu"), ("count", "12"), ("note", "")]));
        let problems = answer(&gate, &given(&[("region", "mars"), ("count", "12a"), ("extra", "x")])).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(answer(&gate, &given(&[])).unwrap_err().len(), 1);
    }
}
