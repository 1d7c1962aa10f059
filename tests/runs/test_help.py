"""What a command says of itself: --help, and what it answers to nothing at all."""

import pytest

from experiments.config import KEYS
from tests.tiny import commands

FLAGS = {
    "main": ["config", "workdir", "coordinator_address", "num_processes", "process_id", "[no]distributed"],
    "sweep": ["config", "workdir", "axis", "[no]dry_run"],
    "report": ["workdir", "baseline", "[no]results", "[no]boards"],
    "recommend": ["workdir", "k", "output", "users", "history", "similar_items", "export", "unknown"],
    "bench": ["output", "[no]quick"],
    "inspect": ["config"],
    "explore": ["workdir", "output", "users", "num_users", "maps"],
}


@pytest.fixture(scope="module")
def said():
    """(command, arguments) -> what they came to."""
    lines = [[f"experiments.{name}", *arguments] for name in FLAGS for arguments in (["--help"], [])]
    done = commands(lines, module=None)
    return {
        (line[0].removeprefix("experiments."), len(line) > 1): found for line, found in zip(lines, done, strict=True)
    }


@pytest.mark.parametrize("name", FLAGS)
def test_help_shows_the_flags_of_a_command_and_the_keys_of_its_config(name, said):
    done = said[name, True]
    assert done.returncode == 0 and done.stderr == "" and f"python -m experiments.{name} " in done.stdout
    lines = done.stdout.splitlines()
    for flag in FLAGS[name]:
        assert sum(line.startswith(f"  --{flag}: ") for line in lines) == 1, flag
    shown = [line for line in lines if line.startswith("  --config.")]
    assert len(shown) == (len(KEYS) if "config" in FLAGS[name] else 0)
    for key, option in KEYS.items() if shown else ():
        default = "none" if option.default is None else option.default
        place = lines.index(f"  --config.{key}={default}")
        assert lines[place + 1].strip() == option.help and option.help


@pytest.mark.parametrize("name", FLAGS)
def test_without_any_flag_an_example_is_shown(name, said):
    done = said[name, False]
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: flags are needed, such as in python -m experiments.{name} --")
