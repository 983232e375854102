//! The house's rules, as far as a program can check them.

use crate::project::root;
use std::path::{Path, PathBuf};

fn sources(directory: &str) -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The part of a file that is not its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// The rooms that decide do no input or output, hold no clock, and know nothing of the outside.
#[test]
fn the_core_is_pure() {
    const PURE: [&str; 5] = [
        "runner/src/pipeline/",
        "runner/src/plan/",
        "runner/src/event.rs",
        "runner/src/run/state/",
        "runner/src/run/schedule.rs",
    ];
    const FORBIDDEN: [&str; 16] = [
        "std::fs",
        "std::io",
        "std::net",
        "std::env",
        "std::process",
        "std::time",
        "tokio",
        "wasmtime",
        "bollard",
        "aws_",
        "crate::host",
        "crate::capability",
        "crate::agent",
        "crate::log",
        "crate::cli",
        "crate::report",
    ];
    for (name, text) in sources("runner/src") {
        if !PURE.iter().any(|room| name.starts_with(room)) || name.contains("/tests") {
            continue;
        }
        for (number, line) in product(&text).lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            for word in FORBIDDEN {
                assert!(!code.contains(word), "{name}:{}: a pure room uses {word}", number + 1);
            }
        }
    }
}

/// Only the command line and the reports write to the terminal; only the command line chooses an exit status.
#[test]
fn only_two_rooms_speak() {
    for (name, text) in sources("runner/src") {
        if name.contains("/tests") {
            continue;
        }
        let speaks =
            name.starts_with("runner/src/cli/") || name.starts_with("runner/src/report/") || name.ends_with("main.rs");
        for word in ["io::stdout", "io::stderr", "anstream::", "println!", "eprintln!", "ExitCode", "process::exit"] {
            assert!(speaks || !product(&text).contains(word), "{name} uses {word}");
        }
    }
}

/// Only clients and stores reach the outside.
#[test]
fn only_clients_speak_to_the_network() {
    let secrets = sources("runner/src/secret");
    for (name, text) in sources("runner/src/capability").into_iter().chain(secrets) {
        let client = name.contains("/client") || name.contains("/error") || name.contains("/tests");
        for word in ["use bollard", "bollard::", "use aws_", "aws_sdk_", "TcpStream", "UnixStream"] {
            assert!(client || !product(&text).contains(word), "{name} uses {word}");
        }
    }
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    for directory in ["runner/src", "steps", "tests"] {
        for (name, text) in sources(directory) {
            if name == "tests/tidy.rs" {
                continue;
            }
            for word in ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "XXX", "allow(dead_code", "let _ = "] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for directory in ["runner/src", "steps", "tests"] {
        for (name, text) in sources(directory) {
            assert!(text.starts_with("//! "), "{name} does not begin with a sentence on what it is");
            assert!(text.lines().count() <= 700, "{name} is too long: split it");
        }
    }
}

#[test]
fn every_test_file_is_run() {
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "{name}.rs is in no list");
        }
    }
}
