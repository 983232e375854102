//! Against the local endpoint of `examples/environment`, and against answers that it never gives.

use super::*;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ssm::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_ssm::types::ParameterType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Of the machine's configuration how to connect: what it says of endpoints would go over this one.
async fn config_of(url: &str) -> SdkConfig {
    let machine = machine_config(Some("us-east-1".to_owned())).await;
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .retry_config(RetryConfig::disabled());
    config.set_http_client(machine.http_client());
    config.set_sleep_impl(machine.sleep_impl());
    config.set_timeout_config(machine.timeout_config().cloned());
    config.build()
}

/// The local endpoint; fails when nothing answers there.
async fn local() -> SdkConfig {
    let url = std::env::var("AWS_ENDPOINT_URL").unwrap_or_else(|_| "http://127.0.0.1:4666".to_owned());
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let answers = tokio::net::TcpStream::connect(address).await.is_ok();
    assert!(answers, "nothing answers at {url}; start it with examples/environment/up, or set AWS_ENDPOINT_URL");
    config_of(&url).await
}

fn parameters(config: SdkConfig, prefix: &str) -> ParameterStore {
    let names = IndexMap::from([("PASSWORD".to_owned(), "db/password".to_owned())]);
    ParameterStore { prefix: prefix.to_owned(), names, region: None, config: OnceCell::new_with(Some(config)) }
}

fn secrets(config: SdkConfig, prefix: &str, names: &[(&str, &str)]) -> SecretsManager {
    let names = names.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect();
    SecretsManager { prefix: prefix.to_owned(), names, region: None, config: OnceCell::new_with(Some(config)) }
}

/// The value, or why there is none after `-`, or the error after `!`.
async fn told(source: &impl SecretSource, name: &str) -> String {
    match source.find(name).await {
        Ok(Found::Value(value)) => value.expose().to_owned(),
        Ok(Found::Absent(reason)) => format!("- {reason}"),
        Err(reason) => format!("! {reason}"),
    }
}

#[tokio::test]
async fn parameters_are_decrypted() {
    let config = local().await;
    let prefix = format!("/{}/", uuid::Uuid::new_v4().simple());
    let client = aws_sdk_ssm::Client::new(&config);
    for (name, kind) in [("db/password", ParameterType::SecureString), ("PLAIN", ParameterType::String)] {
        let put = client.put_parameter().name(format!("{prefix}{name}")).value(format!("value of {name}")).r#type(kind);
        put.send().await.unwrap();
    }
    let source = parameters(config, &prefix);
    assert_eq!(told(&source, "PASSWORD").await, "value of db/password");
    assert_eq!(told(&source, "PLAIN").await, "value of PLAIN");
    assert_eq!(told(&source, "NONE").await, format!("- has no parameter {prefix}NONE"));
    for name in ["db/password", "PLAIN"] {
        client.delete_parameter().name(format!("{prefix}{name}")).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_field_of_a_json_secret_is_a_secret() {
    let config = local().await;
    let prefix = format!("{}/", uuid::Uuid::new_v4().simple());
    let client = aws_sdk_secretsmanager::Client::new(&config);
    let json = r#"{ "username": "app", "password": "p\"w", "port": 5432, "nothing": null, "list": [] }"#;
    for (name, text) in [("db", json), ("TEXT", "just text")] {
        client.create_secret().name(format!("{prefix}{name}")).secret_string(text).send().await.unwrap();
    }
    let blob = aws_sdk_secretsmanager::primitives::Blob::new([1, 2, 3]);
    client.create_secret().name(format!("{prefix}BLOB")).secret_binary(blob).send().await.unwrap();
    let names = [
        ("PASSWORD", "db#password"),
        ("PORT", "db#port"),
        ("WHOLE", "db"),
        ("ABSENT", "db#absent"),
        ("NOTHING", "db#nothing"),
        ("NO_JSON", "TEXT#field"),
    ];
    let source = secrets(config, &prefix, &names);
    for (name, expected) in [
        ("PASSWORD", "p\"w".to_owned()),
        ("PORT", "5432".to_owned()),
        ("WHOLE", json.to_owned()),
        ("TEXT", "just text".to_owned()),
        ("NONE", format!("- has no secret {prefix}NONE")),
        ("ABSENT", format!("- has a secret {prefix}db without the field `absent`")),
        ("NOTHING", format!("! the field `nothing` of the secret {prefix}db is neither text nor a number")),
        ("NO_JSON", format!("! the secret {prefix}TEXT is not a JSON object, so it has no field `field`")),
        ("BLOB", format!("! the secret {prefix}BLOB is binary; store it as text, for instance as base64")),
    ] {
        assert_eq!(told(&source, name).await, expected, "{name}");
    }
    for name in ["db", "TEXT", "BLOB"] {
        let delete = client.delete_secret().secret_id(format!("{prefix}{name}")).force_delete_without_recovery(true);
        delete.send().await.unwrap();
    }
}

/// Answers every request with this status and body.
async fn answering(status: u16, body: &'static str) -> SdkConfig {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 16 << 10];
            let read = connection.read(&mut request).await.unwrap();
            assert!(read > 0);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            connection.write_all((head + body).as_bytes()).await.unwrap();
        }
    });
    config_of(&url).await
}

#[tokio::test]
async fn a_refusal_is_an_error_and_says_what_is_lacking() {
    let refused =
        r#"{"__type":"AccessDeniedException","message":"User: x is not authorized to perform: ssm:GetParameter"}"#;
    assert_eq!(
        told(&parameters(answering(400, refused).await, "/"), "A").await,
        "! /A: GetParameter: AccessDeniedException: User: x is not authorized to perform: ssm:GetParameter; \
         the credentials lack this permission, or that to decrypt with the key (kms:Decrypt)"
    );
    let scheduled = r#"{"__type":"InvalidRequestException","message":"it was marked for deletion"}"#;
    let marked = told(&secrets(answering(400, scheduled).await, "", &[]), "A").await;
    assert_eq!(marked, "! A: GetSecretValue: InvalidRequestException: it was marked for deletion");
    let other = told(&secrets(answering(404, "<html>").await, "", &[]), "A").await;
    assert!(other.starts_with("! A: GetSecretValue: http://127.0.0.1:") && other.contains("404"), "{other}");
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let source = parameters(config_of("http://127.0.0.1:1").await, "/");
    let told = told(&source, "A").await;
    assert!(told.starts_with("! /A: GetParameter: no answer from http://127.0.0.1:1"), "{told}");
    assert!(told.ends_with("check the network, the proxy, AWS_ENDPOINT_URL and the region"), "{told}");
}
