//! The plan: an immutable graph of jobs, decided before anything runs.

pub mod grant;

/// Position of a job in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct JobId(pub u32);
