//! Builds on the engine of this machine.

use super::super::client::RUN_LABEL;
use super::*;
use crate::capability::Error;
use wit_images::{BuildNetwork, BuildOptions, HostImage as _};

fn grant() -> Value {
    json!({"workspace": "write", "docker": {"build": ["."], "images": [BUSYBOX], "containers": {"cpus": 1}}})
}

fn build(dockerfile: &str) -> BuildOptions {
    BuildOptions {
        context: ".".to_owned(),
        dockerfile: dockerfile.to_owned(),
        target: String::new(),
        args: Vec::new(),
        network: BuildNetwork::None,
        no_cache: false,
        extras: Vec::new(),
    }
}

/// Runs an image's command; what it printed.
async fn output(job: &mut Job, image: &Resource<Image>) -> String {
    let before = job.logged().len();
    let mut view = job.view();
    let container = view.create(borrow(image), options()).await.unwrap();
    view.start(borrow(&container), String::new()).await.unwrap();
    view.wait(borrow(&container)).await.unwrap();
    wit::HostContainer::drop(&mut view, container).await.unwrap();
    job.logged()[before..].to_owned()
}

#[tokio::test]
async fn an_image_is_built_from_the_context_without_what_is_ignored() {
    busybox().await;
    let mut job = Job::new(&grant());
    job.write(
        "docker/Dockerfile",
        &format!(
            "ARG BASE={BUSYBOX}\nFROM ${{BASE}} AS tools\nRUN echo tool > /tool\nFROM ${{BASE}}\nARG GREETING\n\
         COPY --from=tools /tool /\nCOPY . /app\nRUN echo building $GREETING && ls /sys/class/net > /nets\n\
         CMD [\"sh\", \"-c\", \"cat /tool /nets; cd /app; find . -type f -o -type l | sort\"]\n"
        ),
    );
    job.write(".dockerignore", "**/*.key\nbig\n!big/needed\n");
    for file in ["secret.key", "sub/secret.key", "main", "big/x", "big/needed", ".runner/events.db"] {
        job.write(file, "x");
    }
    std::os::unix::fs::symlink("/etc/passwd", job.workspace.path().join("link")).unwrap();
    // Not in the cache of an earlier test.
    let greeting = uuid::Uuid::new_v4().to_string();
    let options =
        || BuildOptions { args: vec![("GREETING".to_owned(), greeting.clone())], ..build("docker/Dockerfile") };
    let image = job.view().build(options()).await.unwrap();
    let info = job.info(&image).await;
    assert!(info.id.starts_with("sha256:") && info.size > 0, "{info:?}");
    assert!(info.labels.contains(&("dev.runner.image".to_owned(), "built".to_owned())), "{info:?}");
    assert!(job.logged().contains(&format!("\nbuilding {greeting}\n")), "{}", job.logged());
    assert_eq!(
        output(&mut job, &image).await,
        "tool\nlo\n./.dockerignore\n./big/needed\n./docker/Dockerfile\n./link\n./main\n"
    );
    let again = job.view().build(options()).await.unwrap();
    assert_eq!(job.info(&again).await.id, info.id, "the cache is used");
    let stage = BuildOptions { target: "tools".to_owned(), ..options() };
    let stage = job.view().build(stage).await.unwrap();
    assert_ne!(job.info(&stage).await.id, info.id);
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn a_build_that_fails_says_what_it_last_said_and_leaves_no_container() {
    busybox().await;
    let mut job = Job::new(&grant());
    let mark = uuid::Uuid::new_v4();
    job.write("Dockerfile", &format!("FROM {BUSYBOX}\nRUN echo {mark} >&2 && echo 'the 'reason >&2 && exit 3\n"));
    let error = job.view().build(build("Dockerfile")).await.unwrap_err();
    let Error::Failed(text) = error else { panic!("{error:?}") };
    assert!(
        text.starts_with("cannot build `Dockerfile` in `.`: ") && text.contains("returned a non-zero code: 3"),
        "{text}"
    );
    assert!(text.ends_with("; it last said: the reason"), "{text}");
    let containers = docker(&["ps", "-a", "--no-trunc", "--format", "{{.Command}}"]);
    assert!(!containers.contains(&mark.to_string()), "{containers}");
    job.write("broken", "FROM scratch\nNONSENSE");
    let error = job.view().build(build("broken")).await.unwrap_err();
    assert!(error.to_string().contains("NONSENSE"), "{error}");
    let error = job.view().build(build("missing")).await.unwrap_err();
    assert!(matches!(&error, Error::NotFound(text) if text.contains("`missing`")), "{error}");
}

#[tokio::test]
async fn a_build_ends_with_its_job() {
    busybox().await;
    let mut job = Job::new(&grant());
    let mark = uuid::Uuid::new_v4();
    job.write("Dockerfile", &format!("FROM {BUSYBOX}\nRUN echo {mark} && sleep 50\n"));
    let (cancelled, log) = (job.cancelled.clone(), job.log.clone());
    tokio::spawn(async move {
        while !std::fs::read_to_string(&log).unwrap_or_default().contains(&format!("\n{mark}\n")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        cancelled.cancel();
    });
    assert!(matches!(job.view().build(build("Dockerfile")).await, Err(Error::Cancelled)));
    let gone = || !docker(&["ps", "-a", "--no-trunc", "--format", "{{.Command}}"]).contains(&mark.to_string());
    for _ in 0..100 {
        if gone() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the build goes on");
}

#[tokio::test]
async fn a_base_image_cannot_slip_instructions_or_labels_into_a_build() {
    busybox().await;
    let name = format!("runner.local/test-{}:1", uuid::Uuid::new_v4().simple());
    image(&name, &format!("FROM {BUSYBOX}\nONBUILD RUN echo smuggled\n"), &[]).await;
    let labelled = format!("runner.local/test-{}:1", uuid::Uuid::new_v4().simple());
    image(&labelled, &format!("FROM {BUSYBOX}\nLABEL {RUN_LABEL}=x\n"), &[]).await;
    let mut grants = grant();
    grants["docker"]["images"] = json!(["runner.local/test-*"]);
    let mut job = Job::new(&grants);
    job.write("onbuild", &format!("FROM {name}"));
    job.write("label", &format!("FROM {BUSYBOX}\nLABEL \"dev.runner.job\"=x"));
    job.write("inherited", &format!("FROM {labelled}\nRUN true"));
    let error = job.view().build(build("onbuild")).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("ONBUILD")), "{error}");
    for file in ["label", "inherited"] {
        let error = job.view().build(build(file)).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid(text) if text.contains("reserved")), "{file}: {error}");
    }
    assert!(!job.logged().contains("smuggled"));
    docker(&["rmi", &name, &labelled]);
}

#[tokio::test]
async fn arguments_mean_to_the_engine_what_they_mean_to_the_scan() {
    // A value given for an ARG before the first FROM wins over its default; quotes are taken away; a stage's own ARG
    // does not reach FROM. Were one of these read differently, the engine would look for another image.
    busybox().await;
    let mut job = Job::new(&grant());
    let (repository, tag) = BUSYBOX.rsplit_once(':').unwrap();
    for (number, (dockerfile, args)) in [
        (format!("ARG TAG=\"{tag}\"\nFROM {repository}:$TAG\n"), vec![]),
        (format!("ARG TAG=wrong\nFROM {repository}:${{TAG}}\n"), vec![("TAG".to_owned(), tag.to_owned())]),
        (format!("ARG TAG\nFROM {repository}:${{TAG:-{tag}}}\n"), vec![]),
        (format!("ARG TAG=x\nFROM {repository}:${{TAG:+{tag}}}\n"), vec![]),
        (format!("ARG TAG='{tag}'\nFROM {repository}:$TAG AS a\nARG TAG=wrong\nFROM A\n"), vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        job.write("Dockerfile", &dockerfile);
        let built = job.view().build(BuildOptions { args, ..build("Dockerfile") }).await;
        assert!(built.is_ok(), "number {number}: {built:?}");
    }
}

#[tokio::test]
async fn an_image_is_found_by_what_is_granted_or_its_own_name() {
    busybox().await;
    let mut grants = grant();
    grants["docker"]["push"] = json!(["runner.local/test-own-*"]);
    let mut job = Job::new(&grants);
    let missing = format!("{}-none", BUSYBOX.rsplit_once(':').unwrap().0);
    assert!(matches!(job.view().find(missing).await, Err(Error::Denied(_))));
    let image = job.busybox().await;
    let own = format!("runner.local/test-own-{}:1", uuid::Uuid::new_v4().simple());
    assert!(matches!(job.view().find(own.clone()).await, Err(Error::Denied(_))));
    job.view().tag(borrow(&image), own.clone()).await.unwrap();
    let id = job.info(&image).await.id;
    let found = job.view().find(own.clone()).await.unwrap();
    assert_eq!(job.info(&found).await.id, id);
    // Whatever others do with the name, it stays what this job gave it to.
    docker(&["rmi", &own]);
    let found = job.view().find(own.clone()).await.unwrap();
    assert_eq!(job.info(&found).await.id, id);
    let pushed = job.view().push(borrow(&image), own).await;
    assert!(matches!(pushed, Err(Error::NotFound(_))), "{pushed:?}");
}
