//! Event logs of which bytes were changed: nothing wrong is taken for right, and what is whole is saved.

use crate::project::{Project, tell};
use runner::event::{Event, EventKind, RunResult};
use runner::log::{EventLog, LogError, SqliteLog, plan_digest, repair, survey};
use runner::plan::{BuildContext, Plan};
use runner::run::RunState;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A plan that fills more than a page.
fn plan(run: u64) -> Plan {
    let env = (0..40).map(|index| (format!("VARIABLE_{index}"), format!("{run} {}", "x".repeat(100)))).collect();
    Plan { pipeline: "pipeline.yml".to_owned(), context: BuildContext::default(), env, jobs: Vec::new() }
}

fn events(run: u64, count: u64) -> Vec<Event> {
    let kind = |sequence| match sequence {
        1 => EventKind::RunCreated { plan: plan_digest(&serde_json::to_vec(&plan(run)).unwrap()) },
        last if last == count => EventKind::RunFinished { result: RunResult::Passed },
        _ => EventKind::MetaDataSet { key: format!("key-{sequence}"), value: format!("{run}-{sequence}").repeat(20) },
    };
    (1..=count).map(|sequence| Event { sequence, at: 1_700_000_000_000 + sequence, kind: kind(sequence) }).collect()
}

fn id(run: u64) -> String {
    format!("0190{run:04}-aaaa-bbbb")
}

const RUNS: u64 = 12;
const EVENTS: u64 = 60;

/// How often bytes are changed.
const TIMES: u64 = 120;

/// Runs whose events were appended in several batches, the runs in turn.
async fn fill(path: &Path) {
    let log = SqliteLog::open(path).unwrap();
    for run in 1..=RUNS {
        log.create(&id(run), &plan(run), &events(run, EVENTS)[0]).await.unwrap();
    }
    for batch in 0..6 {
        for run in 1..=RUNS {
            let events = events(run, EVENTS);
            let batch = events[1..].chunks(10).nth(batch).unwrap();
            log.append(&id(run), batch).await.unwrap();
        }
    }
}

fn checkpoint(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn is_legal(plan: Plan, events: &[Event]) -> Result<(), (u64, String)> {
    let folded = RunState::replay(Arc::new(plan), events);
    folded.map(|_| ()).map_err(|illegal| (0, illegal.to_string()))
}

/// Numbers that look random and are the same each time.
struct Chances(u64);

impl Chances {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What reading everything says: how many runs could not be read.
async fn read_all(path: &Path, may_end_early: bool) -> Result<u64, LogError> {
    let log = SqliteLog::open(path)?;
    let mut unreadable = 0;
    match log.runs(None).await {
        Ok(listed) => assert_eq!(listed.len() as u64, RUNS, "a run is missing and nobody says so"),
        Err(LogError::Damaged { .. }) => unreadable += 1,
        Err(error) => panic!("{error}"),
    }
    for run in 1..=RUNS {
        let opened = log.open(&run.to_string()).await;
        let read = log.read(&id(run), 0).await;
        match (&opened, &read) {
            (Ok((record, found)), _) if *found != plan(run) || record.id != id(run) => panic!("another plan"),
            (Err(LogError::Damaged { .. }), _) | (_, Err(LogError::Damaged { .. })) => unreadable += 1,
            (Ok((record, _)), Ok(read)) => {
                let all = events(run, EVENTS);
                let expected = if may_end_early { all.get(..read.len()).unwrap() } else { &all[..] };
                assert_eq!(read, expected, "run {run}");
                assert_eq!(record.sequence, read.len() as u64);
            }
            (Err(error), _) | (_, Err(error)) => panic!("not said to be damaged: {error}"),
        }
    }
    Ok(unreadable)
}

/// How many events of each run there are; all of them as they were written.
async fn saved(path: &Path) -> BTreeMap<u64, usize> {
    let log = SqliteLog::open(path).unwrap();
    let mut saved = BTreeMap::new();
    for record in log.runs(None).await.unwrap() {
        let (_, found) = log.open(&record.id).await.unwrap();
        assert_eq!((found, record.id.clone()), (plan(record.number), id(record.number)));
        let read = log.read(&record.id, 0).await.unwrap();
        assert_eq!(read[..], events(record.number, EVENTS)[..read.len()], "run {}", record.number);
        saved.insert(record.number, read.len());
    }
    saved
}

/// Changes bytes of one of the files of a log again and again, a few each time; of `-wal` when there is one.
async fn change_bytes(suffix: &str, seed: u64) {
    // In memory where there is such a place: the disk would be most of the time.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let original = directory.path().join("original.db");
    fill(&original).await;
    if suffix.is_empty() {
        checkpoint(&original);
    }
    let with = |path: &Path, suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let bytes = std::fs::read(with(&original, suffix)).unwrap();
    let mut chances = Chances(seed);
    let (mut noticed, mut harmless, mut runs, mut events, mut all_lost) = (0, 0, 0, 0, 0);
    for time in 0..TIMES {
        let path = directory.path().join("runs.db");
        for suffix in ["", "-wal", "-shm", ".lock"] {
            drop(std::fs::remove_file(with(&path, suffix)));
        }
        std::fs::copy(&original, &path).unwrap();
        let mut changed = bytes.clone();
        // The header and the first bytes of pages matter more than others.
        let page = chances.below(bytes.len() as u64 / 4096) * 4096;
        let place = match time % 4 {
            0 => chances.below(100),
            1 => page + chances.below(32),
            _ => chances.below(bytes.len() as u64),
        };
        let place = usize::try_from(place).unwrap();
        changed[place] ^= u8::try_from(1 + chances.below(255)).unwrap();
        std::fs::write(with(&path, suffix), &changed).unwrap();
        match read_all(&path, !suffix.is_empty()).await {
            Ok(0) => harmless += 1,
            Ok(_) | Err(LogError::Damaged { .. }) => noticed += 1,
            // The version of the schema is a number like any other.
            Err(LogError::Newer { .. }) if place == 63 => continue,
            Err(error) => panic!("byte {place}: {error}"),
        }
        let repair = repair(&path, &is_legal).unwrap_or_else(|error| panic!("byte {place}: {error}"));
        let saved = saved(&path).await;
        runs += saved.len() as u64;
        events += saved.values().sum::<usize>() as u64;
        all_lost += u64::from(saved.is_empty());
        if repair.kept.is_some() {
            assert!(survey(&path, &is_legal).unwrap().findings.is_empty(), "repaired is whole");
        } else {
            assert_eq!(saved.len() as u64, RUNS);
        }
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.contains(".copy") && !name.contains(".repaired"), "{name} is left over");
            if name.contains(".damaged") {
                std::fs::remove_file(file).unwrap();
            }
        }
    }
    let file = if suffix.is_empty() { "database" } else { "write-ahead log" };
    tell(&format!(
        "damage: {TIMES} changed bytes of a {file}, {noticed} noticed when reading, {harmless} without effect; \
         saved {runs} of {} runs, {events} of {} events, everything was lost {all_lost} times",
        TIMES * RUNS,
        TIMES * RUNS * EVENTS
    ));
    // Where the page at the root of the events is hit.
    assert!(all_lost * 50 <= TIMES, "everything was lost {all_lost} times");
    assert!(noticed > TIMES / 4);
    if suffix.is_empty() {
        assert!(runs * 100 > TIMES * RUNS * 93, "{runs} runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_bytes_of_a_database_are_noticed() {
    change_bytes("", 0x1234_5678_9abc_def1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_bytes_of_a_write_ahead_log_are_noticed() {
    change_bytes("-wal", 0x0fed_cba9_8765_4321).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortened_database_is_noticed_and_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    fill(&path).await;
    checkpoint(&path);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 3 / 4]).unwrap();
    assert!(!matches!(read_all(&path, false).await, Ok(0)));
    let repair = repair(&path, &is_legal).unwrap();
    assert!(repair.kept.unwrap().exists());
    // The new one can be used, whatever could be saved.
    let saved = saved(&path).await;
    assert_eq!(repair.survey.events, saved.values().sum::<usize>() as u64);
    let log = SqliteLog::open(&path).unwrap();
    let next = log.create(&id(RUNS + 1), &plan(1), &events(1, EVENTS)[0]).await.unwrap();
    assert_eq!(next.number, RUNS + 1, "numbers of lost runs are not given again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_waits_for_nobody_and_nobody_starts_in_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let log = SqliteLog::open(&path).unwrap();
    assert!(matches!(repair(&path, &is_legal), Err(LogError::InUse(_))));
    drop(log);
    assert!(repair(&path, &is_legal).unwrap().kept.is_none());
    // What is left when the process is lost in the middle of putting the new database in its place.
    fill(&path).await;
    checkpoint(&path);
    std::fs::rename(&path, directory.path().join("runs.db.repaired")).unwrap();
    assert!(matches!(SqliteLog::open(&path), Err(LogError::Damaged { .. })), "no empty log takes its place");
    repair(&path, &is_legal).unwrap();
    assert_eq!(saved(&path).await.len() as u64, RUNS);
}

fn sql(project: &Project, statement: &str) {
    let connection = rusqlite::Connection::open(project.path().join(".runner/runs.db")).unwrap();
    connection.execute_batch(statement).unwrap();
}

const TWO_STEPS: &str = "steps:\n  - { uses: ./steps/echo.wasm, key: a }\n  - block: Go?\n    key: go\n";

#[test]
fn the_program_says_what_is_damaged_and_repairs_it() {
    let project = Project::with(TWO_STEPS).component("echo");
    for _ in 0..3 {
        project.runner(&["run"]).expect_status(5);
    }
    project.runner(&["repair"]).expect_status(0).expect_stdout("nothing is damaged: 3 runs are whole");
    sql(&project, "UPDATE events SET at = at + 1 WHERE run = 2 AND sequence = 3");
    project
        .runner(&["unblock", "2"])
        .expect_status(7)
        .expect_stderr("event 3 (its checksum is wrong) of run 2; events 1 to 2 of it are whole")
        .expect_stderr("all other runs are whole")
        .expect_stderr("runs.db")
        .expect_stderr("`runner repair`");
    let checked = project.runner(&["repair", "--check"]).expect_status(7);
    checked.expect_stdout("event 3 (its checksum is wrong) of run 2; events 1 to 2 can be saved");
    project
        .runner(&["repair"])
        .expect_status(0)
        .expect_stdout("2 runs are whole")
        .expect_stdout("the damaged one is kept as");
    // What was lost is done again, and the others go on.
    project.runner(&["resume", "2"]).expect_status(5);
    for run in ["1", "2", "3"] {
        project.runner(&["unblock", run]).expect_status(0);
    }
    project.runner(&["run"]).expect_stdout("run 4");
}

#[test]
fn a_plan_that_was_changed_is_refused() {
    let project = Project::with(TWO_STEPS).component("echo");
    project.runner(&["run"]).expect_status(5);
    project.runner(&["run"]).expect_status(5);
    sql(&project, "UPDATE runs SET plan = CAST(replace(CAST(plan AS TEXT), 'echo', 'evil') AS BLOB) WHERE number = 1");
    project
        .runner(&["unblock", "1"])
        .expect_status(7)
        .expect_stderr("the plan (it is not the one that was written) of run 1");
    project.runner(&["repair"]).expect_status(0).expect_stdout("nothing of the run can be saved");
    project.runner(&["unblock", "2"]).expect_status(0);
    project.runner(&["unblock", "1"]).expect_status(2).expect_stderr("there is no run `1`");
}

#[test]
fn a_file_that_is_no_database_is_an_error_of_this_machine() {
    let project = Project::with(TWO_STEPS).component("echo");
    project.runner(&["run"]).expect_status(5);
    let path = project.path().join(".runner/runs.db");
    std::fs::remove_file(project.path().join(".runner/runs.db-wal")).unwrap();
    std::fs::write(&path, "this is no database, and it is longer than the header of one: ".repeat(9)).unwrap();
    project.runner(&["resume"]).expect_status(7).expect_stderr("is damaged").expect_stderr("`runner repair`");
    project.runner(&["run"]).expect_status(7).expect_stderr("`runner repair`");
    project.runner(&["repair"]).expect_status(0).expect_stdout("0 runs are whole");
    project.runner(&["run"]).expect_status(5);
}
