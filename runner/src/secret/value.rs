//! A secret's value in memory.

use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// The value of a secret: 1 byte to 64 KiB of UTF-8 without NUL. It is never shown by `Debug`, cannot be printed or
/// serialised, and its memory is zeroed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct SecretValue(Arc<SecretString>);

/// Bytes of the longest value.
pub const MAX_VALUE: usize = 64 << 10;

/// Why something cannot be the value of a secret. Says nothing of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// There is nothing in it.
    #[error("the value is empty")]
    Empty,
    /// More than [`MAX_VALUE`].
    #[error("the value has {0} bytes; a secret has at most 64 KiB")]
    TooLong(usize),
    /// A NUL byte, with which no variable can be set.
    #[error("the value has a NUL byte in it; store it in another form, for instance as base64")]
    Nul,
    /// Binary.
    #[error("the value is not UTF-8; store it in another form, for instance as base64")]
    NotText,
}

impl SecretValue {
    /// Takes the value in; what is refused is zeroed.
    ///
    /// # Errors
    /// When it cannot be the value of a secret.
    pub fn new(value: String) -> Result<Self, BadValue> {
        let value = SecretString::from(value);
        let text = value.expose_secret();
        if text.is_empty() {
            return Err(BadValue::Empty);
        }
        if text.len() > MAX_VALUE {
            return Err(BadValue::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(BadValue::Nul);
        }
        Ok(Self(Arc::new(value)))
    }

    /// The value itself, for those who hand it out: every copy that is made of it is not cleared.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_a_shape_and_are_not_shown() {
        let value = SecretValue::new("hunter22".to_owned()).unwrap();
        assert_eq!(value.expose(), "hunter22");
        assert!(!format!("{value:?}").contains("hunter"), "{value:?}");
        for (value, expected) in [
            (String::new(), BadValue::Empty),
            ("a\0b".to_owned(), BadValue::Nul),
            ("x".repeat(MAX_VALUE + 1), BadValue::TooLong(MAX_VALUE + 1)),
        ] {
            assert_eq!(SecretValue::new(value).unwrap_err(), expected);
        }
        assert!(SecretValue::new("x".repeat(MAX_VALUE)).is_ok());
    }
}
