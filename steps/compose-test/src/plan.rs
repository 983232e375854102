//! From a file of the workspace to the services to run.

use crate::compose::{self, Findings, Mark, Network, Service, Variables};
use crate::files;
use std::path::Path;

/// What a test runs.
#[derive(Debug)]
pub struct Plan {
    /// In the order of starting; the tested service is the last.
    pub services: Vec<Planned>,
    /// The networks they join.
    pub networks: Vec<Network>,
    /// What means something else, or nothing, in a test: `file:line:column: message`.
    pub warnings: Vec<String>,
}

/// A service and its whole environment.
#[derive(Debug)]
pub struct Planned {
    pub service: Service,
    pub environment: Vec<(String, String)>,
}

/// Why there is nothing to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
    pub remedy: String,
}

/// Reads the file and selects the tested service and what it depends on.
///
/// # Errors
/// Every problem of the file, with its place.
pub fn plan(workspace: &Path, file: &str, tested: &str, variables: &Variables<'_>) -> Result<Plan, Refused> {
    let refused = |message: String, remedy: &str| Refused { message, remedy: remedy.to_owned() };
    let Some(file) = compose::beneath(".", file) else {
        let message = format!("the file `{}` is not below the workspace", file.escape_debug());
        return Err(refused(message, "Name a path below the workspace in `with: { file: … }`."));
    };
    let text = files::read_limited(&workspace.join(&file), compose::MAX_BYTES as u64).map_err(|error| {
        let remedy =
            "Name the Compose file in `with: { file: … }` and grant reading it: `grants: { workspace: read }`.";
        refused(format!("cannot read the Compose file `{file}`: {error}"), remedy)
    })?;
    let mut findings = Findings::default();
    let report = |findings: &Findings| {
        let report = findings.report(&file, &text).unwrap_or_else(|| format!("{file} cannot be used"));
        refused(report, "")
    };
    let Some(project) = compose::read(&text, compose::directory_of(&file), variables, &mut findings) else {
        return Err(report(&findings));
    };
    let Some(service) = project.service(tested) else {
        let names: Vec<&str> = project.services.iter().map(|service| service.name.as_str()).collect();
        return Err(Refused {
            message: format!("`{file}` has no service `{}`", tested.escape_debug()),
            remedy: format!("Name the tested service in `with: {{ service: … }}`; there are {}.", names.join(", ")),
        });
    };
    let mut services = Vec::new();
    for service in compose::start_order(&project, service) {
        files::check(workspace, service, &mut findings);
        let environment = files::environment(workspace, service, variables, &mut findings);
        services.push(Planned { service: service.clone(), environment });
    }
    if !findings.problems.is_empty() {
        return Err(report(&findings));
    }
    let joined = |network: &&Network| {
        let mut attachments = services.iter().flat_map(|planned| &planned.service.networks);
        attachments.any(|attachment| attachment.network == network.name)
    };
    let networks = project.networks.iter().filter(joined).cloned().collect();
    let located = |(Mark { line, column }, message): (Mark, String)| format!("{file}:{line}:{column}: {message}");
    let warnings = findings.warnings.into_iter().map(located).collect();
    Ok(Plan { services, networks, warnings })
}
