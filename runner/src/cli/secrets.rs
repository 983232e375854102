//! The secrets of a project, and which source has those that a pipeline names.

use super::error::{Error, ExitStatus};
use crate::plan::{JobKind, Plan, Settings, StepJob};
use crate::secret::{Secrets, sources};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// The secrets of the project in this directory.
pub(super) fn of(settings: &Settings, directory: &Path) -> Secrets {
    Secrets::of(sources(settings.secrets.as_deref(), directory))
}

/// Prints for each secret that jobs to run may use which source has it, never the value.
pub(super) async fn check(plan: &Plan, secrets: &Secrets) -> Result<ExitStatus, Error> {
    let mut names = BTreeSet::new();
    for job in plan.jobs.iter().filter(|job| job.skip.is_none()) {
        if let JobKind::Step(step) = &job.kind {
            names.extend(named(step));
        }
    }
    let places = join_all(names.iter().map(|name| secrets.place(name))).await;
    let mut status = ExitStatus::Passed;
    let mut text = String::new();
    for (name, place) in names.iter().zip(places) {
        match place {
            Ok(place) => text.push_str(&format!("the secret `{name}` is in {place}\n")),
            Err(error) => {
                status = ExitStatus::Environment;
                text.push_str(&format!("{error}\n"));
            }
        }
    }
    if names.is_empty() {
        text.push_str("no secrets are named\n");
    }
    write!(anstream::stdout(), "{text}").map_err(|error| Error::environment(error.to_string()))?;
    Ok(status)
}

/// The secrets a step may use.
fn named(step: &StepJob) -> impl Iterator<Item = &str> {
    let grants = std::iter::once(&step.grants).chain(step.phases().map(|phase| &phase.grants));
    let granted = grants.flat_map(|grants| {
        let logins = grants.docker.iter().flat_map(|docker| &docker.login);
        grants.secrets.iter().chain(logins.filter_map(|login| login.password.as_ref()))
    });
    step.secrets.iter().map(|secret| &secret.name).chain(granted).map(String::as_str)
}
