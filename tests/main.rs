//! Everything that runs the program as its users do, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test that panics says where")]
#![allow(clippy::needless_raw_string_hashes, reason = "written by UPDATE_EXPECT=1")]

mod agent_command;
mod bad_input;
mod blocked;
mod cache;
mod cache_registry;
mod cancel;
mod context;
mod corpus;
mod examples;
mod format_page;
mod hostile;
mod log_contract;
mod mutations;
mod outside;
mod plugins;
mod project;
mod real_pipelines;
mod run;
mod simulation;
mod strict;
mod tidy;
mod views;
