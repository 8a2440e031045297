"""A bot as both peers answer it, as a pydantic model."""

from pydantic import BaseModel


class Failure(BaseModel):
    """Why an endpoint is not there."""

    code: str
    message: str


class Endpoint(BaseModel):
    """The state of one of a bot's endpoints."""

    name: str
    status: str
    managed: bool
    outdated: bool
    failure: Failure | None
    next_attempt_at: str | None
    observed_at: str | None


class Bot(BaseModel):
    """A bot's configuration and what its endpoints are doing."""

    es_url: str
    name: str
    file_types: str
    bot_image: str
    bot_image_cmd: str
    endpoint_name: str
    endpoint_ecr_image_path: str
    instance_type: str
    model_s3_path: str
    bot_vcpu: int | str
    bot_mem: int | str
    create_date: str
    update_date: str
    endpoints: list[Endpoint]
