//! One more fact for a run, from outside the process that drives it.

use super::DriveError;
use super::drive::now;
use super::state::{Illegal, RunState};
use crate::event::{Event, EventKind};
use crate::log::{EventLog, LogError};

/// Appends the fact that follows from a run's state, however often others change that meanwhile. The state, which may be
/// older than the log, is brought up to date; the fact is in it in the end.
///
/// # Errors
/// When the log fails, when `fact` does, and `Illegal` when the fact cannot happen now.
pub async fn append<E: From<DriveError> + From<Illegal>>(
    log: &dyn EventLog,
    run: &str,
    state: &mut RunState,
    mut fact: impl FnMut(&RunState) -> Result<EventKind, E>,
) -> Result<(), E> {
    loop {
        catch_up(log, run, state).await?;
        let event = Event { sequence: state.sequence() + 1, at: now(), kind: fact(state)? };
        // What cannot happen is not written: nobody could go on from such a log.
        let mut after = state.clone();
        after.apply(&event)?;
        match log.append(run, &[event]).await {
            Ok(()) => {
                *state = after;
                return Ok(());
            }
            Err(LogError::Conflict { .. }) => {}
            Err(error) => return Err(DriveError::from(error).into()),
        }
    }
}

/// Applies what the log has after the state's last event.
///
/// # Errors
/// When the log fails, or holds what cannot have happened.
pub async fn catch_up(log: &dyn EventLog, run: &str, state: &mut RunState) -> Result<(), DriveError> {
    for event in log.read(run, state.sequence()).await? {
        state.apply(&event)?;
    }
    Ok(())
}
