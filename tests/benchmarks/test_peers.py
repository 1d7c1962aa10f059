import importlib
import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax.errors import ConfigError, UserError
from cml_jax.types import Factors
from experiments.benchmarks import peers
from experiments.benchmarks.peer_methods import METHODS, settings, trainer, why_left_out
from experiments.benchmarks.peer_methods.watch import Enough, Watch
from experiments.configs.results import gowalla

FINITE = Factors(jnp.ones((2, 1)), jnp.ones((3, 1)))
CHECKOUT = {  # what LibCML's checkout has that is used of it: a triplet loss of its own here
    "model/__init__.py": """
import torch

class COCML(torch.nn.Module):
    def __init__(self, num_users, num_items, margin, DCRS_reg, dim, per_user_k):
        super().__init__()
        assert DCRS_reg == 0 and per_user_k == 1
        self.margin = margin
        self.user_embeddings = torch.nn.Embedding(num_users, dim)
        self.item_embeddings = torch.nn.Embedding(num_items, dim)

    def forward(self, users, positives, negatives):
        user = self.user_embeddings(users).cuda()
        distances = [torch.square(user - self.item_embeddings(ids).cuda()).sum(-1) for ids in (positives, negatives)]
        return torch.relu(self.margin + distances[0] - distances[1]).sum()
""",
    "sampler/__init__.py": "from . import uniform_sampler\n",
    "sampler/uniform_sampler.py": """
import numpy as np

def tqdm(pairs, desc):
    raise AssertionError("no progress bar")

def draw(matrix, count):
    found = []
    for user, item in tqdm(np.asarray(matrix.nonzero()).T, desc="draws"):
        for _ in range(count):
            negative = np.random.randint(matrix.shape[1])
            while matrix[user, negative]:
                negative = np.random.randint(matrix.shape[1])
            found.append((user, item, negative))
    return found
""",
    "dataset.py": """
from sampler import uniform_sampler

class SampleDataset:
    def __init__(self, matrix, count, method, seed):
        assert method == "uniform"
        self.matrix, self.count = matrix.toarray(), count
        self.generate_triplets_by_sampling()

    def generate_triplets_by_sampling(self):
        self.triplets = uniform_sampler.draw(self.matrix, self.count)

    def __len__(self):
        return len(self.triplets)

    def __getitem__(self, index):
        return self.triplets[index]
""",
}


class Clock:
    """A second at every look."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture(scope="module")
def board():
    return peers.make_task("checkerboard", None, None)


@pytest.fixture
def checkout(tmp_path):
    for name, text in CHECKOUT.items():
        path = tmp_path / "LibCML" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "LibCML"


def watched(values, limit, setup=0.0, floor=0.0):
    """A watch whose scores are the values, each step taking a second and each score a thousand."""
    now, left = [0.0], iter(values)

    def score(ranking):
        now[0] += 1000.0
        return next(left)

    watch = Watch(score, limit, floor=floor, clock=lambda: now[0])
    now[0] += setup
    watch.ready()
    try:
        for step in range(1, 10_000):
            now[0] += 1.0
            watch.after(step / 10, lambda: FINITE)
    except Enough:
        pass
    return watch


def test_the_clock_stands_still_while_a_method_is_scored():
    watch = watched(np.linspace(0, 1, 100), limit=50, setup=7.0)
    seconds = [point.seconds for point in watch.points]
    assert watch.setup_seconds == 7.0 and seconds[0] == 8.0
    assert seconds[-1] == 57.0 and watch.ended == "limit", (
        "set-up is no part of the limit, and the last moment is scored"
    )
    assert [point.passes for point in watch.points] == [round((s - 7) / 10, 1) for s in seconds]
    for before, after in itertools.pairwise(seconds[:-1]):
        assert 1.2 * before <= after < 1.2 * before + 1, "as soon as its time has grown by 20 %"


def test_a_method_that_does_not_get_better_ends_before_its_limit():
    values = [0.1, 0.5, *[0.4] * 200]
    watch = watched(values, limit=100)
    assert watch.ended == "no better"
    assert watched(values, limit=100, floor=0.5).ended == "limit", "it has not begun to show"
    assert 25 < watch.points[-1].seconds < 25 * 1.2 + 1, "a quarter of the limit is given in any case"
    rising = watched([0.01 * i for i in range(12)] + [0.0] * 200, limit=100)
    best = max(rising.points, key=lambda point: point.value)
    assert rising.ended == "no better" and 3 * best.seconds < rising.points[-1].seconds < 3 * best.seconds * 1.2 + 1


def test_factors_that_are_not_finite_end_a_method_without_a_score():
    watch = Watch(lambda ranking: 1.0, 10.0, clock=Clock())
    watch.ready()
    with pytest.raises(Enough):
        watch.after(1.0, lambda: FINITE._replace(keys=jnp.array([[1.0], [jnp.nan], [1.0]])))
    assert watch.ended == "diverged" and watch.points == []


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_the_checkerboard(name, board, checkout):
    reason = why_left_out(name, checkout)
    if reason is not None:
        pytest.skip(reason)
    task = board._replace(libcml=checkout)
    fast = {"softmax": {"train.batch_size": 64}, "lightfm": {"learning_rate": 0.3}}.get(name, {})
    if "batch_size" in settings.quick()[name][0]:
        fast = {"batch_size": 64, "learning_rate": 0.05}
    watch = Watch(lambda ranking: peers.ndcg(task.dataset, ranking), 400.0, clock=Clock())
    with pytest.raises(Enough):
        trainer(name)(task, {**settings.quick()[name][0], **fast}, watch)
    values = [point.value for point in watch.points]
    assert max(values) > 0.63, "its best two of 27, one of which is the answer; chance is 0.3"
    passes = [point.passes for point in watch.points]
    assert 0 < passes[0] <= 1 and passes == sorted(passes) and passes[-1] > 3


def test_cosines_of_pytorch_are_those_of_numpy_for_negatives_of_each_pair_and_for_shared_ones():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from experiments.benchmarks.peer_methods.torch_softmax import CosineFactors

    users, positives = torch.tensor([1, 0]), torch.tensor([3, 2])
    for sparse in (False, True):
        model = CosineFactors(2, 5, 4, sparse)
        tables = [np.array(table) for table in model.factors()[:2]]
        np.testing.assert_allclose(np.linalg.norm(tables[1], axis=1), 1, atol=1e-6)
        for negatives in ([[0, 1, 4], [4, 4, 0]], [0, 1, 4]):
            positive, negative = model(users, positives, torch.tensor(negatives))
            rows = tables[0][[1, 0]]
            np.testing.assert_allclose(positive.detach(), (rows * tables[1][[3, 2]]).sum(1), atol=1e-6)
            each = np.broadcast_to(negatives, (2, 3))
            np.testing.assert_allclose(negative.detach(), np.einsum("bd,bnd->bn", rows, tables[1][each]), atol=1e-6)
        (positive.sum() + negative.sum()).backward()
        assert model.items.weight.grad.is_sparse == sparse


def test_libcml_leaves_no_trace_of_its_modules(board, checkout):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import sys

    before = torch.Tensor.cuda, list(sys.path)
    watch = Watch(lambda ranking: 1.0, 1.0, clock=Clock())
    with pytest.raises(Enough):
        trainer("libcml")(board._replace(libcml=checkout), settings.quick()["libcml"][0], watch)
    assert (torch.Tensor.cuda, list(sys.path)) == before
    assert not {"model", "sampler", "dataset"} & set(sys.modules)
    with pytest.raises(UserError, match="is no checkout of LibCML"):
        trainer("libcml")(board._replace(libcml=checkout / "model"), settings.quick()["libcml"][0], watch)


@pytest.mark.parametrize("data", ["gowalla", "lastfm", "quick"])
def test_every_method_has_one_to_four_settings(data):
    tried = settings.quick() if data == "quick" else settings.settings(data)
    assert set(tried) == set(METHODS)
    assert all(1 <= len(entries) <= 4 for entries in tried.values())
    if data == "gowalla":
        assert tried["als"][0] in [dict(entry) for entry in gowalla.get_config().sweep.baselines]
        assert any(entry["learning_rate"] == 1e-4 and entry["num_negatives"] == 800 for entry in tried["torch_pair"])


def command(*arguments):
    """Runs the command here."""
    peers.FLAGS.unparse_flags()
    for name in ("methods", "data", "name", "libcml", "quick"):
        peers.FLAGS[name].value = peers.FLAGS[name].default
        peers.FLAGS[name].present = 0
    peers.FLAGS(["peers", *map(str, arguments)])
    peers.main()


def test_a_quick_run_writes_results_table_and_figure_and_keeps_what_is_measured(tmp_path, monkeypatch, capsys):
    plain = importlib.import_module

    def without_pytorch(name, package=None):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return plain(name, package)

    monkeypatch.setattr(importlib, "import_module", without_pytorch)
    command("--quick", f"--output={tmp_path}", "--methods=torch_pair,libcml,als")
    first = json.loads((tmp_path / "peers.json").read_text())
    missing = why_left_out("als", None)
    assert set(first["left_out"]) == {"torch_pair", "libcml"} | ({"als"} if missing else set())
    assert (
        "torch cannot be imported (No module named 'torch'): pip install -e '.[peers]'"
        in first["left_out"]["torch_pair"]
    )
    command("--quick", f"--output={tmp_path}", "--methods=softmax")
    results = json.loads((tmp_path / "peers.json").read_text())
    assert results["methods"].get("als") == first["methods"].get("als")
    assert results["left_out"] == first["left_out"]

    (trial,) = results["methods"]["softmax"]
    passes, seconds, values = np.array(trial["points"]).T
    assert trial["setup_seconds"] < seconds[0] and (np.diff(seconds) > 0).all() and (np.diff(passes) > 0).all()
    assert 0 < values.max() < 1
    assert results["versions"]["jax"] and results["threads"] == 1 and results["sizes"]["train"] == 45_873

    table = (tmp_path / "peers.md").read_text()
    assert table.rstrip("\n") in capsys.readouterr().out
    assert "| cml_jax: softmax, shared candidates | as its config |" in table
    assert all(sentence in table for sentence in results["left_out"].values())
    assert (tmp_path / "peers_synthetic.png").stat().st_size > 10_000 and (tmp_path / "peers_synthetic.pdf").exists()


def test_a_trial_is_kept_as_soon_as_it_is_there_and_no_setting_is_tried_twice_unless_asked(board, monkeypatch):
    ran, kept, interrupted = [], [], [3.0]

    def run(task, name, setting, seconds):
        if setting["learning_rate"] in interrupted:
            raise KeyboardInterrupt
        ran.append(setting["learning_rate"])
        return {"setting": dict(setting), "points": [[1.0, len(ran), 0.5]], "ended": "limit"}

    monkeypatch.setattr(peers, "run", run)
    tried = {"softmax": [{"learning_rate": rate} for rate in (1.0, 2.0, 3.0)]}
    results = {"methods": {"softmax": [run(None, "softmax", {"learning_rate": 2.0}, 1.0)]}, "left_out": {}}

    def rates():
        return [trial["setting"]["learning_rate"] for trial in results["methods"]["softmax"]]

    with pytest.raises(KeyboardInterrupt):
        peers.measure(board, "softmax", tried, 1.0, results)
    assert ran == [2.0, 1.0] and rates() == [2.0, 1.0]
    interrupted.clear()
    peers.measure(board, "softmax", tried, 1.0, results, lambda: kept.append(rates()))
    assert ran == [2.0, 1.0, 3.0] and kept == [[2.0, 1.0, 3.0]]
    peers.measure(board, "softmax", tried, 1.0, results, anew=True)
    assert ran[3:] == [1.0, 2.0, 3.0] and sorted(rates()) == [1.0, 2.0, 3.0]


def test_what_cannot_be_run_does_not_replace_what_was_measured(board):
    results = {"methods": {"libcml": ["a trial"]}, "left_out": {}}
    peers.measure(board, "libcml", settings.quick(), 1.0, results)
    assert results == {"methods": {"libcml": ["a trial"]}, "left_out": {}}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--quick", "--methods=als,lightgcn"], "'lightgcn' is unknown; choose among softmax, torch_pair"),
        ([], "Give either --data=FOLDER or --quick"),
        (["--quick", "--data=x"], "Give either --data=FOLDER or --quick"),
    ],
)
def test_flags_that_cannot_be_used_are_refused(arguments, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        command(f"--output={tmp_path / 'x'}", *arguments)
    assert not (tmp_path / "x").exists()


def test_results_of_other_data_and_damaged_ones_are_refused(tmp_path, board):
    path = tmp_path / "peers.json"
    assert peers.read_results(path, board)["methods"] == {}
    path.write_text(json.dumps(peers._new_results(board)))
    assert peers.read_results(path, board) == peers._new_results(board)
    with pytest.raises(UserError, match="is of other data or dimensions; give another --output"):
        peers.read_results(path, board._replace(dim=9))
    path.write_text(path.read_text()[:-40])
    with pytest.raises(UserError, match="is damaged; remove it"):
        peers.read_results(path, board)
