"""Readers on damaged files and on well-formed ones in any dress; `CML_FUZZ_EXAMPLES=10000 pytest tests/test_fuzz.py`.

Damaged files give a data set or one sentence that names the file, and nothing else. Well-formed files give the pairs
that plain Python finds in the rows that were written, and the notes account for every row that is not among them.
"""

import functools
import os
import re
import tempfile
import warnings
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from cml_jax.data import datasets
from cml_jax.errors import UserError
from tests import written_files
from tests.test_readers import raw_pairs

NUM_PROPERTIES = 21  # with the formats counted
fuzz = hypothesis.settings(
    max_examples=-(-int(os.environ.get("CML_FUZZ_EXAMPLES", "320")) // NUM_PROPERTIES),
    derandomize="CML_FUZZ_EXAMPLES" not in os.environ,  # the short run is the same every time
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
