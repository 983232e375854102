//! `runner:docker/containers`: containers of the job.

use super::client::{ContainerFacts, Health, Phase};
use super::construct::{Constructed, Refusal};
use super::copy::Copied;
use super::output::{Copying, check_prefix};
use super::{Container, DockerCtx, DockerView, Image};
use crate::capability::Error;
use crate::host::bindings::runner::docker::containers;
use containers::{ContainerOptions, ContainerState, ExecResult, Status};
use futures_util::future::{Either, pending, select_all};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Resource;

/// A container that exists.
#[derive(Debug, Default)]
pub(super) struct Live {
    started: bool,
    pub(super) output: Copying,
    /// The copies of directories in it, by their place.
    pub(super) copies: BTreeMap<String, Copied>,
}

/// Bytes of a health log; the contract's limit.
const MAX_HEALTH_LOG: usize = 4 << 10;
/// Longest time a container may be given to end; the contract's limit.
const MAX_GRACE: u32 = 600;

impl DockerCtx {
    async fn create_container(&mut self, subject: &str, constructed: Constructed) -> Result<String, Error> {
        let Constructed { mut spec, further, copies } = constructed;
        let opened = self.open_copies(copies, &mut spec).await?;
        self.allow("create-container", subject).await?;
        let client = Arc::clone(&self.client);
        let created = self.making(async move { client.create_container(spec).await }).await;
        let id = created.map_err(|error| self.failed(&format!("create a container of `{subject}`"), &error))?;
        self.containers.insert(id.clone(), Live::default());
        let mut prepared = Ok(());
        for joined in &further {
            if prepared.is_ok() {
                let connected = self.client.connect(joined, &id).await;
                prepared = connected.map_err(|error| self.failed("join a network", &error));
            }
        }
        for copy in opened {
            if prepared.is_ok() {
                prepared = self.copy_in(&id, copy).await;
            }
        }
        if let Err(error) = prepared {
            self.discard(&id).await;
            return Err(error);
        }
        Ok(id)
    }

    pub(super) fn live(&mut self, id: &str) -> Result<&mut Live, Error> {
        self.containers.get_mut(id).ok_or_else(|| Error::NotFound("the container has been removed".to_owned()))
    }

    pub(super) fn started(&mut self, id: &str) -> Result<&mut Live, Error> {
        let live = self.live(id)?;
        if live.started { Ok(live) } else { Err(Error::Invalid("the container has not been started".to_owned())) }
    }

    async fn start(&mut self, id: &str, prefix: &str) -> Result<(), Error> {
        check_prefix(prefix)?;
        if self.live(id)?.started {
            return Err(Error::Invalid("the container has been started before; create another one".to_owned()));
        }
        // What is attached before the start misses nothing.
        let output =
            self.client.attach(id).await.map_err(|error| self.failed("read the container's output", &error))?;
        let copying = Copying::begin(output, self.scope.log.clone(), prefix);
        match self.client.start(id).await {
            Ok(()) => {
                let live = self.live(id)?;
                live.started = true;
                live.output = copying;
                Ok(())
            }
            Err(error) => {
                copying.abandon();
                // What is missing then is the program, not the container.
                Err(Error::Failed(self.failed("start the container", &error).to_string()))
            }
        }
    }

    async fn wait(&mut self, id: &str) -> Result<u8, Error> {
        self.started(id)?;
        let scope = self.scope.clone();
        let ended = async { self.client.wait(id).await.map_err(|error| self.failed("wait for the container", &error)) };
        let code = scope.or_cancelled(ended).await?;
        let live = self.live(id)?;
        let written = async {
            live.output.finish().await;
            Ok(())
        };
        scope.or_cancelled(written).await?;
        Ok(exit_code(code))
    }

    async fn wait_any(&mut self, ids: &[String], timeout: Option<u64>) -> Result<Option<(u32, u8)>, Error> {
        if ids.is_empty() {
            return Err(Error::Invalid("there is no container to wait for; expected at least one".to_owned()));
        }
        // Each is a connection of its own while this waits.
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            return Err(Error::Invalid("a container is given twice; expected each once".to_owned()));
        }
        for id in ids {
            self.started(id)?;
        }
        let scope = self.scope.clone();
        let first = async {
            let client = &self.client;
            let waits = ids.iter().map(|id| client.wait(id));
            let time = match timeout {
                Some(milliseconds) => Either::Left(tokio::time::sleep(Duration::from_millis(milliseconds))),
                None => Either::Right(pending()),
            };
            tokio::select! {
                biased;
                (ended, index, _) = select_all(waits) => {
                    let code = ended.map_err(|error| self.failed("wait for the container", &error))?;
                    Ok(Some((index, exit_code(code))))
                }
                () = time => Ok(None),
            }
        };
        let Some((index, code)) = scope.or_cancelled(first).await? else { return Ok(None) };
        if let Some(live) = self.containers.get_mut(&ids[index]) {
            let written = async {
                live.output.finish().await;
                Ok(())
            };
            scope.or_cancelled(written).await?;
        }
        Ok(Some((u32::try_from(index).unwrap_or(u32::MAX), code)))
    }

    async fn inspect_container(&mut self, id: &str) -> Result<ContainerFacts, Error> {
        self.live(id)?;
        self.client.inspect_container(id).await.map_err(|error| self.failed("inspect the container", &error))
    }

    async fn stop(&mut self, id: &str, grace: u32) -> Result<(), Error> {
        self.live(id)?;
        if grace > MAX_GRACE {
            return Err(Error::Invalid(format!("a grace of {grace} s is too long; expected 0 to {MAX_GRACE} s")));
        }
        let stopped = self.client.stop(id, Duration::from_secs(u64::from(grace))).await;
        stopped.map_err(|error| self.failed("stop the container", &error))
    }

    pub(super) async fn kill(&mut self, id: &str) -> Result<(), Error> {
        self.live(id)?;
        match self.client.kill(id).await {
            // It does not run: that is what was asked for.
            Err(error) if !error.is_conflict() => Err(self.failed("end the container", &error)),
            _ => Ok(()),
        }
    }

    async fn remove_container(&mut self, id: &str) -> Result<(), Error> {
        if !self.containers.contains_key(id) {
            return Ok(());
        }
        match self.client.remove_container(id).await {
            Err(error) if !error.is_missing() => return Err(self.failed("remove the container", &error)),
            _ => {}
        }
        if let Some(mut live) = self.containers.remove(id) {
            live.output.finish().await;
        }
        Ok(())
    }

    /// Removes a container nobody can ask for any more. What cannot be removed now is removed with the job.
    async fn discard(&mut self, id: &str) {
        if let Err(error) = self.remove_container(id).await {
            tracing::debug!(%error, container = id, "left for the end of the job");
        }
    }
}

/// An exit code as the contract has it. The engine knows no others.
pub(super) fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// The end of what the checks printed.
fn health_log(checks: &[String]) -> String {
    let all = checks.join("");
    let mut from = all.len().saturating_sub(MAX_HEALTH_LOG);
    while !all.is_char_boundary(from) {
        from += 1;
    }
    all[from..].to_owned()
}

impl containers::Host for DockerView<'_> {
    async fn create(
        &mut self,
        image: Resource<Image>,
        options: ContainerOptions,
    ) -> Result<Resource<Container>, Error> {
        let image = self.table.get(&image)?;
        let subject = image.name.clone();
        let ctx = &mut *self.ctx;
        let Some(grant) = ctx.grant.containers.clone() else {
            return Err(ctx.deny("create-container", &subject, "running containers", "containers: {}").await);
        };
        if ctx.containers.len() >= grant.max as usize {
            return Err(Error::Limit(format!(
                "the job has {0} containers, the most it may have at once; remove one, or grant more: grants: {{ docker: {{ containers: {{ max: {1} }} }} }}",
                grant.max,
                grant.max.saturating_add(1)
            )));
        }
        let constructed = match ctx.construct(image, options, self.table, &grant) {
            Ok(constructed) => constructed,
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::NotGranted(what, grant)) => {
                return Err(ctx.deny("create-container", &subject, &what, &format!("containers: {{ {grant} }}")).await);
            }
        };
        let id = ctx.create_container(&subject, constructed).await?;
        Ok(self.table.push(Container { id })?)
    }

    async fn wait_any(
        &mut self,
        containers: Vec<Resource<Container>>,
        timeout_ms: Option<u64>,
    ) -> Result<Option<(u32, u8)>, Error> {
        let ids =
            containers.iter().map(|one| Ok(self.table.get(one)?.id.clone())).collect::<Result<Vec<_>, Error>>()?;
        self.ctx.wait_any(&ids, timeout_ms).await
    }
}

impl containers::HostContainer for DockerView<'_> {
    async fn id(&mut self, container: Resource<Container>) -> wasmtime::Result<String> {
        Ok(self.table.get(&container)?.id.clone())
    }

    async fn start(&mut self, container: Resource<Container>, log_prefix: String) -> Result<(), Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.start(&id, &log_prefix).await
    }

    async fn wait(&mut self, container: Resource<Container>) -> Result<u8, Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.wait(&id).await
    }

    async fn inspect(&mut self, container: Resource<Container>) -> Result<ContainerState, Error> {
        let id = self.table.get(&container)?.id.clone();
        let facts = self.ctx.inspect_container(&id).await?;
        Ok(ContainerState {
            status: match facts.phase {
                Phase::Created => Status::Created,
                Phase::Running => Status::Running,
                Phase::Exited => Status::Exited,
            },
            health: match facts.health {
                Health::None => containers::Health::None,
                Health::Starting => containers::Health::Starting,
                Health::Healthy => containers::Health::Healthy,
                Health::Unhealthy => containers::Health::Unhealthy,
            },
            exit_code: (facts.phase == Phase::Exited).then(|| exit_code(facts.exit_code)),
            out_of_memory: facts.out_of_memory,
            health_log: health_log(&facts.health_log),
            extras: Vec::new(),
        })
    }

    async fn published(&mut self, container: Resource<Container>, container_port: u16) -> Result<u16, Error> {
        let id = self.table.get(&container)?.id.clone();
        let facts = self.ctx.inspect_container(&id).await?;
        let published = facts.published.iter().find(|(port, _)| *port == container_port);
        published.map(|(_, host)| *host).ok_or_else(|| {
            Error::NotFound(format!(
                "port {container_port} is not published; is it among the ports, and does the container run?"
            ))
        })
    }

    async fn exec(
        &mut self,
        container: Resource<Container>,
        command: Vec<String>,
        env: Vec<(String, String)>,
    ) -> Result<ExecResult, Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.exec(&id, command, env).await
    }

    async fn stop(&mut self, container: Resource<Container>, grace_seconds: u32) -> Result<(), Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.stop(&id, grace_seconds).await
    }

    async fn kill(&mut self, container: Resource<Container>) -> Result<(), Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.kill(&id).await
    }

    async fn copy_out(
        &mut self,
        container: Resource<Container>,
        path: String,
        workspace_path: String,
    ) -> Result<(), Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.copy_out(&id, &path, &workspace_path).await
    }

    async fn copy_back(&mut self, container: Resource<Container>, target: String) -> Result<u64, Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.copy_back(&id, &target).await
    }

    async fn remove(&mut self, container: Resource<Container>) -> Result<(), Error> {
        let id = self.table.get(&container)?.id.clone();
        self.ctx.remove_container(&id).await
    }

    async fn drop(&mut self, container: Resource<Container>) -> wasmtime::Result<()> {
        let Container { id } = self.table.delete(container)?;
        self.ctx.discard(&id).await;
        Ok(())
    }
}
