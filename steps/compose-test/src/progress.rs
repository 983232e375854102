//! How far the services have come: who can be started, who is waited for, who failed. Pure: the engine is asked and
//! told elsewhere.

use crate::compose::{Condition, Service};

/// Where a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started.
    Waiting,
    Running {
        healthy: bool,
    },
    /// It has ended, with this exit code.
    Exited(u8),
}

/// Why the tested service cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stuck {
    /// It ended, and was needed or ended with an error.
    Exited { service: String, code: u8 },
    /// Its health check failed for good.
    Unhealthy { service: String },
    /// Its health is waited for, and it has no health check.
    NoHealthCheck { service: String },
}

/// The services in the order of starting, the tested one last, and where each one is.
pub struct Progress<'a> {
    services: Vec<(&'a Service, State)>,
}

/// What the engine says about a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    None,
    Starting,
    Healthy,
    Unhealthy,
}

impl<'a> Progress<'a> {
    /// None of the services is started.
    pub fn new(order: &[&'a Service]) -> Self {
        Self { services: order.iter().map(|service| (*service, State::Waiting)).collect() }
    }

    /// The services that wait for nothing any more.
    pub fn ready(&self) -> Vec<&'a Service> {
        self.services
            .iter()
            .filter(|(service, state)| *state == State::Waiting && self.conditions_hold(service))
            .map(|(service, _)| *service)
            .collect()
    }

    /// The running services whose health somebody waits for.
    pub fn health_awaited(&self) -> Vec<&'a str> {
        self.services
            .iter()
            .filter(|(service, state)| {
                *state == State::Running { healthy: false } && self.is_awaited(service, Condition::Healthy)
            })
            .map(|(service, _)| service.name.as_str())
            .collect()
    }

    /// What is still waited for, for people: "`db` to become healthy".
    pub fn awaited(&self) -> Vec<String> {
        let running = self.services.iter().filter(|(_, state)| matches!(state, State::Running { .. }));
        running
            .filter_map(|(service, state)| {
                let name = &service.name;
                if *state == (State::Running { healthy: false }) && self.is_awaited(service, Condition::Healthy) {
                    Some(format!("`{name}` to become healthy"))
                } else if self.is_awaited(service, Condition::CompletedSuccessfully) {
                    Some(format!("`{name}` to complete"))
                } else {
                    None
                }
            })
            .collect()
    }

    /// A service was started.
    pub fn started(&mut self, name: &str) {
        self.set(name, State::Running { healthy: false });
    }

    /// A service has ended.
    ///
    /// # Errors
    /// When it ended with an error, or before it became healthy for those who wait for that.
    pub fn exited(&mut self, name: &str, code: u8) -> Result<(), Stuck> {
        let awaited =
            |(service, _): &(&Service, State)| service.name == name && self.is_awaited(service, Condition::Healthy);
        let stuck = code != 0 || self.services.iter().any(awaited);
        self.set(name, State::Exited(code));
        if stuck { Err(Stuck::Exited { service: name.to_owned(), code }) } else { Ok(()) }
    }

    /// The engine's word on a service's health.
    ///
    /// # Errors
    /// When it will not become healthy.
    pub fn health(&mut self, name: &str, health: Health) -> Result<(), Stuck> {
        match health {
            Health::Starting => Ok(()),
            Health::Healthy => {
                self.set(name, State::Running { healthy: true });
                Ok(())
            }
            Health::Unhealthy => Err(Stuck::Unhealthy { service: name.to_owned() }),
            Health::None => Err(Stuck::NoHealthCheck { service: name.to_owned() }),
        }
    }

    fn conditions_hold(&self, service: &Service) -> bool {
        service.depends_on.iter().all(|dependency| {
            let state =
                self.services.iter().find(|(target, _)| target.name == dependency.service).map(|(_, state)| *state);
            match (dependency.condition, state) {
                (_, None | Some(State::Waiting)) => false,
                (Condition::Started, Some(_)) => true,
                (Condition::Healthy, Some(state)) => state == State::Running { healthy: true },
                (Condition::CompletedSuccessfully, Some(state)) => state == State::Exited(0),
            }
        })
    }

    /// Whether a service that is not started yet waits for this one.
    fn is_awaited(&self, service: &Service, condition: Condition) -> bool {
        let waiting = self.services.iter().filter(|(_, state)| *state == State::Waiting);
        waiting
            .flat_map(|(service, _)| &service.depends_on)
            .any(|dependency| dependency.service == service.name && dependency.condition == condition)
    }

    fn set(&mut self, name: &str, new: State) {
        if let Some((_, state)) = self.services.iter_mut().find(|(service, _)| service.name == name) {
            *state = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{Findings, Project, read, start_order};

    fn project() -> Project {
        let text = "
services:
  tests:
    image: t
    depends_on: {api: {condition: service_healthy}, migrate: {condition: service_completed_successfully}}
  api: {image: a, depends_on: [cache, db], healthcheck: {test: 'true'}}
  migrate: {image: m, depends_on: {db: {condition: service_healthy}}}
  db: {image: d}
  cache: {image: c}
  other: {image: o}
";
        read(text, ".", &|_| None, &mut Findings::default()).unwrap()
    }

    fn names(services: &[&Service]) -> String {
        services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn services_start_when_their_conditions_hold() {
        let project = project();
        let order = start_order(&project, project.service("tests").unwrap());
        assert_eq!(names(&order), "db cache api migrate tests");
        let mut progress = Progress::new(&order);
        assert_eq!(names(&progress.ready()), "db cache");
        progress.started("db");
        progress.started("cache");
        assert_eq!((names(&progress.ready()), progress.health_awaited()), ("api".to_owned(), vec!["db"]));
        progress.started("api");
        assert_eq!(progress.awaited(), ["`db` to become healthy", "`api` to become healthy"]);
        progress.health("db", Health::Starting).unwrap();
        progress.health("db", Health::Healthy).unwrap();
        assert_eq!(progress.health_awaited(), ["api"]);
        assert_eq!(names(&progress.ready()), "migrate");
        progress.started("migrate");
        progress.health("api", Health::Healthy).unwrap();
        assert_eq!(
            (names(&progress.ready()), progress.awaited()),
            (String::new(), vec!["`migrate` to complete".to_owned()])
        );
        progress.exited("migrate", 0).unwrap();
        assert_eq!(names(&progress.ready()), "tests");
    }

    #[test]
    fn what_cannot_go_on_is_said_at_once() {
        let project = project();
        let order = start_order(&project, project.service("tests").unwrap());
        let mut progress = Progress::new(&order);
        progress.started("db");
        progress.started("cache");
        assert_eq!(progress.health("db", Health::Unhealthy), Err(Stuck::Unhealthy { service: "db".to_owned() }));
        assert_eq!(progress.health("db", Health::None), Err(Stuck::NoHealthCheck { service: "db".to_owned() }));
        // Nobody waits for its end, and it ended well.
        assert_eq!(progress.exited("cache", 0), Ok(()));
        progress.health("db", Health::Healthy).unwrap();
        assert_eq!(progress.exited("db", 0), Err(Stuck::Exited { service: "db".to_owned(), code: 0 }));
        assert_eq!(progress.exited("cache", 3), Err(Stuck::Exited { service: "cache".to_owned(), code: 3 }));
    }
}
