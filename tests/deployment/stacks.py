"""Deploys the product as `sam deploy` does: what SAM makes of the template, packaged, by way of change sets."""

import io
import json
import subprocess
import tomllib
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from botocore.exceptions import WaiterError

from local import template
from local.template import ROOT
from tests.deployment.emulator import Account

DOMAIN: Final = "AWS::OpenSearchService::Domain"
NESTED: Final = "AWS::CloudFormation::Stack"
_BUCKET: Final = "packages"
_POLLED: Final = {"Delay": 0.05, "MaxAttempts": 2400}
#: ministack takes every region for one of the partition `aws`: what a template says of its partition is put in here.
_PARTITIONS: Final = {
    "cn-northwest-1": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-west-1": ("aws-us-gov", "amazonaws.com"),
}


class DeploymentError(RuntimeError):
    """Raised where a stack did not come to what was asked for; says which resources failed, and why."""


@dataclass(frozen=True)
class Stack:
    """A stack of the product, by name; `on_domain_deleted` is called after what really deleted a domain."""

    account: Account
    on_domain_deleted: Callable[[], None]
    name: str = "byob"

    def create(self, **parameters: str) -> None:
        """Create the stack; raise ClientError for a refused change set, DeploymentError for what fails later."""
        self._deploy("CREATE", parameters)

    def update(self, **parameters: str) -> None:
        """Update the stack with other parameters; those that are not given stay as they are."""
        (found,) = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        before = {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}
        self._deploy("UPDATE", {**before, **parameters})

    def delete(self, id: str | None = None) -> None:
        """Delete the stack, or (by its id) one that it nested; raise DeploymentError for what cannot be deleted."""
        id = id or self.id
        with self._operation(id, "stack_delete_complete"):
            self._cloudformation.delete_stack(StackName=id)

    @property
    def id(self) -> str:
        """The id of the stack that has the name now."""
        (found,) = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        id: str = found["StackId"]
        return id

    @property
    def status(self) -> str:
        """The status of the stack that has the name now."""
        (found,) = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        status: str = found["StackStatus"]
        return status

    def resources(self, id: str | None = None) -> dict[str, tuple[str, str]]:
        """Give type and physical id of each resource of the stack, or of one that it nests, by logical id."""
        listed = self.account.answer("cloudformation", "list_stack_resources", StackName=id or self.id)
        return {
            each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
            for each in listed["StackResourceSummaries"]
        }

    def created(self) -> list[str]:
        """Give the logical ids of the stack's resources in the order of their creation."""
        id = self.id
        events = self.account.answer("cloudformation", "describe_stack_events", StackName=id)["StackEvents"]
        made = [each for each in reversed(events) if each["ResourceStatus"] == "CREATE_COMPLETE"]
        return [each["LogicalResourceId"] for each in made if each["PhysicalResourceId"] != id]

    def events(self, status: str, kind: str | None = None) -> list[dict[str, Any]]:
        """Give the events with a status (and of a type) of every stack of the account, gone ones included, in order."""
        ids = [each["StackId"] for each in self.account.answer("cloudformation", "list_stacks")["StackSummaries"]]
        told = [
            event
            for id in ids
            for event in self.account.answer("cloudformation", "describe_stack_events", StackName=id)["StackEvents"]
            if event["ResourceStatus"] == status and kind in (None, event["ResourceType"])
        ]
        return sorted(told, key=lambda event: event["Timestamp"])

    @property
    def _cloudformation(self) -> Any:
        return self.account.client("cloudformation")

    def _deploy(self, kind: str, parameters: Mapping[str, str]) -> None:
        change_set = self._cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=f"deploy-{uuid.uuid4()}",
            ChangeSetType=kind,
            TemplateURL=package(self.account, parameters),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=_capabilities(),
        )
        waiter = self._cloudformation.get_waiter("change_set_create_complete")
        waiter.wait(ChangeSetName=change_set["Id"], WaiterConfig=_POLLED)
        with self._operation(change_set["StackId"], f"stack_{kind.lower()}_complete"):
            self._cloudformation.execute_change_set(ChangeSetName=change_set["Id"])

    @contextmanager
    def _operation(self, id: str, end: str) -> Iterator[None]:
        """Wait for the end of an operation, and see what became of the domain."""
        deleted = len(self.events("DELETE_COMPLETE", DOMAIN))
        yield
        try:
            self._cloudformation.get_waiter(end).wait(StackName=id, WaiterConfig=_POLLED)
        except WaiterError as error:
            answer = self.account.answer("cloudformation", "describe_stack_events", StackName=id)
            failed = [each for each in answer["StackEvents"] if each["ResourceStatus"].endswith("_FAILED")]
            reasons = [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}" for each in reversed(failed)]
            raise DeploymentError("; ".join(reasons)) from error
        finally:
            if len(self.events("DELETE_COMPLETE", DOMAIN)) > deleted:
                self.on_domain_deleted()


def package(account: Account, parameters: Mapping[str, str]) -> str:
    """Upload code and templates as `sam package` does; give the URL of what SAM makes of the template."""
    s3 = account.client("s3")
    here = (
        {} if account.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": account.region}}
    )
    bucket = f"{_BUCKET}-{account.id}"
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **here)

    def upload(key: str, body: bytes) -> str:
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        return f"{account.url}/{bucket}/{key}"

    document = json.loads(_transformed(account.region, *(f"{key}={value}" for key, value in parameters.items())))
    for resource in document["Resources"].values():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Lambda::Function":
                properties["Code"] = {"S3Bucket": bucket, "S3Key": "code.zip"}
            case "AWS::StepFunctions::StateMachine":
                properties["DefinitionS3Location"] = {"Bucket": bucket, "Key": "job.asl.json"}
            case kind if kind == NESTED:
                nested = template.document(ROOT / properties["TemplateURL"])
                properties["TemplateURL"] = upload(properties["TemplateURL"], _in_region(nested, account.region))
    upload("code.zip", _code())
    upload("job.asl.json", (ROOT / "statemachine" / "job.asl.json").read_bytes())
    return upload("template.json", _in_region(document, account.region))


@cache
def _transformed(region: str, *parameters: str) -> str:
    """Have SAM's own translator transform the template, which it does with the parameters at hand."""
    command = [".tools/sam/bin/python", "tools/transform.py", region, *parameters]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _in_region(document: Mapping[str, Any], region: str) -> bytes:
    partition, suffix = _PARTITIONS.get(region, ("aws", "amazonaws.com"))
    text = json.dumps(document)
    for name, value in (("AWS::Partition", partition), ("AWS::URLSuffix", suffix)):
        text = text.replace(json.dumps({"Ref": name}), json.dumps(value)).replace(f"${{{name}}}", value)
    return text.encode()


def _code() -> bytes:
    """Make a package: the handlers themselves run from src/."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("handlers/__init__.py", "")
    return content.getvalue()


@cache
def _capabilities() -> list[str]:
    """Give what samconfig.toml acknowledges, and no more."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    capabilities: str = config["default"]["deploy"]["parameters"]["capabilities"]
    return capabilities.split()
