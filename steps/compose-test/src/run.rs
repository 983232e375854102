//! What a run changes in the service the file describes.

use crate::Params;
use crate::compose::{self, Mark, Mount, PullPolicy, Source, Variables, Wanted};
use crate::plan::Plan;
use runner_sdk::{Context, Error, Failure, context, log, secrets};
use std::collections::BTreeMap;
use std::path::Path;

/// A part of the workspace in the service's container.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Below the workspace; a directory that is not there is made.
    pub path: String,
    /// Absolute, in the container.
    pub target: String,
    /// Whether changes stay in the container.
    #[serde(default)]
    pub read_only: bool,
}

/// The values of those secrets that are set.
pub fn secrets(names: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = BTreeMap::new();
    for name in names {
        if context::env(name).is_some() {
            continue;
        }
        match secrets::open(name).and_then(|secret| secret.reveal()) {
            Ok(value) => drop(values.insert(name.clone(), value)),
            Err(Error::NotFound(_)) => log::info(&format!("`{name}` is not set, and left out")),
            Err(error) => return Err(error).context(format!("use the secret `{name}`")),
        }
    }
    Ok(values)
}

/// Changes the plan as the parameters say.
pub fn adapt(plan: &mut Plan, params: &Params, variables: &Variables<'_>) -> Result<(), Failure> {
    if !params.dependencies {
        let tested = plan.services.pop();
        plan.services = tested.into_iter().collect();
        plan.services.iter_mut().for_each(|planned| planned.service.depends_on.clear());
    }
    for planned in &mut plan.services {
        if let Wanted::Image { pull, .. } = &mut planned.service.wanted
            && params.pull.contains(&planned.service.name)
        {
            *pull = PullPolicy::Always;
        }
        change_build(&mut planned.service.wanted, params);
    }
    let Some(tested) = plan.services.last_mut() else { return Ok(()) };
    let service = &mut tested.service;
    match &params.entrypoint {
        None if params.command.is_empty() => {}
        None => service.command.clone_from(&params.command),
        Some(entrypoint) => {
            let words = if params.command.is_empty() { service.command.clone() } else { params.command.clone() };
            // The engine cannot be told to use no entrypoint: the program takes its place.
            let own = usize::from(entrypoint.is_empty()).min(words.len());
            service.entrypoint = [entrypoint, &words[..own]].concat();
            service.command = words[own..].to_vec();
        }
    }
    if !params.workdir.is_empty() {
        service.working_dir.clone_from(&params.workdir);
    }
    if !params.user.is_empty() {
        service.user.clone_from(&params.user);
    }
    for Place { path, target, read_only } in &params.copies {
        let Some(path) = compose::beneath(".", path) else {
            return Err(Failure::new(format!("`{}` is not below the workspace", path.escape_debug())));
        };
        let whole = Path::new("/workspace").join(&path);
        if !whole.exists() {
            std::fs::create_dir_all(&whole).context(format!("make the directory `{path}`"))?;
        }
        service.mounts.retain(|mount| mount.target != *target);
        let at = Mark { line: 1, column: 1 };
        service.mounts.push(Mount {
            source: Source::Workspace(path),
            target: target.clone(),
            read_only: *read_only,
            at,
        });
    }
    let granted = if params.propagate_env { context::environment() } else { Vec::new() };
    let named = params.container_env.iter().filter_map(|entry| match entry.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => variables(entry).map(|value| (entry.clone(), value)),
    });
    for (name, value) in granted.into_iter().chain(named) {
        tested.environment.retain(|(earlier, _)| *earlier != name);
        tested.environment.push((name, value));
    }
    Ok(())
}

/// Changes how an image is built as the parameters say.
pub fn change_build(wanted: &mut Wanted, params: &Params) {
    let Wanted::Build { build, .. } = wanted else { return };
    build.no_cache |= params.no_cache;
    for (name, value) in &params.build_args {
        build.args.retain(|(earlier, _)| earlier != name);
        build.args.push((name.clone(), value.clone()));
    }
}
