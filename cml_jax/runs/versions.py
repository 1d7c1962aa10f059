"""What results may depend on besides config and data: versions of libraries, the commit, and the devices."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import jax

_LIBRARIES = ("cml_jax", "jax", "jaxlib", "numpy", "optax", "orbax-checkpoint")


@functools.cache
def versions() -> dict[str, str]:
    """Of the libraries, of Python, and, in a clone of the repository, its commit."""
    found = {name: metadata.version(name) for name in _LIBRARIES} | {"python": platform.python_version()}
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit:
        found["commit"] = commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    return found


def devices() -> str:
    """Number, kind and platform of the devices, such as '1 x cpu (cpu)'."""
    return f"{jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})"


def _git(*arguments: str) -> str:
    """What git prints about this repository; nothing where there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
