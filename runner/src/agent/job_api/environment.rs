//! The environment that later processes of the job get.

use super::caller::{Answer, Caller, plain};
use super::protocol::{Reply, SOCKET_VARIABLE, TOKEN_VARIABLE};
use crate::capability::{Changed, Error};
use std::collections::BTreeMap;

/// Variables that say who the job is and where its runner is: changing them would change nothing but what it believes.
const PROTECTED: [&str; 16] = [
    SOCKET_VARIABLE,
    TOKEN_VARIABLE,
    "BUILDKITE_AGENT_ACCESS_TOKEN",
    "BUILDKITE_AGENT_DEBUG",
    "BUILDKITE_AGENT_ENDPOINT",
    "BUILDKITE_AGENT_ID",
    "BUILDKITE_AGENT_PID",
    "BUILDKITE_BIN_PATH",
    "BUILDKITE_BUILD_ID",
    "BUILDKITE_BUILD_PATH",
    "BUILDKITE_COMMAND_EVAL",
    "BUILDKITE_CONFIG_PATH",
    "BUILDKITE_HOOKS_PATH",
    "BUILDKITE_JOB_ID",
    "BUILDKITE_PLUGINS_PATH",
    "BUILDKITE_SHELL",
];

impl Caller {
    pub(super) fn set_environment(&self, mut variables: BTreeMap<String, String>) -> Answer {
        let current = self.environment.current();
        // A whole environment that is handed back has them as they were.
        variables.retain(|name, value| !(is_protected(name) && current.get(name) == Some(value)));
        refuse_protected(variables.keys())?;
        for (name, value) in &variables {
            self.redact_variable(name, value)?;
        }
        let Changed { added, updated } = self.environment.set(variables)?;
        Ok(plain(Reply::Environment { added, updated }))
    }

    pub(super) fn unset_environment(&self, names: &[String]) -> Answer {
        refuse_protected(names.iter())?;
        Ok(plain(Reply::Names(self.environment.unset(names))))
    }
}

fn is_protected(name: &str) -> bool {
    PROTECTED.contains(&name)
}

fn refuse_protected<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    let protected: Vec<&str> = names.map(String::as_str).filter(|name| is_protected(name)).collect();
    if protected.is_empty() {
        return Ok(());
    }
    let reason = format!("these variables are protected and cannot be changed: {}", protected.join(", "));
    Err(Error::Denied(reason))
}
