//! Errors as a person sees them, and the exit status each becomes.

use super::diagnostic;
use crate::log::LogError;
use crate::pipeline::lint::Findings;
use crate::pipeline::{Diagnostic, Source};
use crate::run::{DriveError, Illegal};
use std::process::ExitCode;

/// How the program ends. The numbers are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Every job passed, failed softly or was skipped.
    Passed = 0,
    /// A job failed.
    Failed = 1,
    /// The arguments are wrong.
    Usage = 2,
    /// The pipeline is invalid.
    InvalidPipeline = 3,
    /// A step needs a grant it does not have.
    RefusedGrant = 4,
    /// The run waits for a person.
    Blocked = 5,
    /// The run was cancelled.
    Cancelled = 6,
    /// Something on this machine is missing or does not work.
    Environment = 7,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct Error {
    /// What it becomes.
    pub status: ExitStatus,
    message: String,
    help: String,
    findings: Vec<Diagnostic>,
    source: Option<Source>,
}

impl Error {
    /// Wrong arguments.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    /// Something on this machine is missing or does not work.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Environment, message)
    }

    /// A pipeline that cannot even be read.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::InvalidPipeline, message)
    }

    /// What is wrong with a pipeline, each finding at its place.
    #[must_use]
    pub fn pipeline(status: ExitStatus, source: Source, findings: Vec<Diagnostic>) -> Self {
        Self { findings, source: Some(source), ..Self::new(status, "") }
    }

    /// With what the strict check has found besides. An error that is not about the pipeline stays as it is.
    #[must_use]
    pub fn join(mut self, findings: Findings) -> Self {
        if self.source.is_some() {
            let ordinary = self.findings.len();
            self.findings = findings.join(self.findings);
            if self.findings.len() > ordinary {
                self.status = ExitStatus::InvalidPipeline;
            }
        }
        self
    }

    /// With a sentence on what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), help: String::new(), findings: Vec::new(), source: None }
    }

    /// What is wrong, without its place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do; may be empty.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.help
    }

    /// The text for standard error, with colours.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Some(source) = &self.source {
            for finding in self.findings.iter().take(diagnostic::MAX_SHOWN) {
                text.push_str(&diagnostic::render(source, finding));
                text.push('\n');
            }
            if let more @ 1.. = self.findings.len().saturating_sub(diagnostic::MAX_SHOWN) {
                text.push_str(&diagnostic::render_plain("error", &format!("there are {more} more"), ""));
            }
        }
        if !self.message.is_empty() {
            text.push_str(&diagnostic::render_plain("error", &self.message, &self.help));
        }
        text
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        match &error {
            LogError::NoSuchRun(_) | LogError::Ambiguous(_) => {
                Self::usage(error.to_string()).help("write the number that `runner run` printed")
            }
            LogError::Full { .. } => Self::environment(error.to_string()).help("free space on the disk"),
            LogError::Damaged { .. } => Self::environment(error.to_string())
                .help("`runner repair` makes a new one of everything that is whole, and keeps the damaged one"),
            _ => Self::environment(error.to_string()),
        }
    }
}

impl From<DriveError> for Error {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Log(error) => error.into(),
            DriveError::Taken | DriveError::Queue(_) | DriveError::Illegal(_) => Self::environment(error.to_string()),
        }
    }
}

impl From<Illegal> for Error {
    fn from(illegal: Illegal) -> Self {
        Self::usage(illegal.to_string())
    }
}
