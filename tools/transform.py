"""Prints template.yaml as CloudFormation gets it, in JSON: `.tools/sam/bin/python tools/transform.py REGION`.

`NAME=VALUE` may follow for each parameter. What SAM makes of a template depends on the region, for partitions differ,
and on the parameters: some of their values, or else their defaults, are put into the text.
"""

import json
import os
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform


class _NoManagedPolicies:
    """The template names no managed policy of AWS by its short name, so none has to be looked up."""

    def load(self) -> dict[str, str]:
        return {}


def main(region: str, *parameters: str) -> None:
    """Transform for a region, with parameters as NAME=VALUE, and print the result."""
    os.environ["AWS_DEFAULT_REGION"] = region
    template = yaml_parse((Path(__file__).resolve().parent.parent / "template.yaml").read_text())
    # As `sam package` leaves it.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/key"
    values = dict(each.split("=", 1) for each in parameters)
    json.dump(transform(template, values, _NoManagedPolicies()), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
