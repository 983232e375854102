//! Flags as Go's programs take them, and the ones that have no meaning here.

use super::Failure;
use crate::agent::job_api::protocol::StepReference;
use clap::builder::Command;
use clap::{ArgAction, Args};
use std::collections::HashSet;
use std::ffi::OsString;

/// `-format x` is `--format x`, for every flag there is.
pub(super) fn with_two_dashes(command: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    fn collect(command: &Command, names: &mut HashSet<String>) {
        for argument in command.get_arguments() {
            let names_of = argument.get_long_and_visible_aliases().into_iter().flatten();
            names.extend(names_of.chain(argument.get_all_aliases().into_iter().flatten()).map(ToOwned::to_owned));
        }
        command.get_subcommands().for_each(|command| collect(command, names));
    }
    let mut names = HashSet::from(["help".to_owned()]);
    collect(command, &mut names);
    let mut literally = false;
    let convert = |argument: OsString| {
        literally |= argument == "--";
        let name = argument.to_str().and_then(|text| text.strip_prefix('-')).and_then(|rest| rest.split('=').next());
        if literally || name.is_none_or(|name| name.len() < 2 || !names.contains(name)) {
            return argument;
        }
        let mut long = OsString::from("-");
        long.push(argument);
        long
    };
    arguments.into_iter().map(convert).collect()
}

/// Every flag without a value may have one, as Go's may: `--replace=false`.
pub(super) fn with_values(command: Command) -> Command {
    let command = command.mut_args(|argument| match argument.get_action() {
        ArgAction::SetTrue => argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .hide_default_value(true)
            .value_name("false")
            .value_parser(boolean),
        _ => argument,
    });
    command.mut_subcommands(with_values)
}

/// A flag's value as Go reads it; an empty environment variable is none.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A duration as Go reads it, in milliseconds: `1h30m`, `1.5s`, `300ms`. 0 is none.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no duration; expected for example 30s, 5m or 1h30m");
    if matches!(text, "" | "0") {
        return Ok(0);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..letters] {
                "ns" => 1e-6,
                "us" | "µs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3600e3,
                _ => return Err(wrong()),
            };
        rest = &rest[letters..];
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "neither negative nor beyond 2^53")]
    Ok(total.ceil().min(9e15) as u64)
}

/// Flags of Buildkite's agent about its logging and its server: taken, and of no meaning here.
#[derive(Debug, Args)]
pub(super) struct Ignored {
    #[arg(long, hide = true)]
    no_color: bool,
    #[arg(long, hide = true)]
    debug: bool,
    #[arg(long, hide = true)]
    log_level: Option<String>,
    #[arg(long, hide = true)]
    log_format: Option<String>,
    #[arg(long, hide = true)]
    experiment: Vec<String>,
    #[arg(long, hide = true)]
    profile: Option<String>,
    #[arg(long, hide = true)]
    agent_access_token: Option<String>,
    #[arg(long, hide = true)]
    endpoint: Option<String>,
    #[arg(long, hide = true)]
    no_http2: bool,
    #[arg(long, hide = true)]
    debug_http: bool,
    #[arg(long, hide = true)]
    trace_http: bool,
    #[arg(long, hide = true)]
    gzip_api_requests: bool,
    /// Secrets are known to the runner, which replaces them; which variables hold them is not chosen per call.
    #[arg(long, hide = true)]
    redacted_vars: Vec<String>,
}

/// The job and the build a command is about.
#[derive(Debug, Args)]
pub(super) struct Own {
    /// The job; only the calling one can be named
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// The build; only the one the calling job belongs to can be named
    #[arg(long, value_name = "ID")]
    build: Option<String>,
}

impl Own {
    /// Refuses other jobs and builds.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (flag, given, variable) in
            [("--job", &self.job, "BUILDKITE_JOB_ID"), ("--build", &self.build, "BUILDKITE_BUILD_ID")]
        {
            let Some(given) = given.as_deref().filter(|given| !given.is_empty()) else { continue };
            if !is_own(variable, given) {
                return Err(format!(
                    "{flag} {given} is not what calls: only the job's own run can be reached; leave {flag} out"
                )
                .into());
            }
        }
        Ok(())
    }
}

/// Whether a value is the one the variable gives the job.
pub(super) fn is_own(variable: &str, value: &str) -> bool {
    std::env::var(variable).is_ok_and(|own| own == value)
}

/// The step or job that `--step` means.
pub(super) fn step_reference(step: &str) -> StepReference {
    if is_own("BUILDKITE_STEP_ID", step) || is_own("BUILDKITE_STEP_KEY", step) {
        StepReference::OwnStep
    } else if is_own("BUILDKITE_JOB_ID", step) {
        StepReference::OwnJob
    } else {
        StepReference::Named(step.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn one_dash_is_two_where_there_is_such_a_flag() {
        let command = super::super::Arguments::command();
        let arguments = ["buildkite-agent", "artifact", "search", "-format", "%p", "-1", "-none", "--", "-format"];
        let converted = with_two_dashes(&command, arguments.iter().map(OsString::from).collect());
        let expected = ["buildkite-agent", "artifact", "search", "--format", "%p", "-1", "-none", "--", "-format"];
        assert_eq!(converted, expected.map(OsString::from));
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in
            [("0", Some(0)), ("300ms", Some(300)), ("1.5s", Some(1500)), ("1h30m", Some(5_400_000)), ("", Some(0))]
        {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
        for text in ["5", "x", "5x", "s", "-3s", "1..2s"] {
            assert!(duration(text).unwrap_err().contains("30s"), "{text}");
        }
    }
}
