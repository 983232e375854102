//! Errors of the operating system, as the guest and the user see them.

use super::super::Error;
use std::io::ErrorKind;

pub(super) fn cannot_start(program: &str, error: &std::io::Error) -> Error {
    let program = program.escape_debug();
    match error.kind() {
        ErrorKind::NotFound => {
            Error::NotFound(format!("there is no program `{program}` on this machine; install it, or correct the name"))
        }
        ErrorKind::PermissionDenied => {
            Error::Failed(format!("`{program}` cannot be run: permission denied; is it executable (chmod +x)?"))
        }
        _ if error.raw_os_error() == Some(8) => Error::Failed(format!(
            "`{program}` is not a program the system can run; a script needs a first line such as #!/bin/sh"
        )),
        _ => Error::Failed(format!("cannot start `{program}`: {error}")),
    }
}
