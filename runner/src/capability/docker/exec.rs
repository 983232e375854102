//! Commands in a running container.

use super::client::Output;
use super::construct::{check_text, environment};
use super::containers::exit_code;
use super::{DockerCtx, EngineError};
use crate::capability::Error;
use crate::host::bindings::runner::docker::containers::ExecResult;
use futures_util::stream::{BoxStream, StreamExt};
use std::time::Duration;

/// Longest time a command in a container may take; the contract's limit.
const MAX_EXEC: Duration = Duration::from_mins(10);
/// Bytes of each of a command's streams that are kept; the contract's limit.
const MAX_EXEC_OUTPUT: usize = 1 << 20;

impl DockerCtx {
    pub(super) async fn exec(
        &mut self,
        id: &str,
        command: Vec<String>,
        env: Vec<(String, String)>,
    ) -> Result<ExecResult, Error> {
        self.started(id)?;
        if command.is_empty() {
            return Err(Error::Invalid("there is no command to run; expected a program and its arguments".to_owned()));
        }
        command.iter().try_for_each(|word| check_text(word, "command"))?;
        let env = environment(env)?;
        let shown = command[0].clone();
        let scope = self.scope.clone();
        let run = tokio::time::timeout(MAX_EXEC, async {
            let exec = self.client.create_exec(id, command, env).await?;
            let (stdout, stderr) = collect(self.client.start_exec(&exec).await?).await?;
            // Output can end before the program does.
            loop {
                if let Some(code) = self.client.inspect_exec(&exec).await? {
                    return Ok(ExecResult { exit_code: exit_code(code), stdout, stderr });
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let ran = scope.or_cancelled(async { Ok(run.await) }).await?;
        if let Ok(result) = ran {
            return result
                .map_err(|error: EngineError| self.failed(&format!("run `{shown}` in the container"), &error));
        }
        // Going away does not end the program; only the container's end does.
        self.kill(id).await?;
        Err(Error::Limit(format!(
            "`{shown}` ran for {} minutes, the most a command may take; its container was ended",
            MAX_EXEC.as_secs() / 60
        )))
    }
}

/// Both streams, each up to the limit; what is beyond is read and dropped.
async fn collect(
    mut stream: BoxStream<'static, Result<Output, EngineError>>,
) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(output) = stream.next().await {
        let Output { stderr: is_stderr, bytes } = output?;
        let kept = if is_stderr { &mut stderr } else { &mut stdout };
        let room = MAX_EXEC_OUTPUT - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok((stdout, stderr))
}
