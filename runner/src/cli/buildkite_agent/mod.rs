//! `buildkite-agent`: the command that scripts of Buildkite's pipelines call, answered by the runner that drives them.
//!
//! Arguments, exit statuses and what goes to standard output are those of Buildkite's own. A script may call it
//! hundreds of times: no runtime, no engine, one connection.

mod absent;
mod annotation;
mod artifact;
mod client;
mod environment;
mod flags;
mod lock;
mod meta_data;
mod pipeline;
mod secret;
mod step;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

/// The name under which the program is this command.
pub(super) const NAME: &str = "buildkite-agent";

/// The version of Buildkite's agent whose commands these are, for scripts that look at it.
const VERSION: &str = concat!("version 3.104.0 (runner ", env!("CARGO_PKG_VERSION"), ")");

/// What a job's processes ask of the runner that drives them. The commands, their flags and exit statuses are those
/// of Buildkite's agent.
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION, disable_version_flag = true, args_override_self = true, max_term_width = 100)]
struct Arguments {
    /// Print the version
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show Markdown to people, beside the log
    Annotate(annotation::Annotate),
    /// Change what `annotate` shows
    #[command(subcommand)]
    Annotation(annotation::Annotation),
    /// Keep files with the run, and get them back
    #[command(subcommand)]
    Artifact(artifact::Artifact),
    /// End the run
    #[command(subcommand)]
    Build(step::Build),
    /// Read and change the environment that later processes of the job get
    #[command(subcommand)]
    Env(environment::Environment),
    /// Change the job
    #[command(subcommand)]
    Job(step::Job),
    /// Locks of this user on this machine
    #[command(subcommand)]
    Lock(lock::Lock),
    /// Data shared by the jobs of a run
    #[command(subcommand)]
    MetaData(meta_data::MetaData),
    /// Change the pipeline of the run
    #[command(subcommand)]
    Pipeline(pipeline::Pipeline),
    /// Replace values in the job's log
    #[command(subcommand)]
    Redactor(secret::Redactor),
    /// Secrets the step may read
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Read and change steps of the run, and end them
    #[command(subcommand)]
    Step(step::Step),
    #[command(flatten)]
    Absent(absent::Absent),
}

/// Why the command failed.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// With a message, and exit status 1.
    Message(String),
    /// With this exit status, which says it all.
    Silent(u8),
}

impl Failure {
    /// With what was being done.
    fn during(self, doing: &str) -> Self {
        match self {
            Self::Message(message) => Self::Message(format!("{doing}: {message}")),
            silent @ Self::Silent(_) => silent,
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Message(format!("cannot write the output: {error}"))
    }
}

type Outcome = Result<(), Failure>;

/// The arguments of `buildkite-agent`, when that is what the program was called as: by its own name, or as
/// `runner buildkite-agent`.
pub(super) fn called() -> Option<Vec<OsString>> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let is_called = |argument: &OsString| Path::new(argument).file_name().is_some_and(|name| name == NAME);
    if arguments.first().is_some_and(is_called) {
        return Some(arguments);
    }
    if arguments.get(1).is_some_and(|argument| argument == NAME) {
        arguments.remove(0);
        return Some(arguments);
    }
    None
}

/// Runs the command.
pub(super) fn main(arguments: Vec<OsString>) -> ExitCode {
    let command = flags::with_values(Arguments::command());
    let arguments = flags::with_two_dashes(&command, arguments);
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| Arguments::from_arg_matches(&matches));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to standard output and are no error. Others have exit status 1, as theirs.
            let failed = error.use_stderr() || error.print().is_err();
            if error.use_stderr() {
                drop(error.print());
            }
            return ExitCode::from(u8::from(failed));
        }
    };
    let outcome = match parsed.command {
        Command::Annotate(command) => command.run(),
        Command::Annotation(command) => command.run(),
        Command::Artifact(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Env(command) => command.run(),
        Command::Job(command) => command.run(),
        Command::Lock(command) => command.run(),
        Command::MetaData(command) => command.run(),
        Command::Pipeline(command) => command.run(),
        Command::Redactor(command) => command.run(),
        Command::Secret(command) => command.run(),
        Command::Step(command) => command.run(),
        Command::Absent(command) => Err(command.failure()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Silent(status)) => ExitCode::from(status),
        Err(Failure::Message(message)) => {
            note(&format!("fatal: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// A line to standard error, where everything goes that is not the result.
fn note(text: &str) {
    // A closed standard error leaves the exit status to tell it.
    drop(writeln!(anstream::stderr(), "{text}"));
}

/// Lines to standard error, each as a warning.
fn warn(warnings: &[String]) {
    for warning in warnings {
        note(&format!("warning: {warning}"));
    }
}

/// The result, as it is.
fn print(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// The result, a line each.
fn print_lines(lines: impl IntoIterator<Item = String>) -> Outcome {
    print(&lines.into_iter().fold(String::new(), |text, line| text + &line + "\n"))
}

/// All of standard input, at most `limit` bytes.
fn stdin(limit: u64, what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(limit + 1).read_to_string(&mut text);
    read.map_err(|error| format!("failed to read {what} from STDIN: {error}"))?;
    if text.len() as u64 > limit {
        return Err(format!("{what} has more than {limit} bytes").into());
    }
    Ok(text)
}

/// Whether something was piped in. A terminal or /dev/null was not.
fn is_piped() -> bool {
    use rustix::fs::{FileType, fstat};
    fstat(std::io::stdin()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        flags::with_values(Arguments::command()).debug_assert();
    }

    #[test]
    fn every_command_has_help_for_itself_and_its_flags() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} does not say what it does");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{name} does not say what {} is", argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
