"""The stack's life in an account: created, used, changed, failed, removed, and stood up again on what survived."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.opensearch import OpenSearchNode
from local.sagemaker import LocalSageMaker
from local.template import ROOT
from tests.deployment.emulator import PROGRAM, PYTHON, Account, Emulator
from tests.deployment.service import Deployment
from tests.deployment.stacks import DOMAIN, NESTED, DeploymentError, Stack
from tests.support import ApiClient, eventually

pytestmark = pytest.mark.deployed
Report = Callable[[str], None]
Configuration = Callable[..., dict[str, Any]]
#: The nested stacks that a removal leaves behind.
SURVIVING = ("Foundation", "DomainStack")
SAMPLE = json.loads((ROOT / "byob" / "bot_config.json").read_text())


@contextmanager
def running(stack: Stack, node: OpenSearchNode, sagemaker: LocalSageMaker) -> Iterator[ApiClient]:
    """Serve what is deployed, once it has seen to itself."""
    deployment = Deployment(stack, node.url, sagemaker)
    with deployment.running() as api:
        deployment.settle()
        yield api


def test_no_stand_in_is_for_what_the_emulator_has_by_now() -> None:
    run = subprocess.run([PYTHON, PROGRAM, "--needless"], capture_output=True, text=True, check=True)

    assert run.stdout == ""


@pytest.mark.parametrize("account", ["eu-west-1", "cn-northwest-1", "us-gov-west-1"], indirect=True)
def test_default_parameters_make_a_stack(account: Account, stack: Stack, report: Report) -> None:
    stack.create()

    assert stack.status == "CREATE_COMPLETE"
    made = len(stack.events("CREATE_COMPLETE"))
    report(f"deployed: {account.region}, default parameters, {made} resources")


def test_all_that_is_optional_can_be_had_at_once(stack: Stack, report: Report) -> None:
    given = {
        "AlarmEmail": "operator@example.com",
        "AllowedImageRegistries": "123456789012.dkr.ecr.*,210987654321.dkr.ecr.*",
        "Architecture": "arm64",
        "DataKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d",
        "JobCapacity": "EC2",
        "JobInstanceTypes": "c6g.4xlarge,m6g",
        "ReservedConcurrency": "true",
        "SnapStart": "PublishedVersions",
        "VpcEndpointZones": "2",
        "WebAcl": "true",
        "ZoneA": "eu-west-1b",
        "ZoneB": "eu-west-1c",
    }

    stack.create(**given)

    assert stack.status == "CREATE_COMPLETE"
    report(f"deployed: {len(given)} options at once, {len(stack.events('CREATE_COMPLETE'))} resources")


def test_a_stack_stands_on_what_an_account_has_already(account: Account, stack: Stack, report: Report) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    given = {
        "VpcId": vpc,
        "SubnetIdA": subnets[0]["SubnetId"],
        "SubnetIdB": subnets[1]["SubnetId"],
        "KmsKeyArn": account.client("kms").create_key()["KeyMetadata"]["Arn"],
        "AlarmTopicArn": account.client("sns").create_topic(Name="operators")["TopicArn"],
        "OpenSearchUrl": "https://search.example.com",
        "ApiGatewayLogRole": "false",
    }
    before = account.inventory()

    stack.create(**given)
    made = len(account.inventory() - before)
    stack.delete()
    foundation = stack.events("DELETE_SKIPPED", NESTED)[0]["PhysicalResourceId"]
    stack.delete(foundation)

    assert made
    assert account.inventory() == before
    report(f"deployed: on an existing VPC, key, topic and domain; {made} things, all gone with the stack")


def test_a_bot_goes_the_whole_way_through_what_is_deployed(
    stack: Stack, node: OpenSearchNode, sagemaker: LocalSageMaker, report: Report
) -> None:
    stack.create()
    deployment = Deployment(stack, node.url, sagemaker)
    with deployment.running() as api:
        deployment.settle()

        registered = api("POST", "/bots", SAMPLE)
        in_service = eventually(lambda: api.endpoint_of("foo_bot"), lambda seen: seen["status"] == "InService")
        listed = api("GET", "/bots")
        deleted = api("DELETE", "/bots/foo_bot?delete_endpoint=true")

        assert registered.status == 201
        assert in_service["managed"]
        assert [bot["name"] for bot in listed.json["bots"]] == ["foo_bot"]
        assert deleted.status == 204
        assert api("GET", "/bots/foo_bot").status == 404
        assert api("POST", "/bots/foo_bot").status == 405
        eventually(lambda: sagemaker.is_in_service(SAMPLE["endpoint_name"]), lambda seen: not seen)
    routes = sum(len(function.routes) for function in deployment.functions.values())
    report(
        f"the way through: registered, InService, read, listed, deleted with its endpoint; {routes} routes of the API"
    )


def test_changed_parameters_are_in_force_at_the_next_request(
    stack: Stack, node: OpenSearchNode, sagemaker: LocalSageMaker, configuration: Configuration, report: Report
) -> None:
    stack.create()
    deployment = Deployment(stack, node.url, sagemaker)
    with deployment.running() as api:
        deployment.settle()
        before = {id: deployment.version(id) for id in deployment.functions}
        allowed = api("POST", "/bots", configuration(instance_type="ml.m5.large"))

        stack.update(AllowedInstanceTypes="ml.c5.*", LogLevel="DEBUG")
        refused = api("POST", "/bots", configuration(instance_type="ml.m5.large"))

        assert (allowed.status, refused.status) == (201, 422)
        assert refused.pointers == ["/instance_type"]
        for id, version in before.items():
            now = deployment.version(id)
            assert now.arn != version.arn
            assert now.environment == deployment.version(id, "$LATEST").environment
            assert now.environment["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    report(f"update in force at the next request: 201, then 422; the aliases of {len(before)} functions moved")


def test_an_update_that_fails_late_leaves_no_version_and_is_in_force_when_sent_again(
    emulator: Emulator,
    stack: Stack,
    node: OpenSearchNode,
    sagemaker: LocalSageMaker,
    configuration: Configuration,
    report: Report,
) -> None:
    stack.create()
    deployment = Deployment(stack, node.url, sagemaker)
    with deployment.running() as api:
        deployment.settle()
        before = {id: deployment.versions(id) for id in deployment.functions}
        given = {"AllowedInstanceTypes": "ml.c5.*", "WebAcl": "true"}
        last = "ApiWebAclAssociation"  # it waits for the stage, and that for the functions

        emulator.refuse(last)
        with pytest.raises(DeploymentError, match=f"{last} is refused"):
            stack.update(**given)
        emulator.refuse()
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        assert stack.events("UPDATE_COMPLETE", "AWS::Lambda::Alias")
        assert {id: deployment.versions(id) for id in deployment.functions} == before
        allowed = api("POST", "/bots", configuration(instance_type="ml.m5.large"))

        stack.update(**given)
        refused = api("POST", "/bots", configuration(instance_type="ml.m5.large"))

        assert stack.status == "UPDATE_COMPLETE"
        assert (allowed.status, refused.status) == (201, 422)
    report(f"update failed late ({last} refused) and rolled back, no version left, sent again, in force: 201, then 422")


@pytest.mark.parametrize("nested", [False, True], ids=["in the stack", "in the stack of the domain"])
def test_a_creation_that_fails_late_leaves_nothing_and_succeeds_when_tried_again(
    emulator: Emulator, account: Account, stack: Stack, report: Report, nested: bool
) -> None:
    rehearsal = Stack(Account(account.url, f"3{account.id[1:]}", account.region), lambda: None)
    rehearsal.create()
    last = DOMAIN.rpartition("::")[2] if nested else rehearsal.created()[-1]
    before = account.inventory()

    emulator.refuse(last)
    with pytest.raises(DeploymentError, match=f"{last} is refused"):
        stack.create()
    emulator.refuse()

    assert stack.status == "ROLLBACK_COMPLETE"
    assert len(stack.events("CREATE_COMPLETE", DOMAIN)) == len(stack.events("DELETE_COMPLETE", DOMAIN)) == (not nested)
    assert account.inventory() == before
    stack.delete()  # as CloudFormation asks for
    stack.create()
    assert stack.status == "CREATE_COMPLETE"
    report(f"failed late ({last} refused) and rolled back, nothing left, deployed again")


def test_what_survives_a_removal_is_taken_over_with_the_bots_by_the_next_deployment(
    account: Account, stack: Stack, node: OpenSearchNode, sagemaker: LocalSageMaker, report: Report
) -> None:
    before = account.inventory()
    stack.create()
    resources = stack.resources()
    foundation, domain = (resources[id][1] for id in SURVIVING)
    made = {physical_id for id in (foundation, domain) for _, physical_id in stack.resources(id).values()}
    with running(stack, node, sagemaker) as api:
        assert api("POST", "/bots", SAMPLE).status == 201

    stack.delete()
    survived = account.inventory() - before - {resources["ApiGatewayLogsRole"][1]}

    assert survived
    assert survived <= made
    assert stack.events("DELETE_COMPLETE", DOMAIN) == []
    with pytest.raises(DeploymentError, match="already exist"):
        stack.create()  # it may not be made beside them
    stack.delete()
    assert survived <= account.inventory()
    report(f"removed: of {len(resources)} resources {' and '.join(SURVIVING)} survived, with {len(survived)} things")

    # Under another name: so are the roles, as they are in AWS each time.
    again = replace(stack, name="again")
    again.create(TakeOver="byob")
    with running(again, node, sagemaker) as api:
        found = api("GET", "/bots/foo_bot")
        assert found.status == 200
        assert found.json["bot_image"] == SAMPLE["bot_image"]
        assert api("DELETE", "/bots/foo_bot").status == 204
    with pytest.raises(ClientError, match="is imported by stack again"):
        again.delete(foundation)
    report("deployed again over the survivors: the bot was kept, and could be read and deleted")

    again.delete()
    stack.create(TakeOver="byob")  # nor is the name in the way
    stack.delete()
    stack.delete(domain)
    stack.delete(foundation)
    assert [each for each in account.inventory() - before if "ApiGatewayLogsRole" not in each] == []
    report("removed for good: nothing left but the role with which API Gateway logs, which others may rely on")


def test_an_endpoint_that_outlives_its_deployment_is_removed_through_the_next(
    account: Account, stack: Stack, node: OpenSearchNode, sagemaker: LocalSageMaker, report: Report
) -> None:
    stack.create()
    with running(stack, node, sagemaker) as api:
        assert api("POST", "/bots", SAMPLE).status == 201
        eventually(lambda: api.endpoint_of("foo_bot"), lambda seen: seen["status"] == "InService")

    stack.delete()
    (model,) = sagemaker.list_models()
    roles = {each["Arn"] for each in account.answer("iam", "list_roles")["Roles"]}
    assert sagemaker.is_in_service(SAMPLE["endpoint_name"])
    assert model.execution_role_arn in roles

    again = replace(stack, name="again")
    again.create(TakeOver="byob")
    with running(again, node, sagemaker) as api:
        assert api.endpoint_of("foo_bot")["managed"]
        assert api("DELETE", "/bots/foo_bot?delete_endpoint=true").status == 204
        eventually(lambda: sagemaker.is_in_service(SAMPLE["endpoint_name"]), lambda seen: not seen)
    report("removed with an endpoint InService: its role was kept, and the next deployment deleted it")


def test_a_vpc_without_its_subnets_is_refused_before_anything_is_made(account: Account, stack: Stack) -> None:
    before = account.inventory()

    with pytest.raises(ClientError, match="SubnetIdA and SubnetIdB"):
        stack.create(VpcId="vpc-0a1b2c3d")

    assert account.inventory() == before
