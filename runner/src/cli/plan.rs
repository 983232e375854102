//! `runner plan`

use super::error::{Error, ExitStatus};
use super::prepare::{PipelineFlags, Prepared};
use super::run::warn;
use crate::plan::{Job, JobKind, Phase, StepJob};
use clap::Args;
use std::io::Write;

/// Show what a run would do.
///
/// Jobs, what they wait for, why one is skipped, components with digests, and grants.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipeline: PipelineFlags,
}

impl Plan {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let Prepared { source, plan, warnings, .. } = self.pipeline.prepare().await?;
        warn(&source, &warnings);
        let text = if self.json {
            serde_json::to_string_pretty(&plan).map_err(|error| Error::environment(error.to_string()))? + "\n"
        } else {
            let jobs: Vec<String> = plan.jobs.iter().map(|job| describe(job, &plan)).collect();
            jobs.join("\n")
        };
        let written = anstream::stdout().write_all(text.as_bytes());
        written.map_err(|error| Error::environment(format!("cannot write the plan: {error}")))?;
        Ok(ExitStatus::Passed)
    }
}

fn describe(job: &Job, plan: &crate::plan::Plan) -> String {
    let mut text = match &job.kind {
        JobKind::Wait => format!("{}\n", job.name),
        _ if job.label == job.name => format!("{}\n", job.name),
        _ => format!("{}  {}\n", job.name, job.label),
    };
    let mut line = |name: &str, value: &str| text.push_str(&format!("    {name:<9} {value}\n"));
    if let Some(reason) = &job.skip {
        line("skipped", reason);
    }
    if !job.depends_on.is_empty() {
        let names: Vec<&str> = job.depends_on.iter().map(|edge| plan.job(edge.job).name.as_str()).collect();
        line("after", &names.join(", "));
    }
    match &job.kind {
        JobKind::Wait => {}
        JobKind::Trigger(trigger) => line("triggers", &trigger.pipeline),
        JobKind::Gate(gate) => line("waits for", if gate.prompt.is_empty() { "a person" } else { &gate.prompt }),
        JobKind::Step(step) => {
            describe_phases("before", &step.before, &mut line);
            describe_step(step, &mut line);
            describe_phases("then", &step.after, &mut line);
        }
    }
    text
}

/// What runs around a job's own component, with its grants.
fn describe_phases(when: &str, phases: &[Phase], line: &mut impl FnMut(&str, &str)) {
    for phase in phases {
        let name = phase.component.as_ref().map_or(&phase.uses, |pin| &pin.name);
        match (serde_json::to_value(&phase.grants), phase.params["command"].as_str()) {
            (_, Some(command)) if phase.command => line(when, &format!("the command {command:?}, on this machine")),
            (Ok(grants), _) => line(when, &format!("{name} with {}, granted {grants}", phase.params)),
            (Err(_), _) => line(when, name),
        }
    }
}

fn describe_step(step: &StepJob, line: &mut impl FnMut(&str, &str)) {
    if let Some(pin) = &step.component {
        line("uses", &format!("{}@{} {}", pin.name, pin.version, pin.digest));
    }
    if step.command {
        for (index, command) in step.params["command"].as_str().unwrap_or_default().trim_end().lines().enumerate() {
            line(if index == 0 { "command" } else { "" }, command);
        }
    } else {
        line("with", &step.params.to_string());
    }
    match serde_json::to_value(&step.grants) {
        Ok(serde_json::Value::Object(grants)) if !grants.is_empty() => {
            for (index, (kind, grant)) in grants.iter().enumerate() {
                line(if index == 0 { "grants" } else { "" }, &format!("{kind}: {grant}"));
            }
        }
        _ if step.command => line("grants", "the command itself, on this machine"),
        _ => line("grants", "nothing"),
    }
}
