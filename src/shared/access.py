"""What the functions' IAM roles may do inside a domain with fine-grained access control.

IAM decides who may send a request to the domain; there, OpenSearch's security plugin decides once more, by roles of its
own that IAM roles are mapped to. Permissions and REST API: OpenSearch documentation, "Security > Access control".
"""

from collections.abc import Mapping
from typing import Any, Final

from shared import opensearch, settings
from shared.log import logger

PATH: Final = "/_plugins/_security/api"
_READ: Final = ("indices:data/read/*",)
_WORK: Final = (
    "indices:data/write/update",
    "indices:data/write/index",
    "indices:data/write/bulk*",
    "indices:admin/refresh*",
)
_WRITE: Final = (
    "indices:data/write/*",
    "indices:admin/create",
    "indices:admin/aliases",
    "indices:admin/mapping/put",
    "indices:admin/refresh*",
)
_OPERATE: Final = (
    "indices:admin/create",
    "indices:data/write/index",
    "indices:admin/aliases",
    "indices:admin/aliases/get",
    "indices:monitor/recovery",
)


def roles(index_prefix: str) -> dict[str, dict[str, Any]]:
    """Give the domain's roles by name: what each may do in the cluster, and in the indices of this prefix."""

    def role(cluster: tuple[str, ...], actions: tuple[str, ...], indices: str = "*") -> dict[str, Any]:
        patterns = [f"{index_prefix}-{indices}"]
        in_indices = [{"index_patterns": patterns, "allowed_actions": list(actions)}] if actions else []
        return {"cluster_permissions": list(cluster), "index_permissions": in_indices}

    return {
        # GET /, which tells that the domain answers and takes our signature.
        f"{index_prefix}_monitor": role(("cluster:monitor/main",), ()),
        # Reading several documents at once is a permission of the cluster.
        f"{index_prefix}_read": role(("cluster_composite_ops_ro",), _READ),
        f"{index_prefix}_write": role(("cluster_composite_ops",), _READ + _WRITE),
        # A bot's container sees the work list alone, and removes nothing from it. Scrolling is a permission of the
        # cluster, and so is the bulk request that OpenSearch makes of every _update.
        f"{index_prefix}_run_bots": role(
            ("indices:data/read/scroll*", "indices:data/write/bulk"), _READ + _WORK, "items*"
        ),
        # Snapshots are the cluster's; what is restored is created and written as if by hand, and must be allowed so.
        f"{index_prefix}_operate": role(("cluster:admin/snapshot/get", "cluster:admin/snapshot/restore"), _OPERATE),
    }


def map_roles() -> list[str]:
    """Write the domain's roles and who has them; repeating it changes nothing. Give the names of those written.

    A domain without the security plugin decides by IAM alone: then nothing is written, and the log says so. Raise
    RegistryUnavailableError where the domain refuses or cannot be reached.
    """
    config = settings.role_mapping()
    wanted = roles(config.index_prefix)
    members: Mapping[str, tuple[str, ...]] = {
        f"{config.index_prefix}_monitor": config.monitor,
        f"{config.index_prefix}_read": config.read,
        f"{config.index_prefix}_write": config.write,
        f"{config.index_prefix}_run_bots": config.run_bots,
        f"{config.index_prefix}_operate": config.operate,
    }
    for name, role in wanted.items():
        if not opensearch.put(f"{PATH}/roles/{name}", role):
            logger.info("domain has no fine-grained access control, no role mapped")
            return []
        opensearch.put(f"{PATH}/rolesmapping/{name}", {"backend_roles": list(members[name])})
    logger.info("roles mapped", roles=list(wanted))
    return list(wanted)
