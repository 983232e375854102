//! `runner:docker/containers`: containers of the job.

use super::client::{ContainerFacts, Health, Output, Phase};
use super::construct::{Constructed, Copy, Refusal, check_absolute, check_text, environment};
use super::context::{Opened, Packing};
use super::ignore_file::IgnoreFile;
use super::output::{Copying, check_prefix};
use super::{Container, DockerCtx, DockerView, EngineError, Image};
use super::{archive, context, pipe};
use crate::capability::Error;
use crate::host::bindings::runner::docker::containers;
use crate::plan::grant::Access;
use containers::{ContainerOptions, ContainerState, ExecResult, Status};
use futures_util::future::{Either, pending, select_all};
use futures_util::stream::{BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Resource;

/// A container that exists.
#[derive(Debug, Default)]
pub(super) struct Live {
    started: bool,
    pub(super) output: Copying,
}

/// Longest time a command in a container may take; the contract's limit.
const MAX_EXEC: Duration = Duration::from_secs(600);
/// Bytes of each of a command's streams that are kept; the contract's limit.
const MAX_EXEC_OUTPUT: usize = 1 << 20;
/// Bytes of a health log; the contract's limit.
const MAX_HEALTH_LOG: usize = 4 << 10;
/// Longest time a container may be given to end; the contract's limit.
const MAX_GRACE: u32 = 600;

impl DockerCtx {
    async fn create_container(&mut self, subject: &str, constructed: Constructed) -> Result<String, Error> {
        let Constructed { mut spec, further, copies } = constructed;
        let mut opened = Vec::new();
        for Copy { source, target } in copies {
            let source = match self.scope.workspace.check(&source, Access::Read) {
                Err(Error::Denied(reason)) => return Err(self.scope.deny("docker", "copy-in", &source, reason).await),
                other => other?,
            };
            let root = self.scope.workspace.dir();
            let found = context::open(root, &source)?;
            match found {
                // An empty volume hides what the image has there, as a mount does, and can be written below a
                // read-only root.
                Opened::Directory(_) => spec.scratch.push(target.clone()),
                Opened::File(_) if spec.read_only_root => {
                    return Err(Error::Invalid(format!(
                        "the file `{source}` cannot be copied below a read-only root; copy the directory it is in"
                    )));
                }
                Opened::File(_) => {}
            }
            opened.push((source, target, found));
        }
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
        for (source, target, found) in opened {
            if prepared.is_ok() {
                prepared = self.copy_in(&id, source, &target, found).await;
            }
        }
        if let Err(error) = prepared {
            self.discard(&id).await;
            return Err(error);
        }
        Ok(id)
    }

    async fn copy_in(&self, id: &str, source: String, target: &str, found: Opened) -> Result<(), Error> {
        let tried = format!("copy `{source}` into the container");
        let client = &self.client;
        match found {
            Opened::Directory(dir) => {
                let packing = Packing {
                    dir,
                    is_root: source == ".",
                    name: source,
                    ignore: IgnoreFile::default(),
                    fixed: Vec::new(),
                    advice: "copy a directory that holds less",
                };
                let log = self.scope.log.clone();
                let pack = move |out: &mut _| context::pack(&packing, out).map(|skipped| context::tell(&log, &skipped));
                self.send_archive(&tried, pack, |archive| client.upload(id, target, archive)).await
            }
            Opened::File(file) => {
                let path = target.trim_start_matches('/').to_owned();
                let pack = move |out: &mut _| context::pack_file(file, &source, &path, out);
                self.send_archive(&tried, pack, |archive| client.upload(id, "/", archive)).await
            }
        }
    }

    fn live(&mut self, id: &str) -> Result<&mut Live, Error> {
        self.containers.get_mut(id).ok_or_else(|| Error::NotFound("the container has been removed".to_owned()))
    }

    fn started(&mut self, id: &str) -> Result<&mut Live, Error> {
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
                *self.live(id)? = Live { started: true, output: copying };
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

    async fn exec(&mut self, id: &str, command: Vec<String>, env: Vec<(String, String)>) -> Result<ExecResult, Error> {
        self.started(id)?;
        if command.is_empty() {
            return Err(Error::Invalid("there is no command to run; expected a program and its arguments".to_owned()));
        }
        command.iter().try_for_each(|word| check_text(word, "command"))?;
        let env = environment(env)?;
        let shown = command[0].clone();
        let scope = self.scope.clone();
        let run = tokio::time::timeout(MAX_EXEC, async {
            let exec = self.client.create_exec(id, command, env).await?;
            let (stdout, stderr) = collect(self.client.start_exec(&exec).await?).await?;
            // Output can end before the program does.
            loop {
                if let Some(code) = self.client.inspect_exec(&exec).await? {
                    return Ok(ExecResult { exit_code: exit_code(code), stdout, stderr });
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let ran = scope.or_cancelled(async { Ok(run.await) }).await?;
        if let Ok(result) = ran {
            return result
                .map_err(|error: EngineError| self.failed(&format!("run `{shown}` in the container"), &error));
        }
        // Going away does not end the program; only the container's end does.
        self.kill(id).await?;
        Err(Error::Limit(format!(
            "`{shown}` ran for {} minutes, the most a command may take; its container was ended",
            MAX_EXEC.as_secs() / 60
        )))
    }

    async fn stop(&mut self, id: &str, grace: u32) -> Result<(), Error> {
        self.live(id)?;
        if grace > MAX_GRACE {
            return Err(Error::Invalid(format!("a grace of {grace} s is too long; expected 0 to {MAX_GRACE} s")));
        }
        let stopped = self.client.stop(id, Duration::from_secs(u64::from(grace))).await;
        stopped.map_err(|error| self.failed("stop the container", &error))
    }

    async fn kill(&mut self, id: &str) -> Result<(), Error> {
        self.live(id)?;
        match self.client.kill(id).await {
            // It does not run: that is what was asked for.
            Err(error) if !error.is_conflict() => Err(self.failed("end the container", &error)),
            _ => Ok(()),
        }
    }

    async fn copy_out(&mut self, id: &str, path: &str, target: &str) -> Result<(), Error> {
        self.live(id)?;
        check_absolute(path, "path")?;
        if path.is_empty() {
            return Err(Error::Invalid("there is no path to copy; expected an absolute path".to_owned()));
        }
        let target = match self.scope.workspace.check(target, Access::Write) {
            Err(Error::Denied(reason)) => return Err(self.scope.deny("docker", "copy-out", target, reason).await),
            other => other?,
        };
        self.allow("copy-out", &target).await?;
        let tried = format!("copy `{path}` out of the container");
        let stream = self.client.download(id, path).await.map_err(|error| self.failed(&tried, &error))?;
        let (workspace, from) = (Arc::clone(&self.scope.workspace), path.to_owned());
        let unpack = move |archive: &mut dyn std::io::Read| archive::unpack(workspace.dir(), &target, &from, archive);
        pipe::receive_archive(stream, unpack).await.map_err(|error| self.failed(&tried, &error))?
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
fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Both streams, each up to the limit; what is beyond is read and dropped.
async fn collect(
    mut stream: BoxStream<'static, Result<Output, EngineError>>,
) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(output) = stream.next().await {
        let Output { stderr: is_stderr, bytes } = output?;
        let kept = if is_stderr { &mut stderr } else { &mut stdout };
        let room = MAX_EXEC_OUTPUT - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok((stdout, stderr))
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
