//! What an expression that was checked comes to for one build.

use std::borrow::Cow;

use fancy_regex::Regex;

use super::context::Context;
use super::expression::{Expression, Kind, Operator, Text};
use super::variables::{Fact, variable};
use super::{ConditionError, ErrorKind, Scope, environment, shell};

/// Evaluates a whole condition. Null counts as false.
pub(super) fn evaluate(expression: &Expression, context: &Context) -> Result<bool, ConditionError> {
    value_of(expression, context).map(|value| value.is_true())
}

#[derive(Debug)]
pub(super) enum Value<'e> {
    Null,
    Bool(bool),
    Integer(i64),
    Text(Cow<'e, str>),
    List(Vec<Cow<'e, str>>),
    Pattern(&'e Regex),
}

impl Value<'_> {
    fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            _ => true,
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Integer(left), Self::Integer(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::List(left), Self::List(right)) => left == right,
            (Self::Pattern(left), Self::Pattern(right)) => left.as_str() == right.as_str(),
            _ => false,
        }
    }
}

pub(super) fn value_of<'e>(expression: &'e Expression, context: &'e Context) -> Result<Value<'e>, ConditionError> {
    let failed = |message: String| ConditionError::new(ErrorKind::Evaluation, expression.place, message);
    let env = |name: &str| environment::value(name, context);
    Ok(match &expression.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Integer(value) => Value::Integer(*value),
        Kind::Text(Text { value, template: None }) => Value::Text(Cow::Borrowed(value)),
        Kind::Text(Text { template: Some(template), .. }) => {
            Value::Text(Cow::Owned(shell::template(template, &env).map_err(failed)?))
        }
        Kind::Shell(written) => match shell::expand(written, &env).map_err(failed)? {
            Some(value) => Value::Text(Cow::Owned(value)),
            None => Value::Null,
        },
        Kind::Pattern(regex) => Value::Pattern(regex),
        Kind::Variable(name) => match variable(name, Scope::Step).map(|variable| (variable.read)(context)) {
            Some(Fact::Bool(Some(value))) => Value::Bool(value),
            Some(Fact::Integer(Some(value))) => Value::Integer(value),
            Some(Fact::Text(Some(text))) => Value::Text(Cow::Borrowed(text)),
            Some(Fact::List(Some(items))) => {
                Value::List(items.iter().map(|item| Cow::Borrowed(item.as_str())).collect())
            }
            _ => Value::Null,
        },
        Kind::List(items) => {
            let mut texts = Vec::with_capacity(items.len());
            for item in items {
                // A shell expansion in a list may be null; it then equals no string.
                if let Value::Text(text) = value_of(item, context)? {
                    texts.push(text);
                }
            }
            Value::List(texts)
        }
        Kind::Not(inner) => Value::Bool(!value_of(inner, context)?.is_true()),
        Kind::Binary(operator, sides) => Value::Bool(binary(*operator, sides, context)?),
        Kind::Choice(parts) => {
            let [condition, consequence, alternative] = parts.as_ref();
            value_of(if evaluate(condition, context)? { consequence } else { alternative }, context)?
        }
        Kind::Call(function, arguments) => {
            let mut name = Cow::Borrowed("");
            for argument in arguments {
                if let Value::Text(text) = value_of(argument, context)? {
                    name = text;
                }
            }
            if let Some((message, _)) = environment::name_problem(&name) {
                return Err(failed(message));
            }
            match environment::value(&name, context) {
                Some(value) => Value::Text(Cow::Owned(value)),
                None if function == "env" => Value::Text(Cow::Borrowed("")),
                None => Value::Null,
            }
        }
    })
}

fn binary<'e>(operator: Operator, sides: &'e [Expression; 2], context: &'e Context) -> Result<bool, ConditionError> {
    let [left, right] = sides;
    let first = value_of(left, context)?;
    match operator {
        Operator::And if !first.is_true() => return Ok(false),
        Operator::Or if first.is_true() => return Ok(true),
        _ => {}
    }
    let second = value_of(right, context)?;
    let matches = |text: &str, regex: &Regex| {
        regex.is_match(text).map_err(|_| {
            let message = "the regular expression takes too long on this text";
            ConditionError::new(ErrorKind::Evaluation, right.place, message)
        })
    };
    match (operator, first, second) {
        (Operator::And | Operator::Or, _, second) => Ok(second.is_true()),
        (Operator::Equal, first, second) => Ok(first.equals(&second)),
        (Operator::NotEqual, first, second) => Ok(!first.equals(&second)),
        (Operator::Match, Value::Text(text), Value::Pattern(regex)) => matches(&text, regex),
        (Operator::NoMatch, Value::Text(text), Value::Pattern(regex)) => matches(&text, regex).map(|found| !found),
        (Operator::NoMatch, _, _) => Ok(true),
        (Operator::Includes, Value::List(items), Value::Text(text)) => Ok(items.contains(&text)),
        (Operator::Includes, Value::List(items), Value::Pattern(regex)) => {
            for item in items {
                if matches(&item, regex)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Operator::Match | Operator::Includes, _, _) => Ok(false),
    }
}
