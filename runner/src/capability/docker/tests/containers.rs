//! Containers on the engine of this machine.

use super::*;
use crate::capability::Error;
use crate::host::bindings::runner::docker::{networks, volumes};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use wit::{Attachment, Health, HealthCheck, Mount, MountSource, Port, Status};

fn mount(source: MountSource, target: &str) -> Mount {
    Mount { source, target: target.to_owned(), read_only: false }
}

fn copy(path: &str, target: &str) -> Mount {
    mount(MountSource::WorkspaceCopy(path.to_owned()), target)
}

#[tokio::test]
async fn a_container_runs_and_its_output_reaches_the_log() {
    let mut job = Job::new(&containers_grant());
    let script = "echo out; echo err >&2; echo \"$A\"; pwd; hostname; id -u; printf end; exit 3";
    let container = job
        .create(ContainerOptions {
            command: sh(script),
            env: vec![("A".to_owned(), "b=c\nd".to_owned())],
            working_directory: "/tmp".to_owned(),
            hostname: "box".to_owned(),
            user: "7:8".to_owned(),
            ..options()
        })
        .await;
    let mut view = job.view();
    assert_eq!(view.inspect(borrow(&container)).await.unwrap().status, Status::Created);
    assert!(matches!(view.wait(borrow(&container)).await, Err(Error::Invalid(_))));
    assert!(matches!(view.exec(borrow(&container), sh("true"), vec![]).await, Err(Error::Invalid(_))));
    assert!(matches!(view.start(borrow(&container), "a\nb".to_owned()).await, Err(Error::Invalid(_))));
    view.start(borrow(&container), "one".to_owned()).await.unwrap();
    assert!(matches!(view.start(borrow(&container), "one".to_owned()).await, Err(Error::Invalid(_))));
    assert_eq!(view.wait(borrow(&container)).await.unwrap(), 3);
    assert_eq!(view.wait(borrow(&container)).await.unwrap(), 3);
    let state = view.inspect(borrow(&container)).await.unwrap();
    assert_eq!((state.status, state.exit_code, state.health), (Status::Exited, Some(3), Health::None));
    let mut lines: Vec<_> = job.logged().lines().map(str::to_owned).collect();
    // The two streams come without an order between them.
    lines.retain(|line| line != "one | err");
    assert_eq!(lines, ["one | out", "one | b=c", "one | d", "one | /tmp", "one | box", "one | 7", "one | end"]);
    assert!(job.logged().contains("one | err\n"));

    let mut view = job.view();
    view.remove(borrow(&container)).await.unwrap();
    view.remove(borrow(&container)).await.unwrap();
    assert!(matches!(view.inspect(borrow(&container)).await, Err(Error::NotFound(_))));
    assert!(matches!(view.kill(borrow(&container)).await, Err(Error::NotFound(_))));
    view.drop(container).await.unwrap();
    assert_eq!(job.decided(), [format!("allow find {BUSYBOX}"), format!("allow create-container {BUSYBOX}")]);
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn the_sandbox_holds_from_inside() {
    let mut job = Job::new(&containers_grant());
    let script = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t ' ' '
        echo net: $(ls /sys/class/net)
        cat /proc/1/comm
        mount -t tmpfs x /tmp 2>/dev/null && echo MOUNTED
        mknod /tmp/disk b 254 0 2>/dev/null && echo DEVICE
        echo x 2>/dev/null > /proc/sys/kernel/core_pattern && echo HOST
        chroot / true 2>/dev/null && echo CHROOT
        ls /var/run/docker.sock 2>/dev/null && echo SOCKET
        ps | wc -l
        for i in $(seq 600); do sleep 5 & done 2>/dev/null
        true";
    let code = job.shell(script, options()).await;
    let log = job.logged();
    assert!(log.contains("CapEff: 00000000000000eb\n") && log.contains("CapBnd: 00000000000000eb\n"), "{log}");
    assert!(log.contains("NoNewPrivs: 1\n") && log.contains("Seccomp: 2\n"), "{log}");
    assert!(log.contains("net: lo\n") && log.contains("docker-init\n"), "{log}");
    for escape in ["MOUNTED", "DEVICE", "HOST", "CHROOT", "SOCKET"] {
        assert!(!log.contains(escape), "{log}");
    }
    // Forking 600 times runs into the limit of 512 processes.
    assert_ne!(code, 0, "{log}");
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn memory_is_limited_and_its_lack_is_reported() {
    let mut job = Job::new(&containers_grant());
    let mut reported = false;
    // An engine that hears of the end before the reason never learns the reason.
    for _ in 0..5 {
        let command = sh("tail /dev/zero");
        let container = job.create(ContainerOptions { command, memory: 16 << 20, ..options() }).await;
        let mut view = job.view();
        view.start(borrow(&container), String::new()).await.unwrap();
        assert_eq!(view.wait(borrow(&container)).await.unwrap(), 137);
        reported |= view.inspect(borrow(&container)).await.unwrap().out_of_memory;
        view.drop(container).await.unwrap();
        if reported {
            break;
        }
    }
    assert!(reported);
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn a_grant_of_more_cpus_than_there_are_is_all_of_them() {
    let mut job = Job::new(&json!({"docker": {"images": [BUSYBOX], "containers": {"cpus": 4096}}}));
    let container = job.create(options()).await;
    let id = job.view().id(borrow(&container)).await.unwrap();
    let given: u64 = docker(&["inspect", "-f", "{{.HostConfig.NanoCpus}}", &id]).parse().unwrap();
    let there: u64 = docker(&["info", "-f", "{{.NCPU}}"]).parse().unwrap();
    assert_eq!(given, there * 1_000_000_000);
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn commands_run_in_a_container() {
    let mut job = Job::new(&containers_grant());
    let container = job.create(ContainerOptions { command: sh("sleep 60"), ..options() }).await;
    let mut view = job.view();
    view.start(borrow(&container), String::new()).await.unwrap();
    let env = vec![("A".to_owned(), "b".to_owned())];
    let script = sh("printf '\\377out'; echo $A; echo err >&2; exit 7");
    let result = view.exec(borrow(&container), script, env).await.unwrap();
    assert_eq!((result.exit_code, &*result.stdout, &*result.stderr), (7, &b"\xffoutb\n"[..], &b"err\n"[..]));
    let flood = sh("head -c 3000000 /dev/zero; head -c 10 /dev/zero >&2");
    let result = view.exec(borrow(&container), flood, vec![]).await.unwrap();
    assert_eq!((result.exit_code, result.stdout.len(), result.stderr.len()), (0, 1 << 20, 10));
    // The program outlives its output.
    let quiet = sh("exec >&- 2>&-; sleep 0.3; exit 5");
    assert_eq!(view.exec(borrow(&container), quiet, vec![]).await.unwrap().exit_code, 5);
    let missing = view.exec(borrow(&container), vec!["/none".to_owned()], vec![]).await;
    assert!(matches!(&missing, Ok(result) if result.exit_code >= 126), "{missing:?}");
    for command in [vec![], vec!["a\0b".to_owned()]] {
        assert!(matches!(view.exec(borrow(&container), command, vec![]).await, Err(Error::Invalid(_))));
    }
    assert!(matches!(view.stop(borrow(&container), 601).await, Err(Error::Invalid(_))));
    view.kill(borrow(&container)).await.unwrap();
    assert_eq!(view.wait(borrow(&container)).await.unwrap(), 137);
    view.kill(borrow(&container)).await.unwrap();
    view.stop(borrow(&container), 0).await.unwrap();
    assert!(matches!(view.exec(borrow(&container), sh("true"), vec![]).await, Err(Error::Failed(_))));
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn stopping_asks_before_it_ends() {
    let mut job = Job::new(&containers_grant());
    let command = sh("trap 'echo asked; exit 9' USR1; echo ready; while :; do sleep 0.1; done");
    let stop_signal = "SIGUSR1".to_owned();
    let container = job.create(ContainerOptions { command, stop_signal, ..options() }).await;
    job.view().start(borrow(&container), String::new()).await.unwrap();
    until(&job, "ready\n").await;
    let mut view = job.view();
    view.stop(borrow(&container), 20).await.unwrap();
    assert_eq!(view.wait(borrow(&container)).await.unwrap(), 9);
    assert!(job.logged().ends_with("asked\n"));
    job.ctx.release().await.unwrap();
}

/// Waits until the log holds a text.
async fn until(job: &Job, text: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    while !job.logged().contains(text) {
        assert!(Instant::now() < end, "no {text:?} in {:?}", job.logged());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn waiting_ends_with_the_first_the_time_or_the_job() {
    let mut job = Job::new(&containers_grant());
    let long = job.create(ContainerOptions { command: sh("sleep 60"), ..options() }).await;
    let short = job.create(ContainerOptions { command: sh("sleep 0.5; echo last; exit 4"), ..options() }).await;
    let mut view = job.view();
    let both = || vec![borrow(&long), borrow(&short)];
    assert!(matches!(view.wait_any(both(), Some(0)).await, Err(Error::Invalid(_))));
    assert!(matches!(view.wait_any(vec![], None).await, Err(Error::Invalid(_))));
    assert!(matches!(view.wait_any(vec![borrow(&long), borrow(&long)], None).await, Err(Error::Invalid(_))));
    view.start(borrow(&long), String::new()).await.unwrap();
    view.start(borrow(&short), "short".to_owned()).await.unwrap();
    assert_eq!(view.wait_any(vec![borrow(&long)], Some(50)).await.unwrap(), None);
    assert_eq!(view.wait_any(both(), Some(30_000)).await.unwrap(), Some((1, 4)));
    assert!(job.logged().contains("short | last\n"));
    let cancelled = job.cancelled.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancelled.cancel();
    });
    let mut view = job.view();
    let began = Instant::now();
    assert!(matches!(view.wait(borrow(&long)).await, Err(Error::Cancelled)));
    assert!(matches!(view.wait_any(vec![borrow(&long)], None).await, Err(Error::Cancelled)));
    assert!(began.elapsed() < Duration::from_secs(10));
    // What cleans up works as before.
    view.stop(borrow(&long), 0).await.unwrap();
    view.remove(borrow(&long)).await.unwrap();
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn containers_of_a_network_find_each_other_and_nobody_else() {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = docker(&["network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"]);
    let mut job = Job::new(&containers_grant());
    let image = job.busybox().await;
    let mut view = job.view();
    let inside = || networks::NetworkOptions { egress: false, extras: Vec::new() };
    let one = networks::Host::create(&mut view, inside()).await.unwrap();
    let two = networks::Host::create(&mut view, inside()).await.unwrap();
    let attach = |network, alias: &str| Attachment { network: borrow(network), aliases: vec![alias.to_owned()] };
    let server = ContainerOptions {
        command: sh("mkdir /www; echo hello > /www/x; httpd -f -p 80 -h /www"),
        networks: vec![attach(&one, "web"), attach(&two, "also.web")],
        ..options()
    };
    let server = view.create(borrow(&image), server).await.unwrap();
    view.start(borrow(&server), String::new()).await.unwrap();
    for (network, name) in [(&one, "web"), (&two, "also.web")] {
        let script = format!("for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://{name}/x && break; sleep 0.3; done
            echo | nc -w 1 $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p') {port}; echo | nc -w 1 {host} {port}");
        let client = ContainerOptions { command: sh(&script), networks: vec![attach(network, "client")], ..options() };
        let client = view.create(borrow(&image), client).await.unwrap();
        view.start(borrow(&client), format!("from {name}")).await.unwrap();
        view.wait(borrow(&client)).await.unwrap();
    }
    assert!(networks::HostNetwork::remove(&mut view, borrow(&one)).await.is_err(), "it is in use");
    let log = job.logged();
    assert!(log.contains("from web | hello\n") && log.contains("from also.web | hello\n"), "{log}");
    assert!(listener.accept().is_err(), "an internal network does not lead to the host: {log}");
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn a_granted_port_is_published_on_loopback() {
    let mut grants = containers_grant();
    grants["docker"]["containers"]["egress"] = true.into();
    grants["docker"]["containers"]["publish"] = json!([80]);
    let mut job = Job::new(&grants);
    let image = job.busybox().await;
    let mut view = job.view();
    let network = networks::NetworkOptions { egress: true, extras: Vec::new() };
    let network = networks::Host::create(&mut view, network).await.unwrap();
    let server = ContainerOptions {
        command: sh("mkdir /www; echo hello > /www/x; httpd -f -p 80 -h /www"),
        networks: vec![Attachment { network: borrow(&network), aliases: vec![] }],
        ports: vec![Port { container_port: 80, host_port: 0 }],
        ..options()
    };
    let server = view.create(borrow(&image), server).await.unwrap();
    view.start(borrow(&server), String::new()).await.unwrap();
    let port = view.published(borrow(&server), 80).await.unwrap();
    assert!(matches!(view.published(borrow(&server), 81).await, Err(Error::NotFound(_))));
    let id = view.id(borrow(&server)).await.unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let mut answer = String::new();
        let asked = std::net::TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            stream.write_all(b"GET /x HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut answer)
        });
        if asked.is_ok() && answer.ends_with("hello\n") {
            break;
        }
        assert!(Instant::now() < end, "{asked:?} {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let bindings = docker(&["inspect", "-f", "{{json .NetworkSettings.Ports}}", &id]);
    assert_eq!(bindings, format!("{{\"80/tcp\":[{{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"{port}\"}}]}}"));
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn volumes_are_shared_and_may_be_read_only() {
    let mut job = Job::new(&containers_grant());
    let volume = volumes::Host::create(&mut job.view()).await.unwrap();
    let shared = |read_only| ContainerOptions {
        mounts: vec![Mount { read_only, ..mount(MountSource::Volume(borrow(&volume)), "/data") }],
        ..options()
    };
    assert_eq!(job.shell("echo kept > /data/x", shared(false)).await, 0);
    assert_eq!(job.shell("cat /data/x; echo y > /data/x", shared(true)).await, 1);
    assert!(job.logged().contains("kept\n"), "{}", job.logged());
    volumes::HostVolume::remove(&mut job.view(), borrow(&volume)).await.unwrap();
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_the_workspace_is_a_copy() {
    let mut job = Job::new(&containers_grant());
    job.write("src/main", "as it was");
    job.write("src/sub/x", "deep");
    job.write(".runner/log", "private");
    std::os::unix::fs::symlink("/etc/hostname", job.workspace.path().join("src/link")).unwrap();
    let script = "cat /app/main /app/sub/x /deep/er/file; readlink /app/link; stat -c %a /tmp /app; ls -A /all
        echo changed > /app/main && echo new > /app/new; ls /srv";
    let mounts = vec![
        copy("src", "/app"),
        copy("src/main", "/deep/er/file"),
        copy("src/main", "/tmp/file"),
        copy(".", "/all"),
        // Hides what the image has there, as a mount does.
        copy("src/sub", "/srv"),
    ];
    assert_eq!(job.shell(script, ContainerOptions { mounts, ..options() }).await, 0, "{}", job.logged());
    assert_eq!(job.logged(), "as it wasdeepas it was/etc/hostname\n1777\n755\nsrc\nx\n");
    assert_eq!(job.read("src/main"), "as it was");
    assert!(!job.workspace.path().join("src/new").exists());

    let mounts = vec![copy("src", "/app"), mount(MountSource::Tmpfs(1 << 20), "/scratch")];
    let script = "echo x > /app/new && echo x > /scratch/new && ! echo x > /new && echo fine";
    let code = job.shell(script, ContainerOptions { mounts, read_only_root: true, ..options() }).await;
    assert_eq!(code, 0, "{}", job.logged());
    assert!(job.logged().contains("\nfine\n"), "{}", job.logged());
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn results_are_copied_out_but_links_and_devices_are_not() {
    let mut job = Job::new(&containers_grant());
    let script = "mkdir -p /out/sub /links /hard /pipes /odd; echo r > /out/sub/report; chmod 4755 /out/sub/report
        ln -s /etc/passwd /links/x; echo x > /hard/a; ln /hard/a /hard/b; mkfifo /pipes/x; ln -s /out /odd/out; sleep 60";
    let container = job.create(ContainerOptions { command: sh(script), ..options() }).await;
    let mut view = job.view();
    view.start(borrow(&container), String::new()).await.unwrap();
    let ready = sh("until [ -e /odd/out ]; do sleep 0.1; done");
    view.exec(borrow(&container), ready, vec![]).await.unwrap();
    let text = |text: &str| text.to_owned();
    view.copy_out(borrow(&container), text("/out"), text("results/1")).await.unwrap();
    view.copy_out(borrow(&container), text("/out/."), text("results/2")).await.unwrap();
    view.copy_out(borrow(&container), text("/out/sub/report"), text(".")).await.unwrap();
    for path in ["/links", "/links/x", "/hard", "/pipes", "/odd/out"] {
        let result = view.copy_out(borrow(&container), text(path), text("hostile")).await;
        assert!(
            matches!(&result, Err(Error::Invalid(text)) if text.contains("only files and directories")),
            "{path}: {result:?}"
        );
    }
    let missing = view.copy_out(borrow(&container), text("/none"), text("hostile")).await;
    assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");
    for path in ["results/1/out/sub/report", "results/2/sub/report", "report"] {
        assert_eq!(job.read(path), "r\n");
        let mode = std::fs::metadata(job.workspace.path().join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "{path}");
    }
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn changes_in_a_copy_come_back_when_asked_for() {
    let mut job = Job::new(&containers_grant());
    job.write("src/kept", "kept");
    job.write("src/sub/edited", "1234");
    job.write("src/.git/config", "as it was");
    std::os::unix::fs::symlink("/etc/hostname", job.workspace.path().join("src/link")).unwrap();
    // The same size, within the same second.
    let script = "cd /app; printf 5678 > sub/edited; rm kept; mkdir -p new; echo n > new/file; ln new/file new/hard
        ln -s ../sub/edited new/link; ln -s /etc/passwd new/evil; echo evil > .git/config; mkdir /app/.git/hooks";
    let options = ContainerOptions { command: sh(script), mounts: vec![copy("src", "/app")], ..options() };
    let container = job.create(options).await;
    let mut view = job.view();
    view.start(borrow(&container), String::new()).await.unwrap();
    assert_eq!(view.wait(borrow(&container)).await.unwrap(), 0);
    let text = |text: &str| text.to_owned();
    assert_eq!(view.copy_back(borrow(&container), text("/app/")).await.unwrap(), 4);
    for (path, why) in [("/other", "there is no copy"), ("app", "not absolute"), ("/app/../etc", "leads upwards")] {
        let result = view.copy_back(borrow(&container), text(path)).await;
        assert!(matches!(&result, Err(Error::Invalid(text)) if text.contains(why)), "{path}: {result:?}");
    }
    assert_eq!((job.read("src/kept"), job.read("src/sub/edited")), (text("kept"), text("5678")));
    assert_eq!((job.read("src/new/hard"), job.read("src/new/link")), (text("n\n"), text("5678")));
    assert_eq!(job.read("src/.git/config"), "as it was");
    assert!(!job.workspace.path().join("src/new/evil").exists());
    assert!(job.logged().contains("`new/evil` is a link that leads elsewhere"), "{}", job.logged());
    assert!(job.logged().contains("`.git/config` stays as it is"), "{}", job.logged());
    assert!(job.decided().contains(&text("allow copy-back src")), "{:?}", job.decided());
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn changes_do_not_come_back_where_only_reading_is_granted() {
    let mut grant = containers_grant();
    grant["workspace"] = serde_json::json!("read");
    let mut job = Job::new(&grant);
    job.write("src/file", "as it was");
    let options = ContainerOptions { mounts: vec![copy("src", "/app")], ..options() };
    let container = job.create(options).await;
    let result = job.view().copy_back(borrow(&container), "/app".to_owned()).await;
    assert!(matches!(result, Err(Error::Denied(_))), "{result:?}");
    assert!(job.decided().contains(&"deny copy-back src".to_owned()), "{:?}", job.decided());
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn health_is_found_out_as_asked() {
    let mut job = Job::new(&containers_grant());
    let check = |script: &str| {
        Some(HealthCheck {
            test: vec!["CMD-SHELL".to_owned(), script.to_owned()],
            interval_ms: 100,
            timeout_ms: 5000,
            start_period_ms: 0,
            retries: 1,
        })
    };
    for (script, expected) in [("echo well", Health::Healthy), ("echo not well; exit 1", Health::Unhealthy)] {
        let container =
            job.create(ContainerOptions { command: sh("sleep 60"), health_check: check(script), ..options() }).await;
        let mut view = job.view();
        view.start(borrow(&container), String::new()).await.unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let state = view.inspect(borrow(&container)).await.unwrap();
            if state.health == expected && state.health_log.contains("well\n") {
                break;
            }
            assert!(state.health == Health::Starting || state.health == expected, "{state:?}");
            assert!(Instant::now() < end, "{state:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    job.ctx.release().await.unwrap();
}

#[tokio::test]
async fn a_container_that_cannot_start_says_why() {
    let mut job = Job::new(&containers_grant());
    let container = job.create(ContainerOptions { user: "stranger".to_owned(), ..options() }).await;
    let error = job.view().start(borrow(&container), String::new()).await.unwrap_err();
    assert!(matches!(&error, Error::Failed(_)), "{error:?}");
    assert!(
        error.to_string().starts_with("cannot start the container: ") && error.to_string().contains("stranger"),
        "{error}"
    );
    job.ctx.release().await.unwrap();
}
