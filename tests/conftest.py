import gc
import mmap
import os
import shutil
import tempfile
from pathlib import Path

import jaxlib

# Programs of one shape are compiled once for all tests, their processes included. Set before jax is imported.
# Workers inherit it from the process that starts them.
_OWN_CACHE = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _OWN_CACHE = os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="cml_jax_tests_")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

# Eight devices, for what is split over several; programs that run for milliseconds are not worth optimising.
_FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"


def _is_known_to_xla(flag):
    """Whether jaxlib has a flag of this name; one that it does not know ends the process."""
    for path in Path(jaxlib.__file__).parent.glob("*jax_common*"):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library:
            return library.find(flag.encode()) >= 0
    return False


_FUSION = "xla_cpu_use_fusion_emitters"
if _is_known_to_xla(_FUSION):
    _FLAGS += f" --{_FUSION}=false"  # a tiny step then compiles in 2 s and not in 5
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAGS}"

import hypothesis  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import scipy.stats  # noqa: E402

from cml_jax.data.interactions import from_pairs  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")  # no silent broadcasting

# A change is judged by the same examples every time; others are tried with `pytest --hypothesis-profile=default`.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")

# Chi-square tests fail where the p-value is below this. Keys are fixed, so a passing test keeps passing; for a new key
# the chance of a false alarm is one in a hundred thousand a test.
FALSE_ALARM_RATE = 1e-5
_ENOUGH_BYTES = 1_200_000_000  # of memory, of one process of tests


def assert_law(counts, probabilities):
    """Counts of independent draws against their probabilities, by chi-square; what has probability 0 must not occur."""
    counts, probabilities = np.asarray(counts), np.asarray(probabilities, float)
    assert counts[probabilities == 0].sum() == 0
    expected = probabilities[probabilities > 0] * counts.sum()
    assert expected.min() > 5, "too few draws for the chi-square approximation"
    if len(expected) == 1:
        return
    p_value = scipy.stats.chisquare(counts[probabilities > 0], expected, sum_check=False).pvalue
    assert p_value > FALSE_ALARM_RATE


def compile_by_default(lowered):
    """A lowered program compiled without the tests' flag, with which two programs that do the same may round apart."""
    return lowered.compile({_FUSION: True} if _FUSION in _FLAGS else {})


def assert_gradient(value, gradient, point):
    """The gradient of a function at a point, in double precision, against differences along three directions."""
    rng, step = np.random.default_rng(2), 1e-6
    for _ in range(3):
        direction = [rng.normal(size=x.shape) for x in point]
        ahead, behind = (
            value(*[x + sign * step * d for x, d in zip(point, direction, strict=True)]) for sign in (1, -1)
        )
        along = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
        np.testing.assert_allclose((ahead - behind) / (2 * step), along, rtol=1e-6, atol=1e-9)


@pytest.fixture(scope="session")
def ragged():
    """Small asymmetric interactions: 7 users, 11 items, rows of 1 to 8 items; item 10 has no user."""
    rows = [[0, 1, 2, 3, 5, 7, 8, 9], [4], [1, 3], [0, 9], [2, 4, 6], [5, 6, 7, 8, 9], [3]]
    users = np.concatenate([[u] * len(row) for u, row in enumerate(rows)])
    return from_pairs(users, np.concatenate(rows), 7, 11)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The workdir of a short run on 30 users and 45 items with ids of all kinds; its data set is gone."""
    from experiments import train
    from tests.tiny import tiny_config

    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(5)
    pairs = {
        (u, int(i)) for u in range(30) for i in rng.choice(45, 6 + u % 9, replace=False, p=np.arange(1, 46) / 1035)
    }
    rows = [f'"user, {u} \u00fc","item {i:03}"' for u, i in sorted(pairs)]
    (folder / "data.csv").write_text("user,item\n" + "\n".join(rows) + "\n", encoding="utf-8")
    config = tiny_config(
        dataset__name="mine",
        dataset__format="csv",
        dataset__path=str(folder / "data.csv"),
        sampler__num_candidates=20,
        train__batch_size=16,
    )
    train.train_and_evaluate(config, folder / "run")
    (folder / "data.csv").unlink()
    return folder / "run"


@pytest.fixture(scope="module", autouse=True)
def _few_compiled_programs():
    """Lets go of what the module has compiled where the process has grown large; the cache on disk has it still."""
    yield
    resident = Path("/proc/self/statm")
    if resident.exists() and int(resident.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > _ENOUGH_BYTES:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The workdir of `tiny_config()`, 40 steps, which nobody changes."""
    from experiments import train
    from tests.tiny import tiny_config

    folder = tmp_path_factory.mktemp("finished") / "run"
    train.train_and_evaluate(tiny_config(), folder)
    return folder


@pytest.fixture(scope="session")
def _short(tmp_path_factory):
    from experiments import train
    from tests.tiny import tiny_config

    folder = tmp_path_factory.mktemp("short") / "run"
    train.train_and_evaluate(tiny_config(train__num_steps=20), folder)
    return folder


@pytest.fixture
def short(_short, tmp_path):
    """A copy of the workdir of `tiny_config(train__num_steps=20)`, to be changed or gone on with."""
    return shutil.copytree(_short, tmp_path / "short")


def pytest_sessionfinish(session):
    if _OWN_CACHE is not None and not hasattr(session.config, "workerinput"):
        shutil.rmtree(_OWN_CACHE, ignore_errors=True)
