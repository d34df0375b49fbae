"""The certificates that calls trust, if the environment names others than the system's."""

import os
import ssl

from engine.domain.errors import ErrorKind, SwarmError


def named_certificates() -> ssl.SSLContext | None:
    """Trusts the certificates of the first variable that is set; None if none is. Raises SwarmError (provider)."""
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"):
        if not (path := os.environ.get(variable)):
            continue
        try:
            if any(map(os.path.isdir, path.split(os.pathsep))):
                return ssl.create_default_context(capath=path)
            return ssl.create_default_context(cafile=path)
        except OSError as error:
            reason = "it has no certificates" if isinstance(error, ssl.SSLError) else error.strerror
            raise SwarmError(
                ErrorKind.PROVIDER,
                f"{variable} names certificates that cannot be read: {path[:200]}: {reason}",
                f"correct {variable}, or unset it to use the system's certificates",
            ) from None
    return None
