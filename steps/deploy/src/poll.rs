//! Waiting between two looks at something that goes on elsewhere.

use runner_sdk::{Error, context};

/// Milliseconds before the second look: the smallest stacks take no longer.
const FIRST: u64 = 200;

/// Milliseconds between looks in the long run.
const LONGEST: u64 = 5_000;

/// Waits longer each time.
pub struct Poll {
    delay: u64,
}

impl Poll {
    pub fn new() -> Self {
        Self { delay: FIRST }
    }

    /// Begins with short waits again: something happened.
    pub fn reset(&mut self) {
        self.delay = FIRST;
    }

    /// Waits.
    ///
    /// # Errors
    /// `Cancelled` as soon as the job is being cancelled.
    pub fn wait(&mut self) -> Result<(), Error> {
        context::sleep(self.advance())
    }

    fn advance(&mut self) -> u64 {
        let delay = self.delay;
        self.delay = (delay + delay / 2).min(LONGEST);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit() {
        let mut poll = Poll::new();
        let delays: Vec<u64> = (0..12).map(|_| poll.advance()).collect();
        assert_eq!(delays[..4], [200, 300, 450, 675]);
        assert_eq!(delays[11], 5_000);
        poll.reset();
        assert_eq!(poll.advance(), 200);
    }
}
