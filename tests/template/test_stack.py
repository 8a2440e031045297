"""What a careful platform team asks of the template, and no other checker sees in it."""

import json
import re
from typing import Any

import botocore.session
import pytest

from local.template import ROOT, document, functions
from shared import metrics
from tests.reach import reached_by
from tests.template.reading import ENDPOINTS, WITHOUT_ENDPOINT, declared, documents, listed, resources

#: What runs the bots' containers calls these (Amazon ECS developer guide, "Interface VPC endpoints"; Amazon ECR user
#: guide, the same; awslogs).
OF_INSTANCES = {"ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs"}
#: Refused with a policy in some regions.
WITHOUT_POLICY = {"EcsAgentEndpoint", "EcsTelemetryEndpoint"}
LAMBDA_SETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"}
LIBRARIES = {
    "POWERTOOLS_SERVICE_NAME",
    "POWERTOOLS_LOG_LEVEL",
    "POWERTOOLS_METRICS_NAMESPACE",
    "PYDANTIC_DISABLE_PLUGINS",
}
#: Asked for by nothing: it changes with the parameters, so that a function's next version is another one.
MARK = {"CONFIGURATION_VERSION"}
#: Defaults stand in settings.py; whoever deploys has no reason to change these.
NOT_DEPLOYED = {"POWERTOOLS_METRICS_DISABLED"}
HANDLERS = {id: function.handler.split(".")[1] for id, function in functions().items()}
DEFAULTS = document()["Globals"]["Function"]
NAMESPACE = DEFAULTS["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]


def test_there_is_a_vpc_endpoint_for_each_service_that_is_called() -> None:
    called = {service for handler in HANDLERS.values() for service in reached_by(handler).services}
    kit = "".join(path.read_text() for path in (ROOT / "byob" / "bot_docker").rglob("*.py"))
    called |= set(re.findall(r'client\(\s*"([\w-]+)"', kit))

    served = {_service(endpoint["ServiceName"]) for endpoint in resources("AWS::EC2::VPCEndpoint").values()}
    assert served == {ENDPOINTS[service] for service in called - WITHOUT_ENDPOINT} | OF_INSTANCES


def _service(name: dict[str, Any]) -> str:
    """Give what follows the region in an endpoint's name."""
    return str(name["Fn::Join"][1][-1] if "Fn::Join" in name else name["Fn::Sub"].rpartition("${AWS::Region}.")[2])


def test_the_vpc_endpoints_let_in_this_account_alone() -> None:
    for id, endpoint in resources("AWS::EC2::VPCEndpoint").items():
        assert ("PolicyDocument" in endpoint) == (id not in WITHOUT_POLICY)
        for statement in endpoint.get("PolicyDocument", {}).get("Statement", []):
            if "starport-layer-bucket" in str(statement["Resource"]):
                continue  # ECR's own account reads the layers there
            assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize("id", sorted(HANDLERS))
def test_a_function_is_given_the_variables_that_its_code_asks_for(id: str) -> None:
    own = document()["Resources"][id]["Properties"].get("Environment", {}).get("Variables", {})
    asked = reached_by(HANDLERS[id]).variables - LAMBDA_SETS - LIBRARIES - NOT_DEPLOYED

    of_all = DEFAULTS["Environment"]["Variables"].keys()
    assert own.keys() - of_all == asked - of_all


def test_what_every_function_is_given_is_what_the_registrys_door_asks_for() -> None:
    given = DEFAULTS["Environment"]["Variables"].keys()

    assert given - LIBRARIES - MARK == reached_by("health").variables - LAMBDA_SETS - LIBRARIES - NOT_DEPLOYED
    assert given >= LIBRARIES | MARK


def test_every_handler_has_a_function_and_every_function_a_handler() -> None:
    assert sorted(HANDLERS.values()) == sorted(path.stem for path in (ROOT / "src" / "handlers").glob("[!_]*.py"))


def test_work_that_a_function_gave_up_goes_to_the_queue_that_an_alarm_watches() -> None:
    destination = DEFAULTS["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]

    assert destination == {"Type": "SQS", "Destination": {"Fn::GetAtt": ["FailedEvents", "Arn"]}}
    assert not any("EventInvokeConfig" in each for each in resources("AWS::Serverless::Function").values())
    watched = [alarm["Dimensions"] for alarm in resources("AWS::CloudWatch::Alarm").values()]
    assert [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["FailedEvents", "QueueName"]}}] in watched


def test_events_that_could_not_be_delivered_go_to_the_same_queue() -> None:
    rules = [
        event["Properties"]
        for each in resources("AWS::Serverless::Function").values()
        for event in each.get("Events", {}).values()
        if event["Type"] in ("EventBridgeRule", "Schedule")
    ]

    assert len(rules) >= 4
    assert all(rule["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["FailedEvents", "Arn"]}} for rule in rules)


def test_every_log_is_encrypted_and_ends() -> None:
    groups = resources("AWS::Logs::LogGroup")

    assert groups
    for group in groups.values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        assert group["KmsKeyId"]
    assert DEFAULTS["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionLogs"}}


def test_the_domain_takes_no_request_in_the_clear_and_keeps_nothing_so() -> None:
    domain = resources("AWS::OpenSearchService::Domain")["Domain"]

    assert domain["DomainEndpointOptions"]["EnforceHTTPS"] is True
    assert domain["DomainEndpointOptions"]["TLSSecurityPolicy"].startswith("Policy-Min-TLS-1-2")
    assert domain["EncryptionAtRestOptions"]["Enabled"] is True
    assert domain["NodeToNodeEncryptionOptions"] == {"Enabled": True}
    assert domain["AdvancedSecurityOptions"]["Enabled"] is True
    assert domain["AdvancedSecurityOptions"]["InternalUserDatabaseEnabled"] is False


def test_what_a_run_of_a_job_does_is_logged_and_traced() -> None:
    (machine,) = resources("AWS::Serverless::StateMachine").values()

    assert machine["Logging"]["Level"] in ("ERROR", "ALL")
    assert machine["Logging"]["Destinations"] == [
        {"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["StateMachineLogs", "Arn"]}}}
    ]
    assert machine["Tracing"] == {"Enabled": True}


def test_a_run_of_a_job_may_call_the_functions_that_it_names_and_no_others() -> None:
    (machine,) = resources("AWS::Serverless::StateMachine").values()
    named = {str(value) for name, value in machine["DefinitionSubstitutions"].items() if name.endswith("FunctionArn")}
    role = resources("AWS::IAM::Role")["JobStateMachineRole"]
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]

    (allowed,) = [each["Resource"] for each in statements if each["Action"] == "lambda:InvokeFunction"]
    assert {str(resource) for resource in allowed} == named
    asked = set(re.findall(r"arn:\${Partition}:states:::(\w+):(\w+)", (ROOT / machine["DefinitionUri"]).read_text()))
    assert asked == {("batch", "submitJob")}
    assert "batch:SubmitJob" in {action for each in statements for action in listed(each["Action"])}


def test_nobody_connects_to_a_group_but_those_that_it_names() -> None:
    for group in resources("AWS::EC2::SecurityGroup").values():
        for rule in group.get("SecurityGroupIngress", []):
            assert "SourceSecurityGroupId" in rule
            assert (rule["FromPort"], rule["ToPort"]) == (443, 443)


def test_the_private_network_has_no_way_out() -> None:
    kinds = {each["Type"] for each in declared().values()}

    assert not kinds & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route"}


def test_whatever_api_gateway_answers_by_itself_is_a_problem_as_the_apis_own_are() -> None:
    responses = document()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    kinds = botocore.session.get_session().get_service_model("apigateway").shape_for("GatewayResponseType").enum

    assert responses.keys() == set(kinds)
    for response in responses.values():
        assert response["ResponseParameters"]["Headers"]["Content-Type"] == "'application/problem+json'"


def test_what_aws_starts_by_itself_is_bounded() -> None:
    started = {id for id, function in functions().items() if not function.routes}

    assert {
        id
        for id, each in resources("AWS::Serverless::Function").items()
        if each.get("ReservedConcurrentExecutions", {}).get("Fn::If", [""])[0] == "ReservesConcurrency"
    } == started


def test_nothing_is_reserved_unless_asked_for() -> None:
    """Lambda lets nobody reserve from the 10 concurrent executions that new accounts have."""
    assert document()["Parameters"]["ReservedConcurrency"].get("Default") == "false"


def test_a_job_that_no_instance_can_hold_does_not_hold_up_the_queue() -> None:
    (queue,) = resources("AWS::Batch::JobQueue").values()

    actions = {each["Reason"]: (each["State"], each["Action"]) for each in queue["JobStateTimeLimitActions"]}
    assert actions == {
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE": ("RUNNABLE", "CANCEL"),
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT": ("RUNNABLE", "CANCEL"),
    }
    # AWS Batch API, JobStateTimeLimitAction
    assert all(600 <= each["MaxTimeSeconds"] <= 86_400 for each in queue["JobStateTimeLimitActions"])


def test_the_web_acl_looks_at_as_much_of_a_body_as_it_lets_through() -> None:
    (acl,) = resources("AWS::WAFv2::WebACL").values()
    (size,) = [rule["Statement"]["SizeConstraintStatement"]["Size"] for rule in acl["Rules"] if rule["Priority"] == 1]

    assert acl["AssociationConfig"] == {"RequestBody": {"API_GATEWAY": {"DefaultSizeInspectionLimit": "KB_64"}}}
    assert size == 64 * 1024


def test_no_partition_is_taken_for_granted() -> None:
    principals = {name: str(read["Mappings"].get("Principals", {})) for name, read in documents().items()}

    for name, read in documents().items():
        assert "arn:aws:" not in str(read)
        assert str(read).count("amazonaws.com") - str(read["Mappings"].get("Partitions")).count(
            "amazonaws.com"
        ) == principals[name].count("amazonaws.com")
    partitions = documents()["infra/endpoints.yaml"]["Mappings"]["Partitions"]
    assert partitions.keys() == {"aws", "aws-us-gov", "aws-cn", "aws-eusc"}


def test_every_service_that_takes_on_a_role_is_named_by_the_mapping() -> None:
    for role in resources("AWS::IAM::Role").values():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            assert statement["Principal"]["Service"]["Fn::FindInMap"][::2] == ["Principals", "Service"]


def test_every_parameter_is_described_and_in_a_group() -> None:
    groups = document()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(document()["Parameters"])
    assert all(parameter["Description"] for parameter in document()["Parameters"].values())


def test_what_may_be_left_out_is_what_a_condition_names() -> None:
    for read in documents().values():
        used = set(re.findall(r"'(?:Condition|Fn::If)': \[?'(\w+)'", str(read)))

        assert used == read.get("Conditions", {}).keys()


def test_the_outputs_are_the_address_and_the_first_command() -> None:
    outputs = document()["Outputs"]
    address: Any = outputs["ApiUrl"]["Value"]["Fn::Sub"]

    assert address == "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1"
    assert outputs["FirstCommand"]["Value"]["Fn::Sub"] == f"python3 byob.py --url {address}"


def test_alarms_and_dashboard_look_at_metrics_that_are_written() -> None:
    ours = [alarm for alarm in resources("AWS::CloudWatch::Alarm").values() if alarm["Namespace"] == NAMESPACE]
    dashboard = resources("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Fn::Sub"]
    written = {metric.name for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)}

    assert len(ours) >= 3
    assert {alarm["MetricName"] for alarm in ours} <= written
    service = DEFAULTS["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert all(alarm["Dimensions"] == [{"Name": "service", "Value": service}] for alarm in ours)
    shown = re.findall(rf'"{NAMESPACE}", "(\w+)", "service", "{service}"', dashboard)
    assert shown
    assert set(shown) <= written
    assert json.loads(dashboard)["widgets"]


def test_every_alarm_tells_the_topic_when_it_begins_and_when_it_ends() -> None:
    topic = [{"Fn::If": ["HasOwnTopic", {"Ref": "Alarms"}, {"Ref": "AlarmTopicArn"}]}]

    for alarm in resources("AWS::CloudWatch::Alarm").values():
        assert (alarm["AlarmActions"], alarm["OKActions"]) == (topic, topic)


def test_operators_are_told_what_each_alarm_means() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()

    assert (
        set(re.findall(r"^\| `(\w+Alarm)` \|", text, flags=re.MULTILINE)) == resources("AWS::CloudWatch::Alarm").keys()
    )


def test_policies_have_no_action_twice() -> None:
    for policy in resources("AWS::IAM::ManagedPolicy").values():
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = listed(statement["Action"])
            assert len(actions) == len(set(actions))
