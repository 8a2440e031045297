from pathlib import Path
from typing import Any

import pytest

from local import arns
from local.cloudformation import Stack
from local.template import role_arns, stack

ROOT = """
Parameters:
  Zones: {Type: CommaDelimitedList, Default: "a,b"}
  Prefix: {Type: String, Default: ""}
Mappings: {Names: {aws: {Suffix: one}}}
Conditions:
  HasPrefix: !Not [!Equals [!Ref Prefix, ""]]
  HasBoth: !And [!Condition HasPrefix, !Or [!Equals [a, a], !Equals [a, b]]]
Resources:
  Ground:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: ground.yaml
      Parameters: {Suffix: !FindInMap [Names, !Ref AWS::Partition, Suffix], Unused: !Ref Nowhere}
  Reader: {Type: AWS::IAM::Role, Properties: {}}
  Sometimes: {Type: AWS::IAM::Role, Condition: HasPrefix, Properties: {}}
"""
GROUND = """
Parameters: {Suffix: {Type: String}, Unused: {Type: String}}
Resources: {Master: {Type: AWS::IAM::Role, Properties: {}}}
Outputs: {MasterArn: {Value: !GetAtt Master.Arn}, Given: {Value: !Sub "${Suffix}-${!Suffix}"}}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "ground.yaml").write_text(GROUND)
    (tmp_path / "root.yaml").write_text(ROOT)
    return tmp_path / "root.yaml"


@pytest.mark.parametrize(
    ("value", "comes_to"),
    [
        ({"Ref": "Zones"}, ["a", "b"]),
        ({"Ref": "AWS::StackId"}, arns.STACK_ID),
        ({"Fn::Sub": "${AWS::StackName}-${Reader}"}, "byob-byob-Reader"),
        ({"Fn::Sub": ["${Name}/${Reader.Arn}", {"Name": {"Ref": "Prefix"}}]}, f"/{arns.role('byob-Reader')}"),
        ({"Fn::Join": ["-", {"Ref": "Zones"}]}, "a-b"),
        ({"Fn::Select": [1, {"Fn::Split": ["/", "x/y"]}]}, "y"),
        ({"Fn::Cidr": ["10.0.0.0/24", 2, 7]}, ["10.0.0.0/25", "10.0.0.128/25"]),
        ({"Fn::Select": [0, {"Fn::GetAZs": ""}]}, "local-1a"),
        ({"Fn::GetAtt": ["Ground", "Outputs.MasterArn"]}, arns.role("byob-Ground-Master")),
        ({"Fn::GetAtt": ["Ground", "Outputs.Given"]}, "one-${Suffix}"),
        ([{"Fn::If": ["HasPrefix", "x", {"Ref": "AWS::NoValue"}]}, "y"], ["y"]),
        ({"a": {"Fn::If": ["HasBoth", "x", {"Ref": "AWS::NoValue"}]}, "b": "y"}, {"b": "y"}),
    ],
)
def test_a_function_comes_to_what_cloudformation_puts_in_its_place(template: Path, value: Any, comes_to: Any) -> None:
    assert Stack(template).resolve(value) == comes_to


def test_parameters_and_exports_are_those_that_are_given(template: Path) -> None:
    given = Stack(template, {"Prefix": "x", "Zones": "c"}, exports={"old-Key": "key"})

    assert given.resolve({"Fn::If": ["HasBoth", {"Ref": "Zones"}, "none"]}) == ["c"]
    assert given.resolve({"Fn::ImportValue": {"Fn::Sub": "old-Key"}}) == "key"
    assert [id for id, _ in given.resources("AWS::IAM::Role")] == ["Reader", "Sometimes"]
    assert [id for id, _ in Stack(template).resources("AWS::IAM::Role")] == ["Reader"]


@pytest.mark.parametrize("value", [{"Ref": "Nowhere"}, {"Fn::GetAtt": ["Reader", "RoleId"]}, {"Fn::Transform": {}}])
def test_what_has_no_value_here_is_said_and_not_guessed(template: Path, value: Any) -> None:
    with pytest.raises(LookupError, match=r"local mode (has no value|knows no)"):
        Stack(template).resolve(value)


def test_every_policy_of_the_product_can_be_resolved() -> None:
    kinds = ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::EC2::VPCEndpoint", "AWS::KMS::Key")
    documents = [each.resolve(one) for each in stack().every() for kind in kinds for _, one in each.resources(kind)]

    assert len(documents) > 40
    assert "Fn::" not in str(documents)
    assert role_arns()["MapRolesRole"] == arns.role("byob-Foundation-MapRolesRole")
