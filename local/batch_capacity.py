"""What a compute environment can hold, and what Batch says of a job that it cannot.

AWS Batch user guide, "Jobs stuck in a RUNNABLE status": such a job stays at the head of its queue, where none passes
it, until somebody cancels it, or an action of the queue for this very reason does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

_MAX_RESOURCE: Final = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
_REQUIREMENT: Final = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
_EXPLAINED: Final = {
    _MAX_RESOURCE: "CE(s) associated with the job queue cannot meet the CPU requirement of the job.",
    _REQUIREMENT: (
        "The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the "
        "job queue."
    ),
}


class Size(NamedTuple):
    """What a job asks for, or an instance has for jobs."""

    vcpus: int
    memory_mib: int


#: The largest of the family `optimal`, r4.16xlarge: 488 GiB less the 5 % that the user guide leaves to the host.
LARGEST_INSTANCE: Final = Size(64, 474_700)


@dataclass(frozen=True, slots=True)
class Capacity:
    """A compute environment: the vCPUs of all its instances together, and its largest instance."""

    max_vcpus: int
    largest: Size = LARGEST_INSTANCE

    def refusal(self, requirements: Sequence[dict[str, Any]]) -> str:
        """Give the reason for which a job of these requirements can never be placed, "" where it can."""
        asked = {requirement["type"]: int(requirement["value"]) for requirement in requirements}
        size = Size(asked["VCPU"], asked["MEMORY"])
        if size.vcpus > self.max_vcpus:
            return _MAX_RESOURCE
        return _REQUIREMENT if any(part > most for part, most in zip(size, self.largest, strict=True)) else ""


def unsized(container: Mapping[str, Any]) -> list[str]:
    """Say what a definition's container lacks that on EC2 has to be there (Batch API, ResourceRequirement)."""
    given = {requirement["type"] for requirement in container.get("resourceRequirements", [])}
    return [
        f"containerProperties.resourceRequirements lacks {type}" for type in ("VCPU", "MEMORY") if type not in given
    ]


def stuck(reason: str) -> str:
    """Give the job's statusReason while it is stuck for a reason."""
    return f"{reason} - {_EXPLAINED[reason]}"


def cancelled(reason: str) -> str:
    """Give the job's statusReason once the queue's action for a reason has cancelled it."""
    return f"Canceled by JobStateTimeLimit action due to reason: {reason}"
