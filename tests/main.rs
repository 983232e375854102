//! Everything that runs the program as its users do, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test that panics says where")]
#![allow(clippy::needless_raw_string_hashes, reason = "written by UPDATE_EXPECT=1")]

mod agent_command;
mod at_once;
mod bad_input;
mod blocked;
mod cache;
mod cache_registry;
mod cancel;
mod concurrency;
mod context;
mod corpus;
mod drivers;
mod examples;
mod format_page;
mod history;
mod hostile;
mod kill;
mod log_contract;
mod log_damage;
mod log_schema;
mod mutations;
mod outside;
mod plugins;
mod project;
mod queue_contract;
mod real_pipelines;
mod resume;
mod retention;
mod retry;
mod run;
mod secrets;
mod simulation;
mod strict;
mod survive;
mod survive_outside;
mod tidy;
mod views;
