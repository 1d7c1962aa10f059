"""Parses command lines of experiments without running them.

Each in a child of one process that has imported what they need. Standard input is a JSON list of [modules, arguments,
whether required flags must be there]; one of the modules, with bars between them, must understand. Standard output
becomes a list of what is wrong with each, null where nothing is.
"""

import ast
import json
import os
import re
import runpy
import sys
import tempfile
import warnings

from absl import flags

from experiments import cli
from experiments.config import KEYS

_REQUIRED = {"config": "experiments/configs/quickstart.py", "workdir": "runs/x", "output": "x.json", "folder": "x"}
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*(,[A-Z_]+)*")


def with_values(argument):
    """An argument whose placeholder, such as SEED, is a value of the key's type; others as they are."""
    key, equals, value = argument.partition("=")
    option = KEYS.get(key.removeprefix("--config."))
    if not equals or option is None or not _PLACEHOLDER.fullmatch(value):
        return argument
    default = {int: 1, float: 1.0, str: "x", bool: True, tuple: (1,)}[option.kind]
    return f"{key}={default if option.default is None else option.default}"


def check_value(key, text):
    """Raises where a key does not exist or cannot have the value that the text is."""
    value: object = text
    if KEYS[key].kind is not str:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = {"true": True, "false": False}.get(text, text)
    none = text.lower() == "none" and KEYS[key].default is None
    KEYS[key].check(None if none else value, key)


def _parse(arguments, strict, own, default_config):
    if own is not None:
        flags.FLAGS.append_flag_values(own)
        own.mark_as_parsed()
    given = [with_values(argument) for argument in arguments if argument != "--help"]
    names = {argument.lstrip("-").split("=")[0] for argument in given}
    if default_config is not None and "config" not in names:
        given, names = [f"--config={default_config}", *given], {*names, "config"}
    if not strict:
        missing = [name for name in _REQUIRED if name in flags.FLAGS and name not in names]
        given = [f"--{name}={_REQUIRED[name]}" for name in missing] + given
    sys.argv = [sys.argv[0], *given]  # where config_flags looks for overrides
    rest = flags.FLAGS(sys.argv)[1:]
    if rest:
        raise ValueError(f"'{rest[0]}' is not a flag")
    if "config" in flags.FLAGS:
        flags.FLAGS.config.items()  # the file is read, if it was not yet
    for argument in given:
        key, _, value = argument.removeprefix("--config.").partition("=")
        if argument.startswith("--config.") and key in KEYS:
            check_value(key, value)
        if argument.startswith("--space=") and value.partition("=")[0] not in KEYS:
            raise ValueError(f"there is no key '{value.partition('=')[0]}'")
        if argument.startswith("--axis="):
            key, _, values = value.partition("=")
            for one in [values] if "(" in values else values.split(","):
                check_value(key, one)


def _child(module, arguments, strict, said):
    """Writes what is wrong to a file; does not return."""

    def parse_only(main, own=None, default_config=None, **more):
        del main, more
        _parse(arguments, strict, own, default_config)

    cli.run = parse_only
    try:
        sys.argv = [module]
        runpy.run_module(module, run_name="__main__")
    except BaseException as error:
        json.dump(f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}", said)
    else:
        json.dump(None, said)
    said.flush()
    os._exit(0)


def _first(modules, arguments, strict):
    """What is wrong with a line in the first of the modules, null where any understands."""
    said = []
    for module in modules.split("|"):
        said.append(_fork(module, arguments, strict))
        if said[-1] is None:
            return None
    return said[0]


def _fork(module, arguments, strict):
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            _child(module, arguments, strict, said)
        os.waitpid(child, 0)
        said.seek(0)
        return json.load(said)


if __name__ == "__main__":
    import experiments.train  # noqa: F401  (all but the commands themselves, whose flags each child defines)

    warnings.filterwarnings("ignore")  # of forking: no device has been used, so nothing is running; of runpy
    print(json.dumps([_first(*line) for line in json.load(sys.stdin)]))
