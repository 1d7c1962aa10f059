"""What every command line shares: flags are parsed and errors of the user's are printed as one sentence."""

import functools
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import jax
from absl import app, flags, logging

from cml_jax.errors import UserError
from cml_jax.files import home_path
from cml_jax.runs import preemption, validation
from cml_jax.runs.preemption import Preempted
from experiments import config


def run(
    main: Callable[[], None], own: flags.FlagValues | None = None, example: str = "", default_config: str | None = None
) -> None:
    """Parses the flags and calls main; a user's error is printed without a traceback, and the exit status is 1.

    Args:
        main: the command.
        own: its flags, where it keeps them apart from those of other commands.
        example: a command line, shown where no flags are given; needed where the command cannot do without.
        default_config: the config file where the flags name none.
    """
    if own is not None:
        flags.FLAGS.append_flag_values(own)
        own.mark_as_parsed()  # through flags.FLAGS, which has the same flags

    def wrapped(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            fail(f"'{argv[1]}' is not a flag; flags start with --.")
        try:
            main()
        except Preempted as stop:
            print(stop, file=sys.stderr)  # and exit status 0: the run goes on when it is started again
        except KeyboardInterrupt:  # Ctrl-C for the second time
            os._exit(preemption.INTERRUPTED)
        except UserError as error:
            _end(str(error))
        except OSError as error:
            _end(f"{error.filename or 'A file'}: {error.strerror or error}.")
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                _end("Out of memory; lower config.model.dim, config.train.batch_size or config.eval.memory_budget_mb.")
            if not jax.distributed.is_initialized():
                raise
            reason = " ".join(str(error).split())[:200]
            _end(
                f"Process {jax.process_index()} cannot go on, since another has stopped ({reason}); start all of them "
                f"again, to go on from the last checkpoint."
            )

    # What fails in a library's thread, such as saving, is raised again where it is waited for, and reported there; its
    # traceback, and what libraries log at length, is for --verbosity=0.
    threading.excepthook = lambda failure: logging.info("In a thread: %s", failure.exc_value)
    sys.unraisablehook = lambda failure: logging.info("Not raised: %s", failure.exc_value)
    logging.set_verbosity(logging.FATAL)
    preemption.exit_on_second_interrupt()
    app.run(wrapped, flags_parser=functools.partial(_parse, own=own, example=example, default_config=default_config))


_PATHS = ("workdir", "output", "users_file", "history", "allow", "deny", "export", "folder")  # flags of any command
_HELP = ("--help", "-help", "--helpshort", "-helpshort", "--helpfull", "-helpfull")


def _parse(
    argv: Sequence[str], own: flags.FlagValues | None, example: str, default_config: str | None = None
) -> list[str]:
    if any(argument in _HELP for argument in argv):
        _print_help(own)
        sys.exit(0)
    argv = [re.sub(r"^(--?config=)(~.*)", lambda found: found[1] + str(home_path(found[2])), value) for value in argv]
    if len(argv) == 1 and example:
        fail(f"flags are needed, such as in {example}; --help lists them.")
    if default_config is not None and not any(re.fullmatch(r"--?config(=.*)?", argument) for argument in argv):
        argv = [argv[0], f"--config={default_config}", *argv[1:]]  # before the keys that change it
    for i, argument in enumerate(argv):
        value = re.fullmatch(r"--?config(?:=(.*))?", argument)
        if value:
            path = (value[1] if value[1] is not None else "".join(argv[i + 1 : i + 2])).split(":")[0]
            if not Path(path).is_file():
                fail(f"--config={path}: no such file; give a config file such as experiments/configs/quickstart.py.")
    try:
        rest = flags.FLAGS(list(argv))
        for name in _PATHS:
            path = flags.FLAGS[name].value if name in flags.FLAGS else None
            if path:
                flags.FLAGS[name].value = str(home_path(path))
        return rest
    except flags.Error as error:
        fail(_one_sentence(error))
    except (AttributeError, KeyError) as error:  # raised where an override's key is looked up in the config
        keys = [argument.lstrip("-").split("=")[0] for argument in argv]
        overrides = [key.removeprefix("config.") for key in keys if key.startswith("config.")]
        fail(validation.unknown_key(overrides) or _one_sentence(error))
    except Exception as error:  # the config file is run while flags are parsed, and may raise anything
        fail(_one_sentence(error))


def _print_help(own: flags.FlagValues | None) -> None:
    """The command's docstring, all of its flags, and the keys of its config."""
    app.usage(shorthelp=True, writeto_stdout=True)
    if own is not None:
        print(own.get_help())
    for module in flags.FLAGS.flags_by_module_dict():
        if module.startswith("experiments."):  # of several commands
            print(flags.FLAGS.module_help(module))
    if "config" in flags.FLAGS:
        print(f"\nconfig, with --config.KEY=VALUE:\n{config.help_text()}")


def with_flags(sentence: str) -> str:
    """The sentence with config keys written as flags: 'dataset.path' as '--config.dataset.path'.

    As it is where the command has no such flags.
    """
    if "config" not in flags.FLAGS:
        return sentence
    return re.sub(
        r"(?<![\w.=-])(?:config\.)?([a-z]+\.[a-z_]+)(?!\w)",
        lambda found: f"--config.{found[1]}" if found[1] in config.KEYS else found[0],
        sentence,
    )


def _one_sentence(error: Exception) -> str:
    """The error on one line; of an error that quotes a traceback, what was raised at its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Traceback (most recent call last):" in str(error):
        return f"{lines[0].split(': Error whilst')[0]}: the config file raised {lines[-1]}"
    text = " ".join(lines)
    missing = re.fullmatch(r"flag --(\w+)=None: Flag --\1 must have a value other than None\.", text)
    if missing:
        return f"--{missing[1]} is needed; --help says what it is."
    return text if isinstance(error, flags.Error) else f"--config: {type(error).__name__}: {text}"


def _end(sentence: str) -> NoReturn:
    """Like `fail`, but one of several processes does not wait at its exit for others, which may be gone."""
    if jax.distributed.is_initialized():
        print(f"error: {with_flags(sentence)}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1)
    fail(sentence)


def fail(sentence: str) -> NoReturn:
    """Prints one sentence to standard error and ends the process with status 1."""
    print(f"error: {with_flags(sentence)}", file=sys.stderr)
    sys.exit(1)
