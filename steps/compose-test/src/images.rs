//! The images of the services: found, pulled or built.

use crate::BuildNetwork;
use crate::compose::{Build, PullPolicy, Wanted};
use crate::plan::Plan;
use crate::session::cannot;
use runner_sdk::docker::images::{self, BuildNetwork as HostNetwork, BuildOptions, Image};
use runner_sdk::{Error, Failure, log};

/// An image for each way to get one that a service names; services that name the same share it.
pub struct Images(Vec<(Wanted, Image)>);

impl Images {
    /// The image of a service of the plan.
    pub fn get(&self, wanted: &Wanted) -> Result<&Image, Failure> {
        let image = self.0.iter().find(|(known, _)| same(known, wanted)).map(|(_, image)| image);
        image.ok_or_else(|| Failure::new("a service has no image although all were prepared"))
    }
}

/// Gets the images of all services.
///
/// # Errors
/// When one is not granted, not there, or cannot be built.
pub fn prepare(plan: &Plan, network: BuildNetwork) -> Result<Images, Failure> {
    let mut images = Images(Vec::new());
    for planned in &plan.services {
        let (name, wanted) = (&planned.service.name, &planned.service.wanted);
        if images.0.iter().any(|(known, _)| same(known, wanted)) {
            continue;
        }
        let image = match wanted {
            Wanted::Image { reference, pull } => obtain(name, reference, *pull)?,
            Wanted::Build { build, .. } => make(name, build, network)?,
        };
        images.0.push((wanted.clone(), image));
    }
    Ok(images)
}

fn same(left: &Wanted, right: &Wanted) -> bool {
    match (left, right) {
        (Wanted::Build { build: left, .. }, Wanted::Build { build: right, .. }) => left == right,
        _ => left == right,
    }
}

fn obtain(service: &str, reference: &str, policy: PullPolicy) -> Result<Image, Failure> {
    if policy != PullPolicy::Always {
        match images::find(reference) {
            Ok(image) => {
                log::info(&format!("`{service}` uses `{reference}`"));
                return Ok(image);
            }
            Err(Error::NotFound(_)) if policy == PullPolicy::Missing => {}
            Err(error) => return Err(cannot(format!("use the image `{reference}` of `{service}`"))(error)),
        }
    }
    log::info(&format!("`{service}` uses `{reference}`, which has to be pulled"));
    images::pull(reference).map_err(cannot(format!("pull the image `{reference}` of `{service}`")))
}

fn make(service: &str, build: &Build, network: BuildNetwork) -> Result<Image, Failure> {
    log::info(&format!("building `{service}` from `{}`", build.context));
    let network = match network {
        BuildNetwork::Egress if !build.isolated => HostNetwork::Egress,
        BuildNetwork::Egress | BuildNetwork::None => HostNetwork::None,
    };
    let options = BuildOptions {
        context: build.context.clone(),
        dockerfile: build.dockerfile.clone(),
        target: build.target.clone(),
        args: build.args.clone(),
        network,
        no_cache: build.no_cache,
        extras: Vec::new(),
    };
    images::build(&options).map_err(cannot(format!("build `{service}`")))
}
