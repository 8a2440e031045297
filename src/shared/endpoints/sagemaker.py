"""The door to SageMaker: looking at an endpoint, and carrying out one step of a plan."""

from functools import cache, cached_property
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws, settings
from shared.endpoints.plan import (
    CreateEndpoint,
    CreateEndpointConfig,
    CreateModel,
    DeleteEndpoint,
    DeleteEndpointConfig,
    DeleteModel,
    Step,
    UpdateEndpoint,
)
from shared.endpoints.record import Observed, Status
from shared.errors import ConfigNotVisibleError, SageMakerError

OWNER_TAG_KEY: Final = "byob:managed-by"
# Within the API's 29 s there is room for one slow SageMaker call, its retry, and the rest of the work.
_CONFIG: Final = Config(connect_timeout=1, read_timeout=4, retries={"total_max_attempts": 2, "mode": "standard"})
# SageMaker has no error code of its own for these; its messages are as found in the service (ValidationException).
_MISSING: Final = "Could not find"
_CONFIG_MISSING: Final = "Could not find endpoint configuration"
_EXISTS: Final = "already existing"


class SageMaker:
    """Speaks to SageMaker; every refusal becomes a SageMakerError with SageMaker's code and sentence."""

    @cached_property
    def _client(self) -> Any:
        return aws.client("sagemaker", config=_CONFIG)

    def observe(self, endpoint: str) -> Observed:
        """Look at an endpoint and, where there is one, at its tags; raise SageMakerError."""
        described = self._describe(endpoint)
        if described is None:
            return Observed(Status.MISSING)
        try:
            tags = self._call("list_tags", ResourceArn=described["EndpointArn"])["Tags"]
        except SageMakerError as error:
            if _MISSING in str(error):  # it vanished between the two calls
                return Observed(Status.MISSING)
            raise
        return Observed(
            status=_status(described["EndpointStatus"]),
            config_name=described.get("EndpointConfigName", ""),
            managed=_owner() in tags,
            failure_reason=described.get("FailureReason", ""),
            modified_at=described["LastModifiedTime"].isoformat(),
        )

    def require_lists(self) -> None:
        """Raise SageMakerError where endpoints cannot be listed."""
        self._call("list_endpoints", MaxResults=1)

    def carry_out(self, step: Step) -> None:
        """Do one step; what is done already is success. Raise SageMakerError."""
        match step:
            case CreateModel(name, wanted):
                container = {"Image": wanted.image}
                if wanted.model_data:
                    container["ModelDataUrl"] = wanted.model_data
                role = settings.endpoints().role_arn
                self._create("create_model", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
            case CreateEndpointConfig(name, wanted):
                variant = {
                    "VariantName": "AllTraffic",
                    "ModelName": name,
                    "InstanceType": wanted.instance_type,
                    "InitialInstanceCount": 1,
                }
                self._create("create_endpoint_config", EndpointConfigName=name, ProductionVariants=[variant])
            case CreateEndpoint(endpoint, config_name):
                self._create("create_endpoint", EndpointName=endpoint, EndpointConfigName=config_name)
            case UpdateEndpoint(endpoint, config_name):
                self._call("update_endpoint", EndpointName=endpoint, EndpointConfigName=config_name)
            case DeleteEndpoint(endpoint):
                self._delete("delete_endpoint", EndpointName=endpoint)
            case DeleteEndpointConfig(name):
                self._delete("delete_endpoint_config", EndpointConfigName=name)
            case DeleteModel(name):
                self._delete("delete_model", ModelName=name)

    def _describe(self, endpoint: str) -> dict[str, Any] | None:
        try:
            return self._call("describe_endpoint", EndpointName=endpoint)
        except SageMakerError as error:
            if _MISSING in str(error):
                return None
            raise

    def _create(self, operation: str, **parameters: Any) -> None:
        try:
            self._call(operation, **parameters, Tags=[_owner()])
        except SageMakerError as error:
            if _EXISTS not in str(error):
                raise

    def _delete(self, operation: str, **parameters: Any) -> None:
        try:
            self._call(operation, **parameters)
        except SageMakerError as error:
            if _MISSING not in str(error):
                raise

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            unseen = message.startswith(_CONFIG_MISSING) and operation in ("create_endpoint", "update_endpoint")
            raise (ConfigNotVisibleError if unseen else SageMakerError)(code, message) from error
        except BotoCoreError as error:
            raise SageMakerError("SageMakerUnreachable", f"SageMaker cannot be reached: {error}") from error
        return answer


@cache
def sagemaker() -> SageMaker:
    """Give the door, made on first use."""
    return SageMaker()


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise SageMakerError("UnknownStatus", f"SageMaker tells a state that is not known here: {text}") from None


def _owner() -> dict[str, str]:
    return {"Key": OWNER_TAG_KEY, "Value": settings.endpoints().owner_tag}
