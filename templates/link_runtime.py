"""Runs once in each image's build: puts SDK and worker first on ``sys.path``, and the packages that they import last.

The runtime comes from the CLI that deploys, so that CLI and worker never differ. The project's own versions of
cloudpickle and urllib3 take precedence over the copies.
"""

import compileall
import pathlib
import sys
import sysconfig

if sys.hexversion < 0x030B0000:
    sys.exit(f"the base image has Python {sys.version.split()[0]}; Multinode needs 3.11 or later (--base-image)")
site_packages = pathlib.Path(sysconfig.get_path("purelib"))
(site_packages / "multinode_runtime.pth").write_text("import sys; sys.path.insert(0, '/multinode/runtime')\n")
(site_packages / "zzz_multinode_fallback.pth").write_text("import sys; sys.path.append('/multinode/fallback')\n")
for folder in ("/multinode/runtime", "/multinode/fallback"):
    compileall.compile_dir(folder, quiet=1)
