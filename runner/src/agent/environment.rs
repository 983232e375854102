//! The environment of a job's processes, and the part of it a component may see.

use crate::plan::grant::matches_pattern;
use crate::plan::variables::{AGENT_META_DATA, is_of_one_job, is_protected};
use crate::plan::{Job, JobKind, Plan, StepJob};
use crate::secret::SecretValue;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// Variables by name.
pub type JobEnvironment = BTreeMap<String, String>;

/// Facts of the run that every job's environment holds.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Identifier of the run: a UUID.
    pub run: String,
    /// Number of the run in its project.
    pub number: u64,
    /// Directory of the workspace.
    pub workspace: String,
    /// Name of the agent that runs the jobs: that of the machine.
    pub agent: String,
}

/// Facts of one attempt of one job.
#[derive(Debug, Clone, Copy)]
pub struct JobFacts<'a> {
    /// The plan it is of.
    pub plan: &'a Plan,
    /// The job.
    pub job: &'a Job,
    /// What it runs.
    pub step: &'a StepJob,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Time it gets for cleaning up once it is asked to end.
    pub grace: Duration,
    /// The values of its secrets, by variable.
    pub secrets: &'a [(String, SecretValue)],
    /// Who released the block step before it, if there is one.
    pub unblocker: Option<&'a str>,
}

/// The environment of one attempt. Command steps also get the runner's own environment, as with Buildkite's agent;
/// other components see only the names in `grants.env`.
///
/// From the weakest to the strongest: the runner's own, the pipeline's, the build's, the step's with its secrets, the
/// standard variables. Where users set a standard variable that is not theirs, their value is ignored and the name
/// listed in `BUILDKITE_IGNORED_ENV`.
#[must_use]
pub fn job_environment(
    facts: &JobFacts<'_>,
    run: &RunFacts,
    own: impl Iterator<Item = (String, String)>,
) -> JobEnvironment {
    let JobFacts { plan, step, .. } = facts;
    let mut env = JobEnvironment::new();
    if step.command {
        let secrets = secret_names(plan);
        env.extend(own.filter(|(name, _)| !is_of_one_job(name) && !secrets.contains(name.as_str())));
    }
    let mut ignored = BTreeSet::new();
    let mut users = BTreeSet::new();
    let written = plan.env.iter().chain(&plan.context.env).chain(&step.env);
    let written = written.map(|(name, value)| (name, value.as_str()));
    for (name, value) in written.chain(facts.secrets.iter().map(|(name, value)| (name, value.expose()))) {
        if is_protected(name) {
            ignored.insert(name.as_str());
        } else {
            users.insert(name.as_str());
            env.insert(name.clone(), value.to_owned());
        }
    }
    let build = plan.context.variables().into_iter().map(|(name, value)| (name.to_owned(), value));
    let standard = build.chain(run_variables(facts, run)).chain(job_variables(facts, run));
    env.extend(standard.filter(|(name, _)| !users.contains(name.as_str())));
    if !ignored.is_empty() {
        let names: Vec<&str> = ignored.into_iter().collect();
        env.insert("BUILDKITE_IGNORED_ENV".to_owned(), names.join(","));
    }
    if !step.command {
        env.retain(|name, _| step.grants.env.iter().any(|pattern| matches_pattern(pattern, name)));
    }
    env
}

/// What all jobs of a run have in common, apart from what is built.
fn run_variables(facts: &JobFacts<'_>, run: &RunFacts) -> impl Iterator<Item = (String, String)> {
    let context = &facts.plan.context;
    let pipeline = format!("{}/{}", context.repository, context.pipeline_slug);
    [
        ("BUILDKITE_AGENT_ID", Uuid::new_v5(&Uuid::NAMESPACE_DNS, run.agent.as_bytes()).to_string()),
        ("BUILDKITE_AGENT_NAME", run.agent.clone()),
        ("BUILDKITE_AGENT_PID", std::process::id().to_string()),
        ("BUILDKITE_BUILD_CHECKOUT_PATH", run.workspace.clone()),
        ("BUILDKITE_BUILD_ID", run.run.clone()),
        ("BUILDKITE_BUILD_NUMBER", context.number.unwrap_or(run.number).to_string()),
        ("BUILDKITE_CANCEL_GRACE_PERIOD", facts.grace.as_secs().to_string()),
        ("BUILDKITE_CANCEL_SIGNAL", "SIGTERM".to_owned()),
        ("BUILDKITE_COMMAND_EVAL", true.to_string()),
        ("BUILDKITE_COMPUTE_TYPE", "self-hosted".to_owned()),
        ("BUILDKITE_PIPELINE_ID", Uuid::new_v5(&Uuid::NAMESPACE_URL, pipeline.as_bytes()).to_string()),
        ("BUILDKITE_SHELL", "/bin/bash -e -c".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}

/// What an attempt of a job is called in `BUILDKITE_JOB_ID`.
pub(super) fn job_identifier(run: &str, job: &Job, attempt: u32) -> String {
    identifier(run, &format!("job {} {attempt}", job.name))
}

/// What a job's step is called in `BUILDKITE_STEP_ID`.
pub(super) fn step_identifier(run: &str, job: &Job) -> String {
    identifier(run, &format!("step {} {}", job.span.0, job.step_key.as_deref().unwrap_or_default()))
}

fn identifier(run: &str, of: &str) -> String {
    Uuid::new_v5(&Uuid::try_parse(run).unwrap_or_default(), of.as_bytes()).to_string()
}

/// What speaks of one job, and of one attempt of it.
fn job_variables(facts: &JobFacts<'_>, run: &RunFacts) -> impl Iterator<Item = (String, String)> {
    let JobFacts { job, step, attempt, .. } = facts;
    let id = |of: &str| identifier(&run.run, of);
    let key = job.step_key.clone().unwrap_or_default();
    let command = step.params.get("command").and_then(|command| command.as_str()).unwrap_or_default();
    let mut variables = vec![
        ("BUILDKITE_ARTIFACT_PATHS", step.artifact_paths.join(";")),
        ("BUILDKITE_COMMAND", command.to_owned()),
        ("BUILDKITE_JOB_ID", job_identifier(&run.run, job, *attempt)),
        ("BUILDKITE_LABEL", job.label.clone()),
        ("BUILDKITE_RETRY_COUNT", attempt.saturating_sub(1).to_string()),
        // The jobs of one step have it in common.
        ("BUILDKITE_STEP_ID", step_identifier(&run.run, job)),
        ("BUILDKITE_STEP_KEY", key),
        ("BUILDKITE_TIMEOUT", step.timeout_minutes.map_or("false".to_owned(), |minutes| minutes.to_string())),
    ];
    if let Some(label) = &job.group_label {
        let key = job.group.clone().unwrap_or_default();
        variables.extend([
            ("BUILDKITE_GROUP_ID", id(&format!("group {key} {label}"))),
            ("BUILDKITE_GROUP_KEY", key),
            ("BUILDKITE_GROUP_LABEL", label.clone()),
        ]);
    }
    if let Some(parallel) = step.parallel {
        variables.extend([
            ("BUILDKITE_PARALLEL_JOB", parallel.index.to_string()),
            ("BUILDKITE_PARALLEL_JOB_COUNT", parallel.count.to_string()),
        ]);
    }
    if let Some(unblocker) = facts.unblocker {
        variables.extend([
            ("BUILDKITE_UNBLOCKER", unblocker.to_owned()),
            ("BUILDKITE_UNBLOCKER_EMAIL", String::new()),
            ("BUILDKITE_UNBLOCKER_ID", Uuid::new_v5(&Uuid::NAMESPACE_OID, unblocker.as_bytes()).to_string()),
            ("BUILDKITE_UNBLOCKER_TEAMS", String::new()),
        ]);
    }
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    variables.chain(step.agents.iter().map(|(tag, value)| (agent_variable(tag), value.clone())))
}

/// The variable of a tag: upper case, `_` for what cannot stand in a name.
fn agent_variable(tag: &str) -> String {
    let upper = tag.chars().map(|character| match character.to_ascii_uppercase() {
        kept @ ('A'..='Z' | '0'..='9') => kept,
        _ => '_',
    });
    AGENT_META_DATA.chars().chain(upper).collect()
}

/// The runner's own environment. What is not UTF-8 is left out: neither the pipeline nor the event log could hold it.
pub fn own_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Names that some step of the plan uses as a secret. Where the runner's own environment is a source of secrets, no job
/// inherits them: a step gets those that it lists.
fn secret_names(plan: &Plan) -> HashSet<&str> {
    let steps = plan.jobs.iter().filter_map(|job| match &job.kind {
        JobKind::Step(step) => Some(step),
        _ => None,
    });
    let mut names = HashSet::new();
    for step in steps {
        names.extend(step.secrets.iter().map(|secret| secret.name.as_str()));
        for grants in std::iter::once(&step.grants).chain(step.phases().map(|phase| &phase.grants)) {
            names.extend(grants.secrets.iter().map(String::as_str));
            let logins = grants.docker.iter().flat_map(|docker| &docker.login);
            names.extend(logins.filter_map(|login| login.password.as_deref()));
        }
    }
    names
}

/// Whether a variable's name says that its value is a secret; the list is that of Buildkite's agent.
#[must_use]
pub(crate) fn is_secret_name(name: &str) -> bool {
    const ENDINGS: [&str; 9] = [
        "_PASSWORD",
        "_SECRET",
        "_TOKEN",
        "_PRIVATE_KEY",
        "_SSH_KEY",
        "_ACCESS_KEY",
        "_SECRET_KEY",
        "_CONNECTION_STRING",
        "_API_KEY",
    ];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{BuildContext, JobKind, Parallel};
    use indexmap::IndexMap;
    use serde_json::json;

    const RUN: &str = "01997b1e-2b6c-7000-8000-000000000001";

    fn map(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn step() -> StepJob {
        let step = json!({ "uses": "command", "command": true, "params": { "command": "make test" }, "grants": {} });
        serde_json::from_value(step).unwrap()
    }

    fn job(step: StepJob) -> Job {
        Job {
            name: "tests".to_owned(),
            step_key: Some("tests".to_owned()),
            label: ":hammer: Tests".to_owned(),
            group: None,
            group_label: None,
            kind: JobKind::Step(Box::new(step)),
            depends_on: Vec::new(),
            skip: None,
            notification: None,
            priority: 0,
            concurrency: None,
            span: (7, 20),
        }
    }

    fn plan() -> Plan {
        let context =
            BuildContext { branch: "main".to_owned(), organization: "local".to_owned(), ..BuildContext::default() };
        Plan { pipeline: "pipeline.yml".to_owned(), context, env: IndexMap::new(), jobs: Vec::new() }
    }

    fn environment(
        plan: &Plan,
        job: &Job,
        attempt: u32,
        own: &[(&str, &str)],
        secrets: &[(&str, &str)],
    ) -> JobEnvironment {
        let value = |value: &str| SecretValue::new(value.to_owned()).unwrap();
        let secrets: Vec<_> = secrets.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
        let JobKind::Step(step) = &job.kind else { panic!() };
        let run =
            RunFacts { run: RUN.to_owned(), number: 5, workspace: "/project".to_owned(), agent: "laptop".to_owned() };
        let grace = Duration::from_secs(10);
        let facts = JobFacts { plan, job, step, attempt, grace, secrets: &secrets, unblocker: Some("carol") };
        job_environment(&facts, &run, map(own).into_iter())
    }

    #[test]
    fn what_every_job_has() {
        let mut step = step();
        step.agents = map(&[("queue", "deploy"), ("os.name", "linux")]);
        step.timeout_minutes = Some(15);
        step.artifact_paths = vec!["a/**".to_owned(), "b".to_owned()];
        step.parallel = Some(Parallel { index: 1, count: 4 });
        let mut job = job(step);
        job.group = Some("all".to_owned());
        job.group_label = Some("All tests".to_owned());
        let env = environment(&plan(), &job, 3, &[], &[]);
        for (name, expected) in [
            ("CI", "true"),
            ("BUILDKITE", "true"),
            ("BUILDKITE_AGENT_META_DATA_OS_NAME", "linux"),
            ("BUILDKITE_AGENT_META_DATA_QUEUE", "deploy"),
            ("BUILDKITE_AGENT_NAME", "laptop"),
            ("BUILDKITE_ARTIFACT_PATHS", "a/**;b"),
            ("BUILDKITE_BRANCH", "main"),
            ("BUILDKITE_BUILD_CHECKOUT_PATH", "/project"),
            ("BUILDKITE_BUILD_ID", RUN),
            ("BUILDKITE_BUILD_NUMBER", "5"),
            ("BUILDKITE_BUILD_URL", ""),
            ("BUILDKITE_CANCEL_GRACE_PERIOD", "10"),
            ("BUILDKITE_COMMAND", "make test"),
            ("BUILDKITE_GROUP_KEY", "all"),
            ("BUILDKITE_GROUP_LABEL", "All tests"),
            ("BUILDKITE_LABEL", ":hammer: Tests"),
            ("BUILDKITE_ORGANIZATION_SLUG", "local"),
            ("BUILDKITE_PARALLEL_JOB", "1"),
            ("BUILDKITE_PARALLEL_JOB_COUNT", "4"),
            ("BUILDKITE_PULL_REQUEST", "false"),
            ("BUILDKITE_REBUILT_FROM_BUILD_ID", ""),
            ("BUILDKITE_RETRY_COUNT", "2"),
            ("BUILDKITE_SHELL", "/bin/bash -e -c"),
            ("BUILDKITE_STEP_KEY", "tests"),
            ("BUILDKITE_TIMEOUT", "15"),
            ("BUILDKITE_TRIGGERED_FROM_BUILD_ID", ""),
            ("BUILDKITE_UNBLOCKER", "carol"),
        ] {
            assert_eq!(env.get(name).map(String::as_str), Some(expected), "{name}");
        }
        for name in ["AGENT_ID", "GROUP_ID", "JOB_ID", "PIPELINE_ID", "STEP_ID", "UNBLOCKER_ID"] {
            assert!(Uuid::try_parse(&env[&format!("BUILDKITE_{name}")]).is_ok(), "{name}");
        }
        assert!(!env.contains_key("BUILDKITE_IGNORED_ENV"));
    }

    #[test]
    fn jobs_have_identifiers_of_their_own_that_stay() {
        let (first, mut second) = (job(step()), job(step()));
        second.name = "tests-2".to_owned();
        let of = |job: &Job, attempt: u32, name: &str| environment(&plan(), job, attempt, &[], &[])[name].clone();
        let id = |job: &Job, attempt| of(job, attempt, "BUILDKITE_JOB_ID");
        assert_eq!(id(&first, 1), id(&first, 1));
        assert_ne!(id(&first, 1), id(&first, 2));
        assert_ne!(id(&first, 1), id(&second, 1));
        assert_eq!(of(&first, 1, "BUILDKITE_STEP_ID"), of(&second, 2, "BUILDKITE_STEP_ID"));
    }

    #[test]
    fn precedence() {
        let mut plan = plan();
        plan.context.number = Some(1514);
        plan.env = map(&[("A", "pipeline"), ("B", "pipeline"), ("C", "pipeline"), ("D", "pipeline"), ("CI", "no")]);
        plan.context.env = map(&[("B", "build"), ("C", "build"), ("D", "build"), ("BUILDKITE_BRANCH", "build")]);
        plan.context.repository = "ours".to_owned();
        let mut step = step();
        step.env = map(&[
            ("C", "step"),
            ("D", "step"),
            ("BUILDKITE_TIMEOUT", "9"),
            ("BUILDKITE_REPO", "theirs"),
            ("BUILDKITE_ARTIFACT_PATHS", "theirs"),
            ("BUILDKITE_ANALYTICS_TOKEN", "theirs"),
        ]);
        let own = [
            ("A", "own"),
            ("HOME", "own"),
            ("BUILDKITE_COMMIT", "own"),
            ("BUILDKITE_GROUP_KEY", "of another job"),
            ("BUILDKITE_CLUSTER_ID", "own"),
        ];
        let secrets = [("D", "secret"), ("BUILDKITE_JOB_ID", "secret")];
        let env = environment(&plan, &job(step), 1, &own, &secrets);
        for (name, expected) in [
            ("HOME", Some("own")),
            ("A", Some("pipeline")),
            ("B", Some("build")),
            ("C", Some("step")),
            ("D", Some("secret")),
            ("CI", Some("true")),
            ("BUILDKITE_BRANCH", Some("main")),
            ("BUILDKITE_COMMIT", Some("")),
            ("BUILDKITE_TIMEOUT", Some("false")),
            ("BUILDKITE_BUILD_NUMBER", Some("1514")),
            ("BUILDKITE_REPO", Some("theirs")),
            ("BUILDKITE_ARTIFACT_PATHS", Some("theirs")),
            ("BUILDKITE_ANALYTICS_TOKEN", Some("theirs")),
            ("BUILDKITE_CLUSTER_ID", Some("own")),
            ("BUILDKITE_GROUP_KEY", None),
            ("BUILDKITE_IGNORED_ENV", Some("BUILDKITE_BRANCH,BUILDKITE_JOB_ID,BUILDKITE_TIMEOUT,CI")),
        ] {
            assert_eq!(env.get(name).map(String::as_str), expected, "{name}");
        }
    }

    #[test]
    fn a_component_sees_what_it_is_granted() {
        let mut step = step();
        step.command = false;
        step.grants.env = vec!["BUILDKITE_BRANCH".to_owned(), "SHOWN".to_owned(), "HOME".to_owned()];
        step.env = map(&[("SHOWN", "1"), ("HIDDEN", "2")]);
        let env = environment(&plan(), &job(step), 1, &[("HOME", "/root")], &[]);
        assert_eq!(
            env,
            JobEnvironment::from([
                ("BUILDKITE_BRANCH".to_owned(), "main".to_owned()),
                ("SHOWN".to_owned(), "1".to_owned()),
            ])
        );
    }
}
