//! Building an image from a directory of the workspace.

use super::client::{ATTEMPT_LABEL, BuildSpec, IMAGE_LABEL, JOB_LABEL, Labels, RUN_LABEL};
use super::context::{self, Fixed, Packing};
use super::dockerfile::{self, Used};
use super::ignore_file::IgnoreFile;
use super::{DockerCtx, Image};
use crate::capability::beneath::{self, Opened};
use crate::capability::{Error, relative_path};
use crate::host::bindings::runner::docker::images::{BuildNetwork, BuildOptions};
use crate::plan::grant::{self, covers_path};
use cap_std::fs::Dir;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// Bytes of a Dockerfile or `.dockerignore`.
const MAX_FILE: u64 = 1 << 20;

/// Registry of the names that keep built images, and with them the layer cache, from being pruned. It does not exist.
const CACHE: &str = "runner.local";

const IGNORE_FILE: &str = ".dockerignore";

impl DockerCtx {
    pub(super) async fn build(&mut self, options: BuildOptions) -> Result<Image, Error> {
        let context = relative_path(&options.context)?;
        let egress = options.network == BuildNetwork::Egress;
        self.check_context(&context, egress).await?;
        let path = match relative_path(&options.dockerfile)?.as_str() {
            "." => "Dockerfile".to_owned(),
            path => path.to_owned(),
        };
        let args = arguments(options.args)?;
        check_target(&options.target)?;

        let Opened::Directory(dir) = beneath::open(self.scope.workspace.dir(), &context)? else {
            return Err(Error::Invalid(format!("`{context}` is a file; expected a directory to build")));
        };
        let Some(text) = read(&dir, &path)? else {
            return Err(Error::NotFound(format!("there is no `{path}` in the build context `{context}`")));
        };
        let rules = read(&dir, IGNORE_FILE)?;
        let used = dockerfile::scan(&path, &text, &args, egress)?;
        self.check_images(&path, &used).await?;
        self.allow("build", &context).await?;
        for image in &used {
            self.prepare(&path, image).await?;
        }

        let spec = BuildSpec {
            name: cache_name(self.scope.workspace.root(), &context, &path, &options.target),
            dockerfile: path.clone(),
            target: options.target,
            args,
            egress,
            no_cache: options.no_cache,
            labels: Labels::from([(IMAGE_LABEL.to_owned(), "built".to_owned())]),
        };
        let ignore = IgnoreFile::parse(rules.as_deref().unwrap_or_default())?;
        let fixed = [(path.clone(), Some(text)), (IGNORE_FILE.to_owned(), rules)];
        let fixed = fixed.into_iter().filter_map(|(path, text)| Some(Fixed { path, bytes: text?.into_bytes() }));
        let packing = Packing {
            dir,
            name: context.clone(),
            is_root: context == ".",
            ignore,
            fixed: fixed.collect(),
            advice: "list what the build does not need in its .dockerignore",
            manifest: None,
        };
        let id = self.run_build(&context, &path, spec, packing).await?;
        self.check_labels(&id).await?;
        Ok(Image { id, name: format!("{context}/{path}").trim_start_matches("./").to_owned() })
    }

    async fn check_context(&self, context: &str, egress: bool) -> Result<(), Error> {
        let yaml = serde_json::Value::from(context);
        let covering: Vec<_> =
            self.grant.build.iter().filter(|granted| covers_path(&granted.context, context)).collect();
        if covering.is_empty() {
            let what = format!("building `{context}`");
            return Err(self.deny("build", context, &what, &format!("build: [{yaml}]")).await);
        }
        if egress && covering.iter().all(|granted| granted.network != grant::BuildNetwork::Egress) {
            let what = format!("building `{context}` with a network that reaches addresses outside");
            let grant = format!("build: [{{ context: {yaml}, network: egress }}]");
            return Err(self.deny("build", context, &what, &grant).await);
        }
        Ok(())
    }

    async fn check_images(&self, dockerfile: &str, used: &[Used]) -> Result<(), Error> {
        for Used { reference, line } in used {
            if !self.permits_image(reference) {
                let what = format!("the image of {dockerfile}:{line},");
                return Err(self.deny_image("build", reference, &what).await);
            }
        }
        Ok(())
    }

    /// Sees to it that an image is in the store, so that the engine pulls nothing by itself: it has no credentials.
    async fn prepare(&self, dockerfile: &str, Used { reference, line }: &Used) -> Result<(), Error> {
        let facts = match self.client.inspect_image(&reference.stored()).await {
            Ok(facts) => facts,
            Err(error) if error.is_missing() => self.fetch(reference).await?,
            Err(error) => return Err(self.failed(&format!("find the image `{reference}`"), &error)),
        };
        if facts.on_build.is_empty() {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "{dockerfile}:{line}: the image `{reference}` adds instructions of its own (ONBUILD) to the build; use one that does not"
        )))
    }

    async fn run_build(
        &self,
        context: &str,
        dockerfile: &str,
        spec: BuildSpec,
        packing: Packing,
    ) -> Result<String, Error> {
        let log = self.scope.log.clone();
        let pack = move |out: &mut _| context::pack(&packing, out).map(|skipped| context::tell(&log, &skipped));
        let log = self.scope.log.clone();
        let mut last = String::new();
        let tried = format!("build `{dockerfile}` in `{context}`");
        let client = Arc::clone(&self.client);
        let output = |text: &[u8]| {
            log.write(text);
            let text = without_colours(&String::from_utf8_lossy(text));
            if let Some(line) = text.lines().rev().find(|line| is_telling(line)) {
                line.trim().clone_into(&mut last);
            }
        };
        let send = async |archive| {
            let mut output = output;
            client.build_image(spec, archive, &mut output).await
        };
        let built = self.scope.or_cancelled(self.send_archive(&tried, pack, send)).await;
        match built {
            Err(Error::Failed(text)) if !last.is_empty() && !text.contains(&last) => {
                Err(Error::Failed(format!("{text}; it last said: {}", self.scope.log.redacted(&last))))
            }
            other => other,
        }
    }

    /// An image that carries our labels would make a person's container look like a job's.
    async fn check_labels(&self, id: &str) -> Result<(), Error> {
        let facts =
            self.client.inspect_image(id).await.map_err(|error| self.failed("inspect the built image", &error))?;
        match [RUN_LABEL, JOB_LABEL, ATTEMPT_LABEL].iter().find(|label| facts.labels.contains_key(**label)) {
            Some(label) => {
                Err(Error::Invalid(format!("the built image carries the label `{label}`, which is reserved")))
            }
            None => Ok(()),
        }
    }
}

/// Whether a line of the builder's output says something about a failure: not its own account of steps and layers.
fn is_telling(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("--->") && !line.starts_with("Removing intermediate container")
}

/// The text without the escape sequences in which the builder wraps what went to standard error.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(
            part.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic()).get(1..).unwrap_or_default(),
        );
    }
    plain
}

/// The text of a file of the context; nothing when it is not there.
fn read(dir: &Dir, path: &str) -> Result<Option<String>, Error> {
    let file = match beneath::open(dir, path) {
        Ok(Opened::File(file)) => file,
        Ok(Opened::Directory(_)) => return Err(Error::Invalid(format!("`{path}` is a directory; expected a file"))),
        Err(Error::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::Failed(format!("cannot read `{path}`: {error}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::Limit(format!("`{path}` is larger than 1 MiB")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| Error::Invalid(format!("`{path}` is not UTF-8 text")))
}

fn arguments(args: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Error> {
    for (name, _) in &args {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let name = name.escape_debug();
            return Err(Error::Invalid(format!("`{name}` is no build argument; expected letters, digits and `_`")));
        }
    }
    Ok(args.into_iter().collect())
}

fn check_target(target: &str) -> Result<(), Error> {
    if target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Ok(());
    }
    Err(Error::Invalid(format!("`{}` is no stage; expected letters, digits, `_`, `.` and `-`", target.escape_debug())))
}

/// The same for the same build of the same checkout, and nobody else's.
fn cache_name(root: &std::path::Path, context: &str, dockerfile: &str, target: &str) -> String {
    let mut hash = Sha256::new();
    for part in [root.as_os_str().as_encoded_bytes(), context.as_bytes(), dockerfile.as_bytes(), target.as_bytes()] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let hex = format!("{:x}", hash.finalize());
    format!("{CACHE}/{}:build", &hex[..32])
}
