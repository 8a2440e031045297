"""What `make build` made, looked at as Lambda will; `make build-check` runs it, for it needs the wheels."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local.template import ROOT, functions
from tools import package
from tools.package import MADE, PLATFORMS, PackageError, interpreter, services

BUILD = ROOT / ".aws-sam" / "build"
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
def test_every_service_that_the_code_calls_has_its_data_in_the_package(unpacked: Path) -> None:
    sources = " ".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    called = set(re.findall(r"""boto3\.client\(\s*["']([\w-]+)""", sources))
    make = "\n".join(f"boto3.client({service!r}, region_name='eu-west-1')" for service in sorted(called))

    run = on_lambda(unpacked, f"import boto3\n{make}")

    assert (run.returncode, run.stderr) == (0, "")
    assert called == services()
    shipped = {folder.name for folder in (unpacked / "botocore" / "data").iterdir() if folder.is_dir()}
    assert shipped == called


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


@pytest.mark.parametrize("call", ["boto3.client(name)", "boto3.resource('s3')", "boto3.Session()", "boto3.client()"])
def test_a_call_from_which_the_service_cannot_be_read_is_refused(tmp_path: Path, call: str) -> None:
    (tmp_path / "door.py").write_text(f"import boto3\n\nclient = {call}\n")

    with pytest.raises(PackageError, match=r"door\.py:3: name the service"):
        services(tmp_path)


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
