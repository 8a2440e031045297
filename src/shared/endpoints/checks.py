"""The door to what an endpoint is made of: whether image, model data, instance type and role are there."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws, settings
from shared.endpoints.record import Wanted

_CONFIG: Final = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1})
# Amazon ECR user guide, "Amazon ECR private registries": aws_account_id.dkr.ecr.region.amazonaws.com[.cn].
_ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[a-z0-9._/-]+?)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Check:
    """What was found about a part of a configuration; `ok` None: it could not be checked."""

    subject: str
    ok: bool | None
    detail: str


class Checks:
    """Asks ECR, S3, SageMaker's own list and IAM; what cannot be asked is said, and is no error."""

    def of(self, wanted: Wanted) -> list[Check]:
        """Check image, model data (where there is one) and instance type of an endpoint to be made."""
        found = [self._image(wanted.image), self._instance_type(wanted.instance_type)]
        return [*found, self._model_data(wanted.model_data)] if wanted.model_data else found

    def role(self) -> Check:
        """Check that the endpoints' role exists and that SageMaker may take it on."""
        name = settings.endpoints().role_arn.rpartition("/")[2]

        def look() -> Check:
            document = aws.client("iam", config=_CONFIG).get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
            trusted = "sagemaker." in json.dumps(document)
            detail = f"role {name} exists" if trusted else f"role {name} does not trust SageMaker"
            return Check("role", trusted, detail)

        return _asked("role", f"role {name}", look)

    def _image(self, image: str) -> Check:
        subject = "/endpoint_ecr_image_path"
        ecr = _ECR.fullmatch(image)
        region = settings.opensearch().region
        if not ecr:
            return Check(subject, None, f"{image} is no ECR image name, so it was not looked for")
        if ecr["region"] != region:
            return Check(subject, None, f"{image} lies in another region than this service ({region})")
        wanted = {"imageDigest": ecr["digest"]} if ecr["digest"] else {"imageTag": ecr["tag"] or "latest"}

        def look() -> Check:
            aws.client("ecr", config=_CONFIG).describe_images(
                registryId=ecr["account"], repositoryName=ecr["repository"], imageIds=[wanted]
            )
            return Check(subject, True, f"{image} exists")

        return _asked(subject, image, look)

    def _model_data(self, url: str) -> Check:
        bucket, _, key = url.removeprefix("s3://").partition("/")

        def look() -> Check:
            aws.client("s3", config=_CONFIG).head_object(Bucket=bucket, Key=key)
            return Check("/model_s3_path", True, f"{url} exists")

        return _asked("/model_s3_path", url, look)

    def _instance_type(self, instance_type: str) -> Check:
        model = aws.client("sagemaker", config=_CONFIG).meta.service_model
        if instance_type in model.shape_for("ProductionVariantInstanceType").enum:
            return Check("/instance_type", True, f"{instance_type} is a type that SageMaker has")
        return Check("/instance_type", None, f"{instance_type} is newer than this service's list, or no type at all")


@cache
def checks() -> Checks:
    """Give the door, made on first use."""
    return Checks()


def _asked(subject: str, what: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status: Any = error.response["ResponseMetadata"]["HTTPStatusCode"]
        # Without the right to list, S3 answers 403 for what is not there as well.
        denied = status == 403 or "AccessDenied" in code
        if denied or status >= 500:
            return Check(subject, None, f"{what} could not be looked for: {code}")
        return Check(subject, False, f"{what} is not there: {error.response['Error']['Message']}")
    except BotoCoreError as error:
        return Check(subject, None, f"{what} could not be looked for: {error}")
