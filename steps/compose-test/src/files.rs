//! What a Compose file says about the workspace, compared with what is there.

use crate::compose::{Code, Findings, Service, Source, Variables, Wanted};
use crate::dotenv;
use std::io::ErrorKind;
use std::path::Path;

/// The largest file of variables, in bytes: an environment may not be larger than a few of these.
const MAX_ENV_FILE: u64 = 256 << 10;

/// Refuses mounts, build contexts and Dockerfiles that are not there: the engine would create the first as empty
/// directories, and complain about the others later and less clearly.
pub fn check(workspace: &Path, service: &Service, findings: &mut Findings) {
    for mount in &service.mounts {
        if let Source::Workspace(path) = &mount.source
            && let Err(error) = std::fs::metadata(workspace.join(path))
        {
            let remedy = "create it in the workspace, or use a volume for what starts empty";
            findings.refuse(Code::Path, mount.at, format!("`{path}` cannot be mounted: {}", reason(&error)), remedy);
        }
    }
    if let Wanted::Build { build, at } = &service.wanted {
        let context = workspace.join(&build.context);
        let missing = match std::fs::metadata(&context) {
            Ok(found) if found.is_dir() => None,
            Ok(_) => Some("it is not a directory".to_owned()),
            Err(error) => Some(reason(&error)),
        };
        if let Some(missing) = missing {
            let message = format!("the build context `{}` cannot be used: {missing}", build.context);
            findings.refuse(Code::BuildContext, *at, message, "name a directory of the workspace");
        } else if let Err(error) = std::fs::metadata(context.join(&build.dockerfile)) {
            let message = format!("the Dockerfile `{}` cannot be used: {}", build.dockerfile, reason(&error));
            findings.refuse(Code::BuildFile, *at, message, "name it in `dockerfile`, relative to the context");
        }
    }
}

/// The environment of a service: its files in their order, then its own variables; later ones are stronger.
pub fn environment(
    workspace: &Path,
    service: &Service,
    variables: &Variables<'_>,
    findings: &mut Findings,
) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = Vec::new();
    let mut set = |(name, value): (String, String)| {
        environment.retain(|(earlier, _)| *earlier != name);
        environment.push((name, value));
    };
    for file in &service.env_files {
        match read_limited(&workspace.join(&file.path), MAX_ENV_FILE) {
            Ok(text) => match dotenv::parse(&text, variables) {
                Ok(pairs) => pairs.into_iter().for_each(&mut set),
                Err((line, message)) => {
                    let remedy = "expected lines of `NAME=value`";
                    findings.refuse(Code::Value, file.at, format!("{}:{line}: {message}", file.path), remedy);
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound && !file.required => {}
            Err(error) => {
                let message = format!("the file `{}` cannot be read: {}", file.path, reason(&error));
                findings.refuse(Code::Path, file.at, message, "create it, or write `{ path: …, required: false }`");
            }
        }
    }
    service.env.iter().cloned().for_each(set);
    environment
}

/// Reads a text file of at most this many bytes.
pub fn read_limited(path: &Path, limit: u64) -> std::io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > limit {
        let message = format!("it has {size} bytes, expected at most {limit}");
        return Err(std::io::Error::new(ErrorKind::InvalidData, message));
    }
    std::fs::read_to_string(path)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it is not there".to_owned(),
        ErrorKind::PermissionDenied => "it is not granted, or a link leads out of the workspace".to_owned(),
        _ => error.to_string(),
    }
}
