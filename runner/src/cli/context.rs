//! What is built: from the flags, else from the CI system around us, else from git.

mod buildkite;
mod changed;
mod ci;
mod git;
mod github;
mod gitlab;
mod jenkins;

use super::error::Error;
use super::project::Project;
use crate::agent::{ChangedFiles, own_environment};
use crate::pipeline::model::PlainStep;
use crate::pipeline::{Diagnostic, Env, Mapping, Pipeline, Source, Span, Step, StepKind};
use crate::plan::{BuildContext, Person, PullRequest, TriggerJob};
use ci::{System, Variables};
use clap::{Args, ValueEnum};
use git::Git;
use serde_json::Value;
use std::path::Path;

/// Flags that say what is built, over what the CI system and git say.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What is built (from the CI system or git unless given)")]
pub(super) struct ContextFlags {
    /// Branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Commit
    #[arg(long, value_name = "SHA")]
    commit: Option<String>,
    /// Tag
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Commit message
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Number of the pull request, or `false` for none
    #[arg(long, value_name = "NUMBER", value_parser = pull_request_number)]
    pull_request: Option<String>,
    /// Branch the pull request is to be merged into
    #[arg(long, value_name = "NAME")]
    pull_request_base_branch: Option<String>,
    /// How the run came about
    #[arg(long, value_name = "SOURCE")]
    source: Option<SourceFlag>,
}

/// The sources of a build, as conditions name them.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum SourceFlag {
    Ui,
    Webhook,
    Api,
    Schedule,
    TriggerJob,
}

/// What is built, as far as it is known before the pipeline is interpolated.
pub(super) struct Detected {
    pub(super) context: BuildContext,
    pub(super) warnings: Vec<Diagnostic>,
}

impl ContextFlags {
    /// What a triggered run builds: what the step says, else the default branch as it is.
    pub(super) fn triggered(trigger: &TriggerJob, parent: &BuildContext) -> Self {
        Self {
            branch: Some(trigger.branch.clone().unwrap_or_else(|| parent.default_branch.clone())),
            commit: Some(trigger.commit.clone()).filter(|commit| commit != "HEAD"),
            message: Some(trigger.message.clone()),
            pull_request: Some("false".to_owned()),
            source: Some(SourceFlag::TriggerJob),
            ..Self::default()
        }
    }

    /// The build context of a project's directory. Git is only asked about what depends on it and nobody else knows:
    /// short processes are most of the time of a run that does little.
    pub(super) fn detect(&self, directory: &Path, pipeline: &Pipeline, source: &Source) -> Result<Detected, Error> {
        let variables: Variables = own_environment().collect();
        let system = System::detect(&variables);
        let payload = payload(system, &variables)?;
        let mut context = system.map(|system| system.facts(&variables, &payload)).unwrap_or_default();
        self.apply(&mut context)?;
        let asked = source.text.contains('$') || any_asks(&pipeline.steps);
        let mut warnings = Vec::new();
        complete(&mut context, &Git { directory: asked.then_some(directory) }, &mut warnings);
        if context.source.is_empty() && system.is_none() {
            "ui".clone_into(&mut context.source);
        }
        name_pipeline(&mut context, directory);
        Ok(Detected { context, warnings })
    }

    /// Puts the flags over what the CI system says.
    fn apply(&self, context: &mut BuildContext) -> Result<(), Error> {
        if let Some(commit) = self.commit.as_ref().filter(|commit| **commit != context.commit) {
            commit.clone_into(&mut context.commit);
            // They were another commit's.
            context.message.clear();
            context.author = Person::default();
            context.committer = Person::default();
        }
        for (fact, flag) in
            [(&mut context.branch, &self.branch), (&mut context.tag, &self.tag), (&mut context.message, &self.message)]
        {
            if let Some(flag) = flag {
                fact.clone_from(flag);
            }
        }
        match self.pull_request.as_deref() {
            None => {}
            Some("" | "false") => context.pull_request = None,
            Some(number) => {
                let same = context.pull_request.take().filter(|pull_request| pull_request.number == number);
                let other = || PullRequest { number: number.to_owned(), ..PullRequest::default() };
                context.pull_request = Some(same.unwrap_or_else(other));
            }
        }
        match (&self.pull_request_base_branch, &mut context.pull_request) {
            (Some(base), Some(pull_request)) => pull_request.base_branch.clone_from(base),
            (Some(_), None) => {
                return Err(Error::usage("--pull-request-base-branch is given, but what is built is no pull request")
                    .help("add --pull-request NUMBER"));
            }
            (None, _) => {}
        }
        if let Some(source) = self.source.and_then(|source| source.to_possible_value()) {
            source.get_name().clone_into(&mut context.source);
        }
        Ok(())
    }
}

impl Detected {
    /// Finds out which files the build changes, when a step asks for it. `env` is the environment the pipeline was
    /// interpolated with.
    pub(super) fn find_changed_files(&mut self, directory: &Path, pipeline: &Pipeline, env: &Env) {
        match changed_files(directory, &self.context, pipeline, env) {
            Ok(files) => self.context.changed_files = files,
            Err(warning) => self.warnings.push(warning),
        }
    }
}

/// The files the build changes; nothing when no step asks for them.
pub(super) fn changed_files(
    directory: &Path,
    context: &BuildContext,
    pipeline: &Pipeline,
    env: &Env,
) -> Result<Option<Vec<String>>, Diagnostic> {
    let Some(place) = first_if_changed(&pipeline.steps) else { return Ok(None) };
    let base = changed::base(env.get("BUILDKITE_GIT_DIFF_BASE").unwrap_or_default(), context);
    let variables: Variables = own_environment().collect();
    // A person looks at this working tree, and not a CI system.
    let own = System::detect(&variables).is_none() && matches!(variables.text("CI").as_str(), "" | "false");
    changed::files(&Git { directory: Some(directory) }, &base, own).map(Some).map_err(|reason| {
        Diagnostic::warning(format!("nobody knows which files the build changes: {reason}"))
            .at(place)
            .label("skips nothing")
            .help(format!(
                "the files are those that differ from `{base}`; fetch that branch, or name another in BUILDKITE_GIT_DIFF_BASE"
            ))
    })
}

/// The same for steps that are uploaded while a run of the project goes on.
pub(super) fn changed_files_of(project: &Project) -> ChangedFiles {
    let directory = project.directory.clone();
    Box::new(move |context, pipeline, env| changed_files(&directory, context, pipeline, env))
}

/// Fills in from git what is not known yet.
fn complete(context: &mut BuildContext, git: &Git<'_>, warnings: &mut Vec<Diagnostic>) {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let resolved = matches!(context.commit.len(), 40 | 64) && hexadecimal(&context.commit);
    if !resolved || context.author == Person::default() || context.message.is_empty() {
        let named = if context.commit.is_empty() { "HEAD" } else { &context.commit };
        let found = git.commit(named);
        if found.is_none() && git.directory.is_some() && !resolved && named != "HEAD" {
            warnings.push(Diagnostic::warning(format!(
                "the commit `{named}` is not in this repository; BUILDKITE_COMMIT is `{named}`"
            )));
        }
        let commit = found.unwrap_or_else(|| git::Commit { id: named.to_owned(), ..git::Commit::default() });
        if !resolved {
            context.commit = commit.id;
        }
        if context.author == Person::default() {
            context.author = commit.author;
            context.committer = commit.committer;
        }
        if context.message.is_empty() {
            context.message = commit.message;
        }
    }
    if context.creator == Person::default() {
        context.creator = context.author.clone();
    }
    let fill = |fact: &mut String, found: &dyn Fn() -> Option<String>| {
        if fact.is_empty() {
            *fact = found().unwrap_or_default();
        }
    };
    fill(&mut context.branch, &|| git.read(&["symbolic-ref", "--short", "--quiet", "HEAD"]));
    fill(&mut context.repository, &|| Some(without_password(&git.read(&["config", "--get", "remote.origin.url"])?)));
    fill(&mut context.default_branch, &|| {
        let head = git.read(&["symbolic-ref", "--short", "--quiet", "refs/remotes/origin/HEAD"]);
        let head = head.and_then(|head| head.strip_prefix("origin/").map(ToOwned::to_owned));
        // Without a remote, of the usual names the one that is there.
        let usual = ["for-each-ref", "--format=%(refname:short)", "refs/heads/main", "refs/heads/master"];
        let there = || git.read(&usual).and_then(|names| names.lines().next().map(ToOwned::to_owned));
        head.or_else(there).or_else(|| Some("main".to_owned()))
    });
    fill(&mut context.organization, &|| Some("local".to_owned()));
}

/// The pipeline's names: those of the repository, or of a directory in it that has a pipeline of its own.
fn name_pipeline(context: &mut BuildContext, directory: &Path) {
    if context.pipeline_slug.is_empty() {
        let repository = context.repository.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let name = Some(repository.trim_end_matches(".git").to_owned())
            .filter(|name| !name.is_empty() && directory.join(".git").exists())
            .or_else(|| directory.file_name().map(|name| name.to_string_lossy().into_owned()));
        context.pipeline_slug = name.unwrap_or_default().to_lowercase();
    }
    if context.pipeline_name.is_empty() {
        context.pipeline_name.clone_from(&context.pipeline_slug);
    }
    if context.provider.is_empty() {
        let hosts = [("github.com", "github"), ("gitlab.com", "gitlab"), ("bitbucket.org", "bitbucket")];
        let host = hosts.iter().find(|(host, _)| context.repository.contains(host));
        host.map_or("", |(_, provider)| provider).clone_into(&mut context.provider);
    }
}

/// Bytes of the description of an event: what GitHub sends has at most 25 MB.
const MAX_PAYLOAD: u64 = 32 << 20;

/// The description of the event that led to the build, where the CI system leaves one.
fn payload(system: Option<System>, variables: &Variables) -> Result<Value, Error> {
    let path = variables.text("GITHUB_EVENT_PATH");
    if system != Some(System::GitHub) || path.is_empty() {
        return Ok(Value::Null);
    }
    let read = || -> Result<Value, String> {
        let size = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
        if size > MAX_PAYLOAD {
            return Err(format!("it has {size} bytes, expected at most {MAX_PAYLOAD}"));
        }
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    };
    read().map_err(|reason| {
        Error::environment(format!("the event {path} (GITHUB_EVENT_PATH) cannot be read: {reason}"))
            .help("it says whether a pull request comes from a fork; to go without it, unset GITHUB_ACTIONS")
    })
}

/// An address of a repository without the password or token in it: facts are stored and shown.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) if scheme == "ssh" => format!("{scheme}://{user}@{host}{}", &rest[end..]),
            None if scheme == "ssh" => address.to_owned(),
            _ => format!("{scheme}://{host}{}", &rest[end..]),
        },
        None => address.to_owned(),
    }
}

/// Whether what a step does or whether it runs can depend on what is built.
fn any_asks(steps: &[Step]) -> bool {
    let asks = |keys: &Mapping| ["if", "branches", "if_changed", "grants"].iter().any(|key| keys.contains_key(*key));
    steps.iter().any(|step| match &step.kind {
        StepKind::Command(command) => command.command.is_some() || asks(&command.rest),
        StepKind::Wait(PlainStep::Mapping(keys)) | StepKind::Input(PlainStep::Mapping(keys)) => asks(keys),
        StepKind::Wait(PlainStep::Word(_)) | StepKind::Input(PlainStep::Word(_)) => false,
        StepKind::Group(group) => asks(&group.rest) || any_asks(&group.steps),
        StepKind::Trigger(_) | StepKind::Unknown(_) => true,
    })
}

/// The first step, if any, that depends on which files the build changes.
fn first_if_changed(steps: &[Step]) -> Option<Span> {
    let written =
        |keys: &Mapping| keys.get("if_changed").filter(|entry| !entry.value.is_null()).map(|entry| entry.key_span);
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Command(command) => written(&command.rest),
        StepKind::Trigger(PlainStep::Mapping(keys)) => written(keys),
        StepKind::Group(group) => written(&group.rest).or_else(|| first_if_changed(&group.steps)),
        _ => None,
    })
}

fn pull_request_number(text: &str) -> Result<String, String> {
    // Scripts hand on a variable that is empty when there is none.
    if text == "false" || text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("expected a number, or `false`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out_of_addresses() {
        for (address, expected) in [
            ("https://ci:glpat-1@example.com/a/b.git", "https://example.com/a/b.git"),
            ("https://token@example.com/a", "https://example.com/a"),
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("ssh://git:secret@example.com/a", "ssh://git@example.com/a"),
            ("ssh://git@example.com/a", "ssh://git@example.com/a"),
            ("git@github.com:acme/orders.git", "git@github.com:acme/orders.git"),
            ("../orders", "../orders"),
        ] {
            assert_eq!(without_password(address), expected);
        }
    }

    #[test]
    fn a_pipeline_has_the_name_of_its_repository_or_of_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let project = directory.path().join("Checkout");
        std::fs::create_dir(&project).unwrap();
        let slug = |repository: &str| {
            let mut context = BuildContext { repository: repository.to_owned(), ..BuildContext::default() };
            name_pipeline(&mut context, &project);
            (context.pipeline_slug, context.provider)
        };
        assert_eq!(slug("git@github.com:acme/Orders.git"), ("checkout".to_owned(), "github".to_owned()));
        std::fs::create_dir(project.join(".git")).unwrap();
        assert_eq!(slug("git@github.com:acme/Orders.git").0, "orders");
        assert_eq!(slug("https://gitlab.com/acme/orders/"), ("orders".to_owned(), "gitlab".to_owned()));
        assert_eq!(slug("host:orders"), ("orders".to_owned(), String::new()));
        assert_eq!(slug("").0, "checkout");
    }

    fn flags(arguments: &[&str]) -> ContextFlags {
        #[derive(clap::Parser)]
        struct Parsed {
            #[command(flatten)]
            flags: ContextFlags,
        }
        <Parsed as clap::Parser>::try_parse_from(std::iter::once(&"runner").chain(arguments)).unwrap().flags
    }

    #[test]
    fn flags_are_over_everything() {
        let ci = || BuildContext {
            branch: "topic".to_owned(),
            commit: "abc".to_owned(),
            message: "theirs".to_owned(),
            author: Person { name: "A".to_owned(), email: String::new() },
            pull_request: Some(PullRequest {
                number: "5".to_owned(),
                base_branch: "main".to_owned(),
                ..PullRequest::default()
            }),
            source: "webhook".to_owned(),
            ..BuildContext::default()
        };
        let applied = |arguments: &[&str]| {
            let mut context = ci();
            flags(arguments).apply(&mut context).map(|()| context).map_err(|error| error.render())
        };
        let given = applied(&["--branch", "b", "--tag", "t", "--message", "m", "--source", "trigger_job"]).unwrap();
        let BuildContext { branch, tag, message, source, pull_request, author, .. } = given;
        assert_eq!((branch.as_str(), tag.as_str(), message.as_str(), source.as_str()), ("b", "t", "m", "trigger_job"));
        assert_eq!((pull_request.unwrap().number.as_str(), author.name.as_str()), ("5", "A"));
        let other = applied(&["--commit", "def", "--pull-request", "6"]).unwrap();
        assert_eq!((other.message.as_str(), other.author.name.as_str()), ("", ""), "those were another commit's");
        assert_eq!(other.pull_request.unwrap().base_branch, "", "it was another pull request's");
        let same = applied(&["--commit", "abc", "--pull-request", "5"]).unwrap();
        assert_eq!((same.message.as_str(), same.pull_request.unwrap().base_branch.as_str()), ("theirs", "main"));
        assert_eq!(applied(&["--pull-request", "false"]).unwrap().pull_request, None);
        assert_eq!(["7", "", "abc", "-1"].map(|text| pull_request_number(text).is_ok()), [true, true, false, false]);
        let based = applied(&["--pull-request-base-branch", "release"]).unwrap();
        assert_eq!(based.pull_request.unwrap().base_branch, "release");
        let error = applied(&["--pull-request", "false", "--pull-request-base-branch", "main"]).unwrap_err();
        assert!(error.contains("--pull-request NUMBER"), "{error}");
    }
}
