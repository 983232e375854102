//! The Compose files of the corpus: attacks are refused with the expected code, real files are read.

use crate::plan::{Plan, Refused, plan};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Attacks the host refuses, because only it knows: the step's grants, and what a Dockerfile says. The guest's part is
/// to pass on what the file asks for, unchanged.
const REFUSED_BY_THE_HOST: [(&str, &str); 10] = [
    ("45-image-not-granted.yaml", "`grants.docker.images` decides when the image is looked up"),
    ("55-mem-huge.yaml", "`grants.docker.containers.memory` decides when the container is created"),
    ("76-df-from-not-granted.yaml", "the build checks the Dockerfile's base images"),
    ("77-df-from-arg.yaml", "the build checks the Dockerfile's base images"),
    ("79-df-add-url.yaml", "the build checks the Dockerfile"),
    ("80-df-syntax.yaml", "the build checks the Dockerfile"),
    ("81-df-run-net-host.yaml", "the build checks the Dockerfile"),
    ("83-df-mount-secret.yaml", "the build checks the Dockerfile"),
    ("84-df-mount-from.yaml", "the build checks the Dockerfile's base images"),
    ("85-df-onbuild.yaml", "the build checks the Dockerfile"),
];

#[test]
fn every_attack_is_refused_with_its_code() {
    let attacks = corpus("attacks");
    let mut wrong = Vec::new();
    let files = files_in(&attacks);
    for name in &files {
        let text = std::fs::read_to_string(attacks.join(name)).unwrap();
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).unwrap().trim();
        // The first service of the file.
        let service = if text.contains("  s0:") { "s0" } else { "a" };
        let outcome = plan(&attacks, name, service, &|_| None);
        if REFUSED_BY_THE_HOST.iter().any(|(file, _)| file == name) {
            if let Err(refused) = outcome {
                wrong.push(format!("{name}: left to the host, but refused here: {}", refused.message));
            }
            continue;
        }
        let codes = outcome.map_or_else(|refused| codes(&refused), |_| vec!["accepted".to_owned()]);
        if codes.is_empty() || codes.iter().any(|code| code != expected) {
            wrong.push(format!("{name}: expected {expected}, found {codes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files.len(), 63);
}

#[test]
fn the_host_is_asked_for_what_an_attack_wants() {
    let attacks = corpus("attacks");
    let image = plan(&attacks, "45-image-not-granted.yaml", "a", &|_| None).unwrap();
    let reference = "evil.example/x:1".to_owned();
    let pull = crate::compose::PullPolicy::Missing;
    assert_eq!(image.services[0].service.wanted, crate::compose::Wanted::Image { reference, pull });
    let memory = plan(&attacks, "55-mem-huge.yaml", "a", &|_| None).unwrap();
    assert_eq!(memory.services[0].service.memory, 512 << 30);
}

#[test]
fn the_good_project_is_planned_whole() {
    let good = corpus("good/pgtest");
    let Plan { services, networks, warnings } = plan(&good, "compose.yaml", "test", &|_| None).unwrap();
    let names: Vec<&str> = services.iter().map(|planned| planned.service.name.as_str()).collect();
    assert_eq!(names, ["db", "migrate", "test"]);
    assert_eq!(networks.iter().map(|network| network.name.as_str()).collect::<Vec<_>>(), ["default"]);
    // `CI` has no value here; the mount is read-only, so nothing is lost in a copy.
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let test = &services[2];
    assert_eq!(test.environment, [("PGPASSWORD".to_owned(), "pw".to_owned())]);
    let crate::compose::Wanted::Build { build, .. } = &test.service.wanted else { panic!("expected a build") };
    assert_eq!((build.context.as_str(), build.args[0].1.as_str()), ("app", "ci"));
    let tagged = plan(&good, "compose.yaml", "test", &|name| (name == "CI").then(|| "1".to_owned())).unwrap();
    assert!(tagged.services[2].environment.contains(&("CI".to_owned(), "1".to_owned())) && tagged.warnings.is_empty());
}

#[test]
fn conformance_files_are_read_but_for_what_a_test_has_not() {
    let outcomes = outcomes(&corpus("conformance/tests"));
    let refused: Vec<String> = outcomes
        .iter()
        .filter(|(_, codes)| !codes.is_empty())
        .map(|(file, codes)| format!("{file} {}", codes.join(" ")))
        .collect();
    let expected = [
        "scaling/compose.yaml E_UNSUPPORTED_KEY",
        "simple_configfile/compose.yaml E_UNSUPPORTED_KEY E_UNSUPPORTED_KEY",
        "simple_secretfile/compose.yaml E_UNSUPPORTED_KEY E_UNSUPPORTED_KEY",
    ];
    assert_eq!(refused, expected);
    assert_eq!(outcomes.len(), 8);
}

#[test]
fn real_files_are_read_but_for_what_a_test_has_not() {
    // A copy, because the projects have directories that start empty and a corpus does not keep those.
    let copy = std::env::temp_dir().join(format!("compose-test-corpus-{}", std::process::id()));
    copy_directory(&corpus("real"), &copy);
    for empty in ["tests/e2e/out-testmace", "tests/e2e/out-karate", "sample", "migrations", "coverage"] {
        std::fs::create_dir_all(copy.join(empty)).unwrap();
    }
    let outcomes = outcomes(&copy);
    std::fs::remove_dir_all(&copy).unwrap();
    let mut refused = outcomes.clone();
    refused.retain(|_, codes| !codes.is_empty());
    refused.values_mut().for_each(Vec::dedup);
    let expected = [
        // Older than 2014: no `services`.
        ("0014593_Testinggit_v1.yaml", "E_VALUE"),
        // Variables the step was not granted.
        ("0eale0_med_platform.yaml", "E_ENV"),
        ("0xErwin1_FinanceTracker.yaml", "E_ENV"),
        // All privileges, and the host's network.
        ("0xIbra_php-docker-client.yaml", "E_PRIVILEGED E_NAMESPACE E_UNSUPPORTED_KEY"),
        ("0xb1b1_itam-bot.yaml", "E_ENV"),
        ("0xradical_respriter_excerpt.yaml", "E_ENV E_SOCKET"),
        ("13hannes11_toolbox-tuner.yaml", "E_PRIVILEGED E_SECURITY_OPT"),
        // Another file.
        ("18F_weathergov-django_excerpt.yaml", "E_UNSUPPORTED_KEY"),
    ];
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(file, codes)| ((*file).to_owned(), (*codes).to_owned())).collect();
    let refused: BTreeMap<String, String> = refused.into_iter().map(|(file, codes)| (file, codes.join(" "))).collect();
    assert_eq!(refused, expected);
    assert_eq!(outcomes.len(), 23);
}

/// Files of every kind, also such that are no Compose: each is read, or refused with a reason, and within moments.
#[test]
fn no_file_of_the_corpus_breaks_the_reader() {
    let (mut read, mut accepted) = (0, 0);
    let mut open = vec![corpus("")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let mut findings = crate::compose::Findings::default();
                let project = crate::compose::read(&text, ".", &|_| None, &mut findings);
                assert_eq!(project.is_none(), findings.report("f", &text).is_some(), "{}", path.display());
                read += 1;
                accepted += usize::from(project.is_some());
            }
        }
    }
    assert_eq!((read, accepted), (935, 275));
}

/// For each file the codes it is refused with, in the order of the file; none when every service can be planned.
fn outcomes(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let mut outcomes = BTreeMap::new();
    for file in files_in(directory) {
        let text = std::fs::read_to_string(directory.join(&file)).unwrap();
        let mut findings = crate::compose::Findings::default();
        let project = crate::compose::read(&text, crate::compose::directory_of(&file), &|_| None, &mut findings);
        let codes = match project {
            Some(project) => project
                .services
                .iter()
                .filter_map(|service| plan(directory, &file, &service.name, &|_| None).err())
                .flat_map(|refused| codes(&refused))
                .collect(),
            None => codes(&plan(directory, &file, "any", &|_| None).unwrap_err()),
        };
        outcomes.insert(file, codes);
    }
    outcomes
}

/// The codes in a report, in its order.
fn codes(refused: &Refused) -> Vec<String> {
    let code = |part: &str| part.split_once(')').map(|(code, _)| format!("E_{code}"));
    refused.message.split("(E_").skip(1).filter_map(code).collect()
}

/// A directory of the corpus: below `$RUNNER_CORPUS`, or beside the workspace of the runner.
fn corpus(part: &str) -> PathBuf {
    let root = std::env::var_os("RUNNER_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let directory = root.join("compose").join(part);
    assert!(
        directory.is_dir(),
        "the Compose corpus is missing: no directory {}; set RUNNER_CORPUS to the directory that holds `compose/`",
        directory.display()
    );
    directory
}

/// The YAML files in a directory and in those directly below it, by relative path.
fn files_in(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
            files.extend(below.map(|below| format!("{name}/{}", below.to_str().unwrap())));
        } else {
            files.push(name);
        }
    }
    files.retain(|file| Path::new(file).extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_directory(&source, &target);
        } else {
            std::fs::write(&target, std::fs::read(&source).unwrap()).unwrap();
        }
    }
}
