"""The templates' resources, as the tests look at them: those of template.yaml and of what it nests."""

from typing import Any

from local import template
from local.template import document

#: boto3's name of a service -> the last part of its VPC endpoint's name (AWS PrivateLink guide).
ENDPOINTS = {
    "batch": "batch",
    "ecr": "ecr.api",
    "lambda": "lambda",
    "s3": "s3",
    "sagemaker": "sagemaker.api",
    "sagemaker-runtime": "sagemaker.runtime",
    "states": "states",
}
#: In each partition, IAM has an endpoint in one region alone; the check that calls it says where it could not look.
WITHOUT_ENDPOINT = {"iam"}
#: Without these no function runs in the VPC, is traced, logs, or tells of its failure; none of them is in the code.
RUN = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:SendMessage",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
#: What S3 does with its caller's rights where a bucket is encrypted under a customer key (parameter DataKeyArns).
BY_S3 = {"kms:Decrypt"}


def documents() -> dict[str, dict[str, Any]]:
    """Give the root template under "" and each nested one under the path by which it is nested."""
    root = document()
    nested = {
        each["Properties"]["TemplateURL"]
        for each in root["Resources"].values()
        if each["Type"] == "AWS::CloudFormation::Stack"
    }
    return {"": root, **{path: document(template.TEMPLATE.parent / path) for path in sorted(nested)}}


def declared() -> dict[str, dict[str, Any]]:
    """Give all resources by logical id, which no two templates share."""
    return {id: each for read in documents().values() for id, each in read["Resources"].items()}


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Give the properties of all resources of a type, by logical id."""
    return {id: each.get("Properties", {}) for id, each in declared().items() if each["Type"] == kind}


def listed(value: Any) -> list[Any]:
    """Give a list, of one where there is one."""
    return value if isinstance(value, list) else [value]
