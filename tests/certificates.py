"""A certificate of a test's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def make_certificate(
    folder: Path, cert: str = "cert.pem", key: str = "key.pem", name: str = "localhost"
) -> None:
    """Files of a certificate and its key, for this machine; who trusts the former trusts the latter's holder."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(folder / key), "-out", str(folder / cert)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
