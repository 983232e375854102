//! `buildkite-agent secret` and `buildkite-agent redactor`

use super::client::{call, unexpected};
use super::flags::{Ignored, Own};
use super::{Outcome, note, print, stdin};
use crate::agent::job_api::protocol::{Call, Reply};
use clap::{Args, Subcommand, ValueEnum};
use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Bytes of the values to be redacted together.
const MAX_INPUT: u64 = 4 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Secret {
    /// Print secrets that the step lists in `secrets`
    ///
    /// Their values are replaced by [REDACTED] in the job's log from then on.
    Get(Get),
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Names, in capitals or not
    #[arg(required = true)]
    names: Vec<String>,
    /// How to print them: `default` is the value of one, and JSON for several
    #[arg(long, env = "BUILDKITE_AGENT_SECRET_GET_FORMAT", hide_env_values = true, default_value = "default")]
    format: SecretFormat,
    /// Has no effect: secrets are always redacted
    #[arg(long, env = "BUILDKITE_AGENT_SECRET_GET_SKIP_SECRET_REDACTION")]
    skip_redaction: bool,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SecretFormat {
    Default,
    Json,
    Env,
}

impl Secret {
    pub(super) fn run(self) -> Outcome {
        let Self::Get(Get { names, format, skip_redaction, own, .. }) = self;
        own.check()?;
        if skip_redaction {
            note("warning: --skip-redaction has no effect: secrets are always redacted");
        }
        let reply = call(&Call::SecretGet { names: names.clone() });
        let reply = reply.map_err(|failure| failure.during("failed to fetch some secrets"))?;
        let Reply::Secrets(values) = reply else { return Err(unexpected(&reply)) };
        match (format, values.as_slice()) {
            (SecretFormat::Default, [value]) => print(&format!("{value}\n")),
            (SecretFormat::Default | SecretFormat::Json, _) => {
                let secrets: BTreeMap<String, String> = names.into_iter().zip(values).collect();
                let text = serde_json::to_string(&secrets).map_err(|error| error.to_string())?;
                print(&format!("{text}\n"))
            }
            (SecretFormat::Env, _) => {
                let secrets: BTreeMap<String, String> = names.into_iter().zip(values).collect();
                let line = |(name, value): (&String, &String)| {
                    format!("{}='{}'\n", name.to_uppercase(), value.replace('\'', "'\\''"))
                };
                print(&secrets.iter().map(line).collect::<String>())
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Redactor {
    /// Replace a value by [REDACTED] in what the job prints from now on
    Add(Add),
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// A file with the value; standard input when left out
    file: Option<PathBuf>,
    /// What the file holds: one value (space around it is left out), or a JSON object whose values they are
    #[arg(long, env = "BUILDKITE_AGENT_REDACT_ADD_FORMAT", hide_env_values = true, default_value = "none")]
    format: RedactFormat,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RedactFormat {
    None,
    Json,
}

impl Redactor {
    pub(super) fn run(self) -> Outcome {
        let Self::Add(Add { file, format, .. }) = self;
        let text = match &file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| format!("failed to open file {}: {error}", file.display()))?,
            None => stdin(MAX_INPUT, "the values to redact")?,
        };
        let values: Vec<String> = match format {
            RedactFormat::None => vec![text.trim().to_owned()],
            // The message of a JSON error would show a part of the secrets.
            RedactFormat::Json => serde_json::from_str::<IndexMap<String, String>>(&text)
                .map_err(|_| "failed to parse secrets: expected a JSON object of strings".to_owned())?
                .into_values()
                .collect(),
        };
        let redacted = call(&Call::Redact { values });
        redacted.map(drop).map_err(|failure| failure.during("failed to redact secrets"))
    }
}
