//! What a condition asks for, and what one build answers.

use super::context::Context;
use super::eval::{Value, value_of};
use super::expression::{Expression, Kind};
use super::{Condition, ConditionError};

/// One thing a condition asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As it is written in the condition.
    pub asked: String,
    /// The answer as it could be written in a condition: `"main"`, `true`, `null`.
    pub value: String,
}

impl Condition {
    /// Everything the condition asks for, each once, in the order of `text`, whether or not it decided anything.
    /// `text` is what the condition was parsed from.
    ///
    /// # Errors
    /// As [`Condition::evaluate`].
    pub fn answers(&self, text: &str, context: &Context) -> Result<Vec<Answer>, ConditionError> {
        let mut answers: Vec<Answer> = Vec::new();
        let mut open = vec![&self.expression];
        while let Some(expression) = open.pop() {
            match &expression.kind {
                Kind::Variable(_) | Kind::Shell(_) | Kind::Call(..) => {
                    let asked = text.get(expression.place.0..expression.place.1).unwrap_or_default().to_owned();
                    let value = written(&value_of(expression, context)?);
                    let answer = Answer { asked, value };
                    if !answers.contains(&answer) {
                        answers.push(answer);
                    }
                }
                _ => open.extend(inner(expression).iter().rev()),
            }
        }
        Ok(answers)
    }
}

fn inner(expression: &Expression) -> &[Expression] {
    match &expression.kind {
        Kind::List(items) => items,
        Kind::Not(inner) => std::slice::from_ref(&**inner),
        Kind::Binary(_, sides) => &sides[..],
        Kind::Choice(parts) => &parts[..],
        _ => &[],
    }
}

fn written(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("{items:?}"),
        Value::Pattern(regex) => format!("/{}/", regex.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::condition::Scope;

    #[test]
    fn every_question_is_answered() {
        let mut context = Context::default();
        context.build.branch = Some("main".to_owned());
        context.env.insert("DEPLOY".to_owned(), "no".to_owned());
        let text = r#"build.branch == "main" || (build.tag != null && build.env("DEPLOY") == 'yes') || $DEPLOY == build.branch"#;
        let condition = Condition::parse(text, Scope::Build).unwrap();
        let answers = condition.answers(text, &context).unwrap();
        let answers: Vec<String> = answers.iter().map(|one| format!("{} {}", one.asked, one.value)).collect();
        assert_eq!(
            answers,
            ["build.branch \"main\"", "build.tag null", "build.env(\"DEPLOY\") \"no\"", "$DEPLOY \"no\""]
        );
    }
}
