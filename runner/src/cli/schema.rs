//! `runner schema`

use super::error::{Error, ExitStatus};
use crate::pipeline::schema::json_schema;
use clap::Args;
use std::io::Write;

/// Print the JSON Schema of pipeline files, for editors.
///
/// In VS Code with the YAML extension, write it to a file and begin the pipeline with
/// `# yaml-language-server: $schema=FILE`.
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    #[expect(clippy::unused_self, reason = "every command is run in the same way")]
    pub(super) fn run(self) -> Result<ExitStatus, Error> {
        let written = writeln!(anstream::stdout(), "{:#}", json_schema());
        written.map_err(|error| Error::environment(format!("cannot write the schema: {error}")))?;
        Ok(ExitStatus::Passed)
    }
}
