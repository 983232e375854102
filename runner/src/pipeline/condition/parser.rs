//! Tokens to an expression.
//!
//! From loose to tight: `? :` (to the right), `||`, `&&`, `== != =~ !~ includes`, `!`, call.

use super::expression::{Expression, Kind, Operator};
use super::lexer::{Token, TokenKind, tokens};
use super::{ConditionError, ErrorKind, regex};

/// The deepest expression. A chain such as `a && b && c` nests too, once for each operator.
const MAX_DEPTH: usize = 100;

/// The longest condition, in bytes. The longest public one has 300.
const MAX_BYTES: usize = 16 << 10;

/// Parses a condition.
pub(super) fn parse(text: &str) -> Result<Expression, ConditionError> {
    if text.len() > MAX_BYTES {
        let message = format!("the condition has {} bytes, expected at most {MAX_BYTES}", text.len());
        return Err(ConditionError::new(ErrorKind::Parse, (0, text.len()), message));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, open: 0 };
    if matches!(parser.peek().kind, TokenKind::End) {
        return Err(ConditionError::new(ErrorKind::Parse, (0, text.len()), "the condition is empty"));
    }
    let expression = parser.expression(Binding::Loosest)?;
    match &parser.peek().kind {
        TokenKind::End => Ok(expression),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

/// How tightly an operator binds.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Binding {
    Loosest,
    Choice,
    Or,
    And,
    Comparison,
    Prefix,
}

impl Binding {
    fn of(token: &TokenKind) -> Option<Self> {
        match token {
            TokenKind::Question => Some(Self::Choice),
            TokenKind::Operator(Operator::Or) => Some(Self::Or),
            TokenKind::Operator(Operator::And) => Some(Self::And),
            TokenKind::Operator(_) => Some(Self::Comparison),
            _ => None,
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// How many calls of [`Parser::expression`] are not finished.
    open: usize,
}

impl Parser {
    /// Reads an operand and all operators that bind tighter than `binding`.
    fn expression(&mut self, binding: Binding) -> Result<Expression, ConditionError> {
        self.open += 1;
        if self.open > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let mut left = self.operand()?;
        while let Some(next) = Binding::of(&self.peek().kind).filter(|next| *next > binding) {
            let operator = self.next();
            left = match operator.kind {
                TokenKind::Operator(operator) => {
                    let right = self.expression(next)?;
                    let place = (left.place.0, right.place.1);
                    Expression::new(Kind::Binary(operator, Box::new([left, right])), place)
                }
                _ => self.choice(left)?,
            };
            if left.depth > MAX_DEPTH {
                return Err(self.too_deep());
            }
        }
        self.open -= 1;
        Ok(left)
    }

    /// Reads the rest of `condition ? consequence : alternative`.
    fn choice(&mut self, condition: Expression) -> Result<Expression, ConditionError> {
        let consequence = self.expression(Binding::Loosest)?;
        self.expect(&TokenKind::Colon)?;
        let alternative = self.expression(Binding::Loosest)?;
        let place = (condition.place.0, alternative.place.1);
        Ok(Expression::new(Kind::Choice(Box::new([condition, consequence, alternative])), place))
    }

    fn operand(&mut self) -> Result<Expression, ConditionError> {
        let start = self.at;
        let Token { kind, place } = self.next();
        let kind = match kind {
            TokenKind::True => Kind::Bool(true),
            TokenKind::False => Kind::Bool(false),
            TokenKind::Null => Kind::Null,
            TokenKind::Text(text) => Kind::Text(text),
            TokenKind::Shell(written) => Kind::Shell(written),
            TokenKind::Integer(digits) => Kind::Integer(integer(&digits).ok_or_else(|| {
                ConditionError::new(ErrorKind::Parse, place, format!("`{digits}` is not an integer"))
            })?),
            TokenKind::Pattern { pattern, flags } => {
                let regex = regex::compile(&pattern, &flags)
                    .map_err(|message| ConditionError::new(ErrorKind::Parse, place, message))?;
                Kind::Pattern(Box::new(regex))
            }
            TokenKind::Name(name) => return self.name(name, place),
            TokenKind::Not => {
                let inner = self.expression(Binding::Prefix)?;
                let end = inner.place.1;
                return Ok(Expression::new(Kind::Not(Box::new(inner)), (place.0, end)));
            }
            TokenKind::Open => {
                let inner = self.expression(Binding::Loosest)?;
                let end = self.expect(&TokenKind::Close)?;
                return Ok(Expression { place: (place.0, end), ..inner });
            }
            TokenKind::OpenList => {
                let (items, end) = self.items(&TokenKind::CloseList)?;
                return Ok(Expression::new(Kind::List(items), (place.0, end)));
            }
            _ => {
                self.at = start;
                return Err(self.unexpected("a value"));
            }
        };
        Ok(Expression::new(kind, place))
    }

    fn name(&mut self, name: String, place: (usize, usize)) -> Result<Expression, ConditionError> {
        if name.ends_with('.') || name.contains("..") {
            let message = format!("`{name}` is not a name");
            return Err(ConditionError::new(ErrorKind::Parse, place, message));
        }
        if !matches!(self.peek().kind, TokenKind::Open) {
            return Ok(Expression::new(Kind::Variable(name), place));
        }
        self.next();
        let (arguments, end) = self.items(&TokenKind::Close)?;
        Ok(Expression::new(Kind::Call(name, arguments), (place.0, end)))
    }

    /// Reads expressions between commas up to a closing token, and where that ends.
    fn items(&mut self, close: &TokenKind) -> Result<(Vec<Expression>, usize), ConditionError> {
        let mut items = Vec::new();
        if !same(&self.peek().kind, close) {
            items.push(self.expression(Binding::Loosest)?);
            while matches!(self.peek().kind, TokenKind::Comma) {
                self.next();
                items.push(self.expression(Binding::Loosest)?);
            }
        }
        let end = self.expect(close)?;
        Ok((items, end))
    }

    /// Skips an expected token and returns where it ends.
    fn expect(&mut self, expected: &TokenKind) -> Result<usize, ConditionError> {
        if same(&self.peek().kind, expected) {
            return Ok(self.next().place.1);
        }
        Err(self.unexpected(&expected.describe()))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    /// Takes the next token. The last one, the end, is never passed.
    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn unexpected(&self, expected: &str) -> ConditionError {
        let token = self.peek();
        let message = format!("expected {expected}, found {}", token.kind.describe());
        ConditionError::new(ErrorKind::Parse, token.place, message)
    }

    fn too_deep(&self) -> ConditionError {
        let message = format!("the condition is nested more than {MAX_DEPTH} deep");
        ConditionError::new(ErrorKind::Parse, self.peek().place, message)
    }
}

fn same(left: &TokenKind, right: &TokenKind) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

/// Decimal digits; with a leading zero octal ones.
fn integer(digits: &str) -> Option<i64> {
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}
