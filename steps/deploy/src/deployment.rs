//! One deployment: the stack made ready, the change set worked out, executed and watched to its end.

use crate::choice::{self, Source};
use crate::params::{ParameterValue, Params};
use crate::poll::Poll;
use crate::report;
use crate::state::{self, Next};
use crate::template::Template;
use crate::words::clean;
use crate::{Outputs, names};
use runner_sdk::cloudformation::{
    self, ChangeSet, ChangeSetDescription, ChangeSetKind, ChangeSetOptions, Event, Parameter, Stack, StackDescription,
};
use runner_sdk::secrets::{self, Secret};
use runner_sdk::{Context, Error, Failure, context, log};
use std::collections::BTreeMap;

/// How often the stack is taken to be ready and then turns out to have changed meanwhile.
const MAX_PLANS: usize = 4;

/// Looks, at five seconds each, after which a status that stays as it was is believed.
const MAX_IDLE_LOOKS: usize = 24;

/// Looks in a row that may fail before the stack is given up: half an hour and more.
const MAX_BLIND_LOOKS: usize = 120;

/// Exit status of a job that was cancelled, as a shell would have it after SIGTERM.
const CANCELLED: u8 = 143;

/// Deploys, and returns when nothing goes on any more.
pub fn deploy(params: &Params, template: &Template) -> Result<Outputs, Failure> {
    choice::check_given(&params.parameters, &template.parameters())?;
    let mut secrets = BTreeMap::new();
    for value in params.parameters.values() {
        if let ParameterValue::Secret(name) = value {
            secrets.insert(name.clone(), secrets::open(name).context(format!("open the secret `{name}`"))?);
        }
    }
    let job = context::current();
    let name = names::change_set(&job.run, &job.job, job.attempt);
    let stack = cloudformation::open(&params.stack).context(format!("open stack `{}`", params.stack))?;
    Deployment { params, template, secrets, name, stack }.run()
}

struct Deployment<'a> {
    params: &'a Params,
    template: &'a Template,
    secrets: BTreeMap<String, Secret>,
    /// Of the change set; tokens begin with it.
    name: String,
    stack: Stack,
}

/// A change set and what it is for.
struct Planned {
    set: ChangeSet,
    creates: bool,
    /// The stack exists only because of this change set.
    made_the_stack: bool,
}

impl Deployment<'_> {
    fn run(&self) -> Result<Outputs, Failure> {
        let planned = self.plan()?;
        let change_set = match worked_out(&planned) {
            Ok(change_set) => change_set,
            Err(failure) => {
                self.take_back(&planned);
                return Err(failure);
            }
        };
        let stack = clean(&self.params.stack);
        if report::is_empty_change_set(&change_set.status, &change_set.status_reason) {
            log::info(&format!("stack {stack}: no changes"));
            let state = self.stack.describe().context("describe the stack")?;
            self.take_back(&planned);
            return Ok(self.outputs(state, false));
        }
        if change_set.status != "CREATE_COMPLETE" {
            let failure = self.no_change_set(&planned, &change_set);
            self.take_back(&planned);
            return Err(failure);
        }
        log::group(&format!("Changes of stack {stack}"));
        for line in report::changes(&change_set.changes) {
            log::info(&line);
        }
        let last = self.last_event().and_then(|last| self.execute(&planned, last.as_deref()).map(|()| last));
        let last = match last {
            Ok(last) => last,
            Err(failure) => {
                self.take_back(&planned);
                return Err(failure);
            }
        };
        log::group(&format!("{} stack {stack}", if planned.creates { "Creating" } else { "Updating" }));
        let (state, events) = self.watch(&planned, last)?;
        if !state::is_success(&state.status) {
            return Err(self.failure(&planned, &state, &events));
        }
        for event in events.iter().filter(|event| event.status == "DELETE_FAILED") {
            let cause = report::cause(event, &self.params.template, self.template);
            log::warning(&format!("no longer part of the stack, but not deleted: {cause}"));
        }
        log::info(&format!("stack {stack}: {}", clean(&state.status)));
        Ok(self.outputs(Some(state), true))
    }

    /// Has a change set worked out for a stack that is ready for it.
    fn plan(&self) -> Result<Planned, Failure> {
        let mut plans = 0;
        loop {
            let state = self.ready()?;
            plans += 1;
            match self.create_change_set(state.as_ref())? {
                Ok(planned) => return Ok(planned),
                // Somebody else may have changed the stack since it was looked at.
                Err(Error::Failed(_) | Error::NotFound(_))
                    if plans < MAX_PLANS && self.has_changed(state.as_ref())? =>
                {
                    log::info("the stack has changed meanwhile; looking at it again");
                }
                Err(error) => return Err(error).context(format!("plan the changes of stack `{}`", self.params.stack)),
            }
        }
    }

    /// Waits for what goes on, and leads a stack out of the states in which it cannot be changed.
    fn ready(&self) -> Result<Option<StackDescription>, Failure> {
        let mut poll = Poll::new();
        let mut told = String::new();
        let mut cleared = false;
        let mut continued = false;
        let mut progressed = false;
        let mut looks_since = 0;
        let name = &self.params.stack;
        loop {
            let state = self.stack.describe().context(format!("describe stack `{name}`"))?;
            let status = state.as_ref().map(|state| state.status.as_str());
            // A status may lag a little behind what was asked for.
            let lags = !progressed && looks_since < 5;
            match state::next(name, status)? {
                Next::Create | Next::Update => return Ok(state),
                Next::ClearAway if !cleared => {
                    let status = status.unwrap_or_default();
                    log::warning(&format!("stack {name} is in {status}, it never came to be; clearing it away"));
                    self.stack.delete_failed(&self.token("clear")).context(format!("clear away stack `{name}`"))?;
                    cleared = true;
                    looks_since = 0;
                }
                Next::ContinueRollback if !continued => {
                    log::warning(&format!("stack {name}: the rollback of an earlier update failed; going on with it"));
                    self.stack
                        .continue_rollback(&self.token("continue"))
                        .context(format!("go on with the rollback of stack `{name}`"))?;
                    continued = true;
                    looks_since = 0;
                }
                Next::ClearAway | Next::ContinueRollback if lags => {}
                Next::ClearAway | Next::ContinueRollback => {
                    let status = status.unwrap_or_default();
                    let reason = state.as_ref().map(|state| clean(&state.status_reason)).unwrap_or_default();
                    return Err(Failure::new(format!("stack `{name}` is in {status} again: {reason}"))
                        .remedy(state::remedy(name, status)));
                }
                Next::Wait => {
                    progressed = cleared || continued;
                    let status = status.unwrap_or_default();
                    if told != status {
                        log::info(&format!("waiting: stack {name} is in {}", clean(status)));
                        status.clone_into(&mut told);
                    }
                }
            }
            looks_since += 1;
            poll.wait().map_err(|_| cancelled("the job was cancelled before anything was changed"))?;
        }
    }

    fn create_change_set(&self, state: Option<&StackDescription>) -> Result<Result<Planned, Error>, Failure> {
        let made_the_stack = state.is_none_or(|state| state.status == "DELETE_COMPLETE");
        let creates = made_the_stack || state.is_some_and(|state| state.status == "REVIEW_IN_PROGRESS");
        let previous = state.filter(|_| !creates).map(|state| state.template_parameters.as_slice()).unwrap_or_default();
        let chosen = choice::choose(&self.params.parameters, &self.template.parameters(), previous)?;
        let mut parameters = Vec::new();
        for (key, source) in chosen {
            let value = match source {
                Source::Previous => cloudformation::ParameterValue::Previous,
                Source::Given(ParameterValue::Plain(text)) => cloudformation::ParameterValue::Plain(text),
                Source::Given(ParameterValue::Secret(name)) => match self.secrets.get(&name) {
                    Some(secret) => cloudformation::ParameterValue::Secret(secret),
                    None => return Err(Failure::new(format!("the secret `{name}` was not opened"))),
                },
            };
            parameters.push(Parameter { key, value });
        }
        let derived = || self.template.capability().map(str::to_owned).into_iter().collect();
        let options = ChangeSetOptions {
            kind: if creates { ChangeSetKind::Create } else { ChangeSetKind::Update },
            name: self.name.clone(),
            description: self.params.environment.as_ref().map(|name| format!("to {name}")).unwrap_or_default(),
            template: self.template.json(),
            parameters,
            capabilities: self.params.capabilities.clone().unwrap_or_else(derived),
            tags: self.params.all_tags(),
            extras: Vec::new(),
        };
        Ok(self.stack.create_change_set(&options).map(|set| Planned { set, creates, made_the_stack }))
    }

    fn has_changed(&self, before: Option<&StackDescription>) -> Result<bool, Failure> {
        let now = self.stack.describe().context("describe the stack")?;
        let seen = |state: &StackDescription| (state.id.clone(), state.status.clone());
        Ok(now.as_ref().map(seen) != before.map(seen))
    }

    /// Leaves nothing of a change set that is not executed.
    fn take_back(&self, planned: &Planned) {
        if let Err(error) = planned.set.delete() {
            log::warning(&format!("the change set {} stays: {}", self.name, clean(&Failure::from(error).message)));
        }
        if planned.made_the_stack
            && let Err(error) = self.stack.delete_failed(&self.token("clear"))
        {
            log::warning(&format!("an empty stack stays: {}", clean(&Failure::from(error).message)));
        }
    }

    fn no_change_set(&self, planned: &Planned, change_set: &ChangeSetDescription) -> Failure {
        let mut message = format!(
            "no change set could be worked out for stack `{}`: {}",
            self.params.stack,
            clean(&change_set.status_reason)
        );
        if let Some(cause) = self.cause_in_change_set(planned, "") {
            message.push_str(&format!(": {cause}"));
        }
        Failure::new(message).remedy("Correct the template or its parameters; nothing was changed.")
    }

    fn cause_in_change_set(&self, planned: &Planned, stack_id: &str) -> Option<String> {
        match planned.set.events() {
            Ok(events) => report::root_cause(&events, stack_id)
                .map(|event| report::cause(event, &self.params.template, self.template)),
            Err(error) => {
                let text = Failure::from(error).message;
                log::warning(&format!("cannot read the events of the change set: {}", clean(&text)));
                None
            }
        }
    }

    fn last_event(&self) -> Result<Option<String>, Failure> {
        let events = self.stack.events(None).context("read the events of the stack")?;
        Ok(events.last().map(|event| event.id.clone()))
    }

    fn execute(&self, planned: &Planned, last: Option<&str>) -> Result<(), Failure> {
        let token = self.token("execute");
        let Err(error) = planned.set.execute(&token) else { return Ok(()) };
        // The answer may have been lost and not the request.
        if matches!(error, Error::Failed(_) | Error::Limit(_)) {
            let events = self.stack.events(last).context("read the events of the stack")?;
            if events.iter().any(|event| event.token == token) {
                return Ok(());
            }
        }
        Err(error).context(format!("change stack `{}`", self.params.stack))
    }

    /// Tells the events as they come, until the stack has settled.
    fn watch(&self, planned: &Planned, mut last: Option<String>) -> Result<(StackDescription, Vec<Event>), Failure> {
        let mut poll = Poll::new();
        let mut seen: Vec<Event> = Vec::new();
        let (mut blind, mut idle) = (0, 0);
        loop {
            match self.look(last.as_deref()) {
                Ok((state, new)) => {
                    blind = 0;
                    if let Some(event) = new.last() {
                        last = Some(event.id.clone());
                        idle = 0;
                        poll.reset();
                    }
                    new.iter().for_each(tell);
                    seen.extend(new);
                    let ended = seen.iter().rev().find(|event| report::is_of_stack(event, &state.id));
                    let ended = ended.is_some_and(|event| state::is_settled(&event.status));
                    idle += 1;
                    if state::is_settled(&state.status) && (ended || idle > MAX_IDLE_LOOKS) {
                        return Ok((state, seen));
                    }
                }
                // The stack goes on, whether anybody looks or not: this is no failure of the deployment.
                Err(Error::Failed(text) | Error::Limit(text)) if blind < MAX_BLIND_LOOKS => {
                    blind += 1;
                    if blind == 1 {
                        log::warning(&format!("cannot see the stack at the moment, trying again: {}", clean(&text)));
                    }
                }
                Err(Error::Cancelled) => return Err(self.cancel(planned)),
                Err(error) => {
                    let text = Failure::from(error).message;
                    return Err(Failure::new(format!("lost sight of stack `{}`: {}", self.params.stack, clean(&text)))
                        .remedy("It goes on by itself. Run the job again: it waits for the end."));
                }
            }
            if poll.wait().is_err() {
                return Err(self.cancel(planned));
            }
        }
    }

    fn look(&self, last: Option<&str>) -> Result<(StackDescription, Vec<Event>), Error> {
        let gone = || Error::NotFound(format!("there is no stack `{}` any more", self.params.stack));
        let state = self.stack.describe()?.ok_or_else(gone)?;
        // After the status, so that the events that led to it are among them.
        Ok((state, self.stack.events(last)?))
    }

    fn cancel(&self, planned: &Planned) -> Failure {
        let stack = &self.params.stack;
        if planned.creates {
            return cancelled(format!(
                "the job was cancelled while stack `{stack}` was being created; a creation cannot be cancelled, it \
                 goes on by itself"
            ))
            .remedy("Run the job again: it waits for the end. Or delete the stack.");
        }
        match self.stack.cancel_update(&self.token("cancel")) {
            Ok(()) => cancelled(format!("the job was cancelled; the update of stack `{stack}` is being rolled back"))
                .remedy("Run the job again: it waits for the end of the rollback."),
            Err(error) => {
                let text = Failure::from(error).message;
                cancelled(format!(
                    "the job was cancelled, and the update of stack `{stack}` goes on, because it cannot be stopped: {}",
                    clean(&text)
                ))
                .remedy("Run the job again: it waits for the end.")
            }
        }
    }

    fn failure(&self, planned: &Planned, state: &StackDescription, events: &[Event]) -> Failure {
        let stack = &self.params.stack;
        let cause = report::root_cause(events, &state.id);
        let told = cause.map(|event| report::cause(event, &self.params.template, self.template));
        let cause = match cause {
            Some(event) if !report::is_elsewhere(event) => told,
            _ => self.cause_in_change_set(planned, &state.id).or(told),
        };
        let of_stack = events.iter().find(|event| report::is_failure(event)).map(|event| &event.status_reason);
        let reason = match cause {
            Some(cause) => format!(" at {cause}"),
            None => format!(": {}", clean(of_stack.unwrap_or(&state.status_reason))),
        };
        let what = if planned.creates { "creation" } else { "update" };
        Failure::new(format!("the {what} of stack `{stack}` failed{reason}; it is in {}", clean(&state.status)))
            .remedy(state::remedy(stack, &state.status))
    }

    fn outputs(&self, state: Option<StackDescription>, changed: bool) -> Outputs {
        let (stack_id, status, outputs) =
            state.map(|state| (state.id, state.status, state.outputs)).unwrap_or_default();
        let outputs: BTreeMap<String, String> = outputs.into_iter().map(|output| (output.key, output.value)).collect();
        for (key, value) in &outputs {
            log::info(&format!("{}: {}", clean(key), clean(value)));
        }
        Outputs { stack_id, status, changed, template_digest: self.template.digest.clone(), outputs }
    }

    /// Marks the events of one thing asked of the stack.
    fn token(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }
}

/// Waits until the change set is worked out, or has failed.
fn worked_out(planned: &Planned) -> Result<ChangeSetDescription, Failure> {
    let mut poll = Poll::new();
    loop {
        let change_set = planned.set.describe().context("describe the change set")?;
        if !matches!(change_set.status.as_str(), "CREATE_PENDING" | "CREATE_IN_PROGRESS") {
            return Ok(change_set);
        }
        poll.wait().map_err(|_| cancelled("the job was cancelled before anything was changed"))?;
    }
}

fn tell(event: &Event) {
    let line = report::event(event);
    if report::is_failure(event) {
        log::error(&line);
    } else {
        log::info(&line);
    }
}

fn cancelled(message: impl Into<String>) -> Failure {
    Failure::new(message).exit_status(CANCELLED)
}
