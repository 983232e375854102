//! What a component needs beyond what it was granted.

use super::{Access, AwsGrant, ContainersGrant, DockerGrant, Grants, WorkspaceGrant, covers_path, matches_pattern};

/// The part of `needed` that `granted` does not cover, in the shape of grants so that it can be printed as the YAML
/// to add; `None` when everything is covered.
#[must_use]
pub fn excess(needed: &Grants, granted: &Grants) -> Option<Excess> {
    let missing = Grants {
        workspace: workspace(needed.workspace.as_ref(), granted.workspace.as_ref()),
        env: absent(&needed.env, &granted.env, matches_pattern),
        secrets: absent(&needed.secrets, &granted.secrets, matches_exactly),
        process: absent(&needed.process, &granted.process, matches_exactly),
        docker: docker(needed.docker.as_ref(), granted.docker.as_ref()),
        aws: aws(needed.aws.as_ref(), granted.aws.as_ref()),
        artifacts: access(needed.artifacts, granted.artifacts),
        meta_data: access(needed.meta_data, granted.meta_data),
        annotations: needed.annotations && !granted.annotations,
    };
    (missing != Grants::default()).then_some(Excess { missing })
}

/// Grants that are needed and not given.
#[derive(Debug, Clone, PartialEq)]
pub struct Excess {
    /// What to add.
    pub missing: Grants,
}

fn matches_exactly(granted: &str, needed: &str) -> bool {
    granted == needed
}

fn absent(needed: &[String], granted: &[String], covers: fn(&str, &str) -> bool) -> Vec<String> {
    needed.iter().filter(|need| !granted.iter().any(|grant| covers(grant, need))).cloned().collect()
}

fn access(needed: Option<Access>, granted: Option<Access>) -> Option<Access> {
    needed.filter(|need| granted.is_none_or(|grant| grant < *need))
}

fn workspace(needed: Option<&WorkspaceGrant>, granted: Option<&WorkspaceGrant>) -> Option<WorkspaceGrant> {
    let needed = needed?;
    let empty = WorkspaceGrant { read: vec![], write: vec![] };
    let granted = granted.unwrap_or(&empty);
    let missing = |paths: &[String], access: Access| -> Vec<String> {
        paths.iter().filter(|path| !granted.permits(path, access)).cloned().collect()
    };
    let read = missing(&needed.read, Access::Read);
    let write = missing(&needed.write, Access::Write);
    (!read.is_empty() || !write.is_empty()).then_some(WorkspaceGrant { read, write })
}

fn docker(needed: Option<&DockerGrant>, granted: Option<&DockerGrant>) -> Option<DockerGrant> {
    let needed = needed?;
    let Some(granted) = granted else { return Some(needed.clone()) };
    let missing = DockerGrant {
        build: needed
            .build
            .iter()
            .filter(|need| {
                !granted
                    .build
                    .iter()
                    .any(|grant| covers_path(&grant.context, &need.context) && grant.network >= need.network)
            })
            .cloned()
            .collect(),
        images: absent(&needed.images, &granted.images, matches_pattern),
        push: absent(&needed.push, &granted.push, matches_pattern),
        containers: containers(needed.containers.as_ref(), granted.containers.as_ref()),
        // A component cannot ask for credentials: the pipeline says which ones the host uses.
        login: Vec::new(),
    };
    (missing != DockerGrant::default()).then_some(missing)
}

fn containers(needed: Option<&ContainersGrant>, granted: Option<&ContainersGrant>) -> Option<ContainersGrant> {
    let needed = needed?;
    let Some(granted) = granted else { return Some(needed.clone()) };
    // The bounds are ceilings: a component that leaves one at its default makes do with what it is given.
    let usual = ContainersGrant::default();
    let enough = (needed.max == usual.max || granted.max >= needed.max)
        && (needed.memory == usual.memory || granted.memory >= needed.memory)
        && (needed.cpus.total_cmp(&usual.cpus).is_eq() || granted.cpus >= needed.cpus)
        && (needed.pids == usual.pids || granted.pids >= needed.pids)
        && (granted.egress || !needed.egress)
        && needed.publish.iter().all(|port| granted.publish.contains(port));
    (!enough).then(|| needed.clone())
}

fn aws(needed: Option<&AwsGrant>, granted: Option<&AwsGrant>) -> Option<AwsGrant> {
    let needed = needed?;
    let Some(granted) = granted else { return Some(needed.clone()) };
    let operations: Vec<_> =
        needed.operations.iter().filter(|need| !granted.operations.contains(need)).copied().collect();
    let missing = AwsGrant {
        account: granted.account.clone(),
        region: granted.region.clone(),
        role: granted.role.clone(),
        stacks: absent(&needed.stacks, &granted.stacks, matches_pattern),
        operations,
        capabilities: absent(&needed.capabilities, &granted.capabilities, matches_exactly),
        replace: absent(&needed.replace, &granted.replace, matches_pattern),
        resources: absent(&needed.resources, &granted.resources, matches_pattern),
        transforms: absent(&needed.transforms, &granted.transforms, matches_exactly),
        references: absent(&needed.references, &granted.references, matches_pattern),
        imports: absent(&needed.imports, &granted.imports, matches_pattern),
    };
    let nothing = missing.stacks.is_empty()
        && missing.operations.is_empty()
        && missing.capabilities.is_empty()
        && missing.replace.is_empty()
        && missing.resources.is_empty()
        && missing.transforms.is_empty()
        && missing.references.is_empty()
        && missing.imports.is_empty();
    (!nothing).then_some(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grants(value: &serde_json::Value) -> Grants {
        Grants::from_json(value).unwrap()
    }

    #[test]
    fn what_is_granted_is_not_missing() {
        let granted = grants(&json!({
            "workspace": "write",
            "docker": {"build": ["."], "images": ["postgres:16*"], "push": ["registry/orders"], "containers": {"max": 4}},
        }));
        let needed = grants(&json!({
            "workspace": ["src"],
            "docker": {"build": ["service"], "images": ["postgres:16"], "containers": {"max": 2}},
        }));
        assert_eq!(excess(&needed, &granted), None);
    }

    #[test]
    fn bounds_left_at_their_default_ask_for_nothing() {
        let granted = grants(&json!({"docker": {"containers": {"max": 4, "memory": "256MiB", "cpus": 0.5}}}));
        let needed = |containers: serde_json::Value| grants(&json!({"docker": {"containers": containers}}));
        assert_eq!(excess(&needed(json!({})), &granted), None);
        for more in [json!({"egress": true}), json!({"memory": "2GiB"}), json!({"max": 5}), json!({"publish": [80]})] {
            assert!(excess(&needed(more.clone()), &granted).is_some(), "{more}");
        }
    }

    #[test]
    fn only_the_difference_is_missing() {
        let granted = grants(&json!({"workspace": "read", "docker": {"images": ["postgres:16"]}}));
        let needed = grants(&json!({
            "workspace": {"write": ["out"]},
            "meta-data": "read",
            "docker": {"images": ["postgres:16", "redis:7"], "build": [{"context": ".", "network": "egress"}]},
        }));
        let expected = grants(&json!({
            "workspace": {"write": ["out"]},
            "meta-data": "read",
            "docker": {"images": ["redis:7"], "build": [{"context": ".", "network": "egress"}]},
        }));
        assert_eq!(excess(&needed, &granted).map(|e| e.missing), Some(expected));
    }
}
