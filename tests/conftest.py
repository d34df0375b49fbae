"""Closes the tests' environment, so that they behave the same for everyone on every machine.

Of the variables only those are kept that starting Python, pytest and package clients need. HOME is an empty folder, and
git reads no configuration but one that forbids it to guess an identity: a commit by the product that brings none fails.
"""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

KEPT = (
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR", "CI"),
    *("PYTEST_", "PYTHON", "PYENV_", "COV_", "SWARM_TEST_", "FAULT_SEEDS", "BENCH_DIR"),
    *("PIP_", "UV_", "NPM_CONFIG_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
)
"""What the kept variables' names begin with, in upper or lower case."""
HOME = Path(tempfile.mkdtemp(prefix="home-of-tests-"))

for name in list(os.environ):
    if not name.upper().startswith(KEPT):
        del os.environ[name]
(HOME / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
os.environ |= {"HOME": str(HOME), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
os.environ["no_proxy"] = "127.0.0.1,localhost"  # the tests' own servers
time.tzset()

# Programs in the tests get signals that a job in the background ignores.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
