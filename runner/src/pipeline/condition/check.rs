//! Whether an expression has a meaning: all names known, all types fitting, in every part of it.

use super::expression::{Expression, Kind, Operator, Text};
use super::variables::{Type, variable, variables};
use super::{ConditionError, ErrorKind, Scope, environment, shell};
use crate::pipeline::similar::closest;

/// Checks a whole condition, which must be a boolean.
pub(super) fn check(expression: &Expression, scope: Scope) -> Result<(), ConditionError> {
    let found = type_of(expression, scope)?;
    if found == Type::Bool {
        return Ok(());
    }
    Err(invalid(expression, format!("the condition is {}, expected a boolean", describe(found))))
}

fn type_of(expression: &Expression, scope: Scope) -> Result<Type, ConditionError> {
    match &expression.kind {
        Kind::Null => Ok(Type::Null),
        Kind::Bool(_) => Ok(Type::Bool),
        Kind::Integer(_) => Ok(Type::Integer),
        Kind::Text(_) | Kind::Shell(_) => Ok(Type::Text),
        Kind::Pattern(_) => Ok(Type::Pattern),
        Kind::Variable(name) => match variable(name, scope) {
            Some(variable) => Ok(variable.kind),
            None => Err(unknown_variable(expression, name, scope)),
        },
        Kind::List(items) => {
            for item in items {
                expect(item, type_of(item, scope)?, &[Type::Text])?;
            }
            Ok(Type::List)
        }
        Kind::Not(inner) => {
            expect(inner, type_of(inner, scope)?, &[Type::Bool])?;
            Ok(Type::Bool)
        }
        Kind::Binary(operator, sides) => binary(*operator, sides, scope),
        Kind::Choice(parts) => {
            let [condition, consequence, alternative] = parts.as_ref();
            expect(condition, type_of(condition, scope)?, &[Type::Bool])?;
            compatible(consequence, alternative, scope)
        }
        Kind::Call(name, arguments) => call(expression, name, arguments, scope),
    }
}

fn binary(operator: Operator, sides: &[Expression; 2], scope: Scope) -> Result<Type, ConditionError> {
    let [left, right] = sides;
    let (wanted_left, wanted_right): (&[Type], &[Type]) = match operator {
        Operator::Equal | Operator::NotEqual => {
            compatible(left, right, scope)?;
            return Ok(Type::Bool);
        }
        Operator::And | Operator::Or => (&[Type::Bool], &[Type::Bool]),
        Operator::Match | Operator::NoMatch => (&[Type::Text, Type::Null], &[Type::Pattern]),
        Operator::Includes => (&[Type::List, Type::Null], &[Type::Text, Type::Pattern, Type::Null]),
    };
    let found = type_of(left, scope)?;
    expect(left, found, wanted_left).map_err(|error| match (&left.kind, operator) {
        (Kind::Not(_), Operator::Includes | Operator::Match) => {
            error.help(format!("`!` binds tighter than `{}`: write `!(…)` around it", operator.symbol()))
        }
        _ => error,
    })?;
    expect(right, type_of(right, scope)?, wanted_right)?;
    Ok(Type::Bool)
}

/// The type that two parts have in common. Null fits everything.
fn compatible(left: &Expression, right: &Expression, scope: Scope) -> Result<Type, ConditionError> {
    let (found_left, found_right) = (type_of(left, scope)?, type_of(right, scope)?);
    match (found_left, found_right) {
        (Type::Null, other) | (other, Type::Null) => Ok(other),
        (Type::Word(words), _) => {
            expect(right, found_right, &[Type::Text])?;
            match static_text(right) {
                Some(word) if !words.words.contains(&word) => {
                    Err(invalid(right, format!("`{word}` is no {}", words.what)).help(
                        match closest(word, words.words.iter().copied()) {
                            Some(known) => format!("did you mean `{known}`?"),
                            None => format!("it is one of: {}", words.words.join(", ")),
                        },
                    ))
                }
                _ => Ok(found_left),
            }
        }
        (_, Type::Word(words)) if found_left == Type::Text => {
            Err(invalid(right, format!("the {} stands on the right", words.what)).help("write it on the left"))
        }
        _ => {
            expect(right, found_right, &[found_left])?;
            Ok(found_left)
        }
    }
}

fn call(expression: &Expression, name: &str, arguments: &[Expression], scope: Scope) -> Result<Type, ConditionError> {
    if name != "env" && name != "build.env" {
        let message = format!("`{name}` is not a function");
        return Err(invalid(expression, message).help("the functions are `env(\"NAME\")` and `build.env(\"NAME\")`"));
    }
    let [argument] = arguments else {
        return Err(invalid(expression, format!("`{name}` has {} arguments, expected one", arguments.len())));
    };
    if let Some(variable) = static_text(argument)
        && let Some((message, help)) = environment::name_problem(variable)
    {
        return Err(ConditionError { help, ..invalid(argument, message) });
    }
    expect(argument, type_of(argument, scope)?, &[Type::Text])?;
    Ok(Type::Text)
}

/// A string literal whose value is known before evaluation.
fn static_text(expression: &Expression) -> Option<&str> {
    match &expression.kind {
        Kind::Text(Text { value, template: None }) => Some(value),
        Kind::Text(Text { value, template: Some(template) }) if !shell::has_expansion(template) => Some(value),
        _ => None,
    }
}

fn expect(expression: &Expression, found: Type, wanted: &[Type]) -> Result<(), ConditionError> {
    if wanted.contains(&found) {
        return Ok(());
    }
    let wanted: Vec<_> = wanted.iter().map(|wanted| describe(*wanted)).collect();
    Err(invalid(expression, format!("expected {}, found {}", wanted.join(" or "), describe(found))))
}

fn describe(found: Type) -> String {
    match found {
        Type::Null => "null".to_owned(),
        Type::Bool => "a boolean".to_owned(),
        Type::Integer => "an integer".to_owned(),
        Type::Text => "a string".to_owned(),
        Type::Word(words) => format!("a {}", words.what),
        Type::List => "a list of strings".to_owned(),
        Type::Pattern => "a regular expression".to_owned(),
    }
}

fn unknown_variable(expression: &Expression, name: &str, scope: Scope) -> ConditionError {
    if scope == Scope::Build && (name == "step" || name.starts_with("step.")) {
        return invalid(expression, format!("`{name}` is not known before the step runs"))
            .help("variables of steps exist only in the `if` of a step's notifications");
    }
    let error = invalid(expression, format!("`{name}` is not a variable"));
    match closest(name, variables(scope).map(|variable| variable.name)) {
        Some(known) => error.help(format!("did you mean `{known}`?")),
        None => error,
    }
}

fn invalid(expression: &Expression, message: String) -> ConditionError {
    ConditionError::new(ErrorKind::Validation, expression.place, message)
}
