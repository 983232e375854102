//! Two drivers of one run, and facts from outside: over every event log.

use crate::project::tell;
use runner::event::{Event, EventKind, JobResult, Outcome, RunResult};
use runner::log::{EventLog, MemoryLog, SqliteLog, plan_digest};
use runner::plan::{BuildContext, Job, JobId, JobKind, Plan, StepJob};
use runner::queue::{Attempt, MemoryQueue, Queue};
use runner::run::{
    Assignment, DriveError, Driver, Executor, Finished, Illegal, JobState, RunState, Slots, Stop, append,
};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

fn plan(jobs: usize) -> Plan {
    let job = |index: usize| Job {
        name: format!("job-{index}"),
        step_key: None,
        label: String::new(),
        group: None,
        group_label: None,
        kind: JobKind::Step(Box::new(StepJob { uses: "echo".to_owned(), ..StepJob::default() })),
        depends_on: Vec::new(),
        skip: None,
        notification: None,
        priority: 0,
        concurrency: None,
        span: (0, 0),
    };
    Plan {
        pipeline: "pipeline.yml".to_owned(),
        context: BuildContext::default(),
        env: indexmap::IndexMap::new(),
        jobs: (0..jobs).map(job).collect(),
    }
}

/// Takes a moment for each attempt, and counts them.
#[derive(Default)]
struct Counts {
    ended: AtomicUsize,
    begun: Mutex<Vec<(JobId, u32)>>,
}

#[async_trait::async_trait]
impl Executor for Counts {
    async fn execute(&self, assignment: Assignment) -> JobResult {
        self.begun.lock().unwrap().push((assignment.job, assignment.attempt));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(3)) => {}
            () = assignment.killed.cancelled() => return JobResult::failed(-1, "killed", ""),
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
        JobResult::passed(serde_json::Map::new())
    }
}

async fn create(log: &dyn EventLog, id: &str, plan: &Plan) -> RunState {
    let kind = EventKind::RunCreated { plan: plan_digest(&serde_json::to_vec(plan).unwrap()) };
    let first = Event { sequence: 1, at: 1, kind };
    log.create(id, plan, &first).await.unwrap();
    RunState::replay(Arc::new(plan.clone()), [&first]).unwrap()
}

fn driver(log: &Arc<dyn EventLog>, run: &str, state: &RunState, executor: &Arc<Counts>) -> Driver {
    Driver {
        run: run.to_owned(),
        state: state.clone(),
        log: log.clone(),
        queue: Arc::new(MemoryQueue::default()),
        waits: mpsc::unbounded_channel().0,
        executor: executor.clone(),
        slots: Slots::of(3),
        stop: watch::channel(Stop::No).1,
        progress: watch::channel(0).0,
        answers: HashMap::new(),
        wait: false,
    }
}

const JOBS: usize = 60;

/// Of two drivers that begin at once, or one after the other, one drives the run to its end.
async fn one_of_two_drives(log: Arc<dyn EventLog>) {
    for (run, apart) in [("0190-at-once", 0), ("0190-later", 20)] {
        let state = create(&*log, run, &plan(JOBS)).await;
        let executors = [Arc::new(Counts::default()), Arc::new(Counts::default())];
        let first = tokio::spawn(driver(&log, run, &state, &executors[0]).drive());
        tokio::time::sleep(Duration::from_millis(apart)).await;
        let mut later = RunState::new(state.base().clone());
        runner::run::catch_up(&*log, run, &mut later).await.unwrap();
        let second = tokio::spawn(driver(&log, run, &later, &executors[1]).drive());
        let ends = [first.await.unwrap(), second.await.unwrap()];
        let won = |end: &Result<Finished, DriveError>| matches!(end, Ok(Finished::Over(RunResult::Passed)));
        let lost = |end: &Result<Finished, DriveError>| matches!(end, Err(DriveError::Taken));
        assert_eq!(ends.iter().filter(|end| won(end)).count(), 1, "{ends:?}");
        assert_eq!(ends.iter().filter(|end| lost(end)).count(), 1, "{ends:?}");

        let events = log.read(run, 0).await.unwrap();
        let folded = RunState::replay(state.base().clone(), &events).unwrap();
        assert_eq!(folded.run_result(), Some(RunResult::Passed));
        let mut seen = HashSet::new();
        for event in &events {
            let once = match &event.kind {
                EventKind::JobStarted { job, attempt } => ("started", *job, *attempt),
                EventKind::JobFinished { job, .. } => ("finished", *job, 0),
                _ => continue,
            };
            assert!(seen.insert(once), "{once:?} twice");
        }
        // Every attempt that began was in the log before.
        for (job, attempt) in executors.iter().flat_map(|executor| executor.begun.lock().unwrap().clone()) {
            assert!(seen.contains(&("started", job, attempt)), "attempt {attempt} of {job:?} was never recorded");
        }
        let ended: usize = executors.iter().map(|executor| executor.ended.load(Ordering::Relaxed)).sum();
        assert!((JOBS..=JOBS + 3).contains(&ended), "{ended} attempts for {JOBS} jobs");
    }
}

#[derive(Debug)]
enum Refused {
    Drive,
    Illegal,
}

impl From<DriveError> for Refused {
    fn from(_: DriveError) -> Self {
        Self::Drive
    }
}

impl From<Illegal> for Refused {
    fn from(_: Illegal) -> Self {
        Self::Illegal
    }
}

/// What cannot happen is not written, and what somebody else writes meanwhile is seen.
async fn facts_from_outside_are_legal(log: Arc<dyn EventLog>) {
    let run = "0190-facts";
    let mut state = create(&*log, run, &plan(1)).await;
    let job = JobId(0);
    let kinds = [1, 2].map(|attempt| EventKind::JobStarted { job, attempt });
    let interrupted = EventKind::JobInterrupted { job, attempt: 1 };
    for (sequence, kind) in (2..).zip([&kinds[0], &interrupted, &kinds[1]]) {
        log.append(run, &[Event { sequence, at: 1, kind: kind.clone() }]).await.unwrap();
    }
    let finished = |attempt| EventKind::JobFinished { job, attempt, result: JobResult::failed(1, "", "") };
    let stale = append(&*log, run, &mut state, |_| Ok::<_, Refused>(finished(1))).await;
    assert!(matches!(stale, Err(Refused::Illegal)));
    assert_eq!((log.read(run, 0).await.unwrap().len(), state.sequence()), (4, 4), "the attempt is stale");
    // Somebody else is faster once.
    let mut times = 0;
    append(&*log, run, &mut state, |state| {
        times += 1;
        if times == 1 {
            let other = Event {
                sequence: state.sequence() + 1,
                at: 1,
                kind: EventKind::CancelRequested { by: "b".into(), now: false },
            };
            futures_util::FutureExt::now_or_never(log.append(run, &[other])).unwrap().unwrap();
        }
        Ok::<_, Refused>(finished(2))
    })
    .await
    .unwrap();
    assert_eq!((times, state.sequence(), state.state(job)), (2, 6, JobState::Failed));
    let events = log.read(run, 0).await.unwrap();
    assert_eq!(RunState::replay(state.base().clone(), &events).unwrap().sequence(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_every_log() {
    let directory = tempfile::tempdir().unwrap();
    let logs: [Arc<dyn EventLog>; 2] =
        [Arc::new(MemoryLog::default()), Arc::new(SqliteLog::open(&directory.path().join("runs.db")).unwrap())];
    for log in logs {
        one_of_two_drives(log.clone()).await;
        facts_from_outside_are_legal(log).await;
    }
    tell("drivers: of 2 at once and 2 apart one drives, stale facts are refused; over 2 logs");
}

/// Its first attempt ends only when it is asked to.
struct Patient;

#[async_trait::async_trait]
impl Executor for Patient {
    async fn execute(&self, assignment: Assignment) -> JobResult {
        if assignment.attempt > 1 {
            return JobResult::passed(serde_json::Map::new());
        }
        assignment.cancelled.cancelled().await;
        JobResult { outcome: Outcome::Cancelled, ..JobResult::failed(-1, "asked to end", "") }
    }
}

/// Somebody else may have taken its place, so it ends, and another attempt follows.
#[tokio::test]
async fn an_attempt_that_loses_its_lease_is_ended_and_made_anew() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::default());
    let state = create(&*log, "0190-lost", &plan(1)).await;
    let queue = Arc::new(MemoryQueue::default());
    let mut driver = driver(&log, "0190-lost", &state, &Arc::new(Counts::default()));
    (driver.executor, driver.queue) = (Arc::new(Patient), queue.clone());
    let driven = tokio::spawn(driver.drive());
    let job = JobId(0);
    while log.read("0190-lost", 1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let attempt = Attempt { run: "0190-lost".to_owned(), job, attempt: 1 };
    queue.withdraw("0190-lost", Some(&attempt)).await.unwrap();
    assert_eq!(driven.await.unwrap().unwrap(), Finished::Over(RunResult::Passed));
    let events = log.read("0190-lost", 1).await.unwrap();
    let kinds: Vec<&EventKind> = events.iter().map(|event| &event.kind).collect();
    let passed = JobResult::passed(serde_json::Map::new());
    let expected = [
        EventKind::JobStarted { job, attempt: 1 },
        EventKind::JobInterrupted { job, attempt: 1 },
        EventKind::JobStarted { job, attempt: 2 },
        EventKind::JobFinished { job, attempt: 2, result: passed },
        EventKind::RunFinished { result: RunResult::Passed },
    ];
    assert_eq!(kinds, expected.iter().collect::<Vec<_>>());
}
