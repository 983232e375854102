//! Public Buildkite pipelines and vectors: what Buildkite's own code makes of them, ours must make of them too.
//!
//! The corpus is not part of the repository. It is looked for in `../shared/corpus` beside the repository, or where
//! `RUNNER_CORPUS` says; `RUNNER_CORPUS=none` leaves these tests out.

use crate::project::tell;
use std::fs;
use std::path::{Path, PathBuf};

use runner::pipeline::condition::{Actor, Condition, Context, Scope};
use runner::pipeline::interpolate::interpolate;
use runner::pipeline::model::Matrix;
use runner::pipeline::{Diagnostic, Env, Parsed, Precedence, Source, Step, StepKind, branches, parse_all};
use serde_json::Value;

/// Where the corpus is; `None` when it is left out on purpose.
pub(crate) fn corpus() -> Option<PathBuf> {
    let set = std::env::var_os("RUNNER_CORPUS");
    if set.as_ref().is_some_and(|set| set == "none") {
        tell("RUNNER_CORPUS=none: nothing was compared");
        return None;
    }
    let path = set.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), PathBuf::from);
    let path = path.join("buildkite");
    assert!(
        path.is_dir(),
        "the corpus is absent: there is no {}; set RUNNER_CORPUS to where it is, or to `none`",
        path.display()
    );
    Some(path)
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn oracle_env(corpus: &Path) -> Env {
    let variables = json(&corpus.join("ORACLE-ENV.json"));
    variables.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.as_str().unwrap())).collect()
}

/// What our parser makes of a text, in the form of the golden files, apart from the texts of messages.
fn outcome(text: &[u8], env: &Env) -> Vec<Value> {
    let parsed = Source::from_bytes("pipeline.yml", text).and_then(|source| parse_all(&source));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return vec![serde_json::json!({ "parse_error": error.to_string() })],
    };
    parsed
        .into_iter()
        .map(|Parsed { mut pipeline, warnings }| {
            let mut out = serde_json::Map::new();
            if !warnings.is_empty() {
                let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
                out.insert("warning".to_owned(), warnings.into());
            }
            out.insert("no_interpolation".to_owned(), pipeline.to_json());
            match pipeline.interpolate(&mut env.clone(), Precedence::Pipeline) {
                Ok(()) => out.insert("interpolated".to_owned(), pipeline.to_json()),
                Err(error) => out.insert("interpolation_error".to_owned(), error.to_string().into()),
            };
            Value::Object(out)
        })
        .collect()
}

/// The differences between two outcomes. Texts of messages may differ, everything else may not, order included.
fn differences(ours: &[Value], theirs: &[Value]) -> Vec<String> {
    let mut differences = Vec::new();
    if ours.len() != theirs.len() {
        differences.push(format!("{} documents, expected {}", ours.len(), theirs.len()));
    }
    for (ours, theirs) in ours.iter().zip(theirs) {
        for part in ["parse_error", "warning", "interpolation_error"] {
            if ours.get(part).is_some() != theirs.get(part).is_some() {
                differences.push(format!("{part}: {:?}, expected {:?}", ours.get(part), theirs.get(part)));
            }
        }
        for part in ["no_interpolation", "interpolated"] {
            let text = |value: &Value| value.get(part).map(|value| normal(value).to_string());
            if text(ours) != text(theirs) {
                differences.push(format!(
                    "{part}:\n  {}\nexpected\n  {}",
                    text(ours).unwrap_or_default(),
                    text(theirs).unwrap_or_default()
                ));
            }
        }
    }
    differences
}

/// Whole numbers without a fraction, as both sides mean them.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => Value::from(format!("{float:.0}")),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), normal(value))).collect(),
        _ => value.clone(),
    }
}

/// Compares and reports; fails when anything differs.
fn report(what: &str, compared: usize, failures: &[String]) {
    tell(&format!("{what}: {} of {compared} equal", compared - failures.len()));
    assert!(compared > 0, "{what}: nothing to compare");
    assert!(failures.is_empty(), "{what}:\n{}", failures.join("\n\n"));
}

fn golden(set: &str, files: &str) {
    let Some(corpus) = corpus() else { return };
    let env = oracle_env(&corpus);
    let mut compared = 0;
    let mut failures = Vec::new();
    for entry in fs::read_dir(corpus.join("golden").join(set)).unwrap() {
        let golden = json(&entry.unwrap().path());
        let name = golden["file"].as_str().unwrap();
        let text = fs::read(corpus.join(files).join(Path::new(name).file_name().unwrap())).unwrap();
        let theirs = golden["docs"].as_array().cloned().unwrap_or_default();
        let differences = differences(&outcome(&text, &env), &theirs);
        compared += 1;
        if !differences.is_empty() {
            failures.push(format!("{name}: {}", differences.join("\n")));
        }
    }
    report(&format!("golden files, {set}"), compared, &failures);
}

#[test]
fn golden_real_world() {
    golden("real-world", ".");
}

#[test]
fn golden_schema() {
    golden("pipeline-schema-valid-pipelines", "pipeline-schema-valid-pipelines");
}

#[test]
fn golden_docs() {
    golden("docs-examples", "docs-examples");
}

#[test]
fn parser_vectors() {
    let Some(corpus) = corpus() else { return };
    let env = oracle_env(&corpus);
    let vectors = json(&corpus.join("vectors/parser-edge.json"));
    let cases = vectors["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let theirs = case["docs"].as_array().cloned().unwrap_or_default();
        let ours = outcome(case["yaml"].as_str().unwrap().as_bytes(), &env);
        let differences = differences(&ours, &theirs);
        if !differences.is_empty() {
            failures.push(format!("{}: {}", case["name"], differences.join("\n")));
        }
    }
    report("parser vectors", cases.len(), &failures);
}

#[test]
fn interpolation_vectors() {
    let Some(corpus) = corpus() else { return };
    let vectors = json(&corpus.join("vectors/interpolate.json"));
    let variables = vectors["env"].as_object().unwrap();
    let env: Env = variables.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap())).collect();
    let cases = vectors["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let input = case["input"].as_str().unwrap();
        let ours = interpolate(input, &env);
        // The messages of `?` are the user's own and must be equal; all others only have to be messages.
        let theirs = case.get("error").and_then(Value::as_str);
        let equal = match (&ours, theirs) {
            (Ok(text), None) => case["want"].as_str() == Some(text),
            (Err(error), Some(theirs)) => !theirs.starts_with('$') || error.to_string() == theirs,
            _ => false,
        };
        if !equal {
            failures.push(format!("{input}: {ours:?}, expected {case}"));
        }
    }
    report("interpolation vectors", cases.len(), &failures);
}

#[test]
fn branch_vectors() {
    let Some(corpus) = corpus() else { return };
    let vectors = json(&corpus.join("vectors/branches.json"));
    let cases = vectors["cases"].as_array().unwrap();
    let failures: Vec<_> = cases
        .iter()
        .filter(|case| {
            let ours = branches::matches(&[case["pattern"].as_str().unwrap()], case["branch"].as_str().unwrap());
            case["match"].as_bool() != Some(ours)
        })
        .map(ToString::to_string)
        .collect();
    report("branch vectors", cases.len(), &failures);
}

/// Every attribute of every real pipeline can be read, and every matrix expanded.
#[test]
fn real_world_attributes() {
    let Some(corpus) = corpus() else { return };
    let env = oracle_env(&corpus);
    let mut compared = 0;
    let mut failures = Vec::new();
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let source = Source::from_bytes(path.display().to_string(), &fs::read(&path).unwrap()).unwrap();
        for Parsed { mut pipeline, .. } in parse_all(&source).unwrap() {
            if pipeline.interpolate(&mut env.clone(), Precedence::Pipeline).is_err() {
                continue;
            }
            compared += 1;
            let mut findings = pipeline.attributes().err().unwrap_or_default();
            findings.extend(pipeline.steps.iter().flat_map(findings_of));
            for finding in findings {
                let place = finding.span.map(|span| source.position(span.start).to_string()).unwrap_or_default();
                failures.push(format!("{}:{place}: {finding}", path.display()));
            }
        }
    }
    report("attributes of real pipelines", compared, &failures);
}

fn findings_of(step: &Step) -> Vec<Diagnostic> {
    let findings = match &step.kind {
        StepKind::Command(command) => match command.matrix.as_deref().map(Matrix::permutations) {
            None => command.attributes().err(),
            Some(Err(findings)) => Some(findings),
            Some(Ok(permutations)) => Some(
                permutations
                    .iter()
                    .flat_map(|permutation| match command.for_permutation(permutation) {
                        Ok(step) => step.attributes().err().unwrap_or_default(),
                        Err(finding) => vec![finding],
                    })
                    .collect(),
            ),
        },
        StepKind::Wait(wait) => wait.wait_attributes().err(),
        StepKind::Input(input) => input.input_attributes().err(),
        StepKind::Trigger(trigger) => trigger.trigger_attributes(step.span).err(),
        StepKind::Group(group) => {
            let inner = group.steps.iter().flat_map(findings_of);
            Some(group.attributes().err().unwrap_or_default().into_iter().chain(inner).collect())
        }
        StepKind::Unknown(unknown) => Some(vec![unknown.reason.clone()]),
    };
    findings.unwrap_or_default()
}

#[test]
fn condition_vectors() {
    let Some(corpus) = corpus() else { return };
    let vectors = json(&corpus.join("vectors/conditional-corpus.json"));
    let contexts: Vec<_> =
        vectors["contexts"].as_object().unwrap().iter().map(|(name, value)| (name, context(value))).collect();
    let cases = vectors["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let text = case["expr"].as_str().unwrap();
        let condition = Condition::parse(text, Scope::Build);
        let kind = condition.as_ref().err().map(|error| format!("{:?}", error.kind).to_lowercase());
        if kind.as_deref() != case.get("error_kind").and_then(Value::as_str) {
            failures.push(format!("{text}: {:?}, expected {}", condition.err(), case["validate"]));
            continue;
        }
        let Ok(condition) = condition else { continue };
        for (name, context) in &contexts {
            let ours = condition.evaluate(context).ok();
            if ours != case["results"][name.as_str()].as_bool() {
                failures.push(format!("{text} in {name}: {ours:?}, expected {}", case["results"][name.as_str()]));
            }
        }
    }
    report(&format!("condition vectors in {} contexts", contexts.len()), cases.len(), &failures);
}

fn context(value: &Value) -> Context {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let list = |value: &Value| Some(value.as_array()?.iter().filter_map(text).collect());
    let actor = |value: &Value| Actor {
        id: text(&value["ID"]),
        name: text(&value["Name"]),
        email: text(&value["Email"]),
        teams: list(&value["Teams"]),
        verified: value["Verified"].as_bool(),
    };
    let mut context = Context::default();
    let build = &value["Build"];
    context.build.id = text(&build["ID"]);
    context.build.state = text(&build["State"]);
    context.build.source = text(&build["Source"]);
    context.build.source_event = text(&build["SourceEvent"]);
    context.build.source_action = text(&build["SourceAction"]);
    context.build.branch = text(&build["Branch"]);
    context.build.tag = text(&build["Tag"]);
    context.build.message = text(&build["Message"]);
    context.build.commit = text(&build["Commit"]);
    context.build.number = build["Number"].as_i64();
    context.build.creator = actor(&build["Creator"]);
    context.build.author = actor(&build["Author"]);
    context.build.pull_request.id = text(&build["PullRequest"]["ID"]);
    context.build.pull_request.base_branch = text(&build["PullRequest"]["BaseBranch"]);
    context.build.pull_request.draft = build["PullRequest"]["Draft"].as_bool();
    context.build.pull_request.labels = list(&build["PullRequest"]["Labels"]);
    context.build.pull_request.repository = text(&build["PullRequest"]["Repository"]);
    context.build.pull_request.repository_fork = build["PullRequest"]["RepositoryFork"].as_bool();
    context.pipeline.id = text(&value["Pipeline"]["ID"]);
    context.pipeline.name = text(&value["Pipeline"]["Name"]);
    context.pipeline.slug = text(&value["Pipeline"]["Slug"]);
    context.pipeline.default_branch = text(&value["Pipeline"]["DefaultBranch"]);
    context.pipeline.repository = text(&value["Pipeline"]["Repository"]);
    context.organization.id = text(&value["Organization"]["ID"]);
    context.organization.slug = text(&value["Organization"]["Slug"]);
    for (name, value) in value["BuildEnv"].as_object().unwrap() {
        context.env.insert(name.clone(), value.as_str().unwrap().to_owned());
    }
    context
}
