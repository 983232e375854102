//! How a person lets a run go on past a block or input step, as something to be typed.

use crate::plan::{Gate, GateField, Job, JobKind};

/// The command, with every field that has no value of its own.
pub(crate) fn unblock_command(run: u64, job: &Job) -> String {
    let fields: &[GateField] = if let JobKind::Gate(Gate { fields, .. }) = &job.kind { fields } else { &[] };
    let missing = fields.iter().filter(|field| field.required && field.default.is_none());
    let mut command = format!("runner unblock {run} {}", job.name);
    for field in missing {
        let argument = format!("{}=…", super::text::plain(&field.key));
        // What holds a NUL cannot be an argument, and has been made printable.
        let quoted = shlex::try_quote(&argument).map_or_else(|_| argument.clone(), Into::into);
        let bare = field.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        command.push_str(&format!(" --field {}", if bare { &argument } else { &quoted }));
    }
    command
}
