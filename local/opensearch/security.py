"""How a node runs OpenSearch's security plugin: as an Amazon domain with fine-grained access control decides.

There, IAM's signature says who asks, and the ARN of the role is a backend role. Here the plugin believes what a proxy
on this machine says that has verified the signature (OpenSearch documentation, "Security > Proxy-based
authentication"). Who says nothing is a master, so that whoever started the node can look behind everything.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PLUGIN: Final = "org.opensearch.security.OpenSearchSecurityPlugin"
_USER, _ROLES, _FORWARDED = "x-proxy-user", "x-proxy-roles", "x-forwarded-for"
_ANONYMOUS: Final = "opendistro_security_anonymous_backendrole"
_CERTIFICATE, _KEY = "node.pem", "node.key"
_CERTIFICATE_DAYS: Final = 30


def headers_for(backend_role: str) -> dict[str, str]:
    """Give the headers with which a proxy says that this backend role asks; it takes out what clients send as such."""
    return {_USER: backend_role, _ROLES: backend_role, _FORWARDED: "127.0.0.1"}


def configure(data: Path, masters: Sequence[str]) -> None:
    """Write what the plugin reads when a node over `data` starts; the backend roles `masters` may do everything."""
    config = data / "config"
    security = config / "opensearch-security"
    for folder in (config, security):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_certificate(config)
    _write(config / "opensearch.yml", yaml.safe_dump(_settings()))
    for name, (kind, content) in _documents(masters).items():
        document = {"_meta": {"type": kind, "config_version": 2}, **content}
        _write(security / f"{name}.yml", yaml.safe_dump(document))


def _settings() -> dict[str, Any]:
    transport = "plugins.security.ssl.transport"
    return {
        # The plugin wants TLS between nodes, of which there are no others.
        f"{transport}.pemcert_filepath": _CERTIFICATE,
        f"{transport}.pemkey_filepath": _KEY,
        f"{transport}.pemtrustedcas_filepath": _CERTIFICATE,
        f"{transport}.enforce_hostname_verification": False,
        "plugins.security.ssl.http.enabled": False,
        "plugins.security.audit.type": "noop",
        "plugins.security.nodes_dn": ["CN=node"],
        "plugins.security.allow_default_init_securityindex": True,
        "plugins.security.restapi.roles_enabled": ["all_access"],
    }


def _documents(masters: Sequence[str]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Give the plugin's own configuration, without its default mappings: everybody's to own_index hides refusals."""
    proxy = {
        "http_enabled": True,
        "order": 0,
        "http_authenticator": {
            "type": "proxy",
            "challenge": False,
            "config": {"user_header": _USER, "roles_header": _ROLES},
        },
        "authentication_backend": {"type": "noop"},
    }
    http = {
        "anonymous_auth_enabled": True,
        "xff": {"enabled": True, "internalProxies": r"127\.0\.0\.1", "remoteIpHeader": _FORWARDED},
    }
    all_access = {"backend_roles": [*masters, _ANONYMOUS]}
    return {
        "config": ("config", {"config": {"dynamic": {"http": http, "authc": {"proxy": proxy}}}}),
        "roles_mapping": ("rolesmapping", {"all_access": all_access}),
        "roles": ("roles", {}),
        "internal_users": ("internalusers", {}),
        "action_groups": ("actiongroups", {}),
        "tenants": ("tenants", {}),
    }


def _write_certificate(folder: Path) -> None:
    """Write a key and a certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    _write(folder / _CERTIFICATE, certificate.public_bytes(Encoding.PEM).decode())
    _write(folder / _KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def _write(file: Path, text: str) -> None:
    """Write a file that is for nobody else's eyes, or the plugin warns of each."""
    file.touch(mode=0o600)
    file.write_text(text)
