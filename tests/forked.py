"""Runs command lines of experiments, each in a child of one process that has imported what they need.

Standard input is a JSON list of [module, *arguments]; standard output becomes a list of [exit status, output, errors].
"""

import json
import os
import runpy
import sys
import tempfile
import traceback
import warnings


def _run(module, *arguments):
    """As `python -m MODULE ARGUMENTS` would; does not return."""
    status = 0
    try:
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _fork(line):
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            _run(*line)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        errors.seek(0)
        return os.waitstatus_to_exitcode(status), output.read(), errors.read()


if __name__ == "__main__":
    import experiments.train  # noqa: F401  (all but the command itself, whose flags each child defines)

    warnings.filterwarnings("ignore", message=r".*fork")  # no device has been used, so nothing is running
    print(json.dumps([_fork(line) for line in json.load(sys.stdin)]))
