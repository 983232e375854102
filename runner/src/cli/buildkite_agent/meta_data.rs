//! `buildkite-agent meta-data`

use super::client::{call, unexpected};
use super::flags::{Ignored, Own};
use super::{Failure, Outcome, note, print, print_lines, stdin};
use crate::agent::job_api::protocol::{Call, Reply};
use clap::{Args, Subcommand};
use indexmap::IndexMap;

/// Bytes read from standard input: more than any value may have, so that the runner says what is wrong.
const MAX_INPUT: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum MetaData {
    /// Set a value
    Set(Set),
    /// Set several values at once
    SetBatch(SetBatch),
    /// Print the value of a key
    Get(Get),
    /// Whether a key has a value: exit status 0, or 100 when it has none
    Exists(Exists),
    /// List all keys
    Keys(Keys),
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// 1 to 255 bytes
    key: String,
    /// 1 byte to 100 KiB; from standard input when left out
    value: Option<String>,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct SetBatch {
    /// Keys and values
    #[arg(value_name = "KEY=VALUE")]
    values: Vec<String>,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// The key
    key: String,
    /// What to print when the key has no value, instead of failing
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    default: Option<String>,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Exists {
    /// The key
    key: String,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

impl MetaData {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Set(Set { key, value, own, .. }) => {
                own.check()?;
                let value = match value {
                    Some(value) => value,
                    None => stdin(MAX_INPUT, "the value")?,
                };
                set(IndexMap::from([(key, value)])).map_err(|error| error.during("failed to set meta-data"))
            }
            Self::SetBatch(SetBatch { values, own, .. }) => {
                own.check()?;
                if values.is_empty() {
                    return Err("at least one key=value argument is required".to_owned().into());
                }
                set(batch(&values)?).map_err(|error| error.during("failed to set meta-data batch"))
            }
            Self::Get(Get { key, default, own, .. }) => {
                own.check()?;
                match (get(&key)?, default) {
                    (Some(value), _) => print(&value),
                    (None, Some(default)) => {
                        note(&format!("no meta-data value exists with key {key:?}, returning the default {default:?}"));
                        print(&default)
                    }
                    (None, None) => Err(format!(
                        "failed to get meta-data: no meta-data value exists with key {key:?}; \
                         give one with --default, or look first with `meta-data exists`"
                    )
                    .into()),
                }
            }
            Self::Exists(Exists { key, own, .. }) => {
                own.check()?;
                get(&key)?.map(drop).ok_or(Failure::Silent(100))
            }
            Self::Keys(Keys { own, .. }) => {
                own.check()?;
                match call(&Call::MetaDataKeys)? {
                    Reply::Names(keys) => print_lines(keys),
                    other => Err(unexpected(&other)),
                }
            }
        }
    }
}

fn set(values: IndexMap<String, String>) -> Outcome {
    for (key, value) in &values {
        for (what, text) in [("key", key), ("value", value)] {
            if text.trim().is_empty() {
                return Err(format!("{what} cannot be empty, or composed of only whitespace characters").into());
            }
        }
    }
    call(&Call::MetaDataSet { values }).map(drop)
}

fn get(key: &str) -> Result<Option<String>, Failure> {
    match call(&Call::MetaDataGet { key: key.to_owned() })? {
        Reply::Value(value) => Ok(value),
        other => Err(unexpected(&other)),
    }
}

fn batch(arguments: &[String]) -> Result<IndexMap<String, String>, Failure> {
    let pair = |argument: &String| match argument.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("invalid argument {argument:?}: must be in key=value format").into()),
    };
    arguments.iter().map(pair).collect()
}
