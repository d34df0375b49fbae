"""How a provider's server is reached. Apart from the registry, because each command loads that, and this loads much."""

from collections.abc import Mapping

from engine.domain.setting_types import check_web_address
from engine.domain.settings import ProviderSettings
from engine.models.certificates import named_certificates
from engine.models.proxies import proxy_for
from engine.models.registry import PROVIDERS, base_url


def route(name: str, settings: ProviderSettings, environ: Mapping[str, str]) -> str:
    """How the provider's server is reached: `direct`, or its proxy without a password.

    Raises SwarmError for an address, a proxy or certificates that cannot be used.
    """
    address = base_url(name, settings, environ) or PROVIDERS[name].address
    check_web_address(address)
    proxy = proxy_for(address)
    if address.lower().startswith("https:"):
        named_certificates()
    return f"through the proxy {proxy}" if proxy else "direct"
