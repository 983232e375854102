//! `runner:docker/networks`: bridge networks of the job.

use super::{DockerCtx, DockerView, Network};
use crate::capability::Error;
use crate::host::bindings::runner::docker::networks;
use std::sync::Arc;
use wasmtime::component::Resource;

/// Networks a job may have at once; the contract's limit. The engine itself has room for some 30 in all.
const MAX_NETWORKS: usize = 16;

impl DockerCtx {
    async fn create_network(&mut self, egress: bool) -> Result<String, Error> {
        let subject = if egress { "egress" } else { "internal" };
        match &self.grant.containers {
            None => {
                return Err(self.deny("create-network", subject, "a network for containers", "containers: {}").await);
            }
            Some(containers) if egress && !containers.egress => {
                let what = "a network that reaches addresses outside";
                return Err(self.deny("create-network", subject, what, "containers: { egress: true }").await);
            }
            Some(_) => {}
        }
        if self.networks.len() >= MAX_NETWORKS {
            return Err(Error::Limit(format!("the job has {MAX_NETWORKS} networks, the most it may have at once")));
        }
        self.allow("create-network", subject).await?;
        let (client, name, labels) = (Arc::clone(&self.client), self.new_name(), self.labels());
        let created = self.making(async move { client.create_network(&name, !egress, labels).await }).await;
        let id = created.map_err(|error| self.failed("create a network", &error))?;
        self.networks.insert(id.clone(), egress);
        Ok(id)
    }

    async fn remove_network(&mut self, id: &str) -> Result<(), Error> {
        if !self.networks.contains_key(id) {
            return Ok(());
        }
        match self.client.remove_network(id).await {
            Err(error) if !error.is_missing() => Err(self.failed("remove the network", &error)),
            _ => {
                self.networks.remove(id);
                Ok(())
            }
        }
    }
}

impl networks::Host for DockerView<'_> {
    async fn create(&mut self, options: networks::NetworkOptions) -> Result<Resource<Network>, Error> {
        let id = self.ctx.create_network(options.egress).await?;
        Ok(self.table.push(Network { id })?)
    }
}

impl networks::HostNetwork for DockerView<'_> {
    async fn id(&mut self, network: Resource<Network>) -> wasmtime::Result<String> {
        Ok(self.table.get(&network)?.id.clone())
    }

    async fn remove(&mut self, network: Resource<Network>) -> Result<(), Error> {
        let id = self.table.get(&network)?.id.clone();
        self.ctx.remove_network(&id).await
    }

    /// The network itself lives until it is removed or the job ends: containers may be on it.
    async fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}
