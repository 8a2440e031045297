"""Records what the roles of the template ask of AWS and of the domain while tests run: each question once, counted."""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from moto.s3.models import s3_backends

from local import arns
from local.aws import EmulatedAws
from local.identities import role_of
from local.template import role_arns
from tests.proxies import Request
from tests.rights.asked import Asked, Call, UnknownRequestError, of_call, of_domain, read

_CREDENTIAL: Final = re.compile(r"Credential=([^/,]+)/\d+/[^/]+/([\w-]+)/aws4_request")
#: What Lambda and ECS put into the user agent of a client made by botocore (AWS_EXECUTION_ENV).
_OF_THE_PRODUCT: Final = ("exec-env/AWS_Lambda", "exec-env/AWS_ECS")
#: Nothing else here is told apart by its tags.
_TAGGED: Final = "arn:aws:sagemaker:"
_OF_OBJECTS: Final = {"s3:GetObject": "kms:Decrypt", "s3:PutObject": "kms:GenerateDataKey"}


class Recorder:
    """What was asked so far: `calls` by role, `asked` each with its number, `unknown` what could not be understood.

    Who calls with keys of no role are the tests' own tools, counted as `others`; a function or a bot among them, which
    the user agent tells, is noted as `without_role`.
    """

    def __init__(self) -> None:
        self.asked: Counter[Asked] = Counter()
        self.calls: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.without_role: Counter[str] = Counter()
        self.others = 0
        self._lock = threading.Lock()

    def on_aws(self, aws: EmulatedAws, environ: Mapping[str, Any], body: bytes) -> None:
        """Note a request to AWS before it is answered."""
        target = environ.get("RAW_URI") or environ["REQUEST_URI"]
        signed = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        role = _role(signed)
        if not signed or role is None or aws.declared:  # another template is not ours to hold to its roles
            self._note_other(environ.get("HTTP_USER_AGENT", ""), f"{environ['REQUEST_METHOD']} {target}")
            return
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith(("HTTP_", "CONTENT_"))
        }
        try:
            call = read(signed[2], environ["REQUEST_METHOD"], target, headers, body)
            asked = list(of_call(role, call, lambda arn: aws.sagemaker.tags_of(arn) if arn.startswith(_TAGGED) else {}))
        except UnknownRequestError as error:
            with self._lock:
                self.unknown[f"{role}: {error}"] += 1
            return
        self._note(role, [*asked, *_of_keys(role, call, asked, headers)])

    def on_domain(self, request: Request) -> None:
        """Note a request to the domain that was rightly signed."""
        signed = _CREDENTIAL.search(request.header("authorization") or "")
        role = _role(signed)
        if role is None:
            self._note_other(request.header("user-agent") or "", f"{request.method} {request.target}")
        else:
            self._note(role, [of_domain(role, request.method, request.target)])

    def _note(self, role: str, asked: Iterable[Asked]) -> None:
        with self._lock:
            self.calls[role] += 1
            self.asked.update(asked)

    def _note_other(self, user_agent: str, request: str) -> None:
        with self._lock:
            self.others += 1
            if any(mark in user_agent for mark in _OF_THE_PRODUCT):
                self.without_role[request.partition("?")[0]] += 1


def _role(signed: re.Match[str] | None) -> str | None:
    """Tell which role of the template has signed; those of a real deployment of it have other names."""
    role = role_of(signed[1]) if signed else None
    return role if role in role_arns() else None


def _of_keys(role: str, call: Call, asked: Iterable[Asked], headers: Mapping[str, str]) -> Iterable[Asked]:
    """Tell what S3 asks KMS with its caller's rights, for an object under a customer key (Amazon S3, "SSE-KMS")."""
    for one in asked:
        if one.action in _OF_OBJECTS and (key := _key_of(call, headers)):
            arn = key if key.startswith("arn:") else f"arn:aws:kms:{arns.REGION}:{arns.ACCOUNT}:key/{key}"
            via = (("kms:ViaService", f"s3.{arns.REGION}.amazonaws.com"),)
            yield Asked(role, "kms", _OF_OBJECTS[one.action], arn, via)


def _key_of(call: Call, headers: Mapping[str, str]) -> str | None:
    """Give the customer key of the object that is read, or of the one that is written: its own or its bucket's."""
    bucket = s3_backends[arns.ACCOUNT]["aws"].buckets.get(call.parameters["Bucket"])
    if call.operation != "PutObject":
        found = bucket and bucket.keys.get(call.parameters["Key"])
        return found.kms_key_id if found else None
    rule = (bucket.encryption or {}).get("Rule", {}) if bucket else {}
    return headers.get("x-amz-server-side-encryption-aws-kms-key-id") or rule.get(
        "ApplyServerSideEncryptionByDefault", {}
    ).get("KMSMasterKeyID")
