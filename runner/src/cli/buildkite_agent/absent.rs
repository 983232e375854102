//! Commands of Buildkite's agent that mean nothing here: each says so, and what to do.

use super::Failure;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(super) enum Absent {
    /// Not available: the runner has no identity that others could check
    Oidc(Anything),
    /// Not available: pipelines are not signed here
    Tool(Anything),
    /// Not available: `runner run` runs pipelines
    Start(Anything),
    /// Not available: there is no agent apart from the run
    Stop(Anything),
    /// Not available: there is no agent apart from the run
    Pause(Anything),
    /// Not available: there is no agent apart from the run
    Resume(Anything),
    /// Not available: jobs are started by the runner
    Bootstrap(Anything),
    /// Not available: there are no cache volumes
    Cache(Anything),
    /// Not available: git uses the user's own credentials
    GitCredentialsHelper(Anything),
}

#[derive(Debug, Args)]
pub(super) struct Anything {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Absent {
    pub(super) fn failure(self) -> Failure {
        let (command, instead) = match self {
            Self::Oidc(_) => (
                "oidc",
                "give the step what it is to log in with as a secret, or let a component with `grants.aws` do it",
            ),
            Self::Tool(_) => ("tool", "leave signing to the pipeline's own server"),
            Self::Start(_) => ("start", "use `runner run` to run a pipeline on this machine"),
            Self::Stop(_) => ("stop", "end the run with SIGINT, or from a job with `buildkite-agent build cancel`"),
            Self::Pause(_) => ("pause", "use a block step, which waits for a person"),
            Self::Resume(_) => ("resume", "use `runner unblock` to let a blocked run go on"),
            Self::Bootstrap(_) => ("bootstrap", "use `runner run` to run a pipeline on this machine"),
            Self::Cache(_) => ("cache", "keep files with `buildkite-agent artifact upload`"),
            Self::GitCredentialsHelper(_) => ("git-credentials-helper", "use the credential helper git is set up with"),
        };
        Failure::Message(format!("`buildkite-agent {command}` is not available here; {instead}"))
    }
}
