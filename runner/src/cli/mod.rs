//! Arguments in, exit code out. The only room that prints errors and chooses an exit code.

mod artifacts;
mod audit;
mod buildkite_agent;
mod cache;
mod cancel;
mod check;
mod collect;
mod context;
mod diagnostic;
mod drive;
mod error;
mod explain;
mod gc;
mod leftovers;
mod logs;
mod meta_data;
mod opened;
mod plan;
mod prepare;
mod project;
mod prompt;
mod redaction;
mod repair;
mod resume;
mod retry;
mod run;
mod runs;
mod schema;
mod secrets;
mod show;
mod trigger;
mod unblock;
mod why;

pub use error::{Error, ExitStatus};

use clap::{Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Runs delivery pipelines written as code. A pipeline is YAML in Buildkite's format; every step is a sandboxed
/// WebAssembly component that reaches only what the pipeline grants it.
#[derive(Debug, Parser)]
#[command(name = "runner", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  runner check                 is the pipeline all right?
  runner check --strict        and free of typing errors?
  runner plan                  what would run, and what is it permitted?
  runner explain STEP          why is a step what it is?
  runner run                   run it
  runner run --branch master   run it as for another branch
  runner runs                  what ran, and what is running?
  runner show 12               how does run 12 stand, and why did it fail?
  runner logs 12 tests -f      what does its job `tests` say?
  runner unblock 12 release    let run 12 go on past the block step `release`
  runner resume                go on with a run whose process was ended
  runner retry 12 --failed     run what failed again, and what waited for it
  runner cancel 12             end it
  runner why 12 tests          why did `tests` run again, or why did it not?

Exit status:
  0 passed   1 failed   2 wrong usage   3 invalid pipeline   4 a grant is missing
  5 blocked, waiting for a person   6 cancelled   7 something on this machine is missing (Docker, disk)

Runs and their logs are kept in .runner/ in the project's directory.
RUNNER_LOG=debug shows what the runner itself does; NO_COLOR=1 turns colours off.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Plan(plan::Plan),
    Explain(explain::Explain),
    Runs(runs::Runs),
    Show(show::Show),
    Logs(logs::Logs),
    Artifacts(artifacts::Artifacts),
    MetaData(meta_data::MetaData),
    Audit(audit::Audit),
    Unblock(unblock::Unblock),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Resume(resume::Resume),
    Gc(gc::Gc),
    Repair(repair::Repair),
    Schema(schema::Schema),
    Why(why::Why),
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(arguments) = buildkite_agent::called() {
        return buildkite_agent::main(arguments);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no error.
            let status = if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Passed };
            return if error.print().is_ok() { status.into() } else { ExitStatus::Environment.into() };
        }
    };
    trace();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Error::environment(format!("cannot start: {error}"))),
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Run(run) => run.run().await,
            Command::Check(check) => check.run().await,
            Command::Plan(plan) => plan.run().await,
            Command::Explain(explain) => explain.run().await,
            Command::Runs(runs) => runs.run().await,
            Command::Show(show) => show.run().await,
            Command::Logs(logs) => logs.run().await,
            Command::Artifacts(artifacts) => artifacts.run().await,
            Command::MetaData(meta_data) => meta_data.run().await,
            Command::Audit(audit) => audit.run().await,
            Command::Unblock(unblock) => unblock.run().await,
            Command::Cancel(cancel) => cancel.run().await,
            Command::Retry(retry) => retry.run().await,
            Command::Resume(resume) => resume.run().await,
            Command::Gc(gc) => gc.run().await,
            Command::Repair(repair) => repair.run(),
            Command::Schema(schema) => schema.run(),
            Command::Why(why) => why.run().await,
        }
    });
    // Nothing of worth runs any more; a thread that waits for the terminal must not keep the program.
    runtime.shutdown_background();
    match result {
        Ok(status) => status.into(),
        Err(error) => fail(&error),
    }
}

fn fail(error: &Error) -> ExitCode {
    let mut stderr = anstream::stderr().lock();
    // A closed standard error leaves the exit status to tell it.
    drop(write!(stderr, "{}", redaction::known().redacted(&error.render())));
    error.status.into()
}

fn trace() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("RUNNER_LOG").unwrap_or_else(|_| EnvFilter::new("runner=warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(redaction::Stderr::default)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .finish();
    // Only fails when there is a subscriber already, which then does the same.
    drop(tracing::subscriber::set_global_default(subscriber));
}
