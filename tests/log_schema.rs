//! Event logs of other versions: older ones are brought up to date, newer ones refused.

use crate::project::Project;
use runner::event::RunResult;
use runner::log::{EventLog, LogError, SqliteLog, plan_digest};
use runner::run::RunState;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A project with an event log of the first schema.
fn old() -> Project {
    let project = Project::with("steps:\n  - { uses: ./steps/echo.wasm }\n").component("echo");
    std::fs::create_dir(project.path().join(".runner")).unwrap();
    let echo = plan_digest(&std::fs::read(project.path().join("steps/echo.wasm")).unwrap());
    let fixture = include_str!("fixtures/runs-schema-1.sql").replace("ECHO", &echo);
    let connection = rusqlite::Connection::open(database(&project)).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch(&fixture).unwrap();
    for run in 1..=3 {
        let plan = connection.query_row("SELECT plan FROM runs WHERE number = ?1", [run], |row| row.get(0));
        let digest = plan_digest(&plan.map(|plan: Vec<u8>| plan).unwrap());
        let update = "UPDATE events SET kind = replace(kind, ?1, ?2) WHERE run = ?3 AND sequence = 1";
        connection.execute(update, rusqlite::params![format!("DIGEST({run})"), digest, run]).unwrap();
    }
    project
}

fn database(project: &Project) -> PathBuf {
    project.path().join(".runner/runs.db")
}

fn version(path: &Path) -> u32 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_the_first_schema_open_and_fold() {
    let project = old();
    let log = SqliteLog::open(&database(&project)).unwrap();
    assert_eq!(version(&database(&project)), 2);
    let mut contexts = Vec::new();
    for run in 1..=3 {
        let (record, plan) = log.open(&run.to_string()).await.unwrap();
        let events = log.read(&record.id, 0).await.unwrap();
        contexts.push(plan.context.clone());
        let state = RunState::replay(Arc::new(plan), &events).unwrap();
        assert_eq!(state.run_result(), (run == 1).then_some(RunResult::Failed));
        assert_eq!(record.result, state.run_result());
    }
    assert_eq!((contexts[0].author.name.as_str(), contexts[0].author.email.as_str()), ("Ada", "ada@example.com"));
    let pull_request = contexts[0].pull_request.as_ref().unwrap();
    assert_eq!((pull_request.number.as_str(), pull_request.base_branch.as_str()), ("7", "main"));
    assert_eq!(contexts[1].pull_request, None);
    assert_eq!(contexts[2].pull_request.as_ref().unwrap().number, "8");
    assert_eq!(contexts[2].triggered_from_pipeline_slug, "parent");
    assert_eq!(
        (contexts[2].triggered_from_build_number.as_str(), contexts[2].rebuilt_from_build_id.as_str()),
        ("5", "c")
    );
    assert!(matches!(log.open("4").await, Err(LogError::Damaged { .. })), "it was damaged before, and is now");
    assert!(matches!(log.open("5").await, Err(LogError::NoSuchRun(_))), "it never began");
}

#[test]
fn runs_of_the_first_schema_go_on() {
    let project = old();
    // The rules of retries and soft failures hold as they did.
    let said = project.runner(&["retry", "1", "again", "soft"]).expect_status(1);
    said.expect_stdout("1 failed softly").expect_stdout("1 failed");
    project.runner(&["unblock", "2"]).expect_status(0).expect_stdout("1 passed");
    project.runner(&["resume", "3"]).expect_status(0);
    project.runner(&["run"]).expect_status(0).expect_stdout("run 6");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_open_an_old_log_at_once_all_find_it_migrated() {
    for _ in 0..5 {
        let project = old();
        let path = database(&project);
        let opened: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || SqliteLog::open(&path))
            })
            .collect();
        for log in opened {
            let log = log.join().unwrap().unwrap();
            assert_eq!(log.read("019e0000-0000-7000-8000-000000000001", 0).await.unwrap().len(), 8);
        }
    }
}

#[test]
fn a_newer_log_is_refused_and_left_alone() {
    let project = old();
    let set = |version: u32| {
        let connection = rusqlite::Connection::open(database(&project)).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
    };
    set(3);
    for command in [&["run"][..], &["resume"], &["repair"]] {
        let said = project.runner(command).expect_status(7);
        said.expect_stderr("newer version of runner (schema 3, this one knows 2)").expect_stderr("update runner");
    }
    assert_eq!(version(&database(&project)), 3);
    set(1);
    project.runner(&["unblock", "2"]).expect_status(0);
}
