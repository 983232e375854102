//! `runner:docker/volumes`: volumes of the job.

use super::{DockerCtx, DockerView, Volume};
use crate::capability::Error;
use crate::host::bindings::runner::docker::volumes;
use std::sync::Arc;
use wasmtime::component::Resource;

/// Volumes a job may have at once; the contract's limit.
const MAX_VOLUMES: usize = 32;

impl DockerCtx {
    async fn create_volume(&mut self) -> Result<String, Error> {
        if self.grant.containers.is_none() {
            return Err(self.deny("create-volume", "local", "a volume for containers", "containers: {}").await);
        }
        if self.volumes.len() >= MAX_VOLUMES {
            return Err(Error::Limit(format!("the job has {MAX_VOLUMES} volumes, the most it may have at once")));
        }
        self.allow("create-volume", "local").await?;
        let (client, name, labels) = (Arc::clone(&self.client), self.new_name(), self.labels());
        let given = name.clone();
        let created = self.making(async move { client.create_volume(&given, labels).await }).await;
        created.map_err(|error| self.failed("create a volume", &error))?;
        self.volumes.insert(name.clone());
        Ok(name)
    }

    async fn remove_volume(&mut self, name: &str) -> Result<(), Error> {
        if !self.volumes.contains(name) {
            return Ok(());
        }
        match self.client.remove_volume(name).await {
            Err(error) if !error.is_missing() => Err(self.failed("remove the volume", &error)),
            _ => {
                self.volumes.remove(name);
                Ok(())
            }
        }
    }
}

impl volumes::Host for DockerView<'_> {
    async fn create(&mut self) -> Result<Resource<Volume>, Error> {
        let name = self.ctx.create_volume().await?;
        Ok(self.table.push(Volume { name })?)
    }
}

impl volumes::HostVolume for DockerView<'_> {
    async fn id(&mut self, volume: Resource<Volume>) -> wasmtime::Result<String> {
        Ok(self.table.get(&volume)?.name.clone())
    }

    async fn remove(&mut self, volume: Resource<Volume>) -> Result<(), Error> {
        let name = self.table.get(&volume)?.name.clone();
        self.ctx.remove_volume(&name).await
    }

    /// The volume itself lives until it is removed or the job ends: containers may use it.
    async fn drop(&mut self, volume: Resource<Volume>) -> wasmtime::Result<()> {
        self.table.delete(volume)?;
        Ok(())
    }
}
