//! Images of services, built and pushed without running anything.

use crate::compose::{Variables, Wanted};
use crate::plan::Plan;
use crate::session::cannot;
use crate::{Outputs, Params, images, read, run};
use runner_sdk::{Failure, context, log};
use std::time::Instant;

/// Where a service's image goes.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The service.
    pub service: String,
    /// The repository, without a tag.
    #[schemars(length(min = 1))]
    pub image: String,
    /// The tag; when left out `PIPELINE-SERVICE-build-NUMBER`, of `BUILDKITE_PIPELINE_SLUG` and `BUILDKITE_BUILD_NUMBER`.
    #[serde(default)]
    pub tag: String,
}

/// Builds the services of `build`, and names and pushes those of `push`.
pub fn publish(params: &Params, variables: &Variables<'_>) -> Result<Outputs, Failure> {
    let start = Instant::now();
    let mut names: Vec<&str> = Vec::new();
    for name in params.build.iter().chain(params.push.iter().map(|target| &target.service)) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut pushed = Vec::new();
    for name in &names {
        let mut plan = read(&params.file, name, variables)?;
        // Only this one: what it depends on is not needed to build it.
        let Some(mut service) = plan.services.pop() else { continue };
        if params.build.iter().any(|build| build == name) && !matches!(service.service.wanted, Wanted::Build { .. }) {
            return Err(Failure::new(format!("the service `{name}` has no `build`"))
                .remedy("Leave it out of `build`, or write how it is built in the Compose file."));
        }
        run::change_build(&mut service.service.wanted, params);
        let plan = Plan { services: vec![service], ..plan };
        log::group(&format!("Image of `{name}`"));
        let images = images::prepare(&plan, params.build_network)?;
        let image = images.get(&plan.services[0].service.wanted)?;
        for target in params.push.iter().filter(|target| target.service == *name) {
            let reference = format!("{}:{}", target.image, tag(target));
            image.tag(&reference).map_err(cannot(format!("name `{reference}`")))?;
            let digest = image.push(&reference).map_err(cannot(format!("push `{reference}`")))?;
            log::info(&format!("pushed {reference} as {digest}"));
            pushed.push(format!("{}@{digest}", target.image));
        }
    }
    let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let services = names.into_iter().map(str::to_owned).collect();
    Ok(Outputs { exit_code: 0, services, duration_ms, pushed })
}

fn tag(target: &Target) -> String {
    if !target.tag.is_empty() {
        return target.tag.clone();
    }
    let known = |name: &str| context::env(name).unwrap_or_default();
    let tag =
        format!("{}-{}-build-{}", known("BUILDKITE_PIPELINE_SLUG"), target.service, known("BUILDKITE_BUILD_NUMBER"));
    let tag = tag.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "-");
    tag.trim_start_matches(['-', '.']).to_owned()
}
