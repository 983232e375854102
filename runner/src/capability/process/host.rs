//! The process interface towards the guest. Everything a guest passes is hostile.

use super::super::step::Secret;
use super::super::workspace::relative_path;
use super::super::{Error, JobScope};
use super::client::{Ended, Process};
use super::{ATTEMPT_VARIABLE, ProcessCtx, ProcessView, Programs, mark};
use crate::host::bindings::runner::process::processes;
use crate::host::bindings::runner::step::types;
use std::collections::BTreeMap;
use std::time::Duration;
use wasmtime::component::Resource;

/// Processes of one job at once; the contract says so.
const MAX_PROCESSES: usize = 64;
/// Seconds of grace; the contract says so.
const MAX_GRACE: u32 = 600;

impl ProcessCtx {
    async fn check(&self, program: &str) -> Result<(), Error> {
        let granted = match &self.programs {
            Programs::CommandLine => true,
            Programs::Listed(programs) => programs.iter().any(|granted| granted == program),
        };
        if granted {
            return self.scope.allow("process", "spawn", program).await;
        }
        let shown = program.escape_debug();
        let reason =
            format!("the program `{shown}` is not granted; add to the step: grants: {{ process: [\"{shown}\"] }}");
        Err(self.scope.deny("process", "spawn", program, reason).await)
    }

    /// Starts a program, if the job may, with its environment as it is now.
    pub(crate) async fn spawn(
        &mut self,
        program: &str,
        args: &[String],
        options: processes::Options,
        secrets: Vec<(String, String)>,
    ) -> Result<Process, Error> {
        self.check(program).await?;
        if self.running.len() >= MAX_PROCESSES {
            return Err(Error::Limit(format!("a job runs at most {MAX_PROCESSES} processes at once")));
        }
        let mut env = BTreeMap::clone(&self.env.current());
        for (name, value) in options.env.into_iter().chain(secrets) {
            env.insert(variable(name)?, value);
        }
        env.insert(ATTEMPT_VARIABLE.to_owned(), mark::mark(&self.scope.name));
        self.started = true;
        let directory = self.scope.workspace.root().join(relative_path(&options.directory)?);
        let grace = Duration::from_secs(options.grace_seconds.min(MAX_GRACE).into());
        let process = Process::spawn(program, args, &env, &directory, grace, self.scope.log.clone())?;
        self.running.push(process.group);
        Ok(process)
    }
}

/// A name the operating system takes for an environment variable.
fn variable(name: String) -> Result<String, Error> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(Error::Invalid(format!("`{}` cannot be the name of an environment variable", name.escape_debug())));
    }
    Ok(name)
}

impl types::Host for ProcessView<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<types::Error> {
        error.into_guest()
    }
}

impl processes::Host for ProcessView<'_> {
    async fn spawn(
        &mut self,
        program: String,
        args: Vec<String>,
        options: processes::Options,
    ) -> Result<Resource<Process>, Error> {
        let process = self.ctx.spawn(&program, &args, options, Vec::new()).await?;
        Ok(self.table.push(process)?)
    }

    async fn spawn_with_secrets(
        &mut self,
        program: String,
        args: Vec<String>,
        options: processes::Options,
        secrets: Vec<(String, Resource<Secret>)>,
    ) -> Result<Resource<Process>, Error> {
        let mut values = Vec::with_capacity(secrets.len());
        for (name, secret) in secrets {
            let secret = self.table.get(&secret)?;
            self.ctx.scope.allow("secrets", "set", secret.name()).await?;
            values.push((name, secret.value().expose().to_owned()));
        }
        let process = self.ctx.spawn(&program, &args, options, values).await?;
        Ok(self.table.push(process)?)
    }

    async fn is_file(&mut self, path: String) -> Result<bool, Error> {
        let path = relative_path(&path)?;
        let metadata = self.ctx.scope.workspace.dir().metadata(path);
        Ok(metadata.is_ok_and(|metadata| metadata.is_file()))
    }
}

impl processes::HostProcess for ProcessView<'_> {
    async fn wait(&mut self, process: Resource<Process>) -> Result<processes::Exit, Error> {
        let scope: JobScope = self.ctx.scope.clone();
        let process = self.table.get_mut(&process)?;
        let ended = scope.or_cancelled(process.wait()).await?;
        let group = process.group;
        self.ctx.strays |= process.strays;
        self.ctx.running.retain(|running| *running != group);
        Ok(match ended {
            Ended::Status(status) => processes::Exit::Status(status),
            Ended::Signal(signal) => processes::Exit::Signal(signal),
        })
    }

    async fn stop(&mut self, process: Resource<Process>) -> Result<(), Error> {
        let process = self.table.get_mut(&process)?;
        process.stop().await?;
        let group = process.group;
        self.ctx.running.retain(|running| *running != group);
        Ok(())
    }

    async fn drop(&mut self, process: Resource<Process>) -> wasmtime::Result<()> {
        let mut process = self.table.delete(process)?;
        let group = process.group;
        if self.ctx.running.contains(&group) {
            group.kill();
            self.ctx.running.retain(|running| *running != group);
            if let Err(error) = process.wait().await {
                tracing::debug!(%error, "a process dropped by its component");
            }
        }
        Ok(())
    }
}
