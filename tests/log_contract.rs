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

async fn keeps_its_promises(log: &dyn EventLog) {
    let record = log.create("0190-aa", &plan(), &event(1)).await.unwrap();
    assert_eq!((record.number, record.created_at, record.pipeline.as_str()), (1, event(1).at, "pipeline.yml"));
    let second = log.create("0190-bb", &plan(), &event(1)).await.unwrap();
    assert_eq!(second.number, 2);

    log.append(&record.id, &[event(2)]).await.unwrap();
    log.append(&record.id, &[]).await.unwrap();
    assert_eq!(log.read(&record.id, 0).await.unwrap(), [event(1), event(2)]);
    assert_eq!(log.read(&record.id, 1).await.unwrap(), [event(2)]);
    assert_eq!(log.read(&second.id, 0).await.unwrap(), [event(1)], "runs are apart");

    for wrong in [event(2), event(4)] {
        let refused = log.append(&record.id, &[wrong]).await.unwrap_err();
        assert!(matches!(refused, LogError::Conflict { last: 2, .. }), "{refused}");
    }
    assert_eq!(log.read(&record.id, 0).await.unwrap().len(), 2, "a refused append leaves nothing");

    let (found, stored) = log.open("1").await.unwrap();
    assert_eq!((found.id.as_str(), found.sequence, stored), ("0190-aa", 2, plan()));
    assert_eq!(log.open("0190-aa").await.unwrap().0.number, 1);
    assert_eq!(log.open("0190-b").await.unwrap().0, second);
    assert!(matches!(log.open("0190").await, Err(LogError::Ambiguous(_))));
    for unknown in ["3", "nobody", ""] {
        assert!(matches!(log.open(unknown).await, Err(LogError::NoSuchRun(_))), "{unknown:?}");
    }
    assert!(matches!(log.append("nobody", &[event(1)]).await, Err(LogError::NoSuchRun(_))));

    let listed = log.runs(None).await.unwrap();
    assert_eq!(listed[0], second);
    assert_eq!((listed[1].id.as_str(), listed[1].sequence, listed[1].updated_at), ("0190-aa", 2, event(2).at));
    assert_eq!(listed[1].result, None);
    assert_eq!(listed.len(), 2);
    log.append(&record.id, &[event(3)]).await.unwrap();
    assert_eq!(log.open("1").await.unwrap().0.result, Some(RunResult::Passed));
    assert_eq!(log.runs(Some(1)).await.unwrap(), std::slice::from_ref(&second), "the newest");
    assert_eq!(log.runs(Some(0)).await.unwrap(), []);

    log.remove(&second.id).await.unwrap();
    assert!(matches!(log.remove(&second.id).await, Err(LogError::NoSuchRun(_))));
    assert!(matches!(log.read(&second.id, 0).await, Err(LogError::NoSuchRun(_))));
    assert!(matches!(log.open("2").await, Err(LogError::NoSuchRun(_))));
    assert_eq!(log.read(&record.id, 0).await.unwrap().len(), 3, "the others stay");
    let third = log.create("0190-bb", &plan(), &event(1)).await.unwrap();
    assert_eq!(third.number, 3, "a number is never given again");
    assert_eq!(log.read(&third.id, 0).await.unwrap(), [event(1)], "nothing is left of what was removed");
}

#[tokio::test]
async fn memory() {
    keeps_its_promises(&MemoryLog::default()).await;
    tell("event log contract: kept by memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    keeps_its_promises(&SqliteLog::open(&path).unwrap()).await;
    tell("event log contract: kept by SQLite");
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
