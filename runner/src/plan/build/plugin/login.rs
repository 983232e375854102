//! `docker-login` and `ecr`: credentials of registries. The host uses them for containers; for commands on this machine
//! a command before them logs in, as the plugin does.

use super::options::Options;
use super::{Login, Plugged, StepFacts};
use crate::plan::grant::RegistryLogin;
use crate::plan::job::Phase;
use serde_json::json;

/// The credential helper of Amazon's registries: `docker-credential-ecr-login`.
const ECR_HELPER: &str = "ecr-login";
/// Amazon's registry of public images.
const ECR_PUBLIC: &str = "public.ecr.aws";

/// Maps the docker-login plugin.
pub(super) fn docker_login(options: &mut Options<'_>, _facts: &StepFacts<'_>) -> Plugged {
    options.without_effect(&["retries", "disable-logout", "isolate-config"]);
    let registry = options.text("server").map(|server| server.value);
    let password = options.text("password-env");
    let name = password.as_ref().map_or("DOCKER_LOGIN_PASSWORD", |password| &password.value);
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if let Some(password) = password.as_ref().filter(|password| !is_name(password)) {
        options.error(password.span, "`password-env` is no name of a variable", "");
    }
    let Some(username) = options.text("username") else {
        options.error(options.span(), "the plugin `docker-login` names no user", "add `username: NAME`");
        return options.give_up();
    };
    let Ok(user) = shlex::try_quote(&username.value) else {
        options.error(username.span, "the user's name holds a NUL character", "");
        return options.give_up();
    };
    let server = registry.clone().unwrap_or_default();
    let Ok(server) = shlex::try_quote(&server) else { return options.give_up() };
    let server = if registry.is_some() { format!(" {server}") } else { String::new() };
    let script = format!(
        "printf %s \"${{{name}:?set this variable where the runner is started}}\" | docker login --username {user} --password-stdin{server}"
    );
    let grant = RegistryLogin {
        registry: registry.map_or("docker.io".to_owned(), |server| host_of(&server)),
        username: Some(username.value.clone()),
        password: Some(name.to_owned()),
        helper: None,
    };
    Plugged { logins: vec![Login { grants: vec![grant], script }], ..Plugged::default() }
}

/// The registry of an address: `https://index.docker.io/v1/` is `docker.io`.
fn host_of(server: &str) -> String {
    let host = server.split_once("://").map_or(server, |(_, rest)| rest);
    match host.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" | "hub.docker.com" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

/// Maps the ecr plugin.
pub(super) fn ecr(options: &mut Options<'_>, _facts: &StepFacts<'_>) -> Plugged {
    options.without_effect(&["retries", "no-include-email", "credential-helper"]);
    options.refuse(&[
        ("assume-role", "give the runner the credentials of that role"),
        ("profile", "set AWS_PROFILE where the runner is started"),
    ]);
    let wanted = options.flag("login").unwrap_or_default();
    let region = options.text("region").or_else(|| options.text("registry-region"));
    if let Some(region) = region.as_ref().filter(|region| !is_word(region)) {
        options.error(region.span, "`region` is no region of AWS", "write one such as eu-west-1");
    }
    let region = region.map(|region| region.value);
    let accounts = options.texts("account-ids").unwrap_or_default();
    let accounts: Vec<String> = accounts
        .iter()
        .flat_map(|ids| ids.split(','))
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .collect();
    if let Some(wrong) = accounts.iter().find(|id| *id != ECR_PUBLIC && !id.bytes().all(|b| b.is_ascii_digit())) {
        options.error(options.span(), &format!("`{wrong}` is no account of AWS"), "write its twelve digits in quotes");
    }
    if !wanted {
        return Plugged::default();
    }
    let place = region.as_deref().unwrap_or("*");
    let all = ["*".to_owned()];
    let grants = if accounts.is_empty() { &all } else { accounts.as_slice() }.iter().map(|account| RegistryLogin {
        registry: if account == ECR_PUBLIC {
            account.clone()
        } else {
            format!("{account}.dkr.ecr.{place}.amazonaws.com")
        },
        helper: Some(ECR_HELPER.to_owned()),
        ..RegistryLogin::default()
    });
    let grants = grants.collect();
    Plugged { logins: vec![Login { grants, script: ecr_script(region.as_deref(), &accounts) }], ..Plugged::default() }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn ecr_script(region: Option<&str>, accounts: &[String]) -> String {
    let region = region.unwrap_or("${AWS_REGION:-${AWS_DEFAULT_REGION:-us-east-1}}");
    let mut lines = vec![format!("region=\"{region}\"")];
    let mut log_in = |account: &str| {
        let login = "docker login --username AWS --password-stdin";
        lines.push(if account == ECR_PUBLIC {
            format!("aws ecr-public get-login-password --region us-east-1 | {login} {ECR_PUBLIC}")
        } else {
            format!(
                "aws ecr get-login-password --region \"$region\" | {login} \"{account}.dkr.ecr.$region.amazonaws.com\""
            )
        });
    };
    if accounts.is_empty() {
        log_in("$(aws sts get-caller-identity --query Account --output text)");
    }
    for account in accounts {
        log_in(account);
    }
    lines.join("\n")
}

impl Login {
    /// The command that logs in on this machine; hooks of the repository are for the step's own command.
    pub(in super::super) fn phase(&self) -> Phase {
        Phase {
            uses: "command".to_owned(),
            command: true,
            params: json!({"command": self.script, "hooks": false}),
            ..Phase::default()
        }
    }
}
