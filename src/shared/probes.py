"""What the self-test asks of each function behind the API: requests that change nothing, as API Gateway makes them.

The event's form: Amazon API Gateway developer guide, "Input format of a Lambda function for proxy integration".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Probe:
    """A request of which the answer is known: `status`. In paths and bodies, {nobody} is a name that nothing has."""

    function: str
    method: str
    resource: str
    status: int
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The request, as a person would write it."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.resource}{'?' if query else ''}{query}"

    def event(self, nobody: str, request_id: str) -> dict[str, Any]:
        """Make the event that API Gateway would hand to the function."""
        parameters = {name: nobody for name in ("name", "id") if f"{{{name}}}" in self.resource}
        path = self.resource.replace("{name}", nobody).replace("{id}", nobody)
        headers = {"Content-Type": "application/json", "User-Agent": "self-test"}
        return {
            "resource": self.resource,
            "path": path,
            "httpMethod": self.method,
            "headers": headers,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "queryStringParameters": dict(self.query) or None,
            "multiValueQueryStringParameters": {name: [value] for name, value in self.query.items()} or None,
            "pathParameters": parameters or None,
            "stageVariables": None,
            "requestContext": {
                "httpMethod": self.method,
                "identity": {"userAgent": "self-test", "userArn": "self-test"},
                "path": f"/self-test{path}",
                "requestId": request_id,
                "resourcePath": self.resource,
                "stage": "self-test",
            },
            "body": None if self.body is None else json.dumps(self.body).replace("{nobody}", nobody),
            "isBase64Encoded": False,
        }


# Its endpoint has no image, as one that its author runs: whatever may be provisioned here, this is no question of it.
_BOT: Final = {
    "name": "{nobody}",
    "file_types": ".jpg",
    "bot_image": "self-test.example.com/bot:1",
    "endpoint_name": "{nobody}",
    "endpoint_ecr_image_path": "",
    "instance_type": "ml.m5.large",
}
_JOB: Final = {"bot_name": "{nobody}", "s3_bucket": "media", "s3_path": "", "output_s3_bucket": "results"}

PROBES: Final = (
    Probe("Health", "GET", "/health", 200),
    Probe("ListBots", "GET", "/bots", 200, {"limit": "1"}),
    Probe("GetBot", "GET", "/bots/{name}", 404),
    Probe("CreateBot", "POST", "/bots", 200, {"validate_only": "true"}, _BOT),
    Probe("UpdateBot", "PATCH", "/bots/{name}", 404, body={"bot_vcpu": 1}),
    Probe("DeployBot", "POST", "/bots/{name}/deploy", 404),
    Probe("DeleteBot", "DELETE", "/bots/{name}", 404),
    Probe("ListEndpoints", "GET", "/endpoints", 200, {"limit": "1"}),
    Probe("CreateJob", "POST", "/jobs", 422, body=_JOB),
    Probe("ListJobs", "GET", "/jobs", 200, {"limit": "1"}),
    Probe("GetJob", "GET", "/jobs/{id}", 404),
    Probe("ListJobFiles", "GET", "/jobs/{id}/files", 404),
    Probe("CancelJob", "POST", "/jobs/{id}/cancel", 404),
    Probe("RetryJob", "POST", "/jobs/{id}/retry", 404),
    Probe("MethodNotAllowed", "PUT", "/bots", 405),
)
