//! Nothing is left behind, and nothing of anybody else is touched.

use super::super::client::{ContainerSpec, RUN_LABEL};
use super::super::sweep;
use super::*;
use crate::host::bindings::runner::docker::{networks, volumes};
use std::time::Duration;
use wit::{Attachment, Mount, MountSource};

/// What of a run the engine knows.
fn left(run: &str) -> String {
    let filter = format!("label={RUN_LABEL}={run}");
    let list = |kind: &[&str]| docker(&[kind, &["-q", "--filter", &filter]].concat());
    format!("{}{}{}", list(&["ps", "-a"]), list(&["network", "ls"]), list(&["volume", "ls"]))
}

/// A running container on a network, with a volume of the job and anonymous ones.
async fn furnish(job: &mut Job) {
    job.write("dir/x", "x");
    let image = job.busybox().await;
    let mut view = job.view();
    let network = networks::NetworkOptions { egress: false, extras: Vec::new() };
    let network = networks::Host::create(&mut view, network).await.unwrap();
    let volume = volumes::Host::create(&mut view).await.unwrap();
    let options = ContainerOptions {
        command: sh("echo up; sleep 60"),
        networks: vec![Attachment { network: borrow(&network), aliases: vec![] }],
        mounts: vec![
            Mount { source: MountSource::Volume(borrow(&volume)), target: "/data".to_owned(), read_only: false },
            Mount {
                source: MountSource::WorkspaceCopy("dir".to_owned()),
                target: "/copy".to_owned(),
                read_only: false,
            },
        ],
        ..options()
    };
    let container = view.create(image, options).await.unwrap();
    view.start(borrow(&container), String::new()).await.unwrap();
}

/// Volumes of this engine that have no name of their own.
fn anonymous_volumes_of(run: &str) -> Vec<String> {
    let ids = docker(&["ps", "-aq", "--filter", &format!("label={RUN_LABEL}={run}")]);
    let format = "{{range .Mounts}}{{.Name}} {{end}}";
    let names = docker(&["inspect", "-f", format, &ids]);
    names.split_whitespace().filter(|name| name.len() == 64).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_job_that_ends_anyhow_leaves_nothing() {
    let mut job = Job::new(&containers_grant());
    furnish(&mut job).await;
    let anonymous = anonymous_volumes_of(&job.run());
    assert_eq!(anonymous.len(), 1);
    assert_ne!(left(&job.run()), "");
    job.ctx.release().await.unwrap();
    assert_eq!(left(&job.run()), "");
    let volumes = docker(&["volume", "ls", "-q"]);
    assert!(!anonymous.iter().any(|name| volumes.contains(name)));
    assert_eq!(job.logged(), "up\n");
}

#[tokio::test]
async fn what_was_being_created_when_the_guest_was_stopped_is_found() {
    let mut job = Job::new(&containers_grant());
    let image = job.busybox().await;
    for milliseconds in [0, 1, 3, 10, 30] {
        let mut view = job.view();
        let create = view.create(borrow(&image), options());
        drop(tokio::time::timeout(Duration::from_millis(milliseconds), create).await);
        let network = networks::NetworkOptions { egress: false, extras: Vec::new() };
        let create = networks::Host::create(&mut view, network);
        drop(tokio::time::timeout(Duration::from_millis(milliseconds), create).await);
    }
    job.ctx.release().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(left(&job.run()), "");
}

#[tokio::test]
async fn a_sweep_removes_one_run_and_no_other() {
    let mut killed = Job::new(&containers_grant());
    let mut living = Job::new(&containers_grant());
    furnish(&mut killed).await;
    furnish(&mut living).await;
    let swept = sweep(&Bollard::new(), &killed.run()).await.unwrap();
    assert_eq!((swept.containers, swept.networks, swept.volumes), (1, 1, 1));
    assert_eq!(left(&killed.run()), "");
    assert_ne!(left(&living.run()), "");
    assert_eq!(sweep(&Bollard::new(), &killed.run()).await.unwrap(), super::super::Swept::default());
    living.ctx.release().await.unwrap();
}

#[tokio::test]
async fn a_label_inherited_from_an_image_does_not_make_a_persons_container_ours() {
    busybox().await;
    let run = format!("test-{}", uuid::Uuid::new_v4());
    let name = format!("runner.local/test-{}:1", uuid::Uuid::new_v4().simple());
    let id = image(&name, &format!("FROM {BUSYBOX}\nLABEL {RUN_LABEL}={run}\n"), &[]).await;
    let container = docker(&["create", &name]);
    assert_ne!(left(&run), "");
    let swept = sweep(&Bollard::new(), &run).await.unwrap();
    assert_eq!(swept.containers, 0);
    assert_ne!(left(&run), "");
    // The other way round: a job's labels win over its image's.
    let spec = ContainerSpec {
        name: format!("runner-test-{}", uuid::Uuid::new_v4().simple()),
        image: id,
        labels: [(RUN_LABEL.to_owned(), format!("{run}-other"))].into(),
        memory: 64 << 20,
        nano_cpus: 100_000_000,
        pids: 10,
        shm_size: 1 << 20,
        ..ContainerSpec::default()
    };
    let client = Bollard::new();
    let made = client.create_container(spec).await.unwrap();
    assert_eq!(sweep(&client, &run).await.unwrap().containers, 0);
    assert_eq!(sweep(&client, &format!("{run}-other")).await.unwrap().containers, 1);
    assert!(client.inspect_container(&made).await.is_err());
    docker(&["rm", &container]);
    docker(&["rmi", &name]);
}

#[tokio::test]
async fn what_cannot_be_removed_is_said() {
    let mut job = Job::new(&containers_grant());
    furnish(&mut job).await;
    let run = job.run();
    job.ctx.client = Arc::new(Bollard::at("unix:///nonexistent.sock"));
    let error = job.ctx.release().await.unwrap_err().to_string();
    assert!(error.contains("does not answer") && error.contains("docker ps -a --filter label="), "{error}");
    assert!(job.logged().contains("cleaning up after the job failed: "));
    job.ctx.client = Arc::new(Bollard::new());
    job.ctx.release().await.unwrap();
    assert_eq!(left(&run), "");
}
