"""JAX's persistent compilation cache: a folder from which later processes read programs instead of compiling them."""

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from cml_jax.errors import ConfigError
from cml_jax.files import home_path

KEY = "compilation_cache_dir"
_REMEDY = "name another folder, or leave it out"
_REQUESTS = "/jax/compilation_cache/compile_requests_use_cache"
_HITS = "/jax/compilation_cache/cache_hits"
_events: Counter[str] = Counter()
jax.monitoring.register_event_listener(lambda event, **_: _events.update([event]))


def check(value: str | None, name: str = f"config.{KEY}") -> None:
    """Checks that a folder can be there, without making it.

    Args:
        value: the folder; None for none.
        name: what a sentence calls it.

    Raises:
        ConfigError: a file is in its place or in that of a folder above it, or it may not be written.
    """
    if value is None:
        return
    folder = home_path(value).absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise ConfigError(f"{name} = {value!r}: {there} is not a folder; {_REMEDY}.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{name} = {value!r}: {there} may not be written; {_REMEDY}.")


@contextlib.contextmanager
def used(value: str | None, say: Callable[[str], None], name: str = f"config.{KEY}") -> Iterator[None]:
    """Keeps every program that is compiled meanwhile in a folder, or reads it from there; says how many were read.

    With None, JAX's own settings stay, such as JAX_COMPILATION_CACHE_DIR, and nothing is said.

    Args:
        value: the folder, which is made; None for none.
        say: prints a line of the log.
        name: what a sentence calls it.

    Raises:
        ConfigError: it cannot be made or written.
    """
    if value is None:
        yield
        return
    folder = home_path(value).absolute()
    _make(folder, value, name)
    before = _events.copy()
    with _settings(
        jax_compilation_cache_dir=str(folder),
        jax_enable_compilation_cache=True,
        # A run has dozens of programs that compile in less than the second from which on JAX keeps them.
        jax_persistent_cache_min_compile_time_secs=0.0,
        jax_persistent_cache_min_entry_size_bytes=-1,
    ):
        try:
            yield
        finally:
            read, wanted = (_events[event] - before[event] for event in (_HITS, _REQUESTS))
            say(f"Compilation cache {value}: {read} of {wanted} programs read, {wanted - read} compiled.")


def _make(folder: Path, value: str, name: str) -> None:
    """Makes the folder, and tries to write to it."""
    check(value, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{name} = {value!r}: cannot be written ({error.strerror or error}); {_REMEDY}.") from error


@contextlib.contextmanager
def _settings(**values: str | float | bool) -> Iterator[None]:
    """Settings of JAX for a while, with a cache that follows them."""
    before = {name: getattr(jax.config, name) for name in values}
    try:
        for name, value in values.items():
            jax.config.update(name, value)
        reset_cache()  # the folder of a cache in use does not follow the setting
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        reset_cache()
