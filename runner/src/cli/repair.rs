//! `runner repair`

use super::error::{Error, ExitStatus};
use super::project::Project;
use crate::event::Event;
use crate::log::{self, Finding, Survey};
use crate::plan::Plan;
use crate::run::RunState;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Look for damage in the log of the project's runs, and save what is whole.
///
/// Everything is checked: the database, each event, each plan, and that the events of each run can have happened. When
/// something is damaged a new database takes the place of the old one, which is kept beside it. A run is saved up to its
/// first damaged event; `runner resume` goes on from there. Not while another process uses the log.
#[derive(Debug, Args)]
pub(super) struct Repair {
    /// Only look; damage is exit status 7
    #[arg(long)]
    check: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl Repair {
    pub(super) fn run(self) -> Result<ExitStatus, Error> {
        let database = Project::open(&self.directory)?.database();
        if !database.parent().is_some_and(std::path::Path::is_dir) {
            return Err(Error::usage("there are no runs in this project").help("`runner run` makes one"));
        }
        let (survey, kept) = if self.check {
            (log::survey(&database, &is_legal)?, None)
        } else {
            let repair = log::repair(&database, &is_legal)?;
            (repair.survey, repair.kept)
        };
        let mut text = describe(&survey);
        if let Some(kept) = kept {
            text.push_str(&format!(
                "{} has everything that is whole; the damaged one is kept as {}\n",
                database.display(),
                kept.display()
            ));
        }
        anstream::stdout().write_all(text.as_bytes()).map_err(|error| Error::environment(error.to_string()))?;
        if self.check && !survey.findings.is_empty() {
            return Err(Error::environment(format!("the event log at {} is damaged", database.display()))
                .help("`runner repair` makes a new one of everything that is whole, and keeps the damaged one"));
        }
        Ok(ExitStatus::Passed)
    }
}

fn is_legal(plan: Plan, events: &[Event]) -> Result<(), (u64, String)> {
    let mut state = RunState::new(Arc::new(plan));
    for event in events {
        state.apply(event).map_err(|illegal| (state.sequence(), illegal.to_string()))?;
    }
    Ok(())
}

/// What was found, a line each.
fn describe(survey: &Survey) -> String {
    let mut text = String::new();
    for Finding { what, saved } in &survey.findings {
        let saved = match saved {
            None => "",
            Some(0) => "; nothing of the run can be saved",
            Some(1) => "; event 1 can be saved",
            Some(events) => &format!("; events 1 to {events} can be saved"),
        };
        text.push_str(&format!("damaged: {what}{saved}\n"));
    }
    if survey.findings.is_empty() {
        text.push_str("nothing is damaged: ");
    }
    let whole = match survey.whole {
        1 => "1 run is whole".to_owned(),
        runs => format!("{runs} runs are whole"),
    };
    text.push_str(&format!("{whole}; {} events\n", survey.events));
    text
}
