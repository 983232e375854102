//! Which value each of the template's parameters gets.

use crate::params::ParameterValue;
use crate::template::Declared;
use crate::words::closest;
use runner_sdk::Failure;
use std::collections::BTreeMap;

/// Where a parameter's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From the pipeline.
    Given(ParameterValue),
    /// It stays as it is in the stack.
    Previous,
}

/// Refuses values for parameters the template does not have.
pub fn check_given(
    given: &BTreeMap<String, ParameterValue>,
    declared: &BTreeMap<String, Declared>,
) -> Result<(), Failure> {
    let extra: Vec<String> = given
        .keys()
        .filter(|name| !declared.contains_key(*name))
        .map(|name| {
            let not_given = declared.keys().filter(|name| !given.contains_key(*name)).map(String::as_str);
            let hint = closest(name, not_given).map(|name| format!(" (did you mean `{name}`?)"));
            format!("`{name}`{}", hint.unwrap_or_default())
        })
        .collect();
    if extra.is_empty() {
        return Ok(());
    }
    let known: Vec<&str> = declared.keys().map(String::as_str).collect();
    Err(Failure::new(format!("the template has no parameter {}", extra.join(", "))).remedy(format!(
        "Its parameters are: {}.",
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    )))
}

/// The values of a change set. `previous` names the parameters that the stack has now.
pub fn choose(
    given: &BTreeMap<String, ParameterValue>,
    declared: &BTreeMap<String, Declared>,
    previous: &[String],
) -> Result<Vec<(String, Source)>, Failure> {
    let mut chosen = Vec::new();
    let mut missing = Vec::new();
    for (name, declared) in declared {
        if let Some(value) = given.get(name) {
            chosen.push((name.clone(), Source::Given(value.clone())));
        } else if previous.contains(name) {
            chosen.push((name.clone(), Source::Previous));
        } else if !declared.has_default {
            missing.push(format!("`{name}`"));
        }
    }
    if missing.is_empty() {
        return Ok(chosen);
    }
    Err(Failure::new(format!("the template needs a value for {}", missing.join(", ")))
        .remedy("Add it to the step's `parameters`, or a `Default` to the template."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(names: &[&str]) -> BTreeMap<String, ParameterValue> {
        names.iter().map(|name| ((*name).to_owned(), ParameterValue::Plain("x".into()))).collect()
    }

    fn declared(names: &[(&str, bool)]) -> BTreeMap<String, Declared> {
        names.iter().map(|(name, has_default)| ((*name).to_owned(), Declared { has_default: *has_default })).collect()
    }

    #[test]
    fn extra_parameters_are_named_with_what_was_meant() {
        let declared = declared(&[("ImageDigest", false), ("Environment", false)]);
        check_given(&given(&["ImageDigest"]), &declared).unwrap();
        let failure = check_given(&given(&["ImageDigset", "Environment", "Colour"]), &declared).unwrap_err();
        assert_eq!(
            failure.message,
            "the template has no parameter `Colour`, `ImageDigset` (did you mean `ImageDigest`?)"
        );
        assert_eq!(failure.remedy, "Its parameters are: Environment, ImageDigest.");
    }

    #[test]
    fn what_is_not_given_stays_or_is_chosen_by_the_template_or_is_missing() {
        let declared = declared(&[("A", false), ("B", false), ("C", true), ("D", true)]);
        let old = ["B".to_owned(), "D".to_owned(), "Gone".to_owned()];
        let chosen = choose(&given(&["A"]), &declared, &old).unwrap();
        let plain = Source::Given(ParameterValue::Plain("x".into()));
        assert_eq!(
            chosen,
            [("A".to_owned(), plain), ("B".to_owned(), Source::Previous), ("D".to_owned(), Source::Previous)]
        );
        let failure = choose(&given(&[]), &declared, &[]).unwrap_err();
        assert_eq!(failure.message, "the template needs a value for `A`, `B`");
    }
}
