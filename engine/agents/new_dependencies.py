"""Looks up which dependencies a landing adds."""

from contextlib import suppress

from msgspec.structs import replace

from engine.domain.errors import SwarmError
from engine.policy.dependencies import added_dependencies, is_manifest
from engine.ports.protocols import LandResult
from engine.runtime.host import Host

MANIFESTS = 50
"""The most manifests of one landing that are read."""


async def with_dependencies(host: Host, result: LandResult) -> LandResult:
    """The landing with the dependencies that it adds. It has landed, so whatever cannot be read is left out."""
    paths = [path for path in result.paths if is_manifest(path)][:MANIFESTS]
    if result.commit is None or not paths:
        return result
    with suppress(SwarmError, OSError):
        before = {path: await host.trunk.read_file(result.base, path) for path in paths}
        after = {path: await host.trunk.read_file(result.commit, path) for path in paths}
        return replace(result, dependencies=added_dependencies(before, after))
    return result
