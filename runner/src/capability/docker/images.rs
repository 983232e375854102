//! `runner:docker/images`: finding, pulling, naming and pushing images. Building is in `build.rs`.

use super::client::ImageFacts;
use super::reference::{Reference, is_digest};
use super::{DockerCtx, DockerView, EngineError, Image};
use crate::capability::Error;
use crate::host::bindings::runner::docker::images;
use images::{BuildOptions, ImageInfo};
use wasmtime::component::Resource;

impl DockerCtx {
    /// Whether `grants.docker.images` covers it.
    pub(super) fn permits_image(&self, reference: &Reference) -> bool {
        self.grant.images.iter().any(|pattern| reference.matches(pattern))
    }

    /// The refusal of an image that is not granted.
    pub(super) async fn deny_image(&self, operation: &str, reference: &Reference, what: &str) -> Error {
        let grant = format!("images: [\"{reference}\"]");
        self.deny(operation, &reference.to_string(), &format!("{what} `{reference}`"), &grant).await
    }

    async fn find(&self, text: &str) -> Result<Image, Error> {
        let reference = Reference::parse(text)?;
        let own = self.tags.get(&reference.stored());
        if own.is_none() && !self.permits_image(&reference) {
            return Err(self.deny_image("find", &reference, "using the image").await);
        }
        self.allow("find", &reference.to_string()).await?;
        // A name this job gave means what it gave it to, wherever others have moved it since.
        let stored = own.cloned().unwrap_or_else(|| reference.stored());
        match self.client.inspect_image(&stored).await {
            Ok(facts) => Ok(Image { id: facts.id, name: reference.to_string() }),
            Err(error) if error.is_missing() => {
                Err(Error::NotFound(format!("the engine has no image `{reference}`; it has to be pulled first")))
            }
            Err(error) => Err(self.failed(&format!("find the image `{reference}`"), &error)),
        }
    }

    async fn pull(&self, text: &str) -> Result<Image, Error> {
        let reference = Reference::parse(text)?;
        if !self.permits_image(&reference) {
            return Err(self.deny_image("pull", &reference, "pulling the image").await);
        }
        let facts = self.fetch(&reference).await?;
        Ok(Image { id: facts.id, name: reference.to_string() })
    }

    /// Pulls a granted image, with whatever credentials the host has for its registry.
    pub(super) async fn fetch(&self, reference: &Reference) -> Result<ImageFacts, Error> {
        self.allow("pull", &reference.to_string()).await?;
        let tried = format!("pull the image `{reference}`");
        let log = &self.scope.log;
        let pulled = async {
            let credentials = self.credentials(reference.registry()).await?;
            let mut progress = |text: &[u8]| log.write(text);
            self.client.pull_image(reference, credentials.as_ref(), &mut progress).await?;
            self.client.inspect_image(&reference.stored()).await
        };
        self.scope.or_cancelled(async { pulled.await.map_err(|error| self.failed(&tried, &error)) }).await
    }

    async fn inspect_image(&self, image: &Image) -> Result<ImageInfo, Error> {
        let facts = self.client.inspect_image(&image.id).await;
        let facts = facts.map_err(|error| self.failed(&format!("inspect the image `{}`", image.name), &error))?;
        Ok(ImageInfo {
            id: facts.id,
            repo_digests: facts.repo_digests,
            size: facts.size,
            labels: facts.labels.into_iter().collect(),
            extras: Vec::new(),
        })
    }

    /// A guest's `repository:tag` whose repository is granted for pushing.
    async fn pushable(&self, operation: &str, text: &str) -> Result<(Reference, String), Error> {
        let reference = Reference::parse(text)?;
        let Some(tag) = reference.tag().map(str::to_owned) else {
            return Err(Error::Invalid(format!("`{reference}` names a digest; expected `repository:tag`")));
        };
        if !self.grant.push.iter().any(|pattern| reference.repository_matches(pattern)) {
            let repository = reference.familiar_repository();
            let what = format!("naming and pushing images `{repository}`");
            let grant = format!("push: [\"{repository}\"]");
            return Err(self.deny(operation, &reference.to_string(), &what, &grant).await);
        }
        Ok((reference, tag))
    }

    async fn tag(&mut self, image: &Image, text: &str) -> Result<(), Error> {
        let (reference, tag) = self.pushable("tag", text).await?;
        self.allow("tag", &reference.to_string()).await?;
        let tagged = self.client.tag_image(&image.id, &reference.repository(), &tag).await;
        tagged.map_err(|error| self.failed(&format!("name the image `{reference}`"), &error))?;
        self.tags.insert(reference.stored(), image.id.clone());
        Ok(())
    }

    async fn push(&self, image: &Image, text: &str) -> Result<String, Error> {
        let (reference, tag) = self.pushable("push", text).await?;
        let tried = format!("push `{reference}`");
        let failed = |error: EngineError| self.failed(&tried, &error);
        if self.tags.get(&reference.stored()) != Some(&image.id) {
            return Err(Error::Invalid(format!(
                "`{reference}` is no name of this image; give it the name with `tag` first"
            )));
        }
        self.allow("push", &reference.to_string()).await?;
        let moved = || {
            Error::Failed(format!(
                "cannot {tried}: somebody else gave the name to another image meanwhile; name and push it again"
            ))
        };
        if self.client.inspect_image(&reference.stored()).await.map_err(failed)?.id != image.id {
            return Err(moved());
        }
        let log = &self.scope.log;
        let pushed = async {
            let credentials = self.credentials(reference.registry()).await?;
            let mut progress = |text: &[u8]| log.write(text);
            self.client.push_image(&reference.repository(), &tag, credentials.as_ref(), &mut progress).await
        };
        let digest = self.scope.or_cancelled(async { pushed.await.map_err(failed) }).await?;
        if !is_digest(&digest) {
            return Err(Error::Failed(format!("cannot {tried}: the engine reports the digest `{digest}`")));
        }
        // The engine notes the digest with the image that was pushed: ours, unless the name was moved in between.
        let known = self.client.inspect_image(&image.id).await.map_err(failed)?.repo_digests;
        let expected = format!("{}@{digest}", reference.repository());
        if known.iter().any(|known| Reference::parse(known).is_ok_and(|known| known.stored() == expected)) {
            Ok(digest)
        } else {
            Err(moved())
        }
    }
}

impl images::Host for DockerView<'_> {
    async fn find(&mut self, reference: String) -> Result<Resource<Image>, Error> {
        let image = self.ctx.find(&reference).await?;
        Ok(self.table.push(image)?)
    }

    async fn pull(&mut self, reference: String) -> Result<Resource<Image>, Error> {
        let image = self.ctx.pull(&reference).await?;
        Ok(self.table.push(image)?)
    }

    async fn build(&mut self, options: BuildOptions) -> Result<Resource<Image>, Error> {
        let image = self.ctx.build(options).await?;
        Ok(self.table.push(image)?)
    }
}

impl images::HostImage for DockerView<'_> {
    async fn inspect(&mut self, image: Resource<Image>) -> Result<ImageInfo, Error> {
        self.ctx.inspect_image(self.table.get(&image)?).await
    }

    async fn tag(&mut self, image: Resource<Image>, reference: String) -> Result<(), Error> {
        self.ctx.tag(self.table.get(&image)?, &reference).await
    }

    async fn push(&mut self, image: Resource<Image>, reference: String) -> Result<String, Error> {
        self.ctx.push(self.table.get(&image)?, &reference).await
    }

    /// The image itself stays in the engine's store: it is the cache of the next build.
    async fn drop(&mut self, image: Resource<Image>) -> wasmtime::Result<()> {
        self.table.delete(image)?;
        Ok(())
    }
}
