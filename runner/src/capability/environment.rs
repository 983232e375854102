//! The environment of a job's processes, which they may change for those that come after them.

use super::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Variables by name, shared by everything that serves one attempt of a job. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SharedEnvironment(Arc<Mutex<Arc<BTreeMap<String, String>>>>);

/// What became of variables that were set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Names that had no value before, sorted.
    pub added: Vec<String>,
    /// Names that had one, sorted.
    pub updated: Vec<String>,
}

/// Bytes of one `NAME=VALUE`: the kernel starts no program with a longer one.
const MAX_VARIABLE: usize = (128 << 10) - 1;

/// Bytes of the whole environment: the kernel leaves 2 MiB to it and the arguments.
const MAX_ENVIRONMENT: usize = 1 << 20;

impl SharedEnvironment {
    /// The environment as it is now. Later changes do not change it.
    #[must_use]
    pub fn current(&self) -> Arc<BTreeMap<String, String>> {
        self.lock().clone()
    }

    /// Sets variables: all of them or none.
    ///
    /// # Errors
    /// `Invalid` for a name or value that no process can have, `Limit` when a variable would exceed 128 KiB, or the
    /// environment would grow beyond 1 MiB.
    pub fn set(&self, variables: BTreeMap<String, String>) -> Result<Changed, Error> {
        let mut current = self.lock();
        let mut next = BTreeMap::clone(&current);
        let mut changed = Changed::default();
        for (name, value) in variables {
            check(&name, &value)?;
            let names = if next.contains_key(&name) { &mut changed.updated } else { &mut changed.added };
            names.push(name.clone());
            next.insert(name, value);
        }
        let size = |env: &BTreeMap<String, String>| env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let (before, after): (usize, usize) = (size(&current), size(&next));
        // What the runner was started with may be larger already; that is no reason to refuse a shorter value.
        if after > MAX_ENVIRONMENT && after > before {
            return Err(Error::Limit(format!("the environment would have {after} bytes; at most 1 MiB is allowed")));
        }
        *current = Arc::new(next);
        Ok(changed)
    }

    /// Removes variables; returns the names of those that were set, sorted.
    pub fn unset(&self, names: &[String]) -> Vec<String> {
        let mut current = self.lock();
        let mut next = BTreeMap::clone(&current);
        let mut removed: Vec<String> = names.iter().filter(|name| next.remove(*name).is_some()).cloned().collect();
        removed.sort();
        *current = Arc::new(next);
        removed
    }

    fn lock(&self) -> MutexGuard<'_, Arc<BTreeMap<String, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<BTreeMap<String, String>> for SharedEnvironment {
    fn from(variables: BTreeMap<String, String>) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(variables))))
    }
}

fn check(name: &str, value: &str) -> Result<(), Error> {
    let shown = || name.chars().take(64).collect::<String>().escape_debug().to_string();
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(Error::Invalid(format!("`{}` cannot be the name of an environment variable", shown())));
    }
    if value.contains('\0') {
        return Err(Error::Invalid(format!("the value of `{}` contains a NUL character", shown())));
    }
    let size = name.len() + value.len() + 1;
    if size > MAX_VARIABLE {
        return Err(Error::Limit(format!("`{}` would have {size} bytes; a variable has at most 128 KiB", shown())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn changes_are_seen_by_what_comes_later_only() {
        let env = SharedEnvironment::from(variables(&[("A", "1"), ("B", "2")]));
        let before = env.current();
        let changed = env.set(variables(&[("B", "3"), ("C", "4")])).unwrap();
        assert_eq!(changed, Changed { added: vec!["C".into()], updated: vec!["B".into()] });
        assert_eq!(env.unset(&["C".into(), "A".into(), "none".into()]), ["A", "C"]);
        assert_eq!(*env.current(), variables(&[("B", "3")]));
        assert_eq!(*before, variables(&[("A", "1"), ("B", "2")]));
    }

    #[test]
    fn what_no_process_can_have_changes_nothing() {
        let env = SharedEnvironment::default();
        let long = "x".repeat(MAX_VARIABLE);
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0"), ("A", long.as_str())] {
            env.set(variables(&[("GOOD", "1"), (name, value)])).unwrap_err();
        }
        assert!(env.current().is_empty());
        let half = "x".repeat(100 << 10);
        for number in 0..10 {
            env.set(variables(&[(&format!("V{number}"), &half)])).unwrap();
        }
        assert!(matches!(env.set(variables(&[("V10", &half)])), Err(Error::Limit(_))));
        env.set(variables(&[("V0", "short")])).unwrap();
    }
}
