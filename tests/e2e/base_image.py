"""The base image of the tests' projects: Debian by debootstrap, trusting what this machine trusts and the tests' API.

No image registry is asked: `debootstrap` fetches packages, of which the first image is made. It stays in the engine.
"""

import fcntl
import hashlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.engine import Engine

SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
DEBIAN = f"multinode-e2e/debian:{SUITE}"
PIP_SETTING = re.compile(r"^.*\.(index-url|extra-index-url|trusted-host|proxy)='(?!file:)(.*)'$", re.MULTILINE)
DOCKERFILE = f"""\
FROM {DEBIAN}
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf
"""


def base_image(engine: Engine, certificate: Path) -> str:
    """Return the name of the image, which is that of this run alone. `certificate` is trusted in it."""
    debian_image(engine)
    with tempfile.TemporaryDirectory(prefix="multinode-base-") as name:
        context = Path(name)
        (context / "Dockerfile").write_text(DOCKERFILE)
        (context / "ca-certificates.crt").write_text(trusted_certificates(certificate))
        (context / "pip.conf").write_text(_pip_configuration())
        image = f"multinode-e2e/base:{hashlib.sha256(certificate.read_bytes()).hexdigest()[:16]}"
        engine.run("build", "--quiet", "--tag", image, context)
    return image


def debian_image(engine: Engine) -> str:
    """Return the name of an image with Debian's Python, pip and venv, and nothing of this machine's.

    Test runs side by side make it once: it takes a minute.
    """
    with Path(tempfile.gettempdir(), "multinode-debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not engine.has_image(DEBIAN):
            _import_debian(engine)
    return DEBIAN


def trusted_certificates(certificate: Path) -> str:
    """Return the certificates that this machine trusts, and `certificate`."""
    paths = ssl.get_default_verify_paths()
    bundle = Path(os.environ.get("SSL_CERT_FILE") or paths.cafile or paths.openssl_cafile)
    return f"{bundle.read_text()}\n{certificate.read_text()}"


def _import_debian(engine: Engine) -> None:
    with tempfile.TemporaryDirectory(prefix="multinode-debian-") as name:
        root = Path(name, "root")
        script = f"""
            debootstrap --variant=minbase --include={PACKAGES} {SUITE} {root}
            rm -rf {root}/var/cache/apt/archives/*.deb {root}/var/lib/apt/lists/* {root}/usr/share/{{doc,man}}
            tar --directory {root} --create --one-file-system . | docker import - {DEBIAN}
        """
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=900)
        assert done.returncode == 0, f"debootstrap:\n{done.stdout.decode()[-5000:]}"


def _pip_configuration() -> str:
    """Return how pip reaches its packages from here, without what lies on this machine's disk."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = dict(PIP_SETTING.findall(listed.stdout))
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""])
