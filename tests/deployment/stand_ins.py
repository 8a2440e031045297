"""Runs ministack with stand-ins for what it lacks, and refuses resources on demand.

`.tools/ministack/bin/python tests/deployment/stand_ins.py REFUSED` serves until it is killed; a resource whose logical
id is in the file REFUSED cannot be created. With `--needless` it prints what ministack has learnt by now instead.
"""

import inspect
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from botocore.exceptions import ClientError, WaiterError
from botocore.session import Session
from ministack import app
from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway_v1, batch, cloudformation, cloudwatch_logs, ec2, stepfunctions, waf
from ministack.services.cloudformation import provisioners, stacks

_RESOURCES: Final = provisioners._RESOURCE_HANDLERS
#: What a resource has come to: its physical id, and its attributes by name.
Made: TypeAlias = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class StandIn:
    """Makes, changes and deletes resources of a type, as ministack's own table of handlers has them."""

    create: Callable[[str, dict[str, Any], str], Made]
    delete: Callable[[str, dict[str, Any]], None]
    update: Callable[[str, dict[str, Any], dict[str, Any], str], Made]


def _kept(attribute: str) -> Callable[..., Made]:
    """Update in place: nothing of what a type is given is looked at here, and its one attribute is its physical id."""
    return lambda physical_id, _old, _new, _stack: (physical_id, {attribute: physical_id})


# ---- Types that ministack's CloudFormation lacks; their services it has ----


def _create_compute_environment(logical_id: str, properties: dict[str, Any], stack: str) -> Made:
    name = properties.get("ComputeEnvironmentName") or f"{logical_id}-{secrets.token_hex(8)}"
    made = _succeeded(batch._create_compute_environment({"computeEnvironmentName": name}))
    arn = made["computeEnvironmentArn"]
    return arn, {"ComputeEnvironmentArn": arn}


def _create_job_queue(logical_id: str, properties: dict[str, Any], stack: str) -> Made:
    environments = [each["ComputeEnvironment"] for each in properties["ComputeEnvironmentOrder"]]
    missing = set(environments) - {each["computeEnvironmentArn"] for each in batch._compute_envs.values()}
    if missing:
        raise ValueError(f"no compute environments {missing}")
    name = properties.get("JobQueueName") or f"{logical_id}-{secrets.token_hex(8)}"
    arn = _succeeded(batch._create_job_queue({"jobQueueName": name}))["jobQueueArn"]
    return arn, {"JobQueueArn": arn}


def _create_flow_log(logical_id: str, properties: dict[str, Any], stack: str) -> Made:
    before = set(ec2._flow_logs)
    ec2._create_flow_logs({"ResourceId.1": [properties["ResourceId"]], "LogGroupName": [properties["LogGroupName"]]})
    (id,) = set(ec2._flow_logs) - before
    return id, {"Id": id}


def _associate_web_acl(logical_id: str, properties: dict[str, Any], stack: str) -> Made:
    _succeeded(waf._associate_web_acl(properties))
    id = f"{properties['ResourceArn']}|{properties['WebACLArn']}"
    return id, {"Id": id}


def _succeeded(answer: tuple[int, Any, bytes]) -> Any:
    status, _, body = answer
    if status >= 400:
        raise ValueError(body.decode())
    return json.loads(body)


def _without(records: dict[str, Any]) -> Callable[[str, dict[str, Any]], None]:
    """Delete by taking out of a service's own records, which are by id or by the name at an ARN's end."""
    return lambda physical_id, _properties: records.pop(physical_id.rpartition("/")[2], None)


LACKING: Final = {
    "AWS::Batch::ComputeEnvironment": StandIn(
        create=_create_compute_environment,
        update=_kept("ComputeEnvironmentArn"),
        delete=_without(batch._compute_envs),
    ),
    "AWS::Batch::JobQueue": StandIn(
        create=_create_job_queue, update=_kept("JobQueueArn"), delete=_without(batch._job_queues)
    ),
    "AWS::EC2::FlowLog": StandIn(create=_create_flow_log, update=_kept("Id"), delete=_without(ec2._flow_logs)),
    "AWS::WAFv2::WebACLAssociation": StandIn(
        create=_associate_web_acl,
        update=_kept("Id"),
        delete=lambda _physical_id, properties: waf._disassociate_web_acl(properties),
    ),
}


# ---- Nested stacks: ministack has them, but registers none of their exports, leaves what a failed one has made, hides
# ---- what cannot be deleted in one, and looks at no Rules. As a stack through the API they are all that a stack is.

NESTED: Final = "AWS::CloudFormation::Stack"
_CAPABILITIES: Final = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_POLLED: Final = {"Delay": 0.05, "MaxAttempts": 2400}


def _create_nested(logical_id: str, properties: dict[str, Any], stack: str) -> Made:
    client = _client()
    made = client.create_stack(
        StackName=f"{stack}-{logical_id}-{secrets.token_hex(6).upper()}",
        Capabilities=_CAPABILITIES,
        **_given(properties),
    )
    id: str = made["StackId"]
    try:
        client.get_waiter("stack_create_complete").wait(StackName=id, WaiterConfig=_POLLED)
    except WaiterError as error:
        reasons = _reasons(client, id)
        client.delete_stack(StackName=id)
        raise ValueError(f"Embedded stack {id} was not successfully created: {reasons}") from error
    return id, _outputs(client, id)


def _update_nested(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Made:
    client = _client()
    try:
        client.update_stack(StackName=physical_id, Capabilities=_CAPABILITIES, **_given(new))
        client.get_waiter("stack_update_complete").wait(StackName=physical_id, WaiterConfig=_POLLED)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise
    except WaiterError as error:
        reasons = _reasons(client, physical_id)
        raise ValueError(f"Embedded stack {physical_id} was not successfully updated: {reasons}") from error
    return physical_id, _outputs(client, physical_id)


def _delete_nested(physical_id: str, properties: dict[str, Any]) -> None:
    client = _client()
    client.delete_stack(StackName=physical_id)
    try:
        client.get_waiter("stack_delete_complete").wait(StackName=physical_id, WaiterConfig=_POLLED)
    except WaiterError as error:
        raise ValueError(f"{physical_id} cannot be deleted: {_reasons(client, physical_id)}") from error


def _client() -> Any:
    """Make a client of this very ministack, for the account and region of the stack at hand."""
    return Session().create_client(
        "cloudformation",
        region_name=get_region(),
        endpoint_url=f"http://127.0.0.1:{app._resolve_port()}",
        aws_access_key_id=get_account_id(),
        aws_secret_access_key="secret",
    )


def _given(properties: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"ParameterKey": key, "ParameterValue": str(value)} for key, value in properties.get("Parameters", {}).items()
    ]
    return {
        "TemplateURL": properties["TemplateURL"],
        "Parameters": parameters,
        "Tags": [each for each in properties.get("Tags", []) if not each["Key"].startswith("aws:")],
    }


def _outputs(client: Any, id: str) -> dict[str, str]:
    (stack,) = client.describe_stacks(StackName=id)["Stacks"]
    return {f"Outputs.{each['OutputKey']}": each["OutputValue"] for each in stack.get("Outputs", [])}


def _reasons(client: Any, id: str) -> str:
    events = client.describe_stack_events(StackName=id)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("_FAILED")]
    return "; ".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed)


# ---- What else it takes too lightly ----

_ANY: Final = "x-amazon-apigateway-any-method"


def _import_any_method() -> None:
    """Import what answers any other method of a path: of OpenAPI documents ministack leaves that out."""
    import_operation = apigateway_v1._import_operation
    apigateway_v1._OPENAPI_HTTP_METHODS.add(_ANY)

    def imported(api: str, resource: str, method: str, *rest: Any) -> None:
        import_operation(api, resource, "ANY" if method == _ANY.upper() else method, *rest)

    apigateway_v1._import_operation = imported


def _refuse_exports_of_others() -> None:
    """Refuse an export whose name another stack has (CloudFormation user guide, "Outputs")."""
    resolve = stacks._resolve_stack_outputs

    def resolved(*arguments: Any) -> tuple[list[Any], dict[str, Any]]:
        outputs, exports = resolve(*arguments)
        for name, export in exports.items():
            if cloudformation._exports.get(name, export)["StackId"] != export["StackId"]:
                raise ValueError(f"Export with name {name} is already exported by another stack")
        return outputs, exports

    stacks._resolve_stack_outputs = resolved


#: Types whose services refuse a name that is taken (CloudWatch Logs and Step Functions API, Create…), and where it is
#: looked up; ministack takes what is there for the stack's own, but for domains.
_TAKEN: Final[Mapping[str, Callable[[dict[str, Any]], bool]]] = {
    "AWS::Logs::LogGroup": lambda properties: properties.get("LogGroupName") in cloudwatch_logs._log_groups,
    "AWS::StepFunctions::StateMachine": lambda properties: any(
        machine["name"] == properties.get("StateMachineName") for machine in stepfunctions._state_machines.values()
    ),
}


def needless() -> list[str]:
    """Name the stand-ins that ministack needs no more."""
    learnt = sorted(LACKING.keys() & _RESOURCES.keys())
    learnt += [NESTED] * ("ExportName" in inspect.getsource(provisioners._cfn_nested_stack_deploy))
    learnt += [_ANY] * (_ANY in inspect.getsource(apigateway_v1._import_path_item))
    learnt += ["exports of others"] * ("already exported" in inspect.getsource(stacks))
    learnt += ["taken names"] * ("exists" in inspect.getsource(provisioners._cwlogs_create))
    return learnt


def plug_in(refused: Path) -> None:
    """Put the stand-ins into ministack's table, and the refusals before all that creates a resource."""
    nested = StandIn(_create_nested, _delete_nested, _update_nested)
    for kind, stand_in in {**LACKING, NESTED: nested}.items():
        _RESOURCES[kind] = {"create": stand_in.create, "update": stand_in.update, "delete": stand_in.delete}
    _import_any_method()
    _refuse_exports_of_others()
    provision = stacks._provision_resource

    def unless_refused(kind: str, logical_id: str, properties: dict[str, Any], stack: str) -> Made:
        if logical_id in refused.read_text().split():
            raise ValueError(f"{logical_id} is refused, as was ordered")
        if kind in _TAKEN and _TAKEN[kind](properties):
            raise ValueError(f"{logical_id}, a {kind}, already exists")
        made: Made = provision(kind, logical_id, properties, stack)
        return made

    stacks._provision_resource = unless_refused


if __name__ == "__main__":
    (argument,) = sys.argv[1:]
    if argument == "--needless":
        print(*needless(), sep="\n", end="")
    else:
        plug_in(Path(argument))
        sys.argv[1:] = []  # ministack reads them, too
        app.main()
