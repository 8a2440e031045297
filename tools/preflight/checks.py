"""The checks, in the order in which a deployment would meet what they look at; each gives one finding."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from botocore.exceptions import (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
    UnknownRegionError,
)

from local.template import TEMPLATE
from tools.preflight.account import Account, CouldNotLookError
from tools.preflight.deployment import Deployment
from tools.preflight.finding import Finding, ok, unseen, warning, wrong

#: A stack's name has 128 characters at most, of which CloudFormation needs a hyphen on either side of a nested stack's
#: id and 12 to name that (CloudFormation API, CreateStack; template reference, "Name type"). Other names it may cut.
_STACK_NAME: Final = 128
_SUFFIX: Final = 14
#: Of an account's concurrency, Lambda leaves so much to functions that reserve none (AWS Lambda developer guide,
#: "Configuring reserved concurrency").
_KEPT_UNRESERVED: Final = 100
#: Fewer at once than this, and a handful of callers gets 502: new accounts have 10.
_FEW_AT_ONCE: Final = 50
#: EC2's quotas in vCPUs, of Spot and of on-demand instances of the standard families (Amazon EC2 service quotas).
_VCPU_QUOTAS: Final = {"SPOT": "L-34B43A08", "EC2": "L-1216C47A"}
_OTHER_SUBNETS: Final = (
    "the subnets would be made anew, with addresses that the old ones have, which EC2 refuses; set it back"
)
_OTHER_VPC: Final = "a domain stays in the VPC that it was made in (Amazon OpenSearch Service); set it back"
#: What cannot be changed once it is deployed, with what would come of it.
SETTLED: Final = {
    "IndexPrefix": "the bots would be out of sight, under the old prefix; set it back",
    "KmsKeyArn": "a domain's key cannot be changed, so CloudFormation would delete it with all bots; set it back",
    "OpenSearchDomainName": "an empty domain would take the old one's place, which stays without a stack; set it back",
    "SubnetIdA": _OTHER_VPC,
    "SubnetIdB": _OTHER_VPC,
    "TakeOver": "the names and exports of one ground are in the way of the other's; set it back",
    "VpcCidr": _OTHER_SUBNETS,
    "VpcId": _OTHER_VPC,
    "ZoneA": _OTHER_SUBNETS,
    "ZoneB": _OTHER_SUBNETS,
}
_NO_CREDENTIALS: Final = (
    *(CredentialRetrievalError, NoCredentialsError, PartialCredentialsError),
    *(SSOError, TokenRetrievalError),
)
_ENDPOINT_QUOTA: Final = re.compile(r"(ml\.\S+) for endpoint usage")
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Check:
    """What is looked at, and how."""

    subject: str
    look: Callable[[Deployment, Account], Finding]


def parameters(deployment: Deployment, _: Account) -> Finding:
    """Hold the parameters against what the template takes."""
    declared = deployment.main["Parameters"]
    unknown = sorted(deployment.overrides.keys() - declared.keys())
    if unknown:
        return wrong(f"template.yaml has no parameter {', '.join(unknown)}; take it out of samconfig.toml")
    for name, rule in declared.items():
        value = deployment[name]
        allowed = [str(each) for each in rule.get("AllowedValues", [value])]
        if value not in allowed:
            return wrong(f"{name} is {value!r}; it may be {', '.join(allowed)}")
        if not re.fullmatch(rule.get("AllowedPattern", ".*"), value, re.DOTALL):
            return wrong(f"{name} is {value!r}, which does not match {rule['AllowedPattern']}: {rule['Description']}")
    return ok(f"{len(deployment.overrides)} of {len(declared)} are set, the rest have their defaults")


def stack_name(deployment: Deployment, _: Account) -> Finding:
    """Hold the stack's name against CloudFormation's rule and against the names that are made of it."""
    longest_id = max(len(id) for id, _, _ in deployment.resources("AWS::CloudFormation::Stack"))
    longest = _STACK_NAME - _SUFFIX - longest_id
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]*", deployment.stack):
        return wrong(f"{deployment.stack!r} is no name of a stack: a letter, then letters, digits and hyphens")
    if len(deployment.stack) > longest:
        return wrong(
            f"{deployment.stack!r} has {len(deployment.stack)} characters; more than {longest} leave no room for the "
            "names of the stacks that it makes; choose a shorter stack_name in samconfig.toml"
        )
    return ok(deployment.stack)


def region(deployment: Deployment, _: Account) -> Finding:
    """Look whether the region is set and known, and its partition one that the template knows."""
    if not deployment.region:
        return wrong("no region is set; set AWS_REGION, or a region in your profile or in samconfig.toml")
    try:
        partition = deployment.partition
    except UnknownRegionError:
        return wrong(f"there is no region {deployment.region!r}; see `aws ec2 describe-regions`")
    mappings = [document.get("Mappings", {}).get("Partitions", {}) for document in deployment.documents.values()]
    known = sorted({name for mapping in mappings for name in mapping})
    if partition not in known:
        return wrong(f"{deployment.region} is in partition {partition}; the templates know {', '.join(known)}")
    return ok(f"{deployment.region}, partition {partition}")


def credentials(_: Deployment, account: Account) -> Finding:
    """Look whether AWS takes the credentials."""
    refusals = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch")
    try:
        answer = account.ask("sts", "get_caller_identity", absent=refusals)
    except CouldNotLookError as error:
        if isinstance(error.__cause__, _NO_CREDENTIALS):
            return wrong(f"there are none that can be used ({error.__cause__}); log in, as with `aws sso login`")
        raise
    if answer is None:
        return wrong("AWS does not take the credentials: they have expired or are no longer valid; log in again")
    return ok(f"account {answer['Account']}, as {answer['Arn']}")


def stack_state(deployment: Deployment, account: Account) -> Finding:
    """Look whether CloudFormation can create or update the stack as it is."""
    found = _stack(deployment, account)
    if found is None:
        return ok("there is none of this name yet")
    status = found["StackStatus"]
    if status == "ROLLBACK_COMPLETE":
        return wrong(
            "its creation failed (ROLLBACK_COMPLETE), and it can only be removed; then deploy again: "
            f"aws cloudformation delete-stack --stack-name {deployment.stack}"
        )
    if status.endswith("_IN_PROGRESS"):
        return wrong(f"it is being changed ({status}); wait until that is over")
    if status.endswith("_FAILED"):
        return wrong(f"its last change failed ({status}); see its events in the CloudFormation console")
    return ok(f"it is there and will be updated ({status})")


def settled(deployment: Deployment, account: Account) -> Finding:
    """Look whether a parameter is changed that decides over what cannot be changed once it is made."""
    stack = _stack(deployment, account)
    if stack is None:
        return ok("nothing is deployed yet; " + ", ".join(SETTLED) + " stay as they are afterwards")
    changed = {
        name: before for name in SETTLED if (before := _given(stack, name)) is not None and before != deployment[name]
    }
    if changed:
        return wrong("; ".join(f"{name} was {before!r} until now: {SETTLED[name]}" for name, before in changed.items()))
    return ok("nothing is changed of what cannot be")


def survivors(deployment: Deployment, account: Account) -> Finding:
    """Look what earlier deployments left: their foundation and domain survive them, and are known by their exports."""
    names = _exports(account).keys()
    left = sorted(name.removesuffix("-KeyArn") for name in names if name.endswith("-KeyArn"))
    wanted = deployment["TakeOver"]
    if wanted:
        if wanted not in left:
            known = f"those that can be taken over: {', '.join(left)}" if left else "there is none to take over"
            return wrong(f"TakeOver names {wanted!r}, of which nothing is here; {known}")
        if not deployment["OpenSearchUrl"] and f"{wanted}-OpenSearchUrl" not in names:
            return wrong(f"the key and the network of {wanted} are here, and no domain; name one in OpenSearchUrl")
        if (f"{wanted}-RouteTableId" in names) == bool(deployment["VpcId"]):
            was = (
                "a VPC of its own, so VpcId has to be empty" if deployment["VpcId"] else "yours: name it in VpcId again"
            )
            return wrong(f"the network of {wanted} is {was}, with SubnetIdA and SubnetIdB as they were then")
        return ok(f"the key, the network and the domain of {wanted} are here, and are taken over")
    if deployment.stack in left and _stack(deployment, account) is None:
        return wrong(
            f"the key, the network and the domain of an earlier deployment named {deployment.stack} are still here; "
            f"take them over with TakeOver={deployment.stack}, or remove them (docs/operations.md)"
        )
    return ok("nothing of an earlier deployment is in the way")


def domain(deployment: Deployment, account: Account) -> Finding:
    """Look whether the domain's name is free, or the domain that will be used is there."""
    name = deployment["OpenSearchDomainName"]
    found = account.ask("opensearch", "describe_domain", DomainName=name, absent=("ResourceNotFoundException",))
    if deployment["OpenSearchUrl"] or deployment["TakeOver"]:
        if found is None:
            return wrong(f"there is no domain named {name} here, which this deployment is to use")
        # A domain of yours may have an address in front of it that OpenSearch does not know.
        left = "" if deployment["OpenSearchUrl"] else _exports(account).get(f"{deployment['TakeOver']}-OpenSearchUrl")
        status = found["DomainStatus"]
        hosts = [status.get("Endpoint"), *status.get("Endpoints", {}).values()]
        if left and left not in {f"https://{host}" for host in hosts}:
            return wrong(
                f"{name} is here, and does not answer at {left}, where {deployment['TakeOver']}'s does: all policies "
                "would speak of the wrong domain; name that one in OpenSearchDomainName"
            )
        return ok(f"{name} is here, and is used")
    if found is None:
        return ok(f"the name {name} is free")
    stack = _stack(deployment, account)
    # One that a stack made before it was given another names that stack as its outermost one all the same.
    another = _given(stack, "OpenSearchUrl")
    if another:
        return wrong(
            f"OpenSearchUrl was {another!r} until now; without it a domain would be made, and one named {name} is here "
            "already; set it back"
        )
    if stack and _owner(name, account) == stack["StackId"]:
        return ok(f"{name} is this stack's")
    return wrong(
        f"a domain named {name} is here already and is not this stack's; choose another OpenSearchDomainName, "
        "or, if an earlier deployment left it, take it over with TakeOver=<its stack's name>"
    )


def _owner(domain_name: str, account: Account) -> str:
    """Give the id of the outermost stack that a domain belongs to, "" where it belongs to none.

    Not its name: a removed stack whose domain is left may have had the same.
    """
    found = account.ask(
        "cloudformation", "describe_stack_resources", PhysicalResourceId=domain_name, absent=("does not exist",)
    )
    names = {
        each["StackName"]
        for each in (found or {}).get("StackResources", [])
        if each["ResourceType"] == "AWS::OpenSearchService::Domain"
    }
    for name in names:
        (stack,) = account.ask("cloudformation", "describe_stacks", StackName=name)["Stacks"]
        return str(stack.get("RootId", stack["StackId"]))
    return ""


def log_groups(deployment: Deployment, account: Account) -> Finding:
    """Look whether the names of the log groups are free."""
    if _stack(deployment, account):
        return ok("they are this stack's")
    wanted = [
        deployment.resolve(properties["LogGroupName"], template)
        for _, properties, template in deployment.resources("AWS::Logs::LogGroup")
        if template == TEMPLATE.name or not deployment["TakeOver"]
    ]
    taken = [
        name
        for name in wanted
        for group in account.ask_all("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name)
        if group["logGroupName"] == name
    ]
    if taken:
        return wrong(
            f"these are here already: {', '.join(taken)}; keep what you need of them and remove them: "
            f"aws logs delete-log-group --log-group-name {taken[0]}"
        )
    return ok(f"the {len(wanted)} names are free")


def dashboard(deployment: Deployment, account: Account) -> Finding:
    """Look whether the dashboard's name is free."""
    if _stack(deployment, account):
        return ok("it is this stack's")
    ((_, properties, template),) = deployment.resources("AWS::CloudWatch::Dashboard")
    name = deployment.resolve(properties["DashboardName"], template)
    found = account.ask_all("cloudwatch", "list_dashboards", "DashboardEntries", DashboardNamePrefix=name)
    if name in {each["DashboardName"] for each in found}:
        return wrong(f"{name} is here already; remove it: aws cloudwatch delete-dashboards --dashboard-names {name}")
    return ok(f"the name {name} is free")


def opensearch_role(deployment: Deployment, account: Account) -> Finding:
    """Look for the role without which OpenSearch makes no domain in a VPC.

    Amazon OpenSearch Service developer guide, "Using service-linked roles to create VPC domains".
    """
    if deployment["OpenSearchUrl"] or deployment["TakeOver"]:
        return ok("no domain is made")
    name = "AWSServiceRoleForAmazonOpenSearchService"
    if _role(account, name):
        return ok(f"{name} is here")
    return wrong(f"{name} is missing; make it: {_making('opensearchservice')}")


def linked_roles(deployment: Deployment, account: Account) -> Finding:
    """Look for the roles that Batch, and what it starts instances with, make for themselves where they may.

    AWS Batch user guide, "Using service-linked roles"; Amazon EC2 user guide, "Service-linked role for Spot Instances".
    """
    wanted = {
        "AWSServiceRoleForBatch": "batch",
        "AWSServiceRoleForECS": "ecs",
        "AWSServiceRoleForAutoScaling": "autoscaling",
    }
    if deployment["JobCapacity"] == "SPOT":
        wanted["AWSServiceRoleForEC2Spot"] = "spot"
    missing = [name for name in wanted if not _role(account, name)]
    if missing:
        return warning(
            f"{', '.join(missing)}: not here yet; the first job has them made where your rights allow it. To be sure: "
            + "; ".join(_making(wanted[name]) for name in missing)
        )
    return ok(", ".join(wanted))


def concurrency(deployment: Deployment, account: Account) -> Finding:
    """Hold what the functions reserve against what the account may run at once."""
    limits = account.ask("lambda", "get_account_settings")["AccountLimit"]
    total, unreserved = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    quota = "ask for more in Service Quotas (AWS Lambda, Concurrent executions, L-B99A9384)"
    if (
        deployment["ReservedConcurrency"] == "true"
        and _given(_stack(deployment, account), "ReservedConcurrency") != "true"
    ):
        reserved = sum(_reservations(deployment))
        if unreserved - reserved < _KEPT_UNRESERVED:
            return wrong(
                f"the functions reserve {reserved}, and {_KEPT_UNRESERVED} must stay unreserved, of {unreserved}; "
                f"deploy with ReservedConcurrency=false, or {quota}"
            )
        return ok(f"{reserved} are reserved of {unreserved}")
    if total < _FEW_AT_ONCE:
        return warning(f"the account may run {total} functions at once, then callers get errors; {quota}")
    return ok(f"the account may run {total} functions at once")


def _reservations(deployment: Deployment) -> Iterator[int]:
    for _, properties, _ in deployment.resources("AWS::Serverless::Function"):
        match properties.get("ReservedConcurrentExecutions"):
            case {"Fn::If": [_, int(reserved), _]}:
                yield reserved


def instance_quota(deployment: Deployment, account: Account) -> Finding:
    """Hold the vCPUs that jobs may use against the account's quota of instances."""
    capacity, wanted = deployment["JobCapacity"], int(deployment["JobMaxVcpus"])
    code = _VCPU_QUOTAS[capacity]
    where = {"ServiceCode": "ec2", "QuotaCode": code}
    absent = ("NoSuchResourceException",)
    found = account.ask("service-quotas", "get_service_quota", absent=absent, **where) or account.ask(
        "service-quotas", "get_aws_default_service_quota", absent=absent, **where
    )
    if found is None:
        return unseen(f"this region tells no quota {code}; see Amazon EC2's limits in the console")
    vcpus = int(found["Quota"]["Value"])
    if vcpus < wanted:
        return warning(
            f"{capacity} instances may have {vcpus} vCPUs in all, JobMaxVcpus is {wanted}: jobs wait beyond the quota; "
            f"ask for more in Service Quotas (Amazon EC2, {code}), or set JobMaxVcpus"
        )
    return ok(f"{capacity} instances may have {vcpus} vCPUs in all, JobMaxVcpus is {wanted}")


def endpoint_quotas(deployment: Deployment, account: Account) -> Finding:
    """Look whether SageMaker gives the account instances of the types that are allowed."""
    quotas = {
        found[1]: int(quota["Value"])
        for quota in account.ask_all("service-quotas", "list_service_quotas", "Quotas", ServiceCode="sagemaker")
        if (found := _ENDPOINT_QUOTA.fullmatch(quota["QuotaName"]))
    }
    if not quotas:
        return unseen("this region tells no quotas for endpoints; a bot shows SageMaker's refusal if there is one")
    patterns = deployment.listed("AllowedInstanceTypes") or ["*"]
    allowed = {kind for kind in quotas if any(fnmatchcase(kind, pattern) for pattern in patterns)}
    none = sorted(kind for kind in allowed if not quotas[kind])
    ask = "ask for them in Service Quotas (Amazon SageMaker, <type> for endpoint usage)"
    if not allowed:
        return warning(f"AllowedInstanceTypes ({', '.join(patterns)}) fits no type that SageMaker has here")
    if len(none) == len(allowed) or (none and "*" not in patterns):
        more = f" and {len(none) - _SHOWN} more" if len(none) > _SHOWN else ""
        return warning(f"the account has 0 of {', '.join(none[:_SHOWN])}{more}; {ask}")
    return ok(f"{len(allowed) - len(none)} of {len(allowed)} types that are allowed can be used")


def zones(deployment: Deployment, account: Account) -> Finding:
    """Look whether the zones are the region's, and have every service that the VPC gets an endpoint for."""
    if deployment["VpcId"]:
        return ok("the stack makes no network")
    known = _zones_of_region(account)
    a, b = _zones(deployment, account, known)
    if a not in known or b not in known or a == b:
        return wrong(f"the zones are {a!r} and {b!r}, which are not two different ones of {', '.join(known)}")
    used = {a} if deployment["VpcEndpointZones"] == "1" else {a, b}
    wanted = {
        deployment.resolve(properties["ServiceName"], template)
        for _, properties, template in deployment.resources("AWS::EC2::VPCEndpoint")
        if properties["VpcEndpointType"] == "Interface"
    }
    filters = [{"Name": "service-name", "Values": sorted(wanted)}]
    offered = {
        each["ServiceName"]: set(each["AvailabilityZones"])
        for each in account.ask_all("ec2", "describe_vpc_endpoint_services", "ServiceDetails", Filters=filters)
    }
    absent = sorted(wanted - offered.keys())
    if absent:
        return wrong(f"this region offers no endpoint of {', '.join(absent)}; deploy into a VPC of yours with a NAT")
    lacking = sorted(name for name in wanted if not used <= offered[name])
    if lacking:
        trouble = f"{', '.join(lacking)} is not offered in each of {', '.join(sorted(used))}"
        if deployment["TakeOver"] or _stack(deployment, account):
            enough = "; set VpcEndpointZones=1" if all(a in offered[name] for name in lacking) else ""
            return wrong(f"{trouble}, where the subnets are and stay{enough}")
        everywhere = sorted(set(known).intersection(*(offered[name] for name in wanted)))
        return wrong(
            f"{trouble}; set ZoneA and ZoneB to two of those that have all services: "
            f"{', '.join(everywhere) or 'none has'}"
        )
    return ok(f"{a} and {b}; the endpoints' {len(wanted)} services are in {' and '.join(sorted(used))}")


def instance_type(deployment: Deployment, account: Account) -> Finding:
    """Look whether OpenSearch offers the domain's instance type, in the zones that it will be in."""
    if deployment["OpenSearchUrl"] or deployment["TakeOver"]:
        return ok("no domain is made")
    ((_, properties, template),) = deployment.resources("AWS::OpenSearchService::Domain")
    kind, engine = deployment["OpenSearchInstanceType"], deployment.resolve(properties["EngineVersion"], template)
    offered = {
        each["InstanceType"]: set(each.get("AvailabilityZones", []))
        for each in account.ask_all(
            "opensearch",
            "list_instance_type_details",
            "InstanceTypeDetails",
            EngineVersion=engine,
            InstanceType=kind,
            RetrieveAZs=True,
        )
    }
    if kind not in offered:
        return wrong(f"{kind} is not offered here for {engine}; choose another OpenSearchInstanceType")
    if deployment["VpcId"]:
        wanted = {subnet["AvailabilityZone"] for subnet in _subnets(deployment, account)}
    else:
        wanted = set(_zones(deployment, account, _zones_of_region(account)))
    if not offered[kind]:
        return unseen(f"{kind} is offered, but OpenSearch does not tell in which zones")
    # OpenSearch tells zones by name or by id, and only names can be compared with ours.
    lacking = sorted(wanted - offered[kind])
    if lacking:
        return wrong(f"{kind} is not offered in {', '.join(lacking)}; it is in {', '.join(sorted(offered[kind]))}")
    return ok(f"{kind} is offered in {' and '.join(sorted(wanted))}")


def network(deployment: Deployment, account: Account) -> Finding:
    """Look whether an existing VPC and its subnets fit together."""
    vpc = deployment["VpcId"]
    if not vpc:
        return ok("the stack makes its own VPC" if not deployment["TakeOver"] else "it is taken over")
    ids = _subnet_ids(deployment)
    if len(set(ids)) != 2:
        return wrong("VpcId is set: name two different private subnets in SubnetIdA and SubnetIdB")
    subnets = _subnets(deployment, account)
    if len(subnets) != 2:
        return wrong(f"not both of the subnets {', '.join(ids)} are in this account and region")
    strangers = [subnet["SubnetId"] for subnet in subnets if subnet["VpcId"] != vpc]
    if strangers:
        return wrong(f"{', '.join(strangers)}: not in {vpc}")
    if len({subnet["AvailabilityZone"] for subnet in subnets}) != 2:
        return wrong("both subnets are in one availability zone; the domain's nodes need two")
    answer = account.ask("ec2", "describe_vpc_attribute", VpcId=vpc, Attribute="enableDnsSupport")
    if not answer["EnableDnsSupport"]["Value"]:
        return wrong(f"DNS support is off in {vpc}, so that no name of a service can be found; turn it on")
    return ok(f"{vpc} with {' and '.join(ids)}")


def key(deployment: Deployment, account: Account) -> Finding:
    """Look whether a key of the person's own can be used by what writes with it: its state, and its policy."""
    arn = deployment["KmsKeyArn"]
    if not arn:
        return ok("the stack makes its own" if not deployment["TakeOver"] else "it is taken over")
    trouble = _trouble_with_key(arn, account)
    if trouble:
        return wrong(trouble)
    policy = json.loads(account.ask("kms", "get_key_policy", KeyId=arn, PolicyName="default")["Policy"])
    granted = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    lacking = [
        service
        for service, actions in _services_that_use_the_key(deployment)
        if not any(_grants(statement, service, actions) for statement in granted)
    ]
    if lacking:
        return wrong(
            f"its policy does not let {', '.join(lacking)} use it; add the statements in docs/operations.md, "
            "A key of your own"
        )
    return ok("it is enabled, and its policy lets those use it who write with it")


def data_keys(deployment: Deployment, account: Account) -> Finding:
    """Look whether the keys of the buckets are there."""
    arns = deployment.listed("DataKeyArns")
    if not arns:
        return ok("none is named: buckets under keys of yours cannot be read")
    troubles = [trouble for arn in arns if (trouble := _trouble_with_key(arn, account))]
    return wrong("; ".join(troubles)) if troubles else ok(f"{len(arns)} can be used")


def api_log_role(deployment: Deployment, account: Account) -> Finding:
    """Look at the one role with which API Gateway writes the logs of all APIs in this account and region."""
    role = account.ask("apigateway", "get_account").get("cloudwatchRoleArn")
    if deployment["ApiGatewayLogRole"] == "true":
        if role and not _stack(deployment, account):
            return warning(f"{role} is set already and would be replaced; keep it with ApiGatewayLogRole=false")
        return ok("the stack sets it")
    if not role:
        return wrong("none is set, and without one API Gateway refuses access logs; set ApiGatewayLogRole=true")
    return ok(f"{role} is set")


def snap_start(deployment: Deployment, _: Account) -> Finding:
    """Say that nobody tells where SnapStart is offered."""
    if deployment["SnapStart"] == "None":
        return ok("off")
    return unseen(
        f"no API tells whether {deployment.region} has SnapStart for Python; see the AWS Lambda developer guide, "
        "Improving startup performance; None works everywhere"
    )


#: Without these nothing can be asked; the others follow once they are right.
FIRST: Final = (
    Check("parameters", parameters),
    Check("stack name", stack_name),
    Check("region", region),
    Check("credentials", credentials),
)
CHECKS: Final = (
    Check("stack", stack_state),
    Check("what cannot be changed", settled),
    Check("earlier deployments", survivors),
    Check("domain", domain),
    Check("log groups", log_groups),
    Check("dashboard", dashboard),
    Check("OpenSearch's role", opensearch_role),
    Check("roles for jobs", linked_roles),
    Check("concurrency", concurrency),
    Check("instances for jobs", instance_quota),
    Check("instances for endpoints", endpoint_quotas),
    Check("zones", zones),
    Check("domain's instances", instance_type),
    Check("network", network),
    Check("key", key),
    Check("keys of data", data_keys),
    Check("API's log role", api_log_role),
    Check("SnapStart", snap_start),
)


def updating(deployment: Deployment, account: Account) -> Deployment:
    """Give the deployment as it would update the stack: a parameter that is not set keeps its value, as SAM has it."""
    given = (_stack(deployment, account) or {}).get("Parameters", [])
    return replace(deployment, deployed={each["ParameterKey"]: each.get("ParameterValue", "") for each in given})


def _stack(deployment: Deployment, account: Account) -> Mapping[str, Any] | None:
    """Give the stack as it is, None where there is none."""
    found = account.ask("cloudformation", "describe_stacks", StackName=deployment.stack, absent=("does not exist",))
    stack: Mapping[str, Any] | None = found["Stacks"][0] if found else None
    # What a change set leaves that was never carried out: nothing is made, and SAM begins anew as well.
    return None if stack and stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack


def _given(stack: Mapping[str, Any] | None, parameter: str) -> str | None:
    """Give a parameter's value as it is deployed, None without one."""
    given = (stack or {}).get("Parameters", [])
    return next((each.get("ParameterValue", "") for each in given if each["ParameterKey"] == parameter), None)


def _exports(account: Account) -> dict[str, str]:
    """Give what stacks export, by its name: what is left of those that were removed, too."""
    return {each["Name"]: each["Value"] for each in account.ask_all("cloudformation", "list_exports", "Exports")}


def _role(account: Account, name: str) -> bool:
    return account.ask("iam", "get_role", RoleName=name, absent=("NoSuchEntity", "NoSuchEntityException")) is not None


def _making(service: str) -> str:
    return f"aws iam create-service-linked-role --aws-service-name {service}.amazonaws.com"


def _zones_of_region(account: Account) -> list[str]:
    filters = [{"Name": "zone-type", "Values": ["availability-zone"]}, {"Name": "state", "Values": ["available"]}]
    found = account.ask("ec2", "describe_availability_zones", Filters=filters)["AvailabilityZones"]
    return sorted(zone["ZoneName"] for zone in found)


def _zones(deployment: Deployment, account: Account, known: list[str]) -> tuple[str, str]:
    """Give the zones of the subnets: where they are not set, the first two of the region, or those taken over."""
    earlier = deployment["TakeOver"]
    if earlier:
        exports = _exports(account)
        ids = [exports.get(f"{earlier}-SubnetId{letter}", "") for letter in "AB"]
        zone_of = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in _described(ids, account)}
        return zone_of.get(ids[0], ""), zone_of.get(ids[1], "")
    first, second = [*known, "", ""][:2]
    return deployment["ZoneA"] or first, deployment["ZoneB"] or second


def _subnet_ids(deployment: Deployment) -> list[str]:
    return [id for name in ("SubnetIdA", "SubnetIdB") if (id := deployment[name])]


def _subnets(deployment: Deployment, account: Account) -> list[Mapping[str, Any]]:
    """Give the subnets that are there, of those that the parameters name."""
    return _described(_subnet_ids(deployment), account)


def _described(ids: list[str], account: Account) -> list[Mapping[str, Any]]:
    filters = [{"Name": "subnet-id", "Values": ids}]
    return list(account.ask_all("ec2", "describe_subnets", "Subnets", Filters=filters))


def _trouble_with_key(arn: str, account: Account) -> str:
    """Say why a key cannot be used, "" where it can be."""
    found = account.ask("kms", "describe_key", KeyId=arn, absent=("NotFoundException",))
    if found is None:
        return f"there is no key {arn}"
    metadata = found["KeyMetadata"]
    if metadata["KeyState"] != "Enabled":
        return f"the key {arn} is not enabled but {metadata['KeyState']}"
    if metadata.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        return f"the key {arn} is not a symmetric one ({metadata['KeySpec']}), as all services need it"
    return ""


def _services_that_use_the_key(deployment: Deployment) -> Iterator[tuple[str, list[str]]]:
    """Give the services that the policy of the stack's own key lets in, and what they may do there."""
    for _, properties, template in deployment.resources("AWS::KMS::Key"):
        for statement in properties["KeyPolicy"]["Statement"]:
            if "Service" in statement["Principal"]:
                yield deployment.resolve(statement["Principal"]["Service"], template), statement["Action"]


def _grants(statement: Mapping[str, Any], service: str, actions: list[str]) -> bool:
    """Tell whether a statement lets a service do all of this; conditions are taken to hold."""
    principal = statement.get("Principal", {})
    services = _listed(principal.get("Service", [])) if isinstance(principal, Mapping) else [principal]
    allowed = _listed(statement.get("Action", []))
    return (
        statement["Effect"] == "Allow"
        and (service in services or "*" in services)
        and all(any(fnmatchcase(action, pattern) for pattern in allowed) for action in actions)
    )


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
