"""An AWS account to deploy into: ministack as a process of its own, forgotten when it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self
from urllib.request import urlopen

import boto3
import jmespath

from local import leash
from local.hosts import LOOPBACK
from local.stack import listen
from local.template import ROOT
from tests.support import eventually

PYTHON: Final = ROOT / ".tools" / "ministack" / "bin" / "python"
PROGRAM: Final = Path(__file__).with_name("stand_ins.py")
_STOP_SECONDS: Final = 10
#: Where to look for whatever a deployment can leave behind: service, operation, and the ids in its answer. What each
#: account and each VPC has from its beginning is left out.
_PLACES: Final = (
    ("apigateway", "get_rest_apis", "items[].id"),
    ("batch", "describe_compute_environments", "computeEnvironments[].computeEnvironmentArn"),
    ("batch", "describe_job_queues", "jobQueues[].jobQueueArn"),
    ("cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries[].DashboardName"),
    ("ec2", "describe_flow_logs", "FlowLogs[].FlowLogId"),
    ("ec2", "describe_launch_templates", "LaunchTemplates[].LaunchTemplateId"),
    ("ec2", "describe_route_tables", "RouteTables[?!not_null(Associations[?Main][] | [0])].RouteTableId"),
    ("ec2", "describe_security_groups", "SecurityGroups[?GroupName != 'default'].GroupId"),
    ("ec2", "describe_subnets", "Subnets[?!DefaultForAz].SubnetId"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints[].VpcEndpointId"),
    ("ec2", "describe_vpcs", "Vpcs[?!IsDefault].VpcId"),
    ("events", "list_rules", "Rules[].Name"),
    ("iam", "list_instance_profiles", "InstanceProfiles[].InstanceProfileName"),
    ("iam", "list_policies", "Policies[?!starts_with(Arn, 'arn:aws:iam::aws:')].Arn"),
    ("iam", "list_roles", "Roles[].RoleName"),
    ("lambda", "list_functions", "Functions[].FunctionName"),
    ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    ("logs", "describe_resource_policies", "resourcePolicies[].policyName"),
    ("opensearch", "list_domain_names", "DomainNames[].DomainName"),
    ("sns", "list_topics", "Topics[].TopicArn"),
    ("sqs", "list_queues", "QueueUrls[]"),
    ("stepfunctions", "list_state_machines", "stateMachines[].stateMachineArn"),
)


class Emulator:
    """Serves accounts on a port of its own while it is entered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._refused = folder / "refused"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with listen(0) as free:
            port = free.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{port}"
        self.refuse()
        # On a leash: it ends with the tests, however they end.
        watched = [sys.executable, "-I", "-S", leash.__file__, str(int(signal.SIGTERM)), str(os.getpid())]
        variables = {
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": LOOPBACK,
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(self._folder),
            "HOME": str(self._folder),
            "PATH": os.environ["PATH"],
        }
        with (self._folder / "ministack.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*watched, str(PYTHON), str(PROGRAM), str(self._refused)], env=variables, stdout=log, stderr=log
            )
        eventually(self._answers, bool, seconds=60)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(_STOP_SECONDS)

    def refuse(self, *logical_ids: str) -> None:
        """Have these resources, and no others, refused when a stack is about to create them."""
        self._refused.write_text(" ".join(logical_ids))

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "ministack.log").read_text()
        try:
            with urlopen(f"{self.url}/_ministack/health") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@dataclass(frozen=True)
class Account:
    """An account in a region: nothing of another one's is seen in it."""

    url: str
    id: str
    region: str

    def client(self, service: str) -> Any:
        """Give a client of a service."""
        return _client(self.url, self.id, self.region, service)

    def answer(self, service: str, operation: str, **parameters: Any) -> Any:
        """Give the whole answer of a call, with all its pages."""
        client = self.client(service)
        if client.can_paginate(operation):
            return client.get_paginator(operation).paginate(**parameters).build_full_result()
        return getattr(client, operation)(**parameters)

    def inventory(self) -> frozenset[str]:
        """List whatever exists, by the ids that CloudFormation would give, keys that are to be deleted left out."""
        return frozenset(self._inventory())

    def _inventory(self) -> Iterator[str]:
        for service, operation, ids in _PLACES:
            yield from jmespath.search(ids, self.answer(service, operation)) or []
        kms = self.client("kms")
        for key in self.answer("kms", "list_keys")["Keys"]:
            described = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
            if described["KeyState"] != "PendingDeletion" and described["KeyManager"] == "CUSTOMER":
                yield key["KeyId"]


@cache  # making one takes longer than most calls
def _client(url: str, account: str, region: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name=region, aws_access_key_id=account, aws_secret_access_key="secret"
    )
