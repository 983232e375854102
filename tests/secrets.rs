//! Secrets: where they come from, and that nothing that is written has their values in any form.

use crate::project::{Project, Said};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use std::os::unix::fs::PermissionsExt;

/// Every character of it is written differently by some encoding.
const VALUE: &str = "hunter?22 & \"s\u{f6}n\u{df}e\"/+~>?x";

/// What must not be found: the value as its job and those after it write it.
fn forms(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let hex = |format: fn(&u8) -> String| bytes.iter().map(format).collect::<String>();
    let mut forms = vec![
        value.to_owned(),
        value.replace('"', "\\\""),
        hex(|byte| format!("{byte:02x}")),
        hex(|byte| format!("{byte:02X}")),
        hex(|byte| format!("%{byte:02X}")),
        hex(|byte| format!("%{byte:02x}")),
    ];
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE] {
        for (offset, begin) in [(0, 0), (1, 2), (2, 3)] {
            let text = engine.encode([&[0; 2][..offset], bytes].concat());
            forms.push(text[begin..8 * (offset + bytes.len()) / 6].to_owned());
        }
    }
    forms
}

/// Fails when anything that is kept or was shown has one of the forms.
#[track_caller]
fn expect_no_trace(project: &Project, said: &Said, value: &str) {
    let mut kept = vec![
        ("standard output".to_owned(), said.stdout.clone().into_bytes()),
        ("standard error".to_owned(), said.stderr.clone().into_bytes()),
    ];
    for entry in walkdir::WalkDir::new(project.path().join(".runner")) {
        let entry = entry.unwrap();
        let path = entry.path().display().to_string();
        kept.push(("the name of a file".to_owned(), path.clone().into_bytes()));
        if entry.file_type().is_file() {
            kept.push((path, std::fs::read(entry.path()).unwrap()));
        }
    }
    assert!(kept.iter().any(|(name, _)| name.contains("runs.db")), "there is no database to look at");
    for form in forms(value) {
        for (name, bytes) in &kept {
            let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{form} is in {name}:\n{}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn a_command_that_writes_its_secret_in_every_encoding_writes_nothing() {
    let project = Project::with(
        r#"steps:
  - key: writes
    secrets: { HELD: STORED }
    command: |
      printf '%s' "$$HELD" | base64 -w0; echo
      printf 'u%s' "$$HELD" | base64 -w0 | tr '+/' '-_'; echo
      printf 'us%s:x' "$$HELD" | base64 -w0; echo
      printf '%s' "$$HELD" | base64 -w0 | tr -d =; echo
      printf '%s' "$$HELD" | od -An -v -tx1 | tr -d ' \n'; echo
      printf '%s' "$$HELD" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F; echo
      printf '%s' "$$HELD" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%' ; echo
      printf '%s' "$$HELD" | od -An -v -tx1 | tr -d '\n' | tr ' a-f' '%A-F' ; echo
      echo "plain $$HELD and twice $$HELD$$HELD"
      printf '{"json": "%s"}\n' "$${HELD//\"/\\\"}"
      printf '%q\n' "$$HELD"
      for i in $$(seq 0 $${#HELD}); do printf '%s' "$${HELD:$$i:1}"; sleep 0.01; done; echo
      set -x; true "$$HELD"; set +x
      buildkite-agent meta-data set found "it is $$HELD"
      buildkite-agent annotate --context "c $$HELD" "body $$(printf '%s' "$$HELD" | base64 -w0)"
      buildkite-agent step update label "label $$HELD"
      ! buildkite-agent meta-data set "key $$HELD" value || exit 1
      printf '%s' "$$HELD" > held
  - wait
  - key: later
    command: cat held; echo; base64 -w0 held; echo
"#,
    )
    .env("STORED", VALUE)
    .env("RUNNER_LOG", "runner=trace");
    let said = project.runner(&["run"]).expect_status(0);
    let said = said.expect_stdout("plain [REDACTED] and twice [REDACTED][REDACTED]");
    let said = said.expect_stdout("\"json\": \"[REDACTED]\"").expect_stdout("annotation: body [REDACTED]");
    expect_no_trace(&project, &said, VALUE);
}

#[test]
fn a_component_that_leaks_its_secret_leaks_nothing() {
    for (attack, status) in [("leak", 0), ("leak-failure", 1)] {
        let project = Project::with(&format!(
            "steps:
  - key: attack
    uses: ./steps/hostile-data.wasm
    with: {{ attack: {attack}, target: MY_SECRET }}
    grants: {{ secrets: [MY_SECRET], meta-data: write, artifacts: write, annotations: true }}
"
        ))
        .component("hostile-data")
        .env("MY_SECRET", VALUE)
        .env("RUNNER_LOG", "runner=trace");
        let said = project.runner(&["run"]).expect_status(status).expect_stdout("[REDACTED]");
        expect_no_trace(&project, &said, VALUE);
        let log = rusqlite::Connection::open(project.path().join(".runner/runs.db")).unwrap();
        let query = "SELECT kind ->> '$.result' FROM events WHERE kind ->> '$.type' = 'job_finished'";
        let result: String = log.query_row(query, [], |row| row.get(0)).unwrap();
        let expected = if status == 0 { "2 refused, [REDACTED]: " } else { "Try [REDACTED] again." };
        assert!(result.contains(expected), "{result}");
        let uses = "SELECT count(*) FROM events WHERE kind ->> '$.decision.capability' = 'secrets'";
        let uses: u32 = log.query_row(uses, [], |row| row.get(0)).unwrap();
        assert_eq!(uses, 2, "opening and revealing are both recorded");
    }
}

#[test]
fn what_one_job_has_fetched_no_other_job_shows() {
    let project = Project::with(
        "steps:
  - { key: fetches, secrets: [DEPLOY_KEY], command: 'buildkite-agent secret get DEPLOY_KEY > fetched' }
  - wait
  - { key: shows, command: cat fetched; base64 -w0 fetched; echo }
",
    )
    .env("DEPLOY_KEY", "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAoIBAQ\n-----END KEY-----");
    // The environment of the runner is that of its commands too; only the file is looked at here.
    let said = project.runner(&["run"]).expect_status(0);
    for line in ["MIIEvQIBADANBgkqhkiG9w0", "BAQEFAASCBKcwggSjAgEAAoIBAQ", "TUlJRXZRSUJBREFOQmdrcWhraUc5dz"] {
        assert!(!said.stdout.contains(line), "{}", said.stdout);
    }
    expect_no_trace(&project, &said, "MIIEvQIBADANBgkqhkiG9w0");
}

#[test]
fn a_short_secret_is_warned_of_once() {
    let project =
        Project::with("steps: [ { secrets: [PIN], command: 'echo pin $$PIN; buildkite-agent secret get PIN' } ]\n")
            .env("PIN", "1234");
    let said = project.runner(&["run"]).expect_status(0);
    assert_eq!(said.stdout.matches("the secret `PIN` has fewer than 6 characters").count(), 1, "{}", said.stdout);
}

const SOURCES: &str = "secrets:
  - environment
  - file: secrets.yml
    names: { DATABASE: database-password }
";

fn with_file(mode: u32) -> Project {
    let project = Project::with(
        "steps:
  - { key: both, secrets: [FIRST, DATABASE], command: 'test \"$$FIRST-$$DATABASE\" = from-environment-from-file' }
",
    )
    .file("runner.yml", SOURCES)
    .file("secrets.yml", "FIRST: not this one\ndatabase-password: from-file\n")
    .env("FIRST", "from-environment");
    let path = project.path().join("secrets.yml");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    project
}

#[test]
fn sources_are_asked_in_order() {
    let project = with_file(0o600);
    project.runner(&["run"]).expect_status(0);
    let said = project.runner(&["check", "--secrets"]).expect_status(0);
    let said = said.expect_stdout("the secret `FIRST` is in the runner's environment");
    let said = said.expect_stdout("the secret `DATABASE` is in the file ");
    assert!(!said.stdout.contains("from-"), "{}", said.stdout);
}

#[test]
fn a_file_that_others_can_read_fails_the_job_and_says_what_to_run() {
    let project = with_file(0o644);
    let said =
        project.runner(&["run"]).expect_status(1).expect_stdout("the secret `DATABASE` cannot be read: the file ");
    said.expect_stdout("can be used by others (mode 0644); run: chmod 600 ");
    project.runner(&["check", "--secrets"]).expect_status(7).expect_stdout("run: chmod 600 ");
}

#[test]
fn a_secret_that_no_source_has_names_them_all() {
    let project =
        Project::with("steps: [ { key: without, secrets: [NOWHERE], command: 'true' } ]\n").file("runner.yml", SOURCES);
    let said = project.runner(&["run"]).expect_status(1);
    let said = said
        .expect_stdout("the secret `NOWHERE` is not set: the runner's environment has no variable NOWHERE; the file ");
    said.expect_stdout("secrets.yml does not exist; set it there, or list another source in runner.yml");
    let project = Project::with("steps: [ { command: 'true' } ]\n").file("runner.yml", "secrets: [vault]\n");
    let said = project.runner(&["check"]).expect_status(3).expect_stderr("runner.yml:1:11");
    said.expect_stderr("`vault` is no source of secrets; there are `environment`, `file`, `keyring`, `aws-ssm` and");
}

#[test]
fn secrets_come_from_aws() {
    let name = format!("runner-test-{}", std::process::id());
    let client = |service: &str, target: &str, body: serde_json::Value| {
        let url = std::env::var("AWS_ENDPOINT_URL").unwrap_or_else(|_| "http://127.0.0.1:4666".to_owned());
        let output = std::process::Command::new("curl")
            .args(["-sS", "--fail-with-body", "-X", "POST", &url, "-H", "Content-Type: application/x-amz-json-1.1"])
            .args(["-H", &format!("X-Amz-Target: {target}"), "-d", &body.to_string()])
            .args(["-H", &format!("Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{target} at {url}: {said}; run examples/environment/up");
    };
    let parameter = serde_json::json!({ "Name": format!("/{name}/A"), "Value": "from-ssm", "Type": "SecureString" });
    client("ssm", "AmazonSSM.PutParameter", parameter);
    let secret =
        serde_json::json!({ "Name": format!("{name}/db"), "SecretString": "{\"password\": \"from-manager\"}" });
    client("secretsmanager", "secretsmanager.CreateSecret", secret);
    let project = Project::with(
        "steps: [ { key: both, secrets: [A, B], command: 'test \"$$A-$$B\" = from-ssm-from-manager; echo \"$$A $$B\"' } ]\n",
    )
    .file(
        "runner.yml",
        &format!(
            "secrets:
  - {{ aws-ssm: /{name}/, region: us-east-1 }}
  - {{ aws-secrets-manager: {name}/, region: us-east-1, names: {{ B: 'db#password' }} }}
"
        ),
    );
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("[REDACTED] [REDACTED]");
    for value in ["from-ssm", "from-manager"] {
        assert!(!said.stdout.replace("from-ssm-from-manager", "").contains(value), "{}", said.stdout);
    }
}
