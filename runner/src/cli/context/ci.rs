//! The CI systems that say in variables what is built, and what they have in common.

use super::{buildkite, github, gitlab, jenkins};
use crate::plan::BuildContext;
use serde_json::Value;
use std::collections::HashMap;

/// A CI system whose variables we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Buildkite,
    GitHub,
    GitLab,
    Jenkins,
}

impl System {
    /// The one that runs us.
    pub(super) fn detect(variables: &Variables) -> Option<Self> {
        let marks = [
            ("BUILDKITE", Self::Buildkite),
            ("GITHUB_ACTIONS", Self::GitHub),
            ("GITLAB_CI", Self::GitLab),
            ("JENKINS_URL", Self::Jenkins),
        ];
        marks.into_iter().find(|(name, _)| variables.known(name).is_some()).map(|(_, system)| system)
    }

    /// What it says about the build.
    pub(super) fn facts(self, variables: &Variables, payload: &Value) -> BuildContext {
        match self {
            Self::Buildkite => buildkite::facts(variables),
            Self::GitHub => github::facts(variables, payload),
            Self::GitLab => gitlab::facts(variables),
            Self::Jenkins => jenkins::facts(variables),
        }
    }
}

/// The variables we were started with.
#[derive(Debug, Default)]
pub(super) struct Variables(HashMap<String, String>);

impl Variables {
    /// The value of a variable that says something.
    pub(super) fn known(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable, empty when it is not set.
    pub(super) fn text(&self, name: &str) -> String {
        self.known(name).unwrap_or_default().to_owned()
    }

    /// The value of the first of the variables that says something.
    pub(super) fn first(&self, names: &[&str]) -> String {
        names.iter().find_map(|name| self.known(name)).unwrap_or_default().to_owned()
    }

    /// A number, when it is one.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.known(name)?.parse().ok()
    }

    /// `true` or `false`, when it is one of them.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.known(name)?.parse().ok()
    }

    /// The items of a comma-separated list.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let items = self.known(name).unwrap_or_default().split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect()
    }

    /// All variables whose names begin like this.
    pub(super) fn beginning(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, _)| name.starts_with(prefix))
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// The name of a branch that belongs to somebody else's copy of the repository: never that of one of our branches.
pub(super) fn fork_branch(owner: &str, branch: &str) -> String {
    format!("{}:{branch}", if owner.is_empty() { "unknown" } else { owner })
}

#[cfg(test)]
pub(super) fn variables(text: &str) -> Variables {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems() {
        for (text, expected) in [
            ("", None),
            ("CI=true", None),
            ("GITHUB_ACTIONS=", None),
            ("GITHUB_ACTIONS=true", Some(System::GitHub)),
            ("GITLAB_CI=true", Some(System::GitLab)),
            ("JENKINS_URL=https://ci.example.com/", Some(System::Jenkins)),
            ("BUILDKITE=true\nJENKINS_URL=x", Some(System::Buildkite)),
        ] {
            assert_eq!(System::detect(&variables(text)), expected, "{text}");
        }
    }
}
