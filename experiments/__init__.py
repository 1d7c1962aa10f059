"""Commands, configs and results; the library is `cml_jax`."""

import sys

if sys.argv[:1] == ["-m"]:  # so it is while python -m looks for a command, before the slow imports
    from experiments import interrupts

    interrupts.end_quietly()
