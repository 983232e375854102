//! `runner unblock`

use super::error::{Error, ExitStatus};
use super::opened::Further;
use super::prepare::variable;
use super::project::Project;
use crate::plan::{Gate, Job, JobId, JobKind};
use crate::report::text::plain;
use crate::run::{self, Account, Answer, RunState};
use clap::Args;
use indexmap::IndexMap;
use std::io::Write;

/// Let a blocked run go on.
///
/// Who did it is recorded. The run is driven further by this process, unless another one waits for it already.
#[derive(Debug, Args)]
pub(super) struct Unblock {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// The block or input step, by key; not needed when the run waits at one only
    step: Option<String>,
    /// The value of a field; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    field: Vec<(String, String)>,
    /// Who lets it go on [default: the user at the terminal]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    further: Further,
}

impl Unblock {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = self.further.open(self.run.as_deref()).await?;
        let number = opened.record.number;
        if self.by.as_ref().is_some_and(|by| by.trim().is_empty()) {
            return Err(Error::usage("`--by` names nobody"));
        }
        let mut by = String::new();
        let mut label = String::new();
        let fact = |state: &RunState| {
            let job = self.find(number, state)?;
            let planned = state.plan().job(job);
            let JobKind::Gate(gate) = &planned.kind else {
                return Err(Error::usage(format!("`{}` is not a block or input step", planned.name)));
            };
            // Who may not is told so before what they have filled in is looked at.
            let answer = signed(opened.project(), planned, gate, self.by.as_deref(), IndexMap::new())?;
            let given: IndexMap<String, String> = self.field.iter().cloned().collect();
            if given.len() < self.field.len() {
                let several = "a field is given twice; several choices are one value with line breaks between them";
                return Err(Error::usage(several));
            }
            let fields = run::answer(gate, &given)
                .map_err(|problems| Error::usage(problems.join("; ")).help("give each field as --field KEY=VALUE"))?;
            label.clone_from(&planned.label);
            by.clone_from(&answer.by);
            Ok(Answer { fields, ..answer }.unblocks(job))
        };
        let before = opened.append(fact).await?;
        let driven = opened.is_driven()?;
        let goes_on = if driven { "goes on in the process that waits for it" } else { "goes on" };
        writeln!(anstream::stdout(), "`{}` unblocked by {}; run {number} {goes_on}", plain(&label), plain(&by))
            .map_err(|error| Error::environment(error.to_string()))?;
        if driven {
            return Ok(ExitStatus::Passed);
        }
        opened.go_on(&self.further, before.sequence()).await
    }

    /// The blocked step that is meant.
    fn find(&self, run: u64, state: &RunState) -> Result<JobId, Error> {
        let blocked: Vec<JobId> = state.blocked().collect();
        let names: Vec<&str> = blocked.iter().map(|job| state.plan().job(*job).name.as_str()).collect();
        let waiting = match names.as_slice() {
            [] => "it waits for nobody".to_owned(),
            names => format!("it waits at: {}", names.join(", ")),
        };
        match (&self.step, blocked.as_slice()) {
            (None, [one]) => Ok(*one),
            (Some(step), blocked) => {
                let meant = |job: &&JobId| {
                    let job = state.plan().job(**job);
                    job.step_key.as_ref() == Some(step) || job.name == *step
                };
                let found = blocked.iter().find(meant).copied();
                found.ok_or_else(|| Error::usage(format!("run {run} is not blocked at `{step}`")).help(waiting))
            }
            (None, []) => Err(Error::usage(format!("run {run} is not blocked")).help(waiting)),
            (None, _) => {
                Err(Error::usage(format!("run {run} is blocked at several steps")).help(format!("name one; {waiting}")))
            }
        }
    }
}

/// The answer to a block or input step that this process gives, unless its account may not. Who gives it is as they call
/// themselves, but at a step with `allowed_teams` the account alone.
pub(super) fn signed(
    project: &Project,
    job: &Job,
    gate: &Gate,
    by: Option<&str>,
    fields: IndexMap<String, String>,
) -> Result<Answer, Error> {
    let account = Account::own();
    if gate.allowed_teams.is_empty() {
        return Ok(Answer { by: by.map_or_else(run::user, ToOwned::to_owned), account, fields });
    }
    project.settings()?.teams.admit(&gate.allowed_teams, &account.name).map_err(|who| {
        let message = format!("the account `{}` may not unblock `{}`", account.name, job.name);
        Error::usage(message).help(format!("its `allowed_teams` are: {who}; teams are defined in runner.yml"))
    })?;
    if by.is_some() {
        let message = format!("`{}` has `allowed_teams`: who unblocks it is the account alone", job.name);
        return Err(Error::usage(message).help("leave `--by` out"));
    }
    Ok(Answer { by: account.name.clone(), account, fields })
}
