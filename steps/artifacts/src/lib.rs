//! Brings artifacts of the run into the workspace, and stores files of the workspace as artifacts.

mod pattern;
mod walk;

use runner_sdk::{Context, Failure, Needs, Step, Unknown, artifacts, log};

/// What to bring, and what to store.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Artifacts to write into the workspace; in patterns `*` stands for any run of characters, `/` among them.
    #[serde(default)]
    download: Vec<Transfer>,
    /// Files of the workspace to store; in patterns `*` stays within a directory, `**` does not.
    #[serde(default)]
    upload: Vec<Transfer>,
    /// Only artifacts that this step stored, by its key.
    #[serde(default)]
    step: String,
    /// Whether it is no failure when nothing matches what is to be downloaded.
    #[serde(default)]
    ignore_missing: bool,
}

/// One thing to transfer.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// A path, or a pattern.
    #[schemars(length(min = 1))]
    from: String,
    /// The path there, for a `from` without a pattern; the same path when left out.
    #[serde(default)]
    to: String,
}

/// What later jobs can read.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    /// Paths of the artifacts that were downloaded or stored.
    paths: Vec<String>,
}

struct Artifacts;

impl Step for Artifacts {
    const NAME: &'static str = "artifacts";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Downloads and uploads artifacts.";
    type Params = Params;
    type Outputs = Outputs;

    fn needs(params: &Params, _unknown: &Unknown) -> Result<Needs, Failure> {
        for transfer in params.download.iter().chain(&params.upload) {
            if !transfer.to.is_empty() && pattern::is_pattern(&transfer.from) {
                return Err(Failure::new(format!("`{}` is a pattern, and cannot have one `to`", transfer.from))
                    .remedy("Name one path in `from`, or leave `to` out."));
            }
        }
        let needs = Needs::new().artifacts(!params.upload.is_empty());
        let needs = if params.upload.is_empty() { needs } else { needs.read(".") };
        Ok(if params.download.is_empty() { needs } else { needs.write(".") })
    }

    fn run(params: Params) -> Result<Outputs, Failure> {
        let mut paths = Vec::new();
        if !params.download.is_empty() {
            log::group("Download artifacts");
            for wanted in &params.download {
                download(wanted, &params, &mut paths)?;
            }
        }
        if !params.upload.is_empty() {
            log::group("Upload artifacts");
            for wanted in &params.upload {
                upload(wanted, &mut paths)?;
            }
        }
        Ok(Outputs { paths })
    }
}

fn download(wanted: &Transfer, params: &Params, paths: &mut Vec<String>) -> Result<(), Failure> {
    let query = pattern::relative(&wanted.from);
    let all = artifacts::all().context("list the run's artifacts")?;
    let mut found: Vec<String> = Vec::new();
    for artifact in all {
        let of_step = params.step.is_empty() || pattern::is_job_of(&params.step, &artifact.job);
        if of_step && pattern::finds(query, &artifact.path) && !found.contains(&artifact.path) {
            found.push(artifact.path);
        }
    }
    if found.is_empty() && !params.ignore_missing {
        return Err(Failure::new(format!("no artifact of this run matches `{query}`"))
            .remedy("See that the step that stores it runs before, and under which path."));
    }
    for path in found {
        let target = if wanted.to.is_empty() { path.as_str() } else { pattern::relative(&wanted.to) };
        artifacts::download(&path, target).context(format!("download `{path}`"))?;
        log::info(&if target == path { path.clone() } else { format!("{path} → {target}") });
        paths.push(path);
    }
    Ok(())
}

fn upload(wanted: &Transfer, paths: &mut Vec<String>) -> Result<(), Failure> {
    let glob = pattern::relative(&wanted.from);
    let found = walk::files(std::path::Path::new("/workspace"), glob).context(format!("look for `{glob}`"))?;
    if found.is_empty() {
        log::info(&format!("no file matches `{glob}`"));
    }
    for path in found {
        let stored = if wanted.to.is_empty() {
            artifacts::upload(&path)
        } else {
            let content =
                std::fs::read(std::path::Path::new("/workspace").join(&path)).context(format!("read `{path}`"))?;
            artifacts::store(pattern::relative(&wanted.to), &content)
        };
        let stored = stored.context(format!("upload `{path}`"))?;
        log::info(&format!("{} ({} bytes)", stored.path, stored.size));
        paths.push(stored.path);
    }
    Ok(())
}

runner_sdk::export_step!(Artifacts);
