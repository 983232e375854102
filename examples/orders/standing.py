"""Shows what stands where, asked from the registry and from AWS themselves: which image, in which environment.

Fails when the image in the registry and those the stacks deploy are not one and the same.
Needs botocore, which comes with the local AWS endpoint.
"""

from __future__ import annotations

import argparse
import base64
import sys
import urllib.error
import urllib.request

import botocore.exceptions
import botocore.session

MANIFESTS = ", ".join(
    [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.index.v1+json",
    ]
)


def main() -> int:
    arguments = argparse.ArgumentParser(description="Shows which image stands where.")
    arguments.add_argument("--registry", required=True, help="HOST:PORT")
    arguments.add_argument("--repository", required=True)
    arguments.add_argument("--tag", required=True)
    arguments.add_argument("stacks", nargs="+")
    chosen = arguments.parse_args()

    published = digest_in_registry(chosen.registry, chosen.repository, chosen.tag)
    print(f"registry  {chosen.registry}/{chosen.repository}:{chosen.tag}")
    print(f"          {published or 'not there'}")

    session = botocore.session.get_session()
    found = {"the registry": published}
    for name in chosen.stacks:
        found[name] = show_stack(session, name)

    print()
    if None not in found.values() and len(set(found.values())) == 1:
        print(f"The same image everywhere: {published}")
        return 0
    print("NOT the same image everywhere:")
    for where, digest in found.items():
        print(f"  {where}: {digest or 'none'}")
    return 1


def digest_in_registry(registry: str, repository: str, reference: str) -> str | None:
    """The digest the registry knows a tag or digest by; nothing when it has no such image."""
    url = f"http://{registry}/v2/{repository}/manifests/{reference}"
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFESTS})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.headers["Docker-Content-Digest"]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def show_stack(session: botocore.session.Session, name: str) -> str | None:
    """Prints one stack and returns the digest its machines start; nothing when it has none."""
    cloudformation = session.create_client("cloudformation")
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except botocore.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
        print(f"{name}\n          not there")
        return None

    parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}
    print(f"{name}  {stack['StackStatus']}")
    print(f"          parameter ImageDigest  {parameters.get('ImageDigest', 'none')}")
    for output in stack.get("Outputs", []):
        print(f"          output {output['OutputKey']}  {output['OutputValue']}")

    resource = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="LaunchTemplate")
    template = resource["StackResourceDetail"]["PhysicalResourceId"]
    versions = session.create_client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template, Versions=["$Latest"]
    )
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    script = base64.b64decode(data["UserData"]).decode()
    image = f"{parameters['ImageRepository']}@{parameters['ImageDigest']}"
    if image not in script:
        print(f"          its machines do not start {image}")
        return None
    print(f"          its machines start {image}")
    return parameters["ImageDigest"]


sys.exit(main())
