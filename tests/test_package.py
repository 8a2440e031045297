"""What `make build` made, looked at as Lambda will; `make build-check` runs it, for it needs the wheels."""

import json
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, Shape
from botocore.session import Session

from local.template import ROOT, functions
from tests.reach import calls_in_source
from tools import package
from tools.package import MADE, PLATFORMS, PackageError, interpreter, operations

BUILD = ROOT / ".aws-sam" / "build"
OPERATIONS = operations()
HANDLERS = {function.id: function.handler for function in functions().values()}
# ELF specification, e_machine: EM_X86_64 and EM_AARCH64.
MACHINES = {"x86_64": 62, "arm64": 183}
# Lambda's own Python starts like this one: no environment, no site-packages, nothing beside it on the path.
BEGIN = """
import importlib.machinery, sys
package = sys.argv[1]
compile = importlib.machinery.SourceFileLoader.source_to_code
def refuse(self, data, path, **options):
    assert not path.startswith(package), f"{path} has no bytecode that is valid"
    return compile(self, data, path, **options)
importlib.machinery.SourceFileLoader.source_to_code = refuse
sys.path.insert(0, package)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One function's package with times of its own, as after a zip."""
    first = BUILD / next(iter(HANDLERS))
    here = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")
    if platform.system() != "Linux" or machine_of(first) != MACHINES.get(here):
        pytest.skip("this machine runs no native code of the architecture that was built for")
    return Path(shutil.copytree(first, tmp_path_factory.mktemp("task") / "task", copy_function=shutil.copyfile))


def machine_of(folder: Path) -> int:
    """Give the one ELF machine that all native code in `folder` is for."""
    (machine,) = {int.from_bytes(file.read_bytes()[18:20], "little") for file in folder.rglob("*.so")}
    return machine


def on_lambda(unpacked: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = [str(interpreter()), "-I", "-S", "-B", "-c", BEGIN + script, f"{unpacked}/"]
    return subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=False)


@pytest.mark.built
@pytest.mark.parametrize("handler", HANDLERS.values())
def test_a_handler_imports_from_the_package_alone_without_compiling(unpacked: Path, handler: str) -> None:
    module, _, name = handler.rpartition(".")

    run = on_lambda(unpacked, f"import {module}\nassert callable({module}.{name})")

    assert run.returncode == 0, run.stderr


@pytest.mark.built
def test_a_module_without_bytecode_is_noticed(unpacked: Path, tmp_path: Path) -> None:
    # The promise of the test above holds only if this one does.
    task = Path(shutil.copytree(unpacked, tmp_path / "task", copy_function=shutil.copyfile))
    (task / "handlers" / "__pycache__" / "health.cpython-313.pyc").unlink()

    run = on_lambda(task, "import handlers.health")

    assert "handlers/health.py has no bytecode that is valid" in run.stderr


@pytest.mark.built
def test_bytecode_names_the_files_where_lambda_has_them() -> None:
    # A path of the machine that built it would make every build another package, uploaded anew.
    bytecode = (BUILD / "Health" / "handlers" / "__pycache__" / "health.cpython-313.pyc").read_bytes()

    assert b"/var/task/handlers/health.py" in bytecode
    assert str(ROOT).encode() not in bytecode


@pytest.mark.built
def test_every_operation_that_the_code_calls_has_its_data_in_the_package_and_no_other(unpacked: Path) -> None:
    called = {service: sorted(names) for service, names in OPERATIONS.items()}
    look = "aws.client({0!r}, config=Config(region_name='eu-west-1')).meta.service_model.operation_names"
    shipped = ", ".join(f"{service!r}: sorted({look.format(service)})" for service in called)

    run = on_lambda(
        unpacked,
        f"import json\nfrom botocore.config import Config\nfrom shared import aws\nprint(json.dumps({{{shipped}}}))",
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout) == called
    assert {folder.name for folder in (unpacked / "botocore" / "data").iterdir() if folder.is_dir()} == called.keys()


@pytest.mark.built
def test_all_functions_ship_the_same_files() -> None:
    first, *others = [BUILD / function for function in HANDLERS]
    files = {path.relative_to(first) for path in first.rglob("*")}

    for other in others:
        assert {path.relative_to(other) for path in other.rglob("*")} == files
        assert all((other / file).samefile(first / file) for file in files if (first / file).is_file())


@pytest.mark.built
def test_nothing_needless_is_in_the_package() -> None:
    files = [path.relative_to(BUILD / "Health").as_posix() for path in (BUILD / "Health").rglob("*")]
    needless = re.compile(
        r"(^|/)(tests?|bin|examples)(/|$)|(^|/)(test_\w+|tests?|conftest|testing)\.py$|\.pyi$|py\.typed$"
        r"|^Makefile$|requirements.*\.txt$|(RECORD|WHEEL|INSTALLER)$"
    )

    assert [file for file in files if needless.search(file)] == []
    assert {file for file in files if file.endswith(".py")} == {
        re.sub(r"__pycache__/(\w+)\.cpython-313\.pyc$", r"\1.py", file) for file in files if file.endswith(".pyc")
    }


@pytest.mark.built
@pytest.mark.parametrize("architecture", PLATFORMS)
def test_native_code_is_for_the_architecture_that_was_asked_for(architecture: str) -> None:
    assert machine_of(package.package(architecture)) == MACHINES[architecture]


@pytest.mark.built
def test_a_package_over_the_bound_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(package, "MADE", tmp_path)
    monkeypatch.setattr(package, "MAX_UNPACKED_BYTES", 20_000_000)

    for _ in range(2):
        with pytest.raises(PackageError, match=r"MB unpacked, more than the bound of 20\.0 MB"):
            package.package("x86_64")


@pytest.mark.parametrize(
    "line",
    [
        "client = aws.client(name)",
        "client = boto3.client()",
        "client = boto3.resource('s3')",
        "from boto3 import client",
    ],
)
def test_a_client_of_which_the_service_cannot_be_read_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "door.py").write_text(f"from shared import aws\n\n{line}\n")

    with pytest.raises(PackageError, match=r"door\.py:3: name the service"):
        operations(tmp_path)


def test_every_call_that_a_handler_may_make_is_among_the_operations_that_ship() -> None:
    ships = {f"{service}:{name}" for service, names in OPERATIONS.items() for name in names}

    assert calls_in_source() <= ships


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session of botocore that has no other data than what ships."""
    whole, part = Path(botocore.__file__).parent / "data", tmp_path_factory.mktemp("data")
    for path in whole.iterdir():
        if path.name in OPERATIONS:
            shutil.copytree(path, part / path.name)
        elif path.is_file():
            shutil.copyfile(path, part / path.name)
    package.cut(part, OPERATIONS)
    session = Session()
    session.register_component("data_loader", Loader([str(part)], include_default_search_paths=False))
    return session


@pytest.mark.parametrize("service", sorted(OPERATIONS))
def test_what_ships_of_a_service_is_all_that_its_operations_send_and_understand(cut: Session, service: str) -> None:
    ours, whole = cut.get_service_model(service), Session().get_service_model(service)

    for name in OPERATIONS[service]:
        assert described(ours.operation_model(name)) == described(whole.operation_model(name))


@pytest.mark.parametrize("service", sorted(OPERATIONS))
def test_what_ships_of_a_service_makes_the_same_requests(cut: Session, service: str) -> None:
    for name in OPERATIONS[service]:
        assert sent(cut, service, name) == sent(Session(), service, name)


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1", "cn-northwest-1", "us-gov-west-1", "mx-central-1"])
@pytest.mark.parametrize("service", sorted(OPERATIONS))
def test_what_ships_of_a_service_leads_to_the_same_address(cut: Session, service: str, region: str) -> None:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    ours, whole = (each.create_client(service, region, **keys) for each in (cut, Session()))

    assert ours.meta.endpoint_url == whole.meta.endpoint_url
    assert ours.meta.partition == whole.meta.partition
    assert ours.meta.config.signature_version == whole.meta.config.signature_version


class NotSentError(Exception):
    """Raised in place of sending a request."""


def sent(session: Session, service: str, operation: str) -> Any:
    """Call an operation with as little as it takes; give the request that would be sent, but what differs each time."""
    client = session.create_client(service, "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    requests: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **_: Any) -> None:
        requests.append(request)
        raise NotSentError

    client.meta.events.register("before-send", keep)
    with pytest.raises(NotSentError):
        getattr(client, xform_name(operation))(
            **least(client.meta.service_model.operation_model(operation).input_shape)
        )
    (request,) = requests
    once = ("authorization", "x-amz-date", "amz-sdk-invocation-id", "user-agent")
    headers = {name: value for name, value in request.headers.items() if name.lower() not in once}
    return request.method, request.url, request.body, headers


def least(shape: Shape) -> Any:
    """Make the least that a shape allows."""
    match shape.type_name:
        case "structure":
            return {name: least(shape.members[name]) for name in shape.required_members}
        case "list":
            return [least(shape.member)]
        case "integer" | "long":
            return shape.metadata.get("min", 1)
        case _:
            return shape.enum[0] if getattr(shape, "enum", None) else "a" * max(8, shape.metadata.get("min", 0))


def described(operation: OperationModel) -> Any:
    """Give all that botocore knows of an operation but the words about it."""
    shapes = [operation.input_shape, operation.output_shape, *operation.error_shapes]
    return operation.http, operation.metadata, operation.endpoint, [shape and fields(shape, ()) for shape in shapes]


def fields(shape: Shape, above: tuple[str, ...]) -> Any:
    if shape.name in above:  # it contains itself
        return shape.name
    parts = {
        **getattr(shape, "members", {}),
        **{
            part: getattr(shape, part)
            for part in ("member", "key", "value")
            if isinstance(shape, ListShape | MapShape) and hasattr(shape, part)
        },
    }
    inner = {name: fields(part, (*above, shape.name)) for name, part in parts.items()}
    return shape.name, shape.type_name, shape.metadata, shape.serialization, inner


def test_the_package_is_made_for_the_runtime_of_the_template() -> None:
    assert f"Runtime: python{package.PYTHON}\n" in (ROOT / "template.yaml").read_text()
    assert MADE.is_relative_to(ROOT)


@pytest.mark.parametrize(
    "lock", ["src/requirements.txt", "requirements-dev.txt", "tools/sam.txt", "tools/cfn-lint.txt", "tools/checkov.txt"]
)
def test_a_lock_file_pins_everything_by_hash_and_names_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9].*", text, flags=re.MULTILINE | re.IGNORECASE)
    assert pinned
    assert [line for line in pinned if not re.fullmatch(r"\S+==\S+( ; .+)? \\", line)] == []
    assert len(re.findall(r"\\\n    --hash=sha256:[0-9a-f]{64}", text)) >= len(pinned)
