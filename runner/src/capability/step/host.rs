//! The step interfaces towards the guest. Everything a guest passes is hostile.

use super::super::Error;
use super::client::{MAX_ARTIFACT, artifact_path};
use super::{Secret, StepCtx, StepView};
use crate::capability::beneath::is_protected;
use crate::event::{Annotation, AnnotationStyle, EventKind};
use crate::host::bindings::runner::step::{annotations, artifacts, context, log, meta_data, secrets, types};
use crate::plan::grant::Access;
use std::time::Duration;
use wasmtime::component::Resource;

/// Bytes of one log message; the contract says so.
const MAX_MESSAGE: usize = 64 << 10;
/// Characters of an annotation's name.
const MAX_CONTEXT: usize = 100;
/// The middle of Buildkite's 1 to 10 that annotations have unless told otherwise.
const PRIORITY: u8 = 3;
/// Bytes of a meta-data value; Buildkite's limit.
const MAX_META_DATA: usize = 100 << 10;

impl types::Host for StepView<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<types::Error> {
        error.into_guest()
    }
}

impl log::Host for StepView<'_> {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let mark = match level {
            log::Level::Debug if !tracing::enabled!(tracing::Level::DEBUG) => return Ok(()),
            log::Level::Debug | log::Level::Info => "",
            log::Level::Warning => "warning: ",
            log::Level::Error => "error: ",
        };
        self.ctx.scope.log.line(&format!("{mark}{}", cut(&message, MAX_MESSAGE)));
        Ok(())
    }

    async fn group(&mut self, title: String) -> wasmtime::Result<()> {
        let title: String = title.chars().filter(|c| !c.is_control()).take(256).collect();
        self.ctx.scope.log.line(&format!("--- {title}"));
        Ok(())
    }

    async fn output(&mut self, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.ctx.scope.log.write(&bytes);
        Ok(())
    }
}

/// At most `limit` bytes, ending between characters, with a notice when something was cut.
fn cut(text: &str, limit: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let end = text.floor_char_boundary(limit);
    format!("{} [{} bytes cut]", &text[..end], text.len() - end).into()
}

impl context::Host for StepView<'_> {
    async fn current(&mut self) -> wasmtime::Result<context::Job> {
        let name = &self.ctx.scope.name;
        Ok(context::Job {
            run: name.run.clone(),
            job: name.job.clone(),
            attempt: name.attempt,
            step_key: name.step_key.clone(),
            label: name.label.clone(),
            extras: Vec::new(),
        })
    }

    async fn env(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.ctx.env.current().get(&name).cloned())
    }

    async fn sleep(&mut self, milliseconds: u64) -> Result<(), Error> {
        // A day is longer than any job runs, and shorter than what the timer can count.
        let duration = Duration::from_millis(milliseconds.min(86_400_000));
        let sleep = async {
            tokio::time::sleep(duration).await;
            Ok(())
        };
        self.ctx.scope.or_cancelled(sleep).await
    }

    async fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.ctx.scope.cancelled.is_cancelled())
    }

    async fn environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.ctx.env.current().iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

impl StepCtx {
    /// Whether writing is granted where reading is; the denial says what to write.
    async fn writable(&self, granted: Option<Access>, kind: &str, operation: &str, subject: &str) -> Result<(), Error> {
        let scope = &self.scope;
        if granted == Some(Access::Write) {
            return scope.allow(kind, operation, subject).await;
        }
        let reason = format!("only reading {kind} is granted; write in the step: grants: {{ {kind}: write }}");
        Err(scope.deny(kind, operation, subject, reason).await)
    }
}

impl meta_data::Host for StepView<'_> {
    async fn get(&mut self, key: String) -> Result<String, Error> {
        let asked = key.clone();
        let value = self.ctx.scope.recorder.read(move |run| run.data().meta_data().get(&asked).cloned()).await?;
        value.ok_or_else(|| Error::NotFound(format!("there is no meta-data `{}`", cut(&key, 255))))
    }

    async fn set(&mut self, key: String, value: String) -> Result<(), Error> {
        if key.is_empty() || key.len() > 255 {
            return Err(Error::Invalid(format!("a meta-data key of {} bytes; expected 1 to 255", key.len())));
        }
        if value.is_empty() || value.len() > MAX_META_DATA {
            return Err(Error::Invalid(format!(
                "a meta-data value of {} bytes for `{key}`; expected 1 byte to 100 KiB",
                value.len()
            )));
        }
        self.ctx.writable(self.ctx.grants.meta_data, "meta-data", "set", &key).await?;
        self.ctx.scope.check_name("a meta-data key", &key)?;
        let value = self.ctx.scope.log.redacted(&value);
        Ok(self.ctx.scope.recorder.record(EventKind::MetaDataSet { key, value }).await?)
    }

    async fn keys(&mut self) -> Result<Vec<String>, Error> {
        Ok(self.ctx.scope.recorder.read(|run| run.data().meta_data().keys().cloned().collect()).await?)
    }
}

impl StepCtx {
    /// The artifact of a path that was stored last.
    async fn newest(&self, path: &str) -> Result<crate::event::Artifact, Error> {
        let path = artifact_path(path)?;
        let all = self.scope.recorder.read(|run| run.data().artifacts().to_vec()).await?;
        let newest = all.into_iter().rev().find(|artifact| artifact.path == path);
        newest.ok_or_else(|| Error::NotFound(format!("there is no artifact `{path}`")))
    }

    async fn keep(&self, path: &str, content: &mut (dyn std::io::Read + Send)) -> Result<artifacts::Artifact, Error> {
        let scope = &self.scope;
        scope.check_name("an artifact's path", path)?;
        let artifact = self.artifacts.store(&scope.name.job, path, content)?;
        scope.recorder.record(EventKind::ArtifactStored { artifact: artifact.clone() }).await?;
        Ok(artifact.into())
    }
}

impl From<crate::event::Artifact> for artifacts::Artifact {
    fn from(artifact: crate::event::Artifact) -> Self {
        Self {
            path: artifact.path,
            size: artifact.size,
            digest: artifact.digest,
            job: artifact.job,
            extras: Vec::new(),
        }
    }
}

impl artifacts::Host for StepView<'_> {
    async fn store(&mut self, path: String, content: Vec<u8>) -> Result<artifacts::Artifact, Error> {
        let path = artifact_path(&path)?;
        if content.len() as u64 > MAX_ARTIFACT {
            return Err(Error::Limit(format!(
                "the artifact `{path}` has {} bytes; at most 64 MiB can be stored this way, `upload` takes more",
                content.len()
            )));
        }
        self.ctx.writable(self.ctx.grants.artifacts, "artifacts", "store", &path).await?;
        self.ctx.keep(&path, &mut content.as_slice()).await
    }

    async fn upload(&mut self, workspace_path: String) -> Result<artifacts::Artifact, Error> {
        let path = artifact_path(&workspace_path)?;
        let scope = &self.ctx.scope;
        let path = scope.workspace.check(&path, Access::Read)?;
        self.ctx.writable(self.ctx.grants.artifacts, "artifacts", "upload", &path).await?;
        let open = || {
            let file = scope.workspace.dir().open(&path)?;
            if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("it is not a regular file")) }
        };
        let mut file = open().map_err(|error| super::error::artifact_io("upload", &path, &error))?;
        self.ctx.keep(&path, &mut file).await
    }

    async fn fetch(&mut self, path: String) -> Result<Vec<u8>, Error> {
        let artifact = self.ctx.newest(&path).await?;
        self.ctx.artifacts.fetch(&artifact)
    }

    async fn download(&mut self, path: String, workspace_path: String) -> Result<artifacts::Artifact, Error> {
        let artifact = self.ctx.newest(&path).await?;
        let scope = &self.ctx.scope;
        let target = artifact_path(&workspace_path)?;
        let target = match scope.workspace.check(&target, Access::Write) {
            Err(Error::Denied(reason)) => return Err(scope.deny("artifacts", "download", &target, reason).await),
            other => other?,
        };
        if is_protected(std::path::Path::new(&target)) {
            let reason = format!("`{target}` would be acted upon outside of the sandbox; download to another path");
            return Err(Error::Invalid(reason));
        }
        scope.allow("artifacts", "download", &artifact.path).await?;
        let mut content = self.ctx.artifacts.open(&artifact)?;
        let workspace = scope.workspace.clone();
        let write = move || -> std::io::Result<()> {
            if let Some(parent) = std::path::Path::new(&target).parent() {
                workspace.dir().create_dir_all(parent)?;
            }
            std::io::copy(&mut content, &mut workspace.dir().create(&target)?)?;
            Ok(())
        };
        let written =
            tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|error| super::error::artifact_io("download", &artifact.path, &error))?;
        Ok(artifact.into())
    }

    async fn all(&mut self) -> Result<Vec<artifacts::Artifact>, Error> {
        let all = self.ctx.scope.recorder.read(|run| run.data().artifacts().to_vec()).await?;
        Ok(all.into_iter().map(Into::into).collect())
    }
}

impl annotations::Host for StepView<'_> {
    async fn annotate(&mut self, annotation: annotations::Annotation) -> Result<(), Error> {
        let annotations::Annotation { context, style, body, extras: _ } = annotation;
        let length = context.chars().count();
        if length == 0 || length > MAX_CONTEXT || context.chars().any(char::is_control) {
            return Err(Error::Invalid(format!(
                "the context of an annotation has {length} characters; expected 1 to {MAX_CONTEXT}, none of them a control character"
            )));
        }
        let scope = &self.ctx.scope;
        scope.allow("annotations", "annotate", &context).await?;
        let style = match style {
            annotations::Style::Success => AnnotationStyle::Success,
            annotations::Style::Info => AnnotationStyle::Info,
            annotations::Style::Warning => AnnotationStyle::Warning,
            annotations::Style::Error => AnnotationStyle::Error,
        };
        let (context, body) = (scope.log.redacted(&context), scope.log.redacted(&body));
        let annotation = Annotation { job: None, context, style, priority: PRIORITY, body };
        Ok(scope.recorder.record(EventKind::Annotated { annotation, append: false }).await?)
    }
}

impl secrets::Host for StepView<'_> {
    async fn open(&mut self, name: String) -> Result<Resource<Secret>, Error> {
        let scope = &self.ctx.scope;
        if !self.ctx.grants.secrets.contains(&name) {
            let reason =
                format!("the secret `{name}` is not granted; add to the step: grants: {{ secrets: [{name}] }}");
            return Err(scope.deny("secrets", "open", &name, reason).await);
        }
        let value = self.ctx.secrets.open(scope, "open", &name).await?;
        Ok(self.table.push(Secret { name, value })?)
    }
}

impl secrets::HostSecret for StepView<'_> {
    async fn name(&mut self, secret: Resource<Secret>) -> wasmtime::Result<String> {
        Ok(self.table.get(&secret)?.name.clone())
    }

    async fn reveal(&mut self, secret: Resource<Secret>) -> Result<String, Error> {
        let secret = self.table.get(&secret)?;
        self.ctx.scope.allow("secrets", "reveal", &secret.name).await?;
        Ok(secret.value.expose().to_owned())
    }

    async fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}
