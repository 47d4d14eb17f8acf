"""Mail over TLS, sent by a program of its own to a server whose certificate it must know."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from django.conf import settings

from conftest import OF_SETTINGS
from valhalla.tests.mail_server import MailServer, mail_server

pytestmark = pytest.mark.once
SEND = "from django.core.mail import send_mail; send_mail('s', 'b', 'a@example.ca', ['b@example.ca'])"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def send(server: MailServer, scheme: str, var: Path, authority: trustme.CA | None) -> str:
    """Send a mail by the way that EMAIL_URL names; returns the last line of what it complained of."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_SETTINGS}
    own = {"VALHALLA_VAR": str(var), "EMAIL_URL": f"{scheme}://localhost:{server.server_address[1]}"}
    if authority is not None:
        authority.cert_pem.write_to_path(str(var / "authority.pem"))
        own["SSL_CERT_FILE"] = str(var / "authority.pem")
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", SEND],
        cwd=settings.BASE_DIR,
        env={**kept, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize("scheme", ["smtp+tls", "smtp+ssl"])
def test_mail_goes_over_tls_to_a_server_that_is_known(
    scheme: str, authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    with mail_server(tls=context, from_the_start=scheme == "smtp+ssl") as server:
        assert "certificate verify failed" in send(server, scheme, tmp_path, None)
        assert server.taken == []
        assert send(server, scheme, tmp_path, authority) == ""

    assert len(server.taken) == 1
