//! What is refused before the engine hears of it.

use super::recording::{Recording, id};
use super::*;
use crate::capability::Error;
use crate::host::bindings::runner::docker::{networks, volumes};
use wit::{Attachment, HealthCheck, Mount, MountSource, Port};
use wit_images::{BuildNetwork, BuildOptions, HostImage as _};

fn recorded(grants: &Value) -> (Job, Arc<Recording>) {
    let client = Arc::new(Recording::default());
    (Job::with(grants, Arc::clone(&client) as Arc<dyn DockerClient>), client)
}

fn build(context: &str) -> BuildOptions {
    BuildOptions {
        context: context.to_owned(),
        dockerfile: "Dockerfile".to_owned(),
        target: String::new(),
        args: Vec::new(),
        network: BuildNetwork::None,
        no_cache: false,
        extras: Vec::new(),
    }
}

/// The text of a refusal for want of a grant.
#[track_caller]
fn denied<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Denied(text)) => text,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[tokio::test]
async fn without_a_grant_nothing_is_done_and_everything_is_noted() {
    let (mut job, client) = recorded(&json!({"workspace": "write"}));
    job.write("Dockerfile", "FROM scratch");
    let mut view = job.view();
    let text = denied(view.find("postgres:16".to_owned()).await);
    assert_eq!(
        text,
        "using the image `postgres:16` is not granted; add to the step: grants: { docker: { images: [\"postgres:16\"] } }"
    );
    denied(view.pull("postgres".to_owned()).await);
    assert!(denied(view.build(build(".")).await).ends_with("grants: { docker: { build: [\".\"] } }"));
    denied(networks::Host::create(&mut view, networks::NetworkOptions { egress: false, extras: Vec::new() }).await);
    denied(volumes::Host::create(&mut view).await);
    let image = view.table.push(Image { id: id(1), name: "x".to_owned() }).unwrap();
    let text = denied(view.create(borrow(&image), options()).await);
    assert!(text.ends_with("grants: { docker: { containers: {} } }"), "{text}");
    let text = denied(view.tag(borrow(&image), "orders:1".to_owned()).await);
    assert!(text.ends_with("grants: { docker: { push: [\"orders\"] } }"), "{text}");
    denied(view.push(borrow(&image), "orders:1".to_owned()).await);
    assert_eq!(client.calls(), Vec::<String>::new());
    assert_eq!(
        job.decided(),
        [
            "deny find postgres:16",
            "deny pull postgres:latest",
            "deny build .",
            "deny create-network internal",
            "deny create-volume local",
            "deny create-container x",
            "deny tag orders:1",
            "deny push orders:1",
        ]
    );
    job.ctx.release().await.unwrap();
    assert_eq!(client.calls(), Vec::<String>::new(), "a job that made nothing costs nothing");
}

#[tokio::test]
async fn hostile_references_never_reach_the_engine() {
    let (mut job, client) = recorded(&json!({"docker": {"images": ["*"], "push": ["*"]}}));
    let mut view = job.view();
    let image = view.table.push(Image { id: id(1), name: "x".to_owned() }).unwrap();
    for hostile in [
        "x/../../containers/prune?filters={}#",
        "../volumes/victim",
        "victim/kill?signal=KILL#",
        "postgres:16/../x",
        "a\r\nHost: evil",
        "sha256:0000",
        &"a".repeat(64),
        &"a".repeat(300),
        "UPPER",
        "",
    ] {
        assert!(matches!(view.find(hostile.to_owned()).await, Err(Error::Invalid(_))), "{hostile:?}");
        assert!(matches!(view.pull(hostile.to_owned()).await, Err(Error::Invalid(_))), "{hostile:?}");
        assert!(matches!(view.tag(borrow(&image), hostile.to_owned()).await, Err(Error::Invalid(_))), "{hostile:?}");
        assert!(matches!(view.push(borrow(&image), hostile.to_owned()).await, Err(Error::Invalid(_))), "{hostile:?}");
    }
    assert_eq!(client.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_push_is_for_granted_repositories_and_names_of_this_image() {
    let (mut job, client) = recorded(&json!({"docker": {"push": ["r.example/team/service"]}}));
    let mut view = job.view();
    let image = view.table.push(Image { id: id(1), name: "x".to_owned() }).unwrap();
    let other = view.table.push(Image { id: id(9), name: "y".to_owned() }).unwrap();
    for reference in [
        "r.example/team/service-evil:1",
        "r.example/team/service/sub:1",
        "r.example/team:1",
        "evil.example/team/service:1",
        "r.example:444/team/service:1",
        "team/service:1",
    ] {
        denied(view.tag(borrow(&image), reference.to_owned()).await);
        denied(view.push(borrow(&image), reference.to_owned()).await);
    }
    let digest = format!("r.example/team/service@{}", id(3));
    assert!(matches!(view.tag(borrow(&image), digest).await, Err(Error::Invalid(_))));
    let name = || "r.example/team/service:1".to_owned();
    assert!(
        matches!(view.push(borrow(&image), name()).await, Err(Error::Invalid(text)) if text.contains("`tag` first"))
    );
    assert_eq!(client.calls(), Vec::<String>::new());
    view.tag(borrow(&image), name()).await.unwrap();
    assert!(matches!(view.push(borrow(&other), name()).await, Err(Error::Invalid(_))));
    // The engine does not know the digest as one of this image: something else was pushed.
    assert!(
        matches!(view.push(borrow(&image), name()).await, Err(Error::Failed(text)) if text.contains("another image"))
    );
    assert!(client.calls().contains(&"push r.example/team/service:1".to_owned()));
}

#[tokio::test]
async fn builds_stay_within_their_contexts_and_images() {
    let (mut job, client) = recorded(&json!({"docker": {"build": ["app"], "images": ["base:1"]}}));
    for (path, content) in [
        ("app/Dockerfile", "FROM base:1\nFROM evil AS two\nCOPY --from=base:1 / /"),
        ("app/add", "FROM base:1\nADD http://127.0.0.1:5000/v2/_catalog /x"),
        ("app/copy", "FROM base:1\nCOPY --from=other:2 / /"),
        ("app/good", "FROM base:1\nADD x /"),
        ("application/Dockerfile", "FROM base:1"),
        ("outside", "FROM base:1"),
    ] {
        job.write(path, content);
    }
    std::os::unix::fs::symlink("../application", job.workspace.path().join("app/link")).unwrap();
    std::os::unix::fs::symlink("../outside", job.workspace.path().join("app/linked")).unwrap();
    let mut view = job.view();
    let file = |name: &str| BuildOptions { dockerfile: name.to_owned(), ..build("app") };
    for context in ["application", ".", "outside"] {
        denied(view.build(build(context)).await);
    }
    let text = denied(view.build(build("app")).await);
    assert!(text.contains("Dockerfile:2") && text.ends_with("images: [\"evil:latest\"] } }"), "{text}");
    assert!(denied(view.build(file("copy")).await).contains("other:2"));
    assert!(matches!(view.build(file("add")).await, Err(Error::Invalid(text)) if text.starts_with("add:2: ")));
    let egress = BuildOptions { network: BuildNetwork::Egress, ..file("good") };
    assert!(denied(view.build(egress).await).ends_with("build: [{ context: \"app\", network: egress }] } }"));
    for (context, dockerfile) in [
        ("../app", "Dockerfile"),
        ("/app", "Dockerfile"),
        ("app/link", "Dockerfile"),
        ("app", "../outside"),
        ("app", "/etc/passwd"),
        ("app", "linked"),
    ] {
        let options = BuildOptions { dockerfile: dockerfile.to_owned(), ..build(context) };
        assert!(matches!(view.build(options).await, Err(Error::Invalid(_))), "{context} {dockerfile}");
    }
    for target in ["a&remote=http://x", "../x", "a b"] {
        let options = BuildOptions { target: target.to_owned(), ..file("good") };
        assert!(matches!(view.build(options).await, Err(Error::Invalid(_))), "{target}");
    }
    let options = BuildOptions { args: vec![("A=B".to_owned(), String::new())], ..file("good") };
    assert!(matches!(view.build(options).await, Err(Error::Invalid(_))));
    assert_eq!(client.calls(), Vec::<String>::new());
    view.build(file("good")).await.unwrap();
    assert_eq!(client.calls()[..2], ["inspect docker.io/library/base:1", "build good"]);
}

#[tokio::test]
async fn containers_stay_within_the_grant() {
    let grants = json!({"docker": {"containers": {"max": 2, "memory": "64MiB", "cpus": 0.5, "publish": [80]}}});
    let (mut job, client) = recorded(&grants);
    let mut view = job.view();
    let image = view.table.push(Image { id: id(1), name: "x".to_owned() }).unwrap();
    let port = |container_port, host_port| vec![Port { container_port, host_port }];
    for (options, grant) in [
        (ContainerOptions { memory: 65 << 20, ..options() }, "memory: 65MiB"),
        (ContainerOptions { memory: u64::MAX, ..options() }, "memory: 18446744073709551615B"),
        (ContainerOptions { milli_cpus: 501, ..options() }, "cpus: 0.501"),
        (ContainerOptions { milli_cpus: u32::MAX, ..options() }, "cpus: 4294967.295"),
        (ContainerOptions { ports: port(443, 0), ..options() }, "publish: [443]"),
    ] {
        let text = denied(view.create(borrow(&image), options).await);
        assert!(text.ends_with(&format!("grants: {{ docker: {{ containers: {{ {grant} }} }} }}")), "{text}");
    }
    assert!(
        denied(networks::Host::create(&mut view, networks::NetworkOptions { egress: true, extras: Vec::new() }).await)
            .ends_with("containers: { egress: true } } }")
    );
    assert_eq!(client.calls(), Vec::<String>::new());
    let unreachable = view.create(borrow(&image), ContainerOptions { ports: port(80, 0), ..options() }).await;
    assert!(matches!(unreachable, Err(Error::Invalid(text)) if text.contains("created with `egress`")));
    for _ in 0..2 {
        view.create(borrow(&image), options()).await.unwrap();
    }
    let third = view.create(borrow(&image), options()).await.unwrap_err();
    assert!(matches!(third, Error::Limit(text) if text.contains("max: 3")));
}

#[tokio::test]
async fn hostile_options_are_refused() {
    let (mut job, client) = recorded(&containers_grant());
    job.write("dir/file", "x");
    std::os::unix::fs::symlink("/etc", job.workspace.path().join("etc")).unwrap();
    let mut view = job.view();
    let image = view.table.push(Image { id: id(1), name: "x".to_owned() }).unwrap();
    let mount = |source, target: &str| ContainerOptions {
        mounts: vec![Mount { source, target: target.to_owned(), read_only: false }],
        ..options()
    };
    let copy = |path: &str| MountSource::WorkspaceCopy(path.to_owned());
    let health = |test: &[&str], interval_ms| ContainerOptions {
        health_check: Some(HealthCheck {
            test: test.iter().copied().map(str::to_owned).collect(),
            interval_ms,
            timeout_ms: 0,
            start_period_ms: 0,
            retries: 0,
        }),
        ..options()
    };
    let text = |text: &str| text.to_owned();
    let hostile = [
        mount(copy("dir"), "/"),
        mount(copy("dir"), "//."),
        mount(copy("dir"), "relative"),
        mount(copy("dir"), "/a/../proc"),
        mount(copy("dir"), "/proc"),
        mount(copy("dir"), "/proc/sys/kernel"),
        mount(copy("dir"), "//sys/x"),
        mount(copy("dir"), "/./dev/shm"),
        mount(copy("dir"), "/a\0b"),
        mount(copy("../x"), "/x"),
        mount(copy("/etc"), "/x"),
        mount(copy("etc"), "/x"),
        mount(copy("etc/passwd"), "/x"),
        mount(MountSource::Tmpfs(0), "/x"),
        mount(MountSource::Tmpfs(u64::MAX), "/x"),
        ContainerOptions { mounts: vec![mount_of("/x"), mount_of("/x/")], ..options() },
        ContainerOptions { read_only_root: true, ..mount(copy("dir/file"), "/x") },
        ContainerOptions { env: vec![(text("A=B"), text("c"))], ..options() },
        ContainerOptions { env: vec![(text(""), text("c"))], ..options() },
        ContainerOptions { env: vec![(text("A"), text("b\0c"))], ..options() },
        ContainerOptions { user: text("root:root:x"), ..options() },
        ContainerOptions { user: text("a b"), ..options() },
        ContainerOptions { hostname: text("a/b"), ..options() },
        ContainerOptions { hostname: "a".repeat(64), ..options() },
        ContainerOptions { working_directory: text("relative"), ..options() },
        ContainerOptions { command: vec![text("a\0b")], ..options() },
        ContainerOptions { entrypoint: vec![text("a\0b")], ..options() },
        ContainerOptions { stop_signal: text("TERM"), ..options() },
        ContainerOptions { stop_signal: text("SIG; rm"), ..options() },
        ContainerOptions { memory: 1, ..options() },
        ContainerOptions { milli_cpus: 1, ..options() },
        ContainerOptions { shm_size: u64::MAX, ..options() },
        ContainerOptions { ports: vec![Port { container_port: 0, host_port: 0 }], ..options() },
        health(&[], 0),
        health(&["CMD"], 0),
        health(&["NONE", "x"], 0),
        health(&["CMD-SHELL", "a", "b"], 0),
        health(&["sh"], 0),
        health(&["CMD", "true"], u64::MAX),
    ];
    for (index, options) in hostile.into_iter().enumerate() {
        let result = view.create(borrow(&image), options).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "number {index}: {result:?}");
    }
    let result = view.create(borrow(&image), mount(copy("missing"), "/x")).await;
    assert!(matches!(result, Err(Error::NotFound(_))));
    let mounts = (0..65).map(|number| mount_of(&format!("/{number}"))).collect();
    let crowd = ContainerOptions { mounts, ..options() };
    assert!(matches!(view.create(borrow(&image), crowd).await, Err(Error::Limit(_))));
    let flood = ContainerOptions { env: vec![(text("A"), "x".repeat(1 << 20))], ..options() };
    assert!(matches!(view.create(borrow(&image), flood).await, Err(Error::Limit(_))));
    assert_eq!(client.calls(), Vec::<String>::new());
}

fn mount_of(target: &str) -> Mount {
    Mount { source: MountSource::Tmpfs(1), target: target.to_owned(), read_only: false }
}

#[tokio::test]
async fn copies_are_bound_by_the_workspace_grant() {
    let grants = json!({"workspace": {"read": ["in"], "write": ["out"]}, "docker": {"containers": {}}});
    let (mut job, client) = recorded(&grants);
    job.write("in/x", "x");
    job.write("secret/x", "x");
    let mut view = job.view();
    let image = view.table.push(Image { id: id(1), name: "x".to_owned() }).unwrap();
    let options = |source: &str| ContainerOptions {
        mounts: vec![Mount {
            source: MountSource::WorkspaceCopy(source.to_owned()),
            target: "/x".to_owned(),
            read_only: false,
        }],
        ..options()
    };
    denied(view.create(borrow(&image), options("secret")).await);
    denied(view.create(borrow(&image), options(".")).await);
    let container = view.create(borrow(&image), options("in")).await.unwrap();
    for target in ["in", ".", "secret", "outside"] {
        denied(view.copy_out(borrow(&container), "/x".to_owned(), target.to_owned()).await);
    }
    for (path, target) in [("x", "out"), ("", "out"), ("/x", "../out"), ("/x", "/out"), ("/a\0b", "out")] {
        let result = view.copy_out(borrow(&container), path.to_owned(), target.to_owned()).await;
        assert!(matches!(result, Err(Error::Invalid(_))), "{path:?} to {target}");
    }
    assert_eq!(client.calls(), [format!("create-container {}", id(1)), "upload /x".to_owned()]);
    assert_eq!(
        job.decided(),
        [
            "deny copy-in secret",
            "deny copy-in .",
            "allow create-container x",
            "deny copy-out in",
            "deny copy-out .",
            "deny copy-out secret",
            "deny copy-out outside",
        ]
    );
}

#[tokio::test]
async fn networks_and_volumes_are_few_and_gone_when_removed() {
    let (mut job, _client) = recorded(&containers_grant());
    let mut view = job.view();
    let image = view.table.push(Image { id: id(1), name: "x".to_owned() }).unwrap();
    let inside = || networks::NetworkOptions { egress: false, extras: Vec::new() };
    let mut made = Vec::new();
    for _ in 0..16 {
        made.push(networks::Host::create(&mut view, inside()).await.unwrap());
    }
    assert!(matches!(networks::Host::create(&mut view, inside()).await, Err(Error::Limit(_))));
    let attach = |network: &Resource<super::super::Network>, alias: &str| ContainerOptions {
        networks: vec![Attachment { network: borrow(network), aliases: vec![alias.to_owned()] }],
        ..options()
    };
    for alias in ["a/b", "", "a b", "-a", &"a".repeat(64)] {
        assert!(
            matches!(view.create(borrow(&image), attach(&made[0], alias)).await, Err(Error::Invalid(_))),
            "{alias}"
        );
    }
    networks::HostNetwork::remove(&mut view, borrow(&made[0])).await.unwrap();
    networks::HostNetwork::remove(&mut view, borrow(&made[0])).await.unwrap();
    assert!(matches!(view.create(borrow(&image), attach(&made[0], "db")).await, Err(Error::Invalid(_))));
    networks::Host::create(&mut view, inside()).await.unwrap();
    let mut volume = None;
    for _ in 0..32 {
        volume = Some(volumes::Host::create(&mut view).await.unwrap());
    }
    assert!(matches!(volumes::Host::create(&mut view).await, Err(Error::Limit(_))));
    let volume = volume.unwrap();
    volumes::HostVolume::remove(&mut view, borrow(&volume)).await.unwrap();
    let mount = Mount { source: MountSource::Volume(borrow(&volume)), target: "/x".to_owned(), read_only: false };
    let result = view.create(borrow(&image), ContainerOptions { mounts: vec![mount], ..options() }).await;
    assert!(matches!(result, Err(Error::Invalid(_))));
    let stranger = networks::HostNetwork::id(&mut view, Resource::new_borrow(4711)).await;
    assert!(stranger.is_err(), "a handle nobody gave out stops the guest");
}
