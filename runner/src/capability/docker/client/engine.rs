//! The verbs of a real engine, through bollard.

use super::super::EngineError;
use super::super::reference::Reference;
use super::connection::{Bollard, LONG, SHORT, path};
use super::{
    Archive, BuildSpec, ContainerFacts, ContainerSpec, Credentials, DockerClient, Found, Health, ImageFacts, Joined,
    Labels, Output, Phase, Sink, auth, body,
};
use async_trait::async_trait;
use bollard::auth::DockerCredentials;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ExecConfig, HealthStatusEnum, NetworkConnectRequest,
    NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::HashMap;
use std::time::Duration;

fn credentials(credentials: Option<&Credentials>) -> Option<DockerCredentials> {
    credentials.map(|found| {
        let token = found.username.is_empty();
        DockerCredentials {
            username: (!token).then(|| found.username.clone()),
            password: (!token).then(|| found.secret.clone()),
            identitytoken: token.then(|| found.secret.clone()),
            serveraddress: Some(found.server.clone()),
            ..DockerCredentials::default()
        }
    })
}

fn by_labels(labels: &[String]) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), labels.to_vec())])
}

fn found(id: Option<String>, name: Option<&str>) -> Option<Found> {
    let id = id?;
    Some(Found { name: name.unwrap_or_default().trim_start_matches('/').to_owned(), id })
}

fn nothing(what: &str) -> EngineError {
    EngineError::Other(format!("the engine's answer lacks {what}"))
}

#[async_trait]
impl DockerClient for Bollard {
    async fn ping(&self) -> Result<(), EngineError> {
        self.docker_for(Duration::from_secs(15))?.ping().await.map(drop).map_err(|error| self.error(error))
    }

    async fn credentials(&self, registry: &str, helper: Option<&str>) -> Result<Option<Credentials>, EngineError> {
        match (helper, &self.config) {
            (Some(helper), _) => auth::ask(helper, registry).await,
            (None, Some(config)) => auth::find(config.clone(), registry).await,
            (None, None) => Ok(None),
        }
    }

    async fn inspect_image(&self, name: &str) -> Result<ImageFacts, EngineError> {
        let image = self.docker()?.inspect_image(path(name)?).await.map_err(|error| self.error(error))?;
        let config = image.config.unwrap_or_default();
        Ok(ImageFacts {
            id: image.id.ok_or_else(|| nothing("the image's identifier"))?,
            repo_digests: image.repo_digests.unwrap_or_default(),
            size: image.size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            on_build: config.on_build.unwrap_or_default(),
        })
    }

    async fn pull_image(
        &self,
        reference: &Reference,
        found: Option<&Credentials>,
        progress: Sink<'_>,
    ) -> Result<(), EngineError> {
        let options = query::CreateImageOptions {
            from_image: Some(reference.repository()),
            // Without one the engine would pull every tag.
            tag: Some(reference.version().to_owned()),
            ..query::CreateImageOptions::default()
        };
        let docker = self.docker_for(LONG)?;
        let stream = docker.create_image(Some(options), None, credentials(found));
        self.drain(stream, |info| {
            // What counts bytes is for a terminal, not for a log.
            let counts = info.progress_detail.is_some_and(|detail| detail.current.is_some());
            if let (Some(status), false) = (info.status, counts) {
                let line = info.id.map_or_else(|| format!("{status}\n"), |id| format!("{id}: {status}\n"));
                progress(line.as_bytes());
            }
        })
        .await
    }

    async fn build_image(&self, build: BuildSpec, context: Archive, output: Sink<'_>) -> Result<String, EngineError> {
        let options = query::BuildImageOptions {
            dockerfile: build.dockerfile,
            t: Some(build.name),
            target: build.target,
            buildargs: Some(build.args.into_iter().collect()),
            nocache: build.no_cache,
            networkmode: Some(if build.egress { "bridge" } else { "none" }.to_owned()),
            labels: Some(build.labels.into_iter().collect()),
            // A failing instruction would otherwise leave its container, without labels, behind.
            rm: true,
            forcerm: true,
            version: query::BuilderVersion::BuilderV1,
            ..query::BuildImageOptions::default()
        };
        let docker = self.docker_for(LONG)?;
        let stream = docker.build_image(options, None, Some(bollard::body_try_stream(context)));
        let mut id = None;
        self.drain(stream, |info| {
            if let Some(text) = info.stream {
                output(text.as_bytes());
            }
            if let Some(built) = info.aux.and_then(|aux| aux.id) {
                id = Some(built);
            }
        })
        .await?;
        id.ok_or_else(|| nothing("the built image's identifier"))
    }

    async fn tag_image(&self, id: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        let options = query::TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        self.docker()?.tag_image(path(id)?, Some(options)).await.map_err(|error| self.error(error))
    }

    async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        found: Option<&Credentials>,
        progress: Sink<'_>,
    ) -> Result<String, EngineError> {
        let options = query::PushImageOptions { tag: Some(tag.to_owned()), platform: None };
        let docker = self.docker_for(LONG)?;
        let stream = docker.push_image(path(repository)?, Some(options), credentials(found));
        let begin = format!("{tag}: digest: ");
        let mut digest = None;
        self.drain(stream, |info| {
            let counts = info.progress_detail.is_some_and(|detail| detail.current.is_some());
            if let (Some(status), false) = (info.status, counts) {
                progress(format!("{status}\n").as_bytes());
                if let Some(rest) = status.strip_prefix(&begin) {
                    digest = rest.split(' ').next().map(str::to_owned);
                }
            }
        })
        .await?;
        digest.ok_or_else(|| nothing("the digest of what was pushed"))
    }

    async fn create_network(&self, name: &str, internal: bool, labels: Labels) -> Result<String, EngineError> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            internal: Some(internal),
            attachable: Some(false),
            // Without an address of the host on it an internal network does not lead to the host's services either.
            options: internal
                .then(|| HashMap::from([("com.docker.network.bridge.inhibit_ipv4".to_owned(), "true".to_owned())])),
            labels: Some(labels.into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        self.docker()?.create_network(request).await.map(|made| made.id).map_err(|error| self.error(error))
    }

    async fn connect(&self, joined: &Joined, container: &str) -> Result<(), EngineError> {
        let request =
            NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(body::endpoint(joined)) };
        self.docker()?.connect_network(path(&joined.network)?, request).await.map_err(|error| self.error(error))
    }

    async fn remove_network(&self, id: &str) -> Result<(), EngineError> {
        self.docker()?.remove_network(path(id)?).await.map_err(|error| self.error(error))
    }

    async fn networks(&self, labels: &[String]) -> Result<Vec<Found>, EngineError> {
        let options = query::ListNetworksOptions { filters: Some(by_labels(labels)) };
        let networks = self.docker()?.list_networks(Some(options)).await.map_err(|error| self.error(error))?;
        Ok(networks.into_iter().filter_map(|network| found(network.id, network.name.as_deref())).collect())
    }

    async fn create_volume(&self, name: &str, labels: Labels) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".to_owned()),
            labels: Some(labels.into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        self.docker()?.create_volume(request).await.map(drop).map_err(|error| self.error(error))
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let options = query::RemoveVolumeOptions { force: false };
        self.docker()?.remove_volume(path(name)?, Some(options)).await.map_err(|error| self.error(error))
    }

    async fn volumes(&self, labels: &[String]) -> Result<Vec<Found>, EngineError> {
        let options = query::ListVolumesOptions { filters: Some(by_labels(labels)) };
        let answer = self.docker()?.list_volumes(Some(options)).await.map_err(|error| self.error(error))?;
        let volumes = answer.volumes.unwrap_or_default();
        Ok(volumes.into_iter().filter_map(|volume| found(Some(volume.name.clone()), Some(&volume.name))).collect())
    }

    async fn create_container(&self, container: ContainerSpec) -> Result<String, EngineError> {
        let docker = self.docker()?;
        let options = query::CreateContainerOptions { name: Some(container.name.clone()), platform: String::new() };
        let mut body = body::container(container);
        let made = docker.create_container(Some(options.clone()), body.clone()).await;
        match made.map_err(|error| self.error(error)) {
            // A grant of more CPUs than there are is a grant of all of them.
            Err(EngineError::Status { code: 400, message }) if message.contains("Range of CPUs") => {
                let there = docker.info().await.map_err(|error| self.error(error))?.ncpu.unwrap_or(1);
                body.host_config.get_or_insert_default().nano_cpus = Some(there * 1_000_000_000);
                let made = docker.create_container(Some(options), body).await.map_err(|error| self.error(error))?;
                Ok(made.id)
            }
            other => Ok(other?.id),
        }
    }

    async fn upload(&self, id: &str, directory: &str, archive: Archive) -> Result<(), EngineError> {
        let options = query::UploadToContainerOptions {
            path: directory.to_owned(),
            ..query::UploadToContainerOptions::default()
        };
        let docker = self.docker_for(LONG)?;
        docker
            .upload_to_container(path(id)?, Some(options), bollard::body_try_stream(archive))
            .await
            .map_err(|error| self.error(error))
    }

    async fn download(
        &self,
        id: &str,
        from: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        let options = query::DownloadFromContainerOptions { path: from.to_owned() };
        let address = self.address.clone();
        let docker = self.docker_for(LONG)?;
        let stream = docker.download_from_container(path(id)?, Some(options)).boxed();
        Ok(stream.map(move |item| item.map_err(|error| EngineError::new(&address, error))).boxed())
    }

    async fn attach(&self, id: &str) -> Result<BoxStream<'static, Result<Output, EngineError>>, EngineError> {
        let options = query::AttachContainerOptions {
            stream: true,
            stdout: true,
            stderr: true,
            ..query::AttachContainerOptions::default()
        };
        let attached =
            self.docker()?.attach_container(path(id)?, Some(options)).await.map_err(|error| self.error(error))?;
        Ok(self.outputs(attached.output))
    }

    async fn start(&self, id: &str) -> Result<(), EngineError> {
        let options = None::<query::StartContainerOptions>;
        self.docker()?.start_container(path(id)?, options).await.map_err(|error| self.error(error))
    }

    async fn wait(&self, id: &str) -> Result<i64, EngineError> {
        let options = query::WaitContainerOptions { condition: "not-running".to_owned() };
        let mut stream = Box::pin(self.docker()?.wait_container(path(id)?, Some(options)));
        match stream.next().await {
            Some(Ok(ended)) => Ok(ended.status_code),
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(self.error(error)),
            None => Err(nothing("the container's exit code")),
        }
    }

    async fn inspect_container(&self, id: &str) -> Result<ContainerFacts, EngineError> {
        let options = None::<query::InspectContainerOptions>;
        let answer = self.docker()?.inspect_container(path(id)?, options).await.map_err(|error| self.error(error))?;
        Ok(facts(answer))
    }

    async fn create_exec(&self, id: &str, command: Vec<String>, env: Vec<String>) -> Result<String, EngineError> {
        let config = ExecConfig {
            cmd: Some(command),
            env: Some(env),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            attach_stdin: Some(false),
            tty: Some(false),
            privileged: Some(false),
            ..ExecConfig::default()
        };
        let made = self.docker()?.create_exec(path(id)?, config).await.map_err(|error| self.error(error))?;
        Ok(made.id)
    }

    async fn start_exec(&self, exec: &str) -> Result<BoxStream<'static, Result<Output, EngineError>>, EngineError> {
        let options = None::<StartExecOptions>;
        match self.docker()?.start_exec(path(exec)?, options).await.map_err(|error| self.error(error))? {
            StartExecResults::Attached { output, .. } => Ok(self.outputs(output)),
            StartExecResults::Detached => Err(nothing("the command's output")),
        }
    }

    async fn inspect_exec(&self, exec: &str) -> Result<Option<i64>, EngineError> {
        let answer = self.docker()?.inspect_exec(path(exec)?).await.map_err(|error| self.error(error))?;
        Ok(answer.exit_code.filter(|_| answer.running == Some(false)))
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = query::StopContainerOptions { t: Some(seconds), signal: None };
        let docker = self.docker_for(SHORT + grace)?;
        docker.stop_container(path(id)?, Some(options)).await.map_err(|error| self.error(error))
    }

    async fn kill(&self, id: &str) -> Result<(), EngineError> {
        let options = query::KillContainerOptions { signal: "SIGKILL".to_owned() };
        self.docker()?.kill_container(path(id)?, Some(options)).await.map_err(|error| self.error(error))
    }

    async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let options = query::RemoveContainerOptions { force: true, v: true, link: false };
        self.docker()?.remove_container(path(id)?, Some(options)).await.map_err(|error| self.error(error))
    }

    async fn containers(&self, labels: &[String]) -> Result<Vec<Found>, EngineError> {
        let options = query::ListContainersOptions {
            all: true,
            filters: Some(by_labels(labels)),
            ..query::ListContainersOptions::default()
        };
        let containers = self.docker()?.list_containers(Some(options)).await.map_err(|error| self.error(error))?;
        let first = |names: Option<Vec<String>>| names.and_then(|names| names.into_iter().next());
        Ok(containers.into_iter().filter_map(|one| found(one.id, first(one.names).as_deref())).collect())
    }
}

fn facts(answer: ContainerInspectResponse) -> ContainerFacts {
    let state = answer.state.unwrap_or_default();
    let health = state.health.unwrap_or_default();
    let ports = answer.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let published = ports.into_iter().filter_map(|(port, bindings)| {
        let port = port.strip_suffix("/tcp")?.parse().ok()?;
        let binding = bindings?.into_iter().find(|binding| binding.host_ip.as_deref() == Some("127.0.0.1"))?;
        Some((port, binding.host_port?.parse().ok()?))
    });
    ContainerFacts {
        phase: match state.status {
            Some(ContainerStateStatusEnum::CREATED) => Phase::Created,
            Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => Phase::Exited,
            _ if state.running == Some(false) => Phase::Exited,
            _ => Phase::Running,
        },
        health: match health.status {
            Some(HealthStatusEnum::STARTING) => Health::Starting,
            Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
            Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
        },
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        health_log: health.log.unwrap_or_default().into_iter().filter_map(|check| check.output).collect(),
        published: published.collect(),
    }
}
