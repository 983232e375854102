//! Removing what a job or a run made.

use super::client::{ATTEMPT_LABEL, Found, JOB_LABEL, Labels, NAME_PREFIX, RUN_LABEL};
use super::{DockerClient, DockerCtx, EngineError};
use crate::capability::{Error, JobName};
use futures_util::future::join_all;
use std::time::Duration;

/// What a job may have made.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Whether anything was ever asked for.
    any: bool,
    /// Creations under way, or whose end is not known: the engine may finish them after it was asked what there is.
    open: u32,
}

/// How much was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Containers.
    pub containers: usize,
    /// Networks.
    pub networks: usize,
    /// Volumes.
    pub volumes: usize,
}

impl Swept {
    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Between a pass that found nothing and the pass that confirms it: what the engine was still creating when its client
/// went away turned up within this time.
const CONFIRM: Duration = Duration::from_millis(300);
/// Between passes that found something they could not remove.
const RETRY: Duration = Duration::from_millis(100);
/// After which what is left is reported. The engine gives up on a container that does not end after 10 s.
const MAX_WAIT: Duration = Duration::from_secs(30);

impl DockerCtx {
    /// Does what creates something, so that [`Self::release`] knows of it even when this future is dropped half-way.
    pub(super) async fn making<T>(
        &mut self,
        create: impl Future<Output = Result<T, EngineError>> + Send,
    ) -> Result<T, EngineError> {
        self.made.any = true;
        self.made.open += 1;
        let result = create.await;
        if result.as_ref().err().is_none_or(EngineError::is_definite) {
            self.made.open -= 1;
        }
        result
    }

    /// The labels of everything the job makes.
    pub(super) fn labels(&self) -> Labels {
        let JobName { run, job, attempt, .. } = &*self.scope.name;
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        [label(RUN_LABEL, run), label(JOB_LABEL, job), label(ATTEMPT_LABEL, &attempt.to_string())].into()
    }

    /// A name for something new.
    pub(super) fn new_name(&self) -> String {
        // The job is there for people; only the end makes the name unique.
        let job: String =
            self.scope.name.job.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        format!("{NAME_PREFIX}{job}-{}", uuid::Uuid::new_v4().simple())
    }

    /// Removes every container, network and volume of this attempt; at no cost when it made none. To be called once the
    /// guest has ended, however it ended.
    ///
    /// # Errors
    /// `Failed` with what is left; the job's log says the same.
    pub async fn release(&mut self) -> Result<(), Error> {
        if !self.made.any {
            return Ok(());
        }
        let labels: Vec<String> = self.labels().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let result = remove_all(&*self.client, &labels, self.made.open > 0).await;
        for live in self.containers.values_mut() {
            live.output.finish().await;
        }
        self.containers.clear();
        self.networks.clear();
        self.volumes.clear();
        match result {
            Ok(_) => {
                self.made = Made::default();
                Ok(())
            }
            Err(error) => {
                let text = self.scope.log.redacted(&error);
                self.scope.log.line(&format!("cleaning up after the job failed: {text}"));
                Err(Error::Failed(text))
            }
        }
    }
}

/// Removes every container, network and volume of a run, whichever job made it: what a killed runner left behind.
///
/// # Errors
/// `Failed` with what is left.
pub async fn sweep(client: &dyn DockerClient, run: &str) -> Result<Swept, Error> {
    remove_all(client, &[format!("{RUN_LABEL}={run}")], true).await.map_err(Error::Failed)
}

/// Passes until one finds nothing, or until two find nothing when something may still be on its way into being.
async fn remove_all(client: &dyn DockerClient, labels: &[String], late_comers: bool) -> Result<Swept, String> {
    let deadline = tokio::time::Instant::now() + MAX_WAIT;
    let mut total = Swept::default();
    let mut confirmed = !late_comers;
    loop {
        let (removed, failures) = pass(client, labels).await.map_err(|error| left(&error.to_string(), labels))?;
        total.containers += removed.containers;
        total.networks += removed.networks;
        total.volumes += removed.volumes;
        if failures.is_empty() && removed.is_empty() {
            if confirmed {
                return Ok(total);
            }
            confirmed = true;
            tokio::time::sleep(CONFIRM).await;
            continue;
        }
        confirmed = !late_comers;
        if !failures.is_empty() {
            if tokio::time::Instant::now() >= deadline {
                return Err(left(&failures.join("; "), labels));
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn left(why: &str, labels: &[String]) -> String {
    let label = labels.first().map_or(RUN_LABEL, String::as_str);
    format!("{why}; find what is left with: docker ps -a --filter label={label}")
}

/// Removes what there is, in the order in which things use each other; what could not be removed is said.
async fn pass(client: &dyn DockerClient, labels: &[String]) -> Result<(Swept, Vec<String>), EngineError> {
    let mut failures = Vec::new();
    let containers = ours(client.containers(labels).await?);
    let removals = containers.iter().map(|one| client.remove_container(&one.id));
    let containers = count("container", &containers, join_all(removals).await, &mut failures);
    let networks = ours(client.networks(labels).await?);
    let removals = networks.iter().map(|one| client.remove_network(&one.id));
    let networks = count("network", &networks, join_all(removals).await, &mut failures);
    let volumes = ours(client.volumes(labels).await?);
    let removals = volumes.iter().map(|one| client.remove_volume(&one.id));
    let volumes = count("volume", &volumes, join_all(removals).await, &mut failures);
    Ok((Swept { containers, networks, volumes }, failures))
}

/// Labels alone do not prove who made a thing: a container inherits them from its image.
fn ours(found: Vec<Found>) -> Vec<Found> {
    found.into_iter().filter(|one| one.name.starts_with(NAME_PREFIX)).collect()
}

fn count(kind: &str, all: &[Found], results: Vec<Result<(), EngineError>>, failures: &mut Vec<String>) -> usize {
    let mut removed = 0;
    for (one, result) in all.iter().zip(results) {
        match result {
            Err(error) if !error.is_missing() => {
                failures.push(format!("cannot remove the {kind} `{}`: {error}", one.name));
            }
            _ => removed += 1,
        }
    }
    removed
}
