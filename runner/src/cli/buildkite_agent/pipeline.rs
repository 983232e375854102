//! `buildkite-agent pipeline`

use super::client::{call, unexpected};
use super::flags::{Ignored, Own};
use super::{Failure, Outcome, is_piped, note, print};
use crate::agent::job_api::protocol::{Call, Finding, PipelineUpload, Reply};
use crate::agent::{is_secret_name, own_environment};
use crate::cli::diagnostic;
use crate::cli::project::PLACES;
use crate::pipeline::{self, Diagnostic, Env, Precedence, Severity, Source, Span};
use clap::{Args, Subcommand, ValueEnum};
use std::io::Read;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Pipeline {
    /// Add steps to the run, right after the step that uploads them
    ///
    /// Without FILE and with nothing piped in, the pipeline is looked for in the usual places: buildkite.yml,
    /// .buildkite/pipeline.yml, buildkite/pipeline.yml (also .yaml and .json).
    Upload(Upload),
}

#[derive(Debug, Args)]
pub(super) struct Upload {
    /// The pipeline; `-` is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Drop the steps that have not started yet
    #[arg(long, env = "BUILDKITE_PIPELINE_REPLACE")]
    replace: bool,
    /// Print the pipeline instead of uploading it; works outside of a job too
    #[arg(long, env = "BUILDKITE_PIPELINE_UPLOAD_DRY_RUN")]
    dry_run: bool,
    /// What --dry-run prints
    #[arg(long, env = "BUILDKITE_PIPELINE_UPLOAD_DRY_RUN_FORMAT", default_value = "json")]
    format: Format,
    /// Leave variables in the pipeline as they are
    #[arg(long, env = "BUILDKITE_PIPELINE_NO_INTERPOLATION")]
    no_interpolation: bool,
    /// Fail when the pipeline holds the value of a secret, as uploading always does without --allow-secrets
    #[arg(long, env = "BUILDKITE_AGENT_PIPELINE_UPLOAD_REJECT_SECRETS")]
    reject_secrets: bool,
    /// Only warn when the pipeline holds the value of a secret: it will be shown and stored
    #[arg(long, conflicts_with = "reject_secrets")]
    allow_secrets: bool,
    /// Fail when reading the pipeline gives warnings
    #[arg(long, env = "BUILDKITE_AGENT_PIPELINE_UPLOAD_REJECT_PARSE_WARNINGS")]
    reject_parse_warnings: bool,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// Bytes of a pipeline.
const MAX_PIPELINE: u64 = 4 << 20;

/// Secrets shorter than this are not looked for.
const MIN_SECRET: usize = 6;

impl Pipeline {
    pub(super) fn run(self) -> Outcome {
        let Self::Upload(upload) = self;
        upload.own.check()?;
        for source in upload.sources()? {
            upload.upload(&source)?;
        }
        Ok(())
    }
}

impl Upload {
    fn sources(&self) -> Result<Vec<Source>, Failure> {
        let mut sources = Vec::new();
        for file in &self.files {
            let (name, bytes) = match file.to_str() {
                Some("-") => ("(stdin)".to_owned(), read(&mut std::io::stdin().lock(), "(stdin)")?),
                _ => read_file(file)?,
            };
            sources.push(source(&name, &bytes)?);
        }
        if !self.files.is_empty() {
            return Ok(sources);
        }
        if is_piped() {
            return Ok(vec![source("(stdin)", &read(&mut std::io::stdin().lock(), "(stdin)")?)?]);
        }
        let found: Vec<&str> = PLACES.into_iter().filter(|place| std::path::Path::new(place).exists()).collect();
        match found.as_slice() {
            [one] => {
                let (name, bytes) = read_file(std::path::Path::new(one))?;
                Ok(vec![source(&name, &bytes)?])
            }
            [] => Err("could not find a default pipeline configuration file. \
                       See `buildkite-agent pipeline upload --help` for more information."
                .to_owned()
                .into()),
            several => Err(format!(
                "found multiple configuration files: {}. Please only have 1 configuration file present.",
                several.join(", ")
            )
            .into()),
        }
    }

    fn upload(&self, source: &Source) -> Outcome {
        let mut environment: Vec<(String, String)> = own_environment().collect();
        if !self.no_interpolation && source.text.contains("BUILDKITE_COMMIT") {
            resolve_commit(&mut environment);
        }
        let failed = |what: &str, finding: &Diagnostic| {
            Failure::Message(format!("pipeline {what} of {:?} failed\n{}", source.name, render(source, finding)))
        };
        let parsed = pipeline::parse_all(source).map_err(|finding| failed("parsing", &finding))?;
        for (number, mut parsed) in parsed.into_iter().enumerate() {
            for warning in &parsed.warnings {
                note(&render(source, warning));
            }
            if self.reject_parse_warnings && !parsed.warnings.is_empty() {
                return Err(
                    format!("parsing {:?} gave warnings, which --reject-parse-warnings forbids", source.name).into()
                );
            }
            if !self.no_interpolation {
                let mut env: Env = environment.iter().cloned().collect();
                let interpolated = parsed.pipeline.interpolate(&mut env, Precedence::Pipeline);
                interpolated.map_err(|finding| failed("interpolation", &finding))?;
            }
            let json = parsed.pipeline.to_json();
            self.look_for_secrets(source, &json.to_string(), &environment)?;
            if self.dry_run {
                print(&self.shown(&json, number)?)?;
            } else {
                self.add(source, number, &environment)?;
            }
        }
        Ok(())
    }

    /// The runner reads the text again: it checks the steps as those of the pipeline's own file, and knows their
    /// places.
    fn add(&self, source: &Source, document: usize, environment: &[(String, String)]) -> Outcome {
        let upload = PipelineUpload {
            name: source.name.clone(),
            text: source.text.to_string(),
            document,
            environment: (!self.no_interpolation).then(|| environment.iter().cloned().collect()),
            replace: self.replace,
            reject_warnings: self.reject_parse_warnings,
            allow_secrets: self.allow_secrets,
        };
        let reply =
            call(&Call::PipelineUpload(upload)).map_err(|failure| failure.during("failed to upload pipeline"))?;
        let Reply::Uploaded { added, findings } = reply else { return Err(unexpected(&reply)) };
        let findings: Vec<String> = findings.into_iter().map(|finding| render(source, &finding.into())).collect();
        if added {
            for finding in findings {
                note(&finding);
            }
            return Ok(());
        }
        Err(format!("failed to upload pipeline: {:?} cannot be added to the run\n{}", source.name, findings.join("\n"))
            .into())
    }

    /// As Buildkite's agent prints it.
    fn shown(&self, json: &serde_json::Value, number: usize) -> Result<String, Failure> {
        match self.format {
            Format::Json => {
                let text = serde_json::to_string_pretty(json).map_err(|error| error.to_string())?;
                Ok(for_html(&text) + "\n")
            }
            Format::Yaml => {
                let text = serde_saphyr::to_string(json).map_err(|error| error.to_string())?;
                Ok(if number == 0 { text } else { format!("---\n{text}") })
            }
        }
    }

    /// The values of variables that are secrets by their name have no place in a pipeline: it is shown and stored.
    fn look_for_secrets(&self, source: &Source, json: &str, environment: &[(String, String)]) -> Outcome {
        let holds =
            |value: &str| serde_json::to_string(value).is_ok_and(|text| json.contains(&text[1..text.len() - 1]));
        let mut found: Vec<&str> = environment
            .iter()
            .filter(|(name, value)| is_secret_name(name) && value.len() >= MIN_SECRET && holds(value))
            .map(|(name, _)| name.as_str())
            .collect();
        found.sort_unstable();
        if found.is_empty() {
            return Ok(());
        }
        let message = format!(
            "pipeline {:?} contains values interpolated from the following secret environment variables: {}",
            source.name,
            found.join(", ")
        );
        if self.reject_secrets {
            return Err(
                format!("{message}, and cannot be uploaded; escape them as `$$NAME`, for the job's shell").into()
            );
        }
        note(&format!("warning: {message}; --reject-secrets refuses such a pipeline"));
        Ok(())
    }
}

/// The finding with an excerpt, without a line break at its end.
fn render(source: &Source, finding: &Diagnostic) -> String {
    diagnostic::render(source, finding).trim_end().to_owned()
}

fn read_file(path: &std::path::Path) -> Result<(String, Vec<u8>), Failure> {
    let name = path.display().to_string();
    let mut file = std::fs::File::open(path).map_err(|error| format!("failed to read file {name:?}: {error}"))?;
    let bytes = read(&mut file, &name)?;
    if bytes.is_empty() {
        return Err(format!("pipeline file {name:?} is empty").into());
    }
    Ok((name, bytes))
}

fn read(from: &mut dyn Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(MAX_PIPELINE + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("failed to read {name}: {error}"))?;
    if bytes.len() as u64 > MAX_PIPELINE {
        return Err(format!("the pipeline {name} has more than 4 MiB; upload it in several parts").into());
    }
    Ok(bytes)
}

fn source(name: &str, bytes: &[u8]) -> Result<Source, Failure> {
    let unreadable = |finding: Diagnostic| format!("pipeline parsing of {name:?} failed: {finding}");
    Source::from_bytes(name, bytes).map_err(|finding| unreadable(finding).into())
}

impl From<Finding> for Diagnostic {
    fn from(finding: Finding) -> Self {
        let Finding { error, message, label, help, span } = finding;
        let severity = if error { Severity::Error } else { Severity::Warning };
        Self { severity, message, span: span.map(|(start, end)| Span::new(start, end)), label, help }
    }
}

/// `BUILDKITE_COMMIT` may be a name such as HEAD; in a pipeline it is the commit.
fn resolve_commit(environment: &mut [(String, String)]) {
    let Some((_, commit)) = environment.iter_mut().find(|(name, _)| name == "BUILDKITE_COMMIT") else { return };
    let output = std::process::Command::new("git").args(["rev-parse", commit]).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().clone_into(commit),
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            note(&format!("warning: git rev-parse {commit:?}: {}", reason.trim()));
        }
        Err(error) => note(&format!("warning: git cannot be run to find the commit {commit:?}: {error}")),
    }
}

/// The characters that Go's encoder escapes, for pages that embed the text. They are found within strings only.
fn for_html(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text
}
