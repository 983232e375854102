//! A job and the cache: what its result depends on, an earlier result taken over, its own result kept.

use super::LocalAgent;
use super::environment::{JobFacts, is_secret_name, job_environment, own_environment};
use super::log::JobLog;
use crate::cache::files::{Content, Globs, MAX_BYTES, STOPPED, Stoppable, digest, pack, unpack};
use crate::cache::{
    Entry, Fact, Found, KeptArtifact, KeySource, LocalStore, LookUp, MAX_ARTIFACTS, NewBlob, Origin, StepCache,
};
use crate::capability::step::ArtifactStore;
use crate::event::{Artifact, CacheKey, CachedFrom, EventKind, JobResult};
use crate::plan::grant::matches_pattern;
use crate::plan::variables::is_protected;
use crate::plan::{CacheRule, Job, StepJob, as_text, substitute};
use crate::run::{Assignment, Observed, Recorder};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What came of looking for an earlier result.
pub(super) enum LookedUp {
    /// It is the job's result.
    Answered(JobResult),
    /// The job has to run; what is needed to keep its result then, where it may be kept.
    Runs(Option<Keeping>),
}

/// What is needed to keep a job's result.
pub(super) struct Keeping {
    key: CacheKey,
    files: Files,
    /// What the job does to its run.
    observed: Arc<Mutex<Observed>>,
    recorder: Recorder,
    /// Bytes of its log that are about the cache.
    said: u64,
}

/// The files of a step.
#[derive(Clone)]
struct Files {
    root: PathBuf,
    /// What its result depends on.
    read: Arc<Globs>,
    /// What it makes.
    made: Arc<Globs>,
    makes_some: bool,
}

impl Files {
    fn new(root: &Path, rule: &CacheRule) -> Result<Self, String> {
        let (read, made) = (Globs::parse(&rule.inputs)?, Globs::parse(&rule.outputs)?);
        let makes_some = !rule.outputs.is_empty();
        Ok(Self { root: root.to_owned(), read: Arc::new(read), made: Arc::new(made), makes_some })
    }

    /// The inputs before the step runs: there must be some.
    async fn inputs(&self, log: &JobLog, stop: &CancellationToken) -> Result<BTreeMap<String, Content>, String> {
        let inputs = self.digest(stop).await?;
        if inputs.is_empty() {
            return Err("`inputs` match no file".to_owned());
        }
        for glob in self.read.idle(&inputs) {
            log.line(&format!("cache: `{glob}` in `inputs` matches no file"));
        }
        Ok(inputs)
    }

    /// What a step makes is none of its inputs, also where a glob matches it.
    async fn digest(&self, stop: &CancellationToken) -> Result<BTreeMap<String, Content>, String> {
        let (files, stop) = (self.clone(), stop.clone());
        let digested = tokio::task::spawn_blocking(move || digest(&files.root, &files.read, &files.made, &stop));
        digested.await.map_err(|error| error.to_string())?
    }
}

/// Does something for a job's cache until it is done, or the job is cancelled, killed or out of time. What it has given
/// to other threads ends then by the token.
async fn until_ended<T>(
    (cancelled, killed): (&CancellationToken, &CancellationToken),
    left: Option<Duration>,
    work: impl AsyncFnOnce(&CancellationToken) -> Result<T, String>,
) -> Result<T, String> {
    let stop = CancellationToken::new();
    let _stops_when_left = stop.clone().drop_guard();
    let time_is_over = async {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(STOPPED.to_owned()),
        () = killed.cancelled() => Err(STOPPED.to_owned()),
        () = time_is_over => Err("the step's time is over".to_owned()),
        done = work(&stop) => done,
    }
}

/// What is left of a step's time, which began then; `None` when it has no end.
pub(super) fn time_left(step: &StepJob, begun: Instant) -> Option<Duration> {
    let limit = step.timeout_minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    limit.map(|limit| limit.saturating_sub(begun.elapsed()))
}

impl LocalAgent {
    /// Takes over an earlier result, or says that the job has to run, and has what it does then observed.
    pub(super) async fn look_up(
        &self,
        job: &Job,
        step: &StepJob,
        assignment: &mut Assignment,
        log: &JobLog,
        begun: Instant,
    ) -> LookedUp {
        let (Some(cache), Some(rule)) = (self.cache.as_ref().filter(|cache| cache.is_on()), &step.cache) else {
            return LookedUp::Runs(None);
        };
        let known = match Files::new(&self.workspace, rule) {
            Ok(files) => {
                let inputs = async |stop: &_| files.inputs(log, stop).await;
                let inputs =
                    until_ended((&assignment.cancelled, &assignment.killed), time_left(step, begun), inputs).await;
                inputs.and_then(|inputs| self.key(job, step, rule, &inputs, assignment)).map(|key| (key, files))
            }
            Err(reason) => Err(reason),
        };
        let (key, files) = match known {
            Ok(known) => known,
            Err(reason) => {
                log.line(&format!("cache: not used: {reason}"));
                return LookedUp::Runs(None);
            }
        };
        let found = if assignment.attempt > 1 {
            LookUp::Missed("a further attempt runs in any case".to_owned())
        } else {
            let look = async |_: &_| Ok(cache.look_up(&key).await);
            until_ended((&assignment.cancelled, &assignment.killed), time_left(step, begun), look)
                .await
                .unwrap_or_else(LookUp::Missed)
        };
        let (result, missed) = match found {
            LookUp::Missed(reason) => (None, reason),
            LookUp::Found(found) => {
                let restore = async |stop: &_| self.restore(*found, &files, job, &assignment.recorder, log, stop).await;
                match until_ended((&assignment.cancelled, &assignment.killed), time_left(step, begun), restore).await {
                    Ok(result) => (Some(result), String::new()),
                    Err(reason) => {
                        log.line(&format!("cache: what was found cannot be used: {reason}"));
                        (None, format!("what was found could not be used: {reason}"))
                    }
                }
            }
        };
        let checked =
            EventKind::CacheChecked { job: assignment.job, attempt: assignment.attempt, key: key.clone(), missed };
        if let Err(error) = assignment.recorder.record(checked).await {
            return LookedUp::Answered(JobResult::failed(
                -1,
                format!("cannot record the look into the cache: {error}"),
                "",
            ));
        }
        if let Some(result) = result {
            return LookedUp::Answered(result);
        }
        let recorder = assignment.recorder.clone();
        let (observing, observed) = recorder.observed();
        assignment.recorder = observing;
        let log = Self::log_file(&self.logs, job, assignment.attempt);
        let said = std::fs::metadata(log).map_or(0, |log| log.len());
        LookedUp::Runs(Some(Keeping { key, files, observed, recorder, said }))
    }

    fn key(
        &self,
        job: &Job,
        step: &StepJob,
        rule: &CacheRule,
        inputs: &BTreeMap<String, Content>,
        assignment: &Assignment,
    ) -> Result<CacheKey, String> {
        let outputs = |key: &str| assignment.outputs.get(key);
        let mut params = substitute(&step.params, &outputs)?;
        as_text(&mut params, &step.references);
        let env = self.counted_environment(job, step, rule, assignment);
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        Ok(KeySource { step, params: &params, env: &env, platform: &platform, files: inputs }.key())
    }

    /// The variables that decide a job's result: those that the pipeline, the step or the user has set and some part of
    /// the job can see, and those its `cache` names. What the runner says of the run, the build and the job is not among
    /// them, or no two jobs were equal. Of a variable that is a secret by its name only the name counts.
    fn counted_environment(
        &self,
        job: &Job,
        step: &StepJob,
        rule: &CacheRule,
        assignment: &Assignment,
    ) -> BTreeMap<String, Option<String>> {
        let plan = &assignment.plan;
        // All there is; what counts is decided below.
        let all = StepJob { command: true, ..step.clone() };
        let facts = JobFacts {
            plan,
            job,
            step: &all,
            attempt: assignment.attempt,
            grace: self.grace,
            secrets: &[],
            unblocker: Some(assignment.unblocked_by.as_str()).filter(|by| !by.is_empty()),
        };
        let matches = |patterns: &[String], name: &str| patterns.iter().any(|pattern| matches_pattern(pattern, name));
        let sees_all = step.command || step.phases().any(|phase| phase.command);
        let seen = |name: &str| {
            sees_all || matches(&step.grants.env, name) || step.phases().any(|phase| matches(&phase.grants.env, name))
        };
        let users = |name: &str| {
            let set = plan.env.contains_key(name) || plan.context.env.contains_key(name) || step.env.contains_key(name);
            set && !is_protected(name)
        };
        job_environment(&facts, &self.facts, own_environment())
            .into_iter()
            .filter(|(name, _)| matches(&rule.env, name) || users(name) && seen(name))
            .map(|(name, value)| {
                let value = (!is_secret_name(&name)).then_some(value);
                (name, value)
            })
            .collect()
    }

    /// Puts everything a job has made where the job would have put it.
    async fn restore(
        &self,
        found: Found,
        files: &Files,
        job: &Job,
        recorder: &Recorder,
        log: &JobLog,
        stop: &CancellationToken,
    ) -> Result<JobResult, String> {
        let Found { entry, mut contents, remote } = found;
        let mut content = |sha256: &str| {
            let file = contents.get_mut(sha256).ok_or("the content is missing")?;
            file.try_clone().map_err(|error| error.to_string())
        };
        if let Some(blob) = &entry.files {
            let (mut archive, files, stop) = (content(&blob.sha256)?, files.clone(), stop.clone());
            let unpacked = tokio::task::spawn_blocking(move || unpack(&files.root, &files.made, &mut archive, &stop));
            unpacked.await.map_err(|error| error.to_string())??;
        }
        for KeptArtifact { path, content: blob } in &entry.artifacts {
            let (mut file, path, store) = (content(&blob.sha256)?, path.clone(), self.services.artifacts.clone());
            let (name, stop) = (job.name.clone(), stop.clone());
            let stored = tokio::task::spawn_blocking(move || {
                file.rewind().map_err(|error| error.to_string())?;
                store.store(&name, &path, &mut Stoppable::new(file, &stop)).map_err(|error| error.to_string())
            });
            let artifact = stored.await.map_err(|error| error.to_string())??;
            let event = EventKind::ArtifactStored { artifact };
            recorder.record(event).await.map_err(|error| error.to_string())?;
        }
        for fact in &entry.facts {
            let event = match fact.clone() {
                Fact::MetaData { key, value } => EventKind::MetaDataSet { key, value },
                Fact::Annotation { mut annotation, append } => {
                    annotation.job = annotation.job.map(|_| job.name.clone());
                    EventKind::Annotated { annotation, append }
                }
            };
            recorder.record(event).await.map_err(|error| error.to_string())?;
        }
        let Origin { run, number, agent, at } = entry.from;
        let key = entry.key.digest;
        let place = if remote.is_empty() { String::new() } else { format!(" on {agent}, through {remote}") };
        log.line(&format!("~~~ from run {number}{place} (cache {key:.12})"));
        if let Some(said) = &entry.log {
            let (mut file, log, stop) = (content(&said.sha256)?, log.clone(), stop.clone());
            let copied = tokio::task::spawn_blocking(move || {
                file.rewind()?;
                copy_log(&mut Stoppable::new(file, &stop), &log)
            });
            copied.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        }
        let cached = Some(Box::new(CachedFrom { key, run, number, agent, at, remote }));
        Ok(JobResult { cached, ..JobResult::passed(entry.outputs) })
    }

    /// Keeps the result of a job that has passed. Where that cannot be, the job's log says so, and nothing else comes of
    /// it.
    pub(super) async fn keep(
        &self,
        keeping: Keeping,
        result: &JobResult,
        job: &Job,
        assignment: &Assignment,
        log: &JobLog,
        left: Option<Duration>,
    ) {
        let recorder = keeping.recorder.clone();
        let kept = match &self.cache {
            Some(cache) => {
                let keep = async |stop: &_| self.try_keep(cache, keeping, result, job, assignment.attempt, stop).await;
                until_ended((&assignment.cancelled, &assignment.killed), left, keep).await
            }
            None => Err("there is no cache".to_owned()),
        };
        if let Err(reason) = &kept {
            log.line(&format!("cache: not kept: {reason}"));
            log.finish();
        }
        let refused = kept.err().unwrap_or_default();
        let written = EventKind::CacheWritten { job: assignment.job, attempt: assignment.attempt, refused };
        if let Err(error) = recorder.record(written).await {
            tracing::warn!(job = job.name, %error, "what became of a result in the cache is not recorded");
        }
    }

    async fn try_keep(
        &self,
        cache: &StepCache,
        keeping: Keeping,
        result: &JobResult,
        job: &Job,
        attempt: u32,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let Keeping { key, files, observed, said, .. } = keeping;
        let observed = std::mem::take(&mut *observed.lock().unwrap_or_else(PoisonError::into_inner));
        let (facts, artifacts) = lasting(observed)?;
        let now = files.digest(stop).await?;
        let before = || key.parts.iter().filter_map(|(part, content)| Some((part.strip_prefix("file:")?, content)));
        let same = |(path, content): (&str, &String)| now.get(path).map(ToString::to_string).as_ref() == Some(content);
        let changed = before().find(|file| !same(*file)).map(|(path, _)| path.to_owned());
        let added = now.keys().find(|path| !key.parts.contains_key(&format!("file:{path}"))).cloned();
        if let Some(path) = changed.or(added) {
            return Err(format!("the input `{path}` changed while the job ran"));
        }
        let agent = self.facts.agent.clone();
        let from = Origin { run: self.facts.run.clone(), number: self.facts.number, agent, at: crate::run::now() };
        let mut entry = Entry::new(key, from);
        (entry.outputs, entry.facts) = (result.outputs.clone(), facts);
        let (store, artifact_store) = (cache.store().clone(), self.services.artifacts.clone());
        let (log, stop) = ((Self::log_file(&self.logs, job, attempt), said), stop.clone());
        let taken = tokio::task::spawn_blocking(move || {
            let blobs = take(&store, &artifact_store, &mut entry, &files, &artifacts, log, &stop)?;
            Ok::<_, String>((entry, blobs))
        });
        let (entry, blobs) = taken.await.map_err(|error| error.to_string())??;
        cache.keep(entry, blobs).await
    }
}

/// What a job wrote down for others, and its artifacts, each path once; or why its result is good for it alone.
fn lasting(observed: Observed) -> Result<(Vec<Fact>, Vec<Artifact>), String> {
    let (mut facts, mut artifacts) = (Vec::new(), Vec::<Artifact>::new());
    if let Some(reason) = observed.entangled {
        return Err(format!("the job {reason}"));
    }
    for event in observed.events {
        match event {
            EventKind::MetaDataSet { key, value } => facts.push(Fact::MetaData { key, value }),
            EventKind::Annotated { annotation, append } => facts.push(Fact::Annotation { annotation, append }),
            EventKind::ArtifactStored { artifact } => {
                artifacts.retain(|one| one.path != artifact.path);
                artifacts.push(artifact);
                if artifacts.len() > MAX_ARTIFACTS {
                    return Err(format!("the job has more than {MAX_ARTIFACTS} artifacts"));
                }
            }
            // Nothing else is observed.
            _ => return Err("the job changed its run in a way that cannot be repeated".to_owned()),
        }
    }
    Ok((facts, artifacts))
}

/// Takes all that an entry refers to into the store; of the log what comes after its first bytes.
fn take(
    store: &LocalStore,
    artifact_store: &ArtifactStore,
    entry: &mut Entry,
    files: &Files,
    artifacts: &[Artifact],
    (log, said): (PathBuf, u64),
    stop: &CancellationToken,
) -> Result<Vec<NewBlob>, String> {
    let mut blobs = Vec::new();
    if files.makes_some {
        let mut writing = store.begin().map_err(|error| error.to_string())?;
        if pack(&files.root, &files.made, &mut writing, stop)? == 0 {
            return Err("`outputs` match no file".to_owned());
        }
        let new = writing.finish().map_err(|error| error.to_string())?;
        entry.files = Some(new.blob.clone());
        blobs.push(new);
    }
    match File::open(log) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(said)).map_err(|error| format!("cannot read the log: {error}"))?;
            let new = store.take(&mut Stoppable::new(file, stop), MAX_BYTES);
            let new = new.map_err(|error| format!("cannot keep the log: {error}"))?;
            entry.log = Some(new.blob.clone());
            blobs.push(new);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("cannot read the log: {error}")),
    }
    for artifact in artifacts {
        let file = artifact_store.open(artifact).map_err(|error| error.to_string())?;
        let new = store.take(&mut Stoppable::new(file, stop), MAX_BYTES);
        let new = new.map_err(|error| format!("cannot keep the artifact `{}`: {error}", artifact.path))?;
        if format!("sha256:{}", new.blob.sha256) != artifact.digest {
            return Err(format!("the artifact `{}` is not what was stored", artifact.path));
        }
        entry.artifacts.push(KeptArtifact { path: artifact.path.clone(), content: new.blob.clone() });
        blobs.push(new);
    }
    Ok(blobs)
}

fn copy_log(from: &mut dyn Read, log: &JobLog) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => log.write(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_for_a_cache_ends_with_its_job() {
        let (ended, going) = (CancellationToken::new(), CancellationToken::new());
        ended.cancel();
        for (cancelled, killed, left, expected) in [
            (&ended, &going, None, "asked to end"),
            (&going, &ended, None, "asked to end"),
            (&going, &going, Some(Duration::from_millis(20)), "time is over"),
        ] {
            let (seen, told) = std::sync::mpsc::channel();
            let work = async |stop: &CancellationToken| {
                seen.send(stop.clone()).unwrap();
                std::future::pending::<Result<(), String>>().await
            };
            let error = until_ended((cancelled, killed), left, work).await.unwrap_err();
            assert!(error.contains(expected), "{error}");
            // It may not have begun at all.
            assert!(told.try_iter().all(|stop| stop.is_cancelled()));
        }
        let done = until_ended((&going, &going), Some(Duration::from_mins(1)), async |_| Ok(1)).await;
        assert_eq!(done, Ok(1));
    }

    #[test]
    fn a_job_of_many_artifacts_is_not_kept() {
        let stored = |number: usize| {
            let (path, digest, job) = (format!("{number}"), String::new(), String::new());
            EventKind::ArtifactStored { artifact: Artifact { path, size: 0, digest, job } }
        };
        let of = |numbers: Vec<usize>| {
            lasting(Observed { events: numbers.into_iter().map(stored).collect(), ..Observed::default() })
        };
        assert!(of((0..=MAX_ARTIFACTS).collect()).unwrap_err().contains("more than 500 artifacts"));
        assert_eq!(of((0..MAX_ARTIFACTS).chain([0]).collect()).unwrap().1.len(), MAX_ARTIFACTS);
    }
}
