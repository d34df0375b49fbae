"""Which proxy a call goes through, what is said of one that cannot be used, and calls through real ones."""

from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, ModelError, ModelErrorKind, SwarmError
from engine.models.proxies import Proxy, proxy_for
from tests.engine.models.dialects import DIALECTS, FIRST, Dialect
from tests.engine.models.proxy_server import ProxyServer, proxying
from tests.engine.models.raw_server import serving, stream

FAR = "https://api.example.com/v1"
PASSWORD = "hunter2-and-more"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*VARIABLES, *map(str.lower, VARIABLES), *CERTIFICATES):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found = request.param
    assert isinstance(found, Dialect)
    return found


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("https://proxy", "https://proxy:443"),
        ("HTTP://PROXY/", "http://proxy:80"),
        ("proxy:3128", "http://proxy:3128"),
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("socks5://proxy", "socks5://proxy:1080"),
        ("socks5h://proxy:9", "socks5h://proxy:9"),
        ("socks://proxy:9", "socks5://proxy:9"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_may_be_written_in_all_usual_forms(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, address: str
) -> None:
    monkeypatch.setenv(variable, text)
    proxy = proxy_for(FAR)
    assert proxy is not None
    assert (proxy.address, str(proxy)) == (address, f"{address} ({variable})")


def test_a_blank_variable_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", " ")
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    assert str(proxy_for(FAR)) == "http://all:1 (ALL_PROXY)"


def test_the_variable_of_the_scheme_goes_before_the_one_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("https_proxy", "http://secure:1")
    assert str(proxy_for(FAR)) == "http://secure:1 (https_proxy)"
    assert str(proxy_for("http://api.example.com")) == "http://all:1 (ALL_PROXY)"


@pytest.mark.parametrize("text", [f"http://me:{PASSWORD}@proxy:1", f"me:{PASSWORD}@proxy:1", f"socks5://:{PASSWORD}@p"])
def test_a_password_is_used_but_never_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ALL_PROXY", text)
    proxy = proxy_for(FAR)
    assert proxy is not None
    assert proxy.password == PASSWORD
    assert PASSWORD not in str(proxy) + repr(proxy)
    assert "://***@" in str(proxy)


def test_a_password_may_be_percent_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://me%40work:a%2Fb%40c@proxy:1")
    assert proxy_for(FAR) == Proxy("ALL_PROXY", "http", "proxy", 1, "me@work", "a/b@c")


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http://:3128",
        "://proxy",
        "http://[::1",
        "http://proxy:99999",
        "http://proxy:0",
        "http://proxy:port",
        "ftp://proxy",
        "http://proxy/path",
        "a proxy:1",
        '"http://proxy:1"',
        f"http://me:{PASSWORD}/x@proxy:1",
        f"http://me:{PASSWORD}@",
        "socks4://proxy:1",
        "socks4a://proxy:1",
    ],
)
async def test_a_malformed_or_unsupported_proxy_is_a_clear_error(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", text)
    with pytest.raises(SwarmError, match=r"^ALL_PROXY ") as caught:
        dialect.open(FAR)
    assert caught.value.kind is ErrorKind.PROVIDER
    assert caught.value.hint
    assert PASSWORD not in caught.value.message + caught.value.hint
    await dialect.open("http://127.0.0.1:1").close()  # a server on this machine needs none


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1",
        "http://127.8.8.8:1",
        "http://127.1",
        "http://0x7f000001",
        "http://2130706433",
        "http://0.0.0.0:1",
        "http://localhost:1",
        "http://LOCALHOST.:1",
        "http://models.localhost",
        "http://[::1]",
        "http://[::]:1",
        "http://[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_is_asked_directly(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:1")
    assert proxy_for(address) is None
    assert proxy_for("http://127.0.0.1.example.com") is not None


@pytest.mark.parametrize(
    ("entries", "address", "direct"),
    [
        ("*", FAR, True),
        ("example.org, *", FAR, True),
        ("api.example.com", FAR, True),
        ("API.EXAMPLE.COM", FAR, True),
        ("example.com", FAR, True),
        (".example.com", FAR, True),
        ("*.example.com", FAR, True),
        ("https://api.example.com/", FAR, True),
        ("example.org api.example.com", FAR, True),
        (".example.com", "https://example.com", True),
        ("example.com", "https://badexample.com", False),
        ("api.example.com:443", FAR, True),
        ("api.example.com:8443", FAR, False),
        ("api.example.com:8443", "https://api.example.com:8443/v1", True),
        ("10.0.0.0/8", "http://10.1.2.3:8000", True),
        ("10.0.0.0/8", "http://11.1.2.3:8000", False),
        ("10.1.2.3", "http://10.1.2.3:8000", True),
        ("10.1.2.3:8000", "http://10.1.2.3:8000", True),
        ("10.1.2.3:80", "http://10.1.2.3:8000", False),
        ("fd00::/8", "http://[fd00::5]:8000", True),
        ("fd00::5", "http://[fd00::5]:8000", True),
        ("[fd00::5]", "http://[fd00::5]:8000", True),
        ("[fd00::5]:8000", "http://[fd00::5]:8000", True),
        ("[fd00::5]:80", "http://[fd00::5]:8000", False),
        ("", FAR, False),
        (",, ,[,:,/,host:port,[::1", FAR, False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_what_no_proxy_names_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, variable: str, entries: str, address: str, direct: bool
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:1")
    monkeypatch.setenv(variable, entries)
    assert (proxy_for(address) is None) is direct


@pytest.mark.parametrize("scheme", ["", "http://", "socks5://", "socks5h://", "socks://"])
@pytest.mark.parametrize("login", ["", f"me:{PASSWORD}"])
async def test_an_answer_comes_through_a_proxy(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch, scheme: str, login: str
) -> None:
    async with (
        serving(lambda _: stream(dialect.answer("Hello."))) as server,
        proxying(ProxyServer(server.url, login)) as proxy,
    ):
        monkeypatch.setenv("all_proxy", f"{scheme}{f'{login}@' if login else ''}127.0.0.1:{proxy.port}")
        provider = dialect.open("http://models.invalid")
        assert (await provider.ask(FIRST, lambda text: None)).message.text == "Hello."
        await provider.close()
    assert proxy.asked == ["models.invalid"]
    assert [seen.path for seen in server.seen] == [dialect.path]


@pytest.mark.parametrize(
    ("scheme", "address", "login", "status", "kind", "said"),
    [
        ("http", "http://models.invalid", "me:right", "200 OK", ModelErrorKind.REFUSED, "407 Proxy Authentication"),
        ("http", "https://models.invalid", "me:right", "200 OK", ModelErrorKind.REFUSED, "407 Proxy Authentication"),
        ("http", "https://models.invalid", "", "403 Forbidden", ModelErrorKind.REFUSED, "403 Forbidden"),
        ("http", "https://models.invalid", "", "502 Bad Gateway", ModelErrorKind.RETRYABLE, "502 Bad Gateway"),
        ("socks5h", "https://models.invalid", "me:right", "200 OK", ModelErrorKind.REFUSED, "username/password"),
        ("socks5h", "https://models.invalid", "", "403 Forbidden", ModelErrorKind.REFUSED, "not allowed by ruleset"),
    ],
)
async def test_a_proxy_that_refuses_is_named(
    dialect: Dialect,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    address: str,
    login: str,
    status: str,
    kind: ModelErrorKind,
    said: str,
) -> None:
    async with proxying(ProxyServer("", login, status)) as proxy:
        given = f"me:{PASSWORD}@" if login else ""
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{given}127.0.0.1:{proxy.port}")
        provider = dialect.open(address)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, lambda text: None)
        await provider.close()
    assert caught.value.kind is kind
    assert f"127.0.0.1:{proxy.port} (ALL_PROXY): " in caught.value.message
    assert said in caught.value.message
    assert PASSWORD not in caught.value.message


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@pytest.mark.parametrize("silent", [True, False])
async def test_a_proxy_that_is_dead_is_named_and_ends_the_call(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch, scheme: str, silent: bool
) -> None:
    async with proxying(ProxyServer("", silent=True)) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.port if silent else 1}")
        provider = dialect.open("https://models.invalid", stall_timeout=0.5)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, lambda text: None)
        await provider.close()
    assert caught.value.kind is ModelErrorKind.RETRYABLE
    assert caught.value.message.startswith(
        "no answer has begun within 0.5 s" if silent else f"no answer through the proxy {scheme}://127.0.0.1:1 "
    )


@pytest.mark.parametrize("variable", CERTIFICATES)
def test_certificates_that_cannot_be_read_are_a_clear_error(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    for path in ("absent.pem", "empty.pem"):
        monkeypatch.setenv(variable, str(tmp_path / path))
        with pytest.raises(SwarmError, match=rf"^{variable} names certificates that cannot be read") as caught:
            dialect.open(FAR)
        assert caught.value.hint == f"correct {variable}, or unset it to use the system's certificates"


async def test_certificates_do_not_matter_where_nothing_is_encrypted(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/absent.pem")
    await dialect.open("http://127.0.0.1:1").close()
