//! What every event log promises, checked for each of them.

use crate::project::tell;
use runner::event::{Event, EventKind, RunResult};
use runner::log::{EventLog, LogError, MemoryLog, SqliteLog, plan_digest};
use runner::plan::{BuildContext, Plan};

fn plan() -> Plan {
    Plan {
        pipeline: "pipeline.yml".to_owned(),
        context: BuildContext::default(),
        env: indexmap::IndexMap::new(),
        jobs: Vec::new(),
    }
}

fn event(sequence: u64) -> Event {
    let kind = match sequence {
        1 => EventKind::RunCreated { plan: plan_digest(&serde_json::to_vec(&plan()).unwrap()) },
        2 => EventKind::MetaDataSet { key: "k".to_owned(), value: "ü\n\"".to_owned() },
        _ => EventKind::RunFinished { result: RunResult::Passed },
    };
    Event { sequence, at: 1_700_000_000_000 + sequence, kind }
}

async fn keeps_its_promises(name: &str, log: &dyn EventLog) {
    runs_are_numbered(log).await;
    what_is_appended_is_read(log).await;
    what_does_not_follow_is_refused(log).await;
    a_run_is_found_by_what_people_write(log).await;
    runs_are_listed_with_how_they_stand(log).await;
    what_is_removed_is_gone(log).await;
    tell(&format!("event log contract: 6 promises kept by {name}"));
}

const FIRST: &str = "0190-aa";
const SECOND: &str = "0190-bb";

async fn runs_are_numbered(log: &dyn EventLog) {
    let record = log.create(FIRST, &plan(), &event(1)).await.unwrap();
    assert_eq!((record.number, record.created_at, record.pipeline.as_str()), (1, event(1).at, "pipeline.yml"));
    assert_eq!(log.create(SECOND, &plan(), &event(1)).await.unwrap().number, 2);
}

async fn what_is_appended_is_read(log: &dyn EventLog) {
    log.append(FIRST, &[event(2)]).await.unwrap();
    log.append(FIRST, &[]).await.unwrap();
    assert_eq!(log.read(FIRST, 0).await.unwrap(), [event(1), event(2)]);
    assert_eq!(log.read(FIRST, 1).await.unwrap(), [event(2)]);
    assert_eq!(log.read(SECOND, 0).await.unwrap(), [event(1)], "runs are apart");
}

async fn what_does_not_follow_is_refused(log: &dyn EventLog) {
    for wrong in [vec![event(2)], vec![event(4)], vec![event(2), event(3)]] {
        let refused = log.append(FIRST, &wrong).await.unwrap_err();
        assert!(matches!(refused, LogError::Conflict { last: 2, .. }), "{refused}");
    }
    assert_eq!(log.read(FIRST, 0).await.unwrap().len(), 2, "a refused append leaves nothing");
    assert!(matches!(log.append("nobody", &[event(1)]).await, Err(LogError::NoSuchRun(_))));
}

async fn a_run_is_found_by_what_people_write(log: &dyn EventLog) {
    let (found, stored) = log.open("1").await.unwrap();
    assert_eq!((found.id.as_str(), found.sequence, stored), (FIRST, 2, plan()));
    assert_eq!(log.open(FIRST).await.unwrap().0.number, 1);
    assert_eq!(log.open("0190-b").await.unwrap().0.id, SECOND);
    assert!(matches!(log.open("0190-").await, Err(LogError::Ambiguous(_))));
    for unknown in ["3", "0", "0190", "019", "nobody", ""] {
        assert!(matches!(log.open(unknown).await, Err(LogError::NoSuchRun(_))), "{unknown:?}");
    }
}

async fn runs_are_listed_with_how_they_stand(log: &dyn EventLog) {
    let listed = log.runs(None).await.unwrap();
    assert_eq!(listed.iter().map(|run| run.number).collect::<Vec<_>>(), [2, 1], "the newest first");
    assert_eq!((listed[1].id.as_str(), listed[1].sequence, listed[1].updated_at), (FIRST, 2, event(2).at));
    assert_eq!(listed[1].result, None);
    log.append(FIRST, &[event(3)]).await.unwrap();
    assert_eq!(log.open("1").await.unwrap().0.result, Some(RunResult::Passed));
    assert_eq!(log.runs(Some(1)).await.unwrap(), listed[..1]);
    assert_eq!(log.runs(Some(0)).await.unwrap(), []);
}

async fn what_is_removed_is_gone(log: &dyn EventLog) {
    log.remove(SECOND).await.unwrap();
    assert!(matches!(log.remove(SECOND).await, Err(LogError::NoSuchRun(_))));
    assert!(matches!(log.read(SECOND, 0).await, Err(LogError::NoSuchRun(_))));
    assert!(matches!(log.open("2").await, Err(LogError::NoSuchRun(_))));
    assert_eq!(log.read(FIRST, 0).await.unwrap().len(), 3, "the others stay");
    let third = log.create(SECOND, &plan(), &event(1)).await.unwrap();
    assert_eq!(third.number, 3, "a number is never given again");
    assert_eq!(log.read(SECOND, 0).await.unwrap(), [event(1)], "nothing is left of what was removed");
}

#[tokio::test]
async fn memory() {
    keeps_its_promises("memory", &MemoryLog::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    keeps_its_promises("SQLite", &SqliteLog::open(&path).unwrap()).await;
    // What was promised is still there for the next process.
    let again = SqliteLog::open(&path).unwrap();
    assert_eq!(again.read("0190-aa", 0).await.unwrap(), [event(1), event(2), event(3)]);
    assert_eq!(again.runs(None).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_one_loses_cleanly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let (one, other) = (SqliteLog::open(&path).unwrap(), SqliteLog::open(&path).unwrap());
    one.create("0190-aa", &plan(), &event(1)).await.unwrap();
    other.append("0190-aa", &[event(2)]).await.unwrap();
    assert!(matches!(one.append("0190-aa", &[event(2)]).await, Err(LogError::Conflict { last: 2, .. })));
    one.append("0190-aa", &[event(3)]).await.unwrap();
    assert_eq!(other.read("0190-aa", 0).await.unwrap().len(), 3);
}
