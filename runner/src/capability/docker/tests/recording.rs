//! An engine that is not there: for what must be decided before an engine is asked.

use super::super::EngineError;
use super::super::client::{
    Archive, BuildSpec, ContainerFacts, ContainerSpec, Credentials, DockerClient, Found, ImageFacts, Joined, Labels,
    Output, Sink,
};
use super::super::reference::Reference;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Mutex;
use std::time::Duration;

/// Notes every call, and answers as an engine with nothing to do.
#[derive(Debug, Default)]
pub(super) struct Recording {
    calls: Mutex<Vec<String>>,
}

impl Recording {
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn note(&self, call: String) -> usize {
        let mut calls = self.calls.lock().unwrap();
        calls.push(call);
        calls.len()
    }
}

/// An identifier made of a number.
pub(super) fn id(number: usize) -> String {
    format!("sha256:{number:064x}")
}

#[async_trait]
impl DockerClient for Recording {
    async fn ping(&self) -> Result<(), EngineError> {
        Ok(())
    }
    async fn credentials(&self, registry: &str, helper: Option<&str>) -> Result<Option<Credentials>, EngineError> {
        let helper = helper.map(|helper| format!(" from {helper}")).unwrap_or_default();
        self.note(format!("credentials {registry}{helper}"));
        Ok(None)
    }
    async fn inspect_image(&self, name: &str) -> Result<ImageFacts, EngineError> {
        self.note(format!("inspect {name}"));
        Ok(ImageFacts { id: id(1), ..ImageFacts::default() })
    }
    async fn pull_image(&self, reference: &Reference, _: Option<&Credentials>, _: Sink<'_>) -> Result<(), EngineError> {
        self.note(format!("pull {}", reference.stored()));
        Ok(())
    }
    async fn build_image(&self, build: BuildSpec, _: Archive, _: Sink<'_>) -> Result<String, EngineError> {
        self.note(format!("build {}", build.dockerfile));
        Ok(id(2))
    }
    async fn tag_image(&self, _: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
        self.note(format!("tag {repository}:{tag}"));
        Ok(())
    }
    async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        _: Option<&Credentials>,
        _: Sink<'_>,
    ) -> Result<String, EngineError> {
        self.note(format!("push {repository}:{tag}"));
        Ok(id(3))
    }
    async fn create_network(&self, _: &str, internal: bool, _: Labels) -> Result<String, EngineError> {
        Ok(self.note(format!("create-network {internal}")).to_string())
    }
    async fn connect(&self, joined: &Joined, _: &str) -> Result<(), EngineError> {
        self.note(format!("connect {}", joined.network));
        Ok(())
    }
    async fn remove_network(&self, _: &str) -> Result<(), EngineError> {
        self.note("remove-network".to_owned());
        Ok(())
    }
    async fn networks(&self, _: &[String]) -> Result<Vec<Found>, EngineError> {
        self.note("networks".to_owned());
        Ok(Vec::new())
    }
    async fn create_volume(&self, _: &str, _: Labels) -> Result<(), EngineError> {
        self.note("create-volume".to_owned());
        Ok(())
    }
    async fn remove_volume(&self, _: &str) -> Result<(), EngineError> {
        self.note("remove-volume".to_owned());
        Ok(())
    }
    async fn volumes(&self, _: &[String]) -> Result<Vec<Found>, EngineError> {
        self.note("volumes".to_owned());
        Ok(Vec::new())
    }
    async fn create_container(&self, container: ContainerSpec) -> Result<String, EngineError> {
        Ok(self.note(format!("create-container {}", container.image)).to_string())
    }
    async fn upload(&self, _: &str, directory: &str, mut archive: Archive) -> Result<(), EngineError> {
        self.note(format!("upload {directory}"));
        while archive.next().await.is_some() {}
        Ok(())
    }
    async fn download(
        &self,
        _: &str,
        path: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        self.note(format!("download {path}"));
        Ok(stream::empty().boxed())
    }
    async fn attach(&self, _: &str) -> Result<BoxStream<'static, Result<Output, EngineError>>, EngineError> {
        Ok(stream::empty().boxed())
    }
    async fn start(&self, _: &str) -> Result<(), EngineError> {
        self.note("start".to_owned());
        Ok(())
    }
    async fn wait(&self, _: &str) -> Result<i64, EngineError> {
        Ok(0)
    }
    async fn inspect_container(&self, _: &str) -> Result<ContainerFacts, EngineError> {
        Ok(ContainerFacts::default())
    }
    async fn create_exec(&self, _: &str, command: Vec<String>, _: Vec<String>) -> Result<String, EngineError> {
        self.note(format!("exec {command:?}"));
        Ok("exec".to_owned())
    }
    async fn start_exec(&self, _: &str) -> Result<BoxStream<'static, Result<Output, EngineError>>, EngineError> {
        Ok(stream::empty().boxed())
    }
    async fn inspect_exec(&self, _: &str) -> Result<Option<i64>, EngineError> {
        Ok(Some(0))
    }
    async fn stop(&self, _: &str, grace: Duration) -> Result<(), EngineError> {
        self.note(format!("stop {}", grace.as_secs()));
        Ok(())
    }
    async fn kill(&self, _: &str) -> Result<(), EngineError> {
        self.note("kill".to_owned());
        Ok(())
    }
    async fn remove_container(&self, _: &str) -> Result<(), EngineError> {
        self.note("remove-container".to_owned());
        Ok(())
    }
    async fn containers(&self, _: &[String]) -> Result<Vec<Found>, EngineError> {
        self.note("containers".to_owned());
        Ok(Vec::new())
    }
}
