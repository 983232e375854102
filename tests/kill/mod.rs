//! Ends the program at every write of its event log and at random moments, goes on, and compares with a run that was
//! left alone.

use crate::project::{Project, Said, on_the_engine, said};
use runner::event::{EventKind, Outcome, RunResult};
use runner::log::{EventLog, SqliteLog};
use runner::plan::{Job, JobId, JobKind};
use runner::run::{JobState, RunState};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How the program is ended. The number counts syncs of the event log, or writes to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kill {
    /// Before the sync.
    Before(usize),
    /// After it.
    After(usize),
    /// Before it, and what no file was synced with is lost.
    Power(usize),
    /// It is not killed; the disk is full from that write on.
    Full(usize),
    /// After this time.
    At(Duration),
    /// After this time, with everything it has started.
    Reboot(Duration),
}

/// What is left of a run that counts, whatever happened on the way.
#[derive(Debug, PartialEq)]
pub(crate) struct Facts {
    status: i32,
    results: Vec<Option<RunResult>>,
    /// By run and label: names of uploaded jobs count the lost uploads.
    jobs: BTreeMap<(usize, String), (JobState, String)>,
    meta_data: BTreeMap<String, String>,
    annotations: Vec<(String, String)>,
    artifacts: BTreeMap<(String, String), Vec<u8>>,
}

impl Facts {
    /// Without what differs from project to project.
    pub(crate) fn without_outputs(mut self) -> Self {
        self.jobs.values_mut().for_each(|(_, outputs)| outputs.clear());
        self
    }
}

/// A run that was left alone.
pub(crate) struct Undisturbed {
    pub(crate) facts: Facts,
    pub(crate) syncs: usize,
    pub(crate) writes: usize,
    pub(crate) took: Duration,
}

/// A project whose runs are ended, and how one knows what it has left.
pub(crate) struct Victim {
    pub(crate) project: Project,
    temporary: tempfile::TempDir,
    mark: String,
    runtime: tokio::runtime::Runtime,
}

/// The library that ends the program it is loaded into.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let shim = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let source = crate::project::root().join("tests/kill/shim.c");
        let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"];
        let status =
            Command::new("cc").args(flags).arg("-o").arg(&shim).arg(source).args(["-ldl", "-lpthread"]).status();
        assert!(status.unwrap().success(), "the shim cannot be compiled");
        shim
    })
}

impl Victim {
    pub(crate) fn new(project: Project) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mark = uuid::Uuid::new_v4().to_string();
        let project = project.env("TMPDIR", temporary.path().to_str().unwrap()).env("VICTIM", &mark);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        Self { project, temporary, mark, runtime }
    }

    fn with_shim(&self, arguments: &[&str], mode: &str, at: usize) -> Command {
        let mut command = self.project.command(arguments);
        command.env("LD_PRELOAD", shim()).env("SHIM_MODE", mode).env("SHIM_AT", at.to_string());
        command
    }

    /// Runs the program and ends it; what it said, and whether it was ended rather than over before.
    pub(crate) fn ended(&self, arguments: &[&str], kill: Kill) -> (Said, bool) {
        let (mode, at) = match kill {
            Kill::Before(at) => ("before", at),
            Kill::After(at) => ("after", at),
            Kill::Power(at) => ("power", at),
            Kill::Full(at) => ("full", at),
            Kill::At(time) | Kill::Reboot(time) => {
                let mut command = self.project.command(arguments);
                let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                std::thread::sleep(time);
                child.kill().unwrap();
                if matches!(kill, Kill::Reboot(_)) {
                    self.processes().iter().for_each(|(pid, _)| drop(Command::new("kill").args(["-9", pid]).output()));
                }
                let output = child.wait_with_output().unwrap();
                return (said(&output), output.status.signal() == Some(9));
            }
        };
        let output = self.with_shim(arguments, mode, at).output().unwrap();
        let ended = match kill {
            Kill::Full(_) => output.status.code() == Some(7),
            _ => output.status.signal() == Some(9),
        };
        (said(&output), ended)
    }

    /// Goes on until the run is over, letting it go on where it is blocked.
    pub(crate) fn finish(&self) -> Said {
        let mut last = String::new();
        for _ in 0..8 {
            let said =
                if self.log().is_some() { self.project.runner(&["resume"]) } else { self.project.runner(&["run"]) };
            let over = said.status == 2 && said.stderr.contains("no run of this project was interrupted");
            let waits = said.status == 5 || over && said.stderr.contains("waits for a person");
            if waits {
                let said = self.project.runner(&["unblock"]);
                if said.status != 5 {
                    return said;
                }
            } else if over {
                // Over just when it was ended: its result is in the log.
                let result = self.runs().first().and_then(|(_, state)| state.run_result());
                let status = i32::from(result != Some(RunResult::Passed));
                return Said { status, ..said };
            } else if matches!(said.status, 0 | 1) {
                return said;
            }
            last = format!("{} {}\n{}", said.status, said.stdout, said.stderr);
        }
        panic!("the run does not end: {last}");
    }

    fn log(&self) -> Option<Arc<SqliteLog>> {
        let path = self.project.path().join(".runner/runs.db");
        let log = path.exists().then(|| Arc::new(SqliteLog::open(&path).unwrap()))?;
        let runs = self.runtime.block_on(log.runs(None)).unwrap();
        (!runs.is_empty()).then_some(log)
    }

    /// The runs, the oldest first, with the kinds of their events.
    fn runs(&self) -> Vec<(Vec<EventKind>, RunState)> {
        let Some(log) = self.log() else { return Vec::new() };
        self.runtime.block_on(async {
            let mut runs = Vec::new();
            for record in log.runs(None).await.unwrap().into_iter().rev() {
                let (_, plan) = log.open(&record.id).await.unwrap();
                let events = log.read(&record.id, 0).await.unwrap();
                let state = RunState::replay(Arc::new(plan), &events).unwrap();
                runs.push((events.into_iter().map(|event| event.kind).collect(), state));
            }
            runs
        })
    }

    /// Jobs that have passed, and in which attempt.
    pub(crate) fn passed(&self) -> HashMap<(usize, JobId), u32> {
        let mut passed = HashMap::new();
        for (number, (events, _)) in self.runs().into_iter().enumerate() {
            for event in events {
                let EventKind::JobFinished { job, attempt, result } = event else { continue };
                if result.outcome == Outcome::Passed {
                    let before = passed.insert((number, job), attempt);
                    assert_eq!(before, None, "job {} of run {} has passed twice", job.0, number + 1);
                }
            }
        }
        passed
    }

    /// Whether steps of the project reach the Docker Engine.
    fn uses_docker(&self) -> bool {
        let pipeline = std::fs::read_to_string(self.project.path().join("pipeline.yml")).unwrap();
        pipeline.contains("docker:")
    }

    pub(crate) fn facts(&self, status: i32) -> Facts {
        let mut facts = Facts {
            status,
            results: Vec::new(),
            jobs: BTreeMap::new(),
            meta_data: BTreeMap::new(),
            annotations: Vec::new(),
            artifacts: BTreeMap::new(),
        };
        for (number, (events, state)) in self.runs().into_iter().enumerate() {
            facts.results.push(state.run_result());
            let mut labels = HashMap::new();
            for (id, job) in state.plan().jobs() {
                labels.insert(job.name.clone(), job.label.clone());
                if state.state(id) != JobState::Removed && !matches!(job.kind, JobKind::Wait) {
                    self.check_log(&self.ids()[number], job, state.attempt(id));
                    let outputs = state.result(id).map(|result| format!("{:?} {:?}", result.outputs, result.message));
                    let fact = (state.state(id), outputs.unwrap_or_default());
                    let other = facts.jobs.insert((number, job.label.clone()), fact);
                    assert_eq!(other, None, "{} is there twice", job.label);
                }
            }
            facts.meta_data.extend(state.data().meta_data().clone());
            let annotations = state.data().annotations();
            facts.annotations.extend(annotations.iter().map(|one| (one.context.clone(), one.body.clone())));
            let Some(EventKind::RunCreated { .. }) = events.first() else { panic!("a run without a beginning") };
            let directory = self.project.path().join(".runner/runs").join(&self.ids()[number]).join("artifacts");
            for artifact in state.data().artifacts() {
                let content = std::fs::read(directory.join(&artifact.job).join(&artifact.path)).unwrap();
                facts.artifacts.insert((labels[&artifact.job].clone(), artifact.path.clone()), content);
            }
        }
        facts.annotations.sort();
        facts
    }

    /// What a job said is on the disk when its end is.
    fn check_log(&self, run: &str, job: &Job, attempt: u32) {
        if job.label.starts_with("part ") {
            let log = self.project.path().join(".runner/runs").join(run).join("logs");
            let log = std::fs::read_to_string(log.join(format!("{}.{attempt}.log", job.name))).unwrap();
            assert!(log.contains(&job.label), "the log of {} has only {log:?}", job.label);
        }
    }

    fn ids(&self) -> Vec<String> {
        let log = self.log().unwrap();
        self.runtime.block_on(log.runs(None)).unwrap().into_iter().rev().map(|record| record.id).collect()
    }

    /// Processes, files and directories that are left.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut directories = vec![self.temporary.path().to_owned()];
        for run in std::fs::read_dir(self.project.path().join(".runner/runs")).into_iter().flatten() {
            let run = run.unwrap().path();
            directories.extend([run.join("tmp"), run.join("artifacts/.parts")]);
        }
        for directory in directories {
            let entries = std::fs::read_dir(&directory).into_iter().flatten();
            left.extend(entries.map(|entry| entry.unwrap().path().display().to_string()));
        }
        let give_up = Instant::now() + Duration::from_secs(3);
        // What was ended takes a moment to be gone.
        while !self.processes().is_empty() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(10));
        }
        left.extend(self.processes().into_iter().map(|(pid, line)| format!("{pid}: {line}")));
        if self.uses_docker() {
            left.extend(on_the_engine(self.project.path()));
        }
        left
    }

    /// What the program and its descendants are, by number.
    fn processes(&self) -> Vec<(String, String)> {
        let mark = format!("VICTIM={}", self.mark);
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        let ours = all.filter(|path| {
            std::fs::read(path.join("environ"))
                .is_ok_and(|text| text.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()))
        });
        ours.filter_map(|path| {
            let line = std::fs::read(path.join("cmdline")).ok().filter(|line| !line.is_empty())?;
            let pid = path.file_name()?.to_str()?.to_owned();
            Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
    }
}

/// Runs the project to its end, letting it go on where it is blocked, and counts its writes on the way.
pub(crate) fn undisturbed(project: Project) -> Undisturbed {
    let victim = Victim::new(project);
    let counts = victim.temporary.path().join("counts");
    let begun = Instant::now();
    let mut command = victim.with_shim(&["run"], "count", 0);
    let mut said = said(&command.env("SHIM_COUNT", &counts).output().unwrap());
    let took = begun.elapsed();
    let text = std::fs::read_to_string(&counts).unwrap();
    std::fs::remove_file(counts).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
    if said.status == 5 {
        said = victim.project.runner(&["unblock"]);
    }
    assert!(matches!(said.status, 0 | 1), "{} {}\n{}", said.status, said.stdout, said.stderr);
    assert_eq!(victim.left(), Vec::<String>::new());
    victim.passed();
    let facts = victim.facts(said.status);
    Undisturbed { facts, syncs: numbers.next().unwrap(), writes: numbers.next().unwrap(), took }
}

/// Ends the command in a new project, goes on, and compares. Whether it was ended before it was over.
pub(crate) fn survives(project: Project, expected: &Undisturbed, kills: &[Kill]) -> bool {
    let (victim, said, ended) = go_on(project, kills);
    pretty_assert(&victim.facts(said.status), &expected.facts, &|| {
        format!("{kills:?}\n{}\n{}", said.stdout, said.stderr)
    });
    ended
}

/// The same, but for the comparison: the project, what the last command said, and whether the program was ended before
/// the run was over.
pub(crate) fn go_on(project: Project, kills: &[Kill]) -> (Victim, Said, bool) {
    let victim = Victim::new(project);
    let mut ended = false;
    for (index, kill) in kills.iter().enumerate() {
        let arguments: &[&str] = if index > 0 && victim.log().is_some() { &["resume"] } else { &["run"] };
        let (said, was_ended) = victim.ended(arguments, *kill);
        ended |= was_ended;
        let known = was_ended || matches!(said.status, 0 | 1 | 2 | 5);
        assert!(known, "{kills:?}: {} {}\n{}", said.status, said.stdout, said.stderr);
        if let (Kill::Full(_), true) = (kill, was_ended) {
            let told = if victim.log().is_some() { "runner resume 1" } else { "free space on the disk" };
            assert!(said.stderr.contains(told), "{kills:?}: {}", said.stderr);
            // Nobody has to come back for what ran: it was ended and cleaned up.
            assert_eq!(victim.left(), Vec::<String>::new(), "{kills:?}: {}", said.stderr);
        }
    }
    let before = victim.passed();
    let said = victim.finish();
    let context = || format!("{kills:?}\n{}\n{}", said.stdout, said.stderr);
    let after = victim.passed();
    for (job, attempt) in before {
        assert_eq!(after.get(&job), Some(&attempt), "job {job:?} had passed: {}", context());
    }
    for (events, state) in victim.runs() {
        for event in events {
            if let EventKind::JobStarted { job, attempt } = event {
                assert!(attempt <= state.attempt(job));
            }
        }
    }
    assert_eq!(victim.left(), Vec::<String>::new(), "{}", context());
    (victim, said, ended)
}

fn pretty_assert(found: &Facts, expected: &Facts, context: &dyn Fn() -> String) {
    assert!(found == expected, "found {found:#?}\nexpected {expected:#?}\n{}", context());
}

/// Does every case, several at once; how many of them ended the program.
pub(crate) fn all<T: Sync>(cases: &[T], case: impl Fn(&T) -> bool + Sync) -> usize {
    const AT_ONCE: usize = 4;
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    ended.fetch_add(usize::from(case(one)), Ordering::Relaxed);
                }
            });
        }
    });
    ended.into_inner()
}

/// Random numbers that are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by `SURVIVE_SEED`, or by the clock.
    pub(crate) fn seeded() -> (Self, u64) {
        let given = std::env::var("SURVIVE_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
        let seed = given.unwrap_or_else(now);
        (Self(seed), seed)
    }

    /// From 0 to below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}
