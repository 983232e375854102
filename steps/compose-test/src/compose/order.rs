//! Which services a test needs, and in which order they can be started.

use super::model::{Condition, Project, Service};
use super::problem::{Code, Findings};

/// Refuses dependencies on services that are not there, on oneself through others, and on health never checked.
pub fn check(services: &[Service], findings: &mut Findings) {
    for service in services {
        for dependency in &service.depends_on {
            let Some(target) = services.iter().find(|target| target.name == dependency.service) else {
                let message = format!("the service `{}` is not in the file", dependency.service.escape_debug());
                let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
                let remedy = format!("expected one of: {}", names.join(", "));
                findings.refuse(Code::Dependency, dependency.at, message, remedy);
                continue;
            };
            // Without one in the file the image may bring its own.
            let unchecked = target.health.as_ref().is_some_and(|health| health.test == ["NONE"]);
            if dependency.condition == Condition::Healthy && unchecked {
                let message = format!("`{}` can never become healthy: its health check is disabled", target.name);
                findings.refuse(Code::Dependency, dependency.at, message, "wait for `service_started`");
            }
        }
    }
    if findings.problems.is_empty()
        && let Some(cycle) = services.iter().find_map(|service| cycle_from(services, service))
    {
        let at = services.iter().find(|service| service.name == cycle[0]).map(|service| service.at);
        let message = format!("services depend on each other in a circle: {}", cycle.join(" → "));
        findings.refuse(Code::Dependency, at.unwrap_or(services[0].at), message, "remove one of the dependencies");
    }
}

/// The named service and everything it depends on, each after what it depends on itself, otherwise in the order of
/// the file. The project must have passed [`check`].
pub fn start_order<'a>(project: &'a Project, tested: &'a Service) -> Vec<&'a Service> {
    fn visit<'a>(project: &'a Project, service: &'a Service, order: &mut Vec<&'a Service>) {
        if order.iter().any(|ordered| ordered.name == service.name) {
            return;
        }
        for needed in &project.services {
            if service.depends_on.iter().any(|dependency| dependency.service == needed.name) {
                visit(project, needed, order);
            }
        }
        order.push(service);
    }
    let mut order = Vec::new();
    visit(project, tested, &mut order);
    order
}

/// The names along a way from a service back to itself.
fn cycle_from<'a>(services: &'a [Service], start: &'a Service) -> Option<Vec<&'a str>> {
    let mut path: Vec<(&Service, usize)> = vec![(start, 0)];
    let mut seen = vec![start.name.as_str()];
    while let Some((service, next)) = path.last_mut() {
        let Some(dependency) = service.depends_on.get(*next) else {
            path.pop();
            continue;
        };
        *next += 1;
        if dependency.service == start.name {
            return Some(path.iter().map(|(service, _)| service.name.as_str()).chain([start.name.as_str()]).collect());
        }
        if let Some(target) = services.iter().find(|target| target.name == dependency.service)
            && !seen.contains(&target.name.as_str())
        {
            seen.push(&target.name);
            path.push((target, 0));
        }
    }
    None
}
