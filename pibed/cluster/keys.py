"""TLS for schedulers that run on their own: which keys the engine's own configuration names."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pibed.base.errors import HostError

Role: TypeAlias = Literal["client", "worker", "scheduler"]

_WHERE = "distributed.comm.tls"


def has_keys(role: Role) -> bool:
    """Whether this side of a connection has all that it needs for TLS."""
    return not _missing(role)


def require_fit(address: str, role: Role) -> None:
    """Raises HostError if this side cannot take part in what the address's protocol demands."""
    import dask
    from distributed import Security

    if not address.startswith("tls://"):
        if dask.config.get("distributed.comm.require-encryption", None):
            raise HostError(
                f"{address}: Dask's configuration here requires encryption, and this is none",
                fix=f"name it as tls://{address.partition('://')[2]}, with a scheduler that has "
                "keys (docs/cluster.md#security)",
            )
        return
    if missing := _missing(role):
        raise HostError(
            f"{address}: Dask's configuration here names no keys for TLS, which it does with "
            f"{' and '.join(missing)}",
            fix="write cert.pem, key.pem and tls.yaml into ~/.config/dask, or the folder that "
            "DASK_CONFIG names, as docs/cluster.md#security has them",
        )
    try:
        Security().get_connection_args(role)
    except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
        names = ", ".join(str(dask.config.get(each)) for each in _settings(role))
        raise HostError(
            f"{address}: the keys for TLS cannot be used ({names}): {error}",
            fix="see that they are there, are readable and belong together "
            "(docs/cluster.md#security)",
        ) from None


def _settings(role: Role) -> list[str]:
    # A certificate's file can have the key as well.
    return [f"{_WHERE}.ca-file", f"{_WHERE}.{role}.cert"]


def _missing(role: Role) -> list[str]:
    import dask

    return [each for each in _settings(role) if not dask.config.get(each, None)]
