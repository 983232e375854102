//! The phases of a command job: hooks of the repository before it, the command or the hook that takes its place, hooks
//! after it, artifacts, and the hook at the very end. What fails first is told; what comes after a failure and still
//! makes sense is done all the same.

use super::Params;
use runner_sdk::processes::{self, Exit, Options};
use runner_sdk::{Context, Error, Failure, log};

/// Where a repository has its hooks.
const HOOKS: &str = ".buildkite/hooks";

/// Runs a hook in this shell, unless it is a program of another kind, and hands what it exported, changed or unset to the processes after it. A hook that ends
/// the shell by itself hands back nothing, as with Buildkite's agent.
const HOOK_SCRIPT: &str = r#"
IFS= read -r first < "$0" || true
case $first in
  '#!'*sh*) ;;
  '#!'*) [ -x "$0" ] || chmod +x -- "$0"; exec "./$0" ;;
esac
before=$(compgen -e)
. "$0"
status=$?
after=$(compgen -e)
gone=()
for name in $before; do
  case $'\n'"$after"$'\n' in *$'\n'"$name"$'\n'*) ;; *) gone+=("$name") ;; esac
done
env -u _ -u SHLVL -u PWD -u OLDPWD buildkite-agent env dump |
  buildkite-agent env set --input-format json --output-format quiet - || exit 1
[ "${#gone[@]}" -eq 0 ] || buildkite-agent env unset --output-format quiet "${gone[@]}" || exit 1
exit "$status"
"#;

pub(super) fn run(params: &Params) -> Result<(), Failure> {
    let job = Job { params };
    let commands = job.commands();
    let artifacts = if is_cancelled(&commands) { Ok(()) } else { job.artifacts() };
    // The last word is the hook's at the very end; before that the command's is worth more than that of its artifacts.
    let result = commands.and(artifacts);
    if is_cancelled(&result) {
        return result;
    }
    job.hook("pre-exit", &[]).and(result)
}

struct Job<'a> {
    params: &'a Params,
}

impl Job<'_> {
    fn commands(&self) -> Result<(), Failure> {
        self.hook("post-checkout", &[])?;
        self.hook("pre-command", &[])?;
        let result = if self.has_hook("command")? { self.hook("command", &[]) } else { self.command() };
        if is_cancelled(&result) {
            return result;
        }
        let status = result.as_ref().map_or_else(|failure| failure.exit_status, |()| 0).to_string();
        self.hook("post-command", &[("BUILDKITE_COMMAND_EXIT_STATUS", &status)]).and(result)
    }

    fn command(&self) -> Result<(), Failure> {
        let script = self.params.command.trim();
        if !script.contains(['\n', '\0']) && is_file(script)? {
            let path = format!("./{}", script.trim_start_matches("./"));
            // As Buildkite's agent does; what cannot be made executable says so when it is started.
            let script = r#"[ -x "$0" ] || chmod +x -- "$0""#;
            drop(self.process("chmod", "/bin/sh", &["-c", script, &path], &[]));
            return self.process("the command", &path, &[], &[]);
        }
        // `bash -e -c`: no pipefail and no -u, and one shell for the whole list.
        self.process("the command", "/bin/bash", &["-e", "-c", &self.params.command], &[])
    }

    fn artifacts(&self) -> Result<(), Failure> {
        if self.params.artifact_paths.is_empty() {
            return Ok(());
        }
        self.hook("pre-artifact", &[])?;
        announce("Uploading artifacts");
        let globs = self.params.artifact_paths.join(";");
        self.process("the upload of artifacts", "buildkite-agent", &["artifact", "upload", &globs], &[])?;
        self.hook("post-artifact", &[])
    }

    /// Whether the repository has the hook, and it is to run.
    fn has_hook(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.params.hooks && is_file(&format!("{HOOKS}/{name}"))?)
    }

    /// Runs a hook, if the repository has it.
    fn hook(&self, name: &str, env: &[(&str, &str)]) -> Result<(), Failure> {
        if !self.has_hook(name)? {
            return Ok(());
        }
        let path = format!("{HOOKS}/{name}");
        announce(&format!("Running repository {name} hook"));
        self.process(&format!("the {name} hook"), "/bin/bash", &["-c", HOOK_SCRIPT, &path], env)
    }

    fn process(&self, what: &str, program: &str, args: &[&str], env: &[(&str, &str)]) -> Result<(), Failure> {
        let own = self.params.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        let options = Options {
            env: own.chain(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect(),
            directory: String::new(),
            grace_seconds: self.params.grace_seconds,
            extras: Vec::new(),
        };
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let process = processes::spawn(program, &args, &options).context(format!("start `{program}`"))?;
        match process.wait() {
            Ok(Exit::Status(0)) => Ok(()),
            Ok(Exit::Status(status)) => {
                Err(Failure::new(format!("{what} exited with status {status}")).exit_status(status))
            }
            Ok(Exit::Signal(number)) => {
                let signal = signal_name(number);
                Err(Failure::new(format!("{what} was ended by {signal}"))
                    .exit_status(128u8.saturating_add(number))
                    .signal(signal))
            }
            Err(Error::Cancelled) => {
                log::warning(&format!("cancelled: asking {what} to end"));
                process.stop().context("stop it")?;
                let failure = Failure::new(format!("{what} was cancelled"));
                Err(match process.wait() {
                    // Whatever it says, it was not let finish.
                    Ok(Exit::Status(status)) => failure.exit_status(status),
                    Ok(Exit::Signal(number)) => {
                        failure.exit_status(128u8.saturating_add(number)).signal(signal_name(number))
                    }
                    Err(_) => failure.exit_status(143).signal("SIGTERM"),
                })
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// Whether the job is asked to end: then nothing further is begun.
fn is_cancelled(result: &Result<(), Failure>) -> bool {
    result.is_err() && runner_sdk::context::is_cancelled()
}

/// A script is not a path: one that could not even be looked up is no file.
fn is_file(path: &str) -> Result<bool, Failure> {
    match processes::is_file(path) {
        Ok(found) => Ok(found),
        Err(Error::Invalid(_) | Error::NotFound(_)) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

/// Begins a group of lines that is of less interest than the command's own.
fn announce(title: &str) {
    log::output(format!("~~~ {title}\n").as_bytes());
}

/// The signal's name on Linux (signal(7)).
fn signal_name(number: u8) -> String {
    const NAMES: [&str; 15] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM",
    ];
    let name = usize::from(number).checked_sub(1).and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}
