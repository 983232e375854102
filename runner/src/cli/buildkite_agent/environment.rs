//! `buildkite-agent env`

use super::client::{call, unexpected};
use super::flags::Ignored;
use super::{Failure, Outcome, note, print, print_lines, stdin};
use crate::agent::job_api::protocol::{Call, Reply};
use crate::agent::own_environment;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;

/// Bytes read from standard input: more than an environment may have.
const MAX_INPUT: u64 = 4 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Environment {
    /// Print variables that later processes of the job get
    Get(Get),
    /// Set variables for later processes of the job
    Set(Set),
    /// Remove variables for later processes of the job
    Unset(Unset),
    /// Print the environment of this process as a JSON object
    Dump(Dump),
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Names; all variables when left out
    names: Vec<String>,
    /// How to print them
    #[arg(long, env = "BUILDKITE_AGENT_ENV_GET_FORMAT", hide_env_values = true, default_value = "plain")]
    format: Format,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// Variables; `-` reads them from standard input, one a line
    #[arg(value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// How they are given: NAME=VALUE, or a JSON object
    #[arg(long, env = "BUILDKITE_AGENT_ENV_SET_INPUT_FORMAT", hide_env_values = true, default_value = "plain")]
    input_format: InputFormat,
    /// How to print what has changed
    #[arg(long, env = "BUILDKITE_AGENT_ENV_SET_OUTPUT_FORMAT", hide_env_values = true, default_value = "plain")]
    output_format: Format,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Unset {
    /// Names; `-` reads them from standard input, one a line
    names: Vec<String>,
    /// How they are given: as they are, or a JSON list
    #[arg(long, env = "BUILDKITE_AGENT_ENV_UNSET_INPUT_FORMAT", hide_env_values = true, default_value = "plain")]
    input_format: InputFormat,
    /// How to print what has changed
    #[arg(long, env = "BUILDKITE_AGENT_ENV_UNSET_OUTPUT_FORMAT", hide_env_values = true, default_value = "plain")]
    output_format: Format,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Dump {
    /// How to print it
    #[arg(long, env = "BUILDKITE_AGENT_ENV_DUMP_FORMAT", hide_env_values = true, default_value = "json")]
    format: Format,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Plain,
    Json,
    JsonPretty,
    Quiet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    Plain,
    Json,
}

impl Environment {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Get(command) => command.run(),
            Self::Set(command) => command.run(),
            Self::Unset(command) => command.run(),
            Self::Dump(Dump { format, .. }) => {
                let pretty = if format == Format::JsonPretty { format } else { Format::Json };
                let variables: BTreeMap<String, String> = own_environment().collect();
                print(&json(&variables, pretty)?)
            }
        }
    }
}

impl Get {
    fn run(self) -> Outcome {
        let Reply::Variables(mut variables) = reply(&Call::EnvironmentGet)? else { return Ok(()) };
        let missing: Vec<&String> = self.names.iter().filter(|name| !variables.contains_key(*name)).collect();
        for name in &missing {
            note(&format!("warning: {name:?} is not set"));
        }
        let missing = !missing.is_empty();
        if !self.names.is_empty() {
            variables.retain(|name, _| self.names.contains(name));
        }
        match self.format {
            Format::Plain if self.names.len() == 1 => {
                print_lines(variables.into_values())?;
            }
            Format::Plain => {
                print_lines(variables.iter().map(|(name, value)| format!("{name}={value}")))?;
            }
            Format::Quiet => {}
            format => print(&json(&variables, format)?)?,
        }
        if missing { Err(Failure::Silent(1)) } else { Ok(()) }
    }
}

impl Set {
    fn run(self) -> Outcome {
        let mut variables = BTreeMap::new();
        for (text, place) in inputs(&self.variables, self.input_format)? {
            match self.input_format {
                InputFormat::Plain => {
                    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
                    let (name, value) = pair.ok_or_else(|| format!("{place}: {text:?} is not in key=value format"))?;
                    variables.insert(name.to_owned(), value.to_owned());
                }
                InputFormat::Json => {
                    let object: BTreeMap<String, String> = serde_json::from_str(&text)
                        .map_err(|error| format!("{place}: expected a JSON object of strings: {error}"))?;
                    variables.extend(object);
                }
            }
        }
        let reply = reply(&Call::EnvironmentSet { variables })?;
        let Reply::Environment { added, updated } = reply else { return Err(unexpected(&reply)) };
        match self.output_format {
            Format::Quiet => Ok(()),
            Format::Plain if added.is_empty() && updated.is_empty() => print("No variables added or updated.\n"),
            Format::Plain => print(&(list("Added:", "+", &added) + &list("Updated:", "~", &updated))),
            format => print(&json(&serde_json::json!({ "added": added, "updated": updated }), format)?),
        }
    }
}

impl Unset {
    fn run(self) -> Outcome {
        let mut names = Vec::new();
        for (text, place) in inputs(&self.names, self.input_format)? {
            match self.input_format {
                InputFormat::Plain => names.push(text),
                InputFormat::Json => {
                    let list: Vec<String> = serde_json::from_str(&text)
                        .map_err(|error| format!("{place}: expected a JSON list of strings: {error}"))?;
                    names.extend(list);
                }
            }
        }
        let reply = reply(&Call::EnvironmentUnset { names })?;
        let Reply::Names(removed) = reply else { return Err(unexpected(&reply)) };
        match self.output_format {
            Format::Quiet => Ok(()),
            Format::Plain if removed.is_empty() => print("No variables unset.\n"),
            Format::Plain => print(&list("Unset:", "-", &removed)),
            format => print(&json(&removed, format)?),
        }
    }
}

/// What was given, each with where it stands. A JSON value from standard input may have several lines.
fn inputs(arguments: &[String], format: InputFormat) -> Result<Vec<(String, String)>, Failure> {
    let mut inputs = Vec::new();
    for argument in arguments {
        if argument != "-" {
            inputs.push((argument.clone(), format!("the argument {argument:?}")));
            continue;
        }
        let text = stdin(MAX_INPUT, "the variables")?;
        match format {
            InputFormat::Plain => {
                let lines = text.lines().enumerate();
                inputs.extend(lines.map(|(at, line)| (line.to_owned(), format!("input line {}", at + 1))));
            }
            InputFormat::Json => inputs.push((text, "standard input".to_owned())),
        }
    }
    Ok(inputs)
}

fn reply(asked: &Call) -> Result<Reply, Failure> {
    call(asked).map_err(|error| error.during("couldn't reach the job's environment"))
}

fn list(title: &str, mark: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    names.iter().fold(format!("{title}\n"), |text, name| text + &format!("{mark} {name}\n"))
}

/// JSON with a line break at its end.
fn json(value: &impl Serialize, format: Format) -> Result<String, Failure> {
    let text = match format {
        Format::JsonPretty => serde_json::to_string_pretty(value),
        _ => serde_json::to_string(value),
    };
    text.map(|text| text + "\n").map_err(|error| Failure::Message(error.to_string()))
}
