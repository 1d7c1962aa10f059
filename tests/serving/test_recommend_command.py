import bz2
import gzip
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cml_jax
from cml_jax import UserError
from experiments import recommend, table_files
from tests.tiny import ROOT

USER = "user, {} ü"


@pytest.fixture
def run(trained, monkeypatch):
    """The command, in this process."""
    recommend.FLAGS.mark_as_parsed()

    def run_with(**values):
        with monkeypatch.context() as patch:
            for name, value in ({"workdir": str(trained)} | values).items():
                patch.setattr(recommend.FLAGS[name], "value", value)
            recommend.main()

    return run_with


def in_model_order(model, k, **options):
    return model.recommend(model.user_ids.values.tolist(), k, **options)


@pytest.mark.parametrize("suffix", table_files.FORMATS)
def test_every_format_holds_the_lists(suffix, run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("cml_jax.serving.lists._BLOCK", 7)  # several parts
    path = tmp_path / f"lists{suffix}"
    run(output=str(path), k=6)
    read = {".csv": pl.read_csv, ".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}[suffix](path)
    expected = in_model_order(cml_jax.load(trained), 6)
    assert read.cast({"rank": pl.Int32, "score": pl.Float32}).equals(expected)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_users_limits_and_seen_items(run, trained, tmp_path, capsys):
    model = cml_jax.load(trained)
    (tmp_path / "users.txt").write_text(f"{USER.format(4)}\r\n\n{USER.format(29)}\n{USER.format(4)}\nnobody\n")
    (tmp_path / "items.txt").write_text("item 003\nitem 040\nitem 041\n")
    files = {"users_file": str(tmp_path / "users.txt"), "allow": str(tmp_path / "items.txt")}
    with pytest.raises(UserError, match=r"user 'nobody' is unknown .* --unknown=skip leaves such ids out\."):
        run(output=str(tmp_path / "a.csv"), **files)
    run(output=str(tmp_path / "a.csv"), unknown="skip", exclude_seen=False, **files)
    found = pl.read_csv(tmp_path / "a.csv")
    allowed = ["item 003", "item 040", "item 041"]
    expected = model.recommend([USER.format(4), USER.format(29)], 3, exclude_seen=False, allow=allowed)
    assert found["item"].to_list() == expected["item"].to_list() and found.height == 6
    assert "Skipped 1 unknown user: nobody" in capsys.readouterr().err
    run(users=[USER.format(4)], k=3, deny=str(tmp_path / "items.txt"))
    printed = capsys.readouterr().out
    assert printed.count("item 0") == 3 and not any(item in printed for item in allowed)


def test_new_users_from_a_file(run, trained, tmp_path, capsys):
    model = cml_jax.load(trained)
    (tmp_path / "new.csv").write_text("user,item\nzoe,item 044\nann,item 001\nzoe,item 040\nann,no such\nbob,none\n")
    with pytest.raises(UserError, match=r"item 'no such' is unknown|item 'none' is unknown"):
        run(history=str(tmp_path / "new.csv"), output=str(tmp_path / "new.parquet"))
    run(history=str(tmp_path / "new.csv"), output=str(tmp_path / "new.parquet"), unknown="skip", k=4)
    found = pl.read_parquet(tmp_path / "new.parquet")
    assert found["user"].unique(maintain_order=True).to_list() == ["ann", "zoe"]
    for name, history in (("ann", ["item 001"]), ("zoe", ["item 044", "item 040"])):
        expected = model.recommend_for(history, 4)["item"].to_list()
        assert found.filter(pl.col("user") == name)["item"].to_list() == expected
    run(history=str(tmp_path / "new.csv"), output=str(tmp_path / "all.csv"), unknown="skip", k=45, exclude_seen=False)
    everything = pl.read_csv(tmp_path / "all.csv")
    run(history=str(tmp_path / "new.csv"), output=str(tmp_path / "rest.csv"), unknown="skip", k=45)
    rest = pl.read_csv(tmp_path / "rest.csv")
    for name, history in (("ann", {"item 001"}), ("zoe", {"item 044", "item 040"})):
        listed, left = (set(frame.filter(pl.col("user") == name)["item"]) for frame in (everything, rest))
        assert len(listed) == 45 and listed - left == history
    said = capsys.readouterr().err
    assert "Skipped 2 unknown items" in said and "Skipped 1 users without a known item: bob" in said


def test_neighbours_are_printed_or_written(run, trained, tmp_path, capsys):
    model = cml_jax.load(trained)
    run(similar_items="item 007", k=2)
    printed = capsys.readouterr().out
    assert all(name in printed for name in model.similar_items("item 007", 2)["item"])
    run(similar_users=USER.format(3), k=2, output=str(tmp_path / "near.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "near.jsonl").read_text().splitlines()]
    assert [row["user"] for row in rows] == model.similar_users(USER.format(3), 2)["user"].to_list()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "30 users are too many to print; name a file with --output"),
        ({"output": "lists.xls"}, r"--output=lists\.xls: the name must end in one of \.csv, \.jsonl, \.parquet"),
        ({"output": "nowhere/lists.csv"}, r"--output=nowhere/lists\.csv: no such folder"),
        ({"users": ["a"], "similar_items": "b"}, "--users and --similar_items do not go together"),
        ({"similar_items": "b", "deny": "c"}, "--deny has no effect with --similar_items"),
        ({"similar_items": "b", "unknown": "skip"}, "--unknown has no effect with --similar_items"),
        ({"export": "x", "k": 3}, "--k has no effect with --export"),
        ({"hnsw_m": 8}, "--hnsw_m has no effect without --export"),
        ({"export": "x", "output": "y.csv"}, "leave out --output"),
        ({"users": []}, "no user is left"),
        ({"users_file": "nowhere"}, r"nowhere: cannot be read \(No such file or directory\); give a file of raw ids"),
        ({"history": "nowhere.csv"}, r"--history=nowhere\.csv: give a csv, tsv or parquet file"),
        ({"similar_users": "x"}, "user 'x' is unknown to the model"),
        ({"memory_budget_mb": -1.0}, r"memory_budget_mb = -1\.0 must be"),
        ({"workdir": "nowhere"}, r"nowhere/config\.json: no such file"),
    ],
    ids=str,
)
def test_bad_flags_are_named(values, sentence, run):
    with pytest.raises(UserError, match=sentence) as caught:
        run(**values)
    assert "\n" not in str(caught.value)


def test_files_of_no_use_are_named(run, tmp_path):
    for content, sentence in ((b"\xff\xfe\0", "not UTF-8 text"), (b" \n\n", "the file is empty")):
        (tmp_path / "ids").write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            run(users_file=str(tmp_path / "ids"))


def test_what_fails_half_way_leaves_what_was_there(tmp_path):
    def tables():
        yield pl.DataFrame({"user": [1]})
        raise OSError(28, "No space left on device")

    for suffix in table_files.FORMATS:
        path = tmp_path / f"lists{suffix}"
        path.write_text("before")
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); make room"):
            table_files.write_tables(tables(), path)
        assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 3


def test_command_prints_a_table_and_one_sentence_for_an_error(trained):
    command = [sys.executable, "-m", "experiments.recommend", f"--workdir={trained}", "--k=2", "--similar_users"]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, USER.format(3)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count("user, ") == 2, done.stderr
    done = subprocess.run([*command, "me"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.startswith("error: user 'me' is unknown to the model")
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The workdir of a run on columns that are not named user and item, with an item of the test part alone."""
    from experiments import train
    from tests.tiny import tiny_config

    folder = tmp_path_factory.mktemp("played")
    rng, names = np.random.default_rng(6), [f"game {i}" for i in range(9)]
    is_train = (rng.random((12, 9)) < 0.35) | (np.arange(12)[:, None] % 9 == np.arange(9))
    is_test = (rng.random((12, 9)) < 0.1) & ~is_train
    for part, there in (("train", is_train), ("test", is_test)):
        rows = [f"player {u},{names[i]}" for u, i in zip(*np.nonzero(there), strict=True)]
        rows += ["player 3,only in test"] if part == "test" else []
        (folder / f"{part}.csv").write_text("\n".join(["gamer,title", *rows]) + "\n")
    config = tiny_config(
        dataset__name="mine",
        dataset__format="csv",
        dataset__path=str(folder),
        dataset__user_column="gamer",
        dataset__item_column="title",
        sampler__num_candidates=5,
        train__batch_size=8,
    )
    train.train_and_evaluate(config, folder / "run")
    return folder / "run"


def lists_of_new_users(run, played, path, **values):
    run(workdir=str(played), history=str(path), output=str(path.parent / "lists.parquet"), k=3, **values)
    return pl.read_parquet(path.parent / "lists.parquet")


HISTORY = [("ann", "game 1"), ("ann", "game 2"), ("bob", "game 8")]


@pytest.mark.parametrize(
    ("name", "head", "flags"),
    [
        ("new.csv", ("gamer", "title"), {}),
        ("new.csv.gz", ("gamer", "title"), {}),
        ("new.csv.bz2", ("user", "item"), {}),
        ("new.tsv.gz", ("gamer", "item"), {}),
        ("new.jsonl", ("gamer", "title"), {}),
        ("new.jsonl.gz", ("user", "title"), {}),
        ("new.csv", ("a", "b"), {"user_column": "a", "item_column": "b"}),
        ("new.csv", ("gamer", "b"), {"item_column": "b"}),
        ("new.csv", None, {"user_column": "1", "item_column": "2", "header": False, "separator": ";"}),
    ],
)
def test_new_users_from_files_as_the_training_data_were(name, head, flags, run, played, tmp_path):
    frame = pl.DataFrame(HISTORY, schema=head or ("gamer", "title"), orient="row")
    if ".jsonl" in name:
        content = frame.write_ndjson().encode()
    else:
        separator = flags.get("separator", "\t" if ".tsv" in name else ",")
        content = frame.write_csv(include_header=head is not None, separator=separator).encode()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress}.get(Path(name).suffix, lambda content: content)
    (tmp_path / name).write_bytes(pack(content))
    found = lists_of_new_users(run, played, tmp_path / name, **flags)
    model = cml_jax.load(played)
    for user, items in (("ann", ["game 1", "game 2"]), ("bob", ["game 8"])):
        expected = model.recommend_for(items, 3)["item"].to_list()
        assert found.filter(pl.col("user") == user)["item"].to_list() == expected


@pytest.mark.parametrize(
    ("head", "flags", "sentence"),
    [
        ("a,b", {}, r"has no column 'gamer' and no column 'user'; its columns are 'a, b', .* by --user_column"),
        ("gamer,b", {}, r"has no column 'title' and no column 'item'; .* by --item_column"),
        ("gamer,title", {"user_column": "x"}, r"has no column 'x'; .* by --user_column"),
        ("gamer,title", {"user_column": "title"}, r"--user_column and --item_column are both 'title'"),
        ("gamer,title", {"bad_rows": "maybe"}, r"--bad_rows = 'maybe' is unknown; choose one of refuse, skip"),
        ("gamer,title", {"encoding": "utf-99"}, r"--encoding = 'utf-99' is no encoding"),
    ],
)
def test_errors_of_files_of_new_users_name_flags_of_the_command(head, flags, sentence, run, played, tmp_path):
    (tmp_path / "new.csv").write_text(f"{head}\nann,game 1\n")
    with pytest.raises(UserError, match=sentence) as caught:
        lists_of_new_users(run, played, tmp_path / "new.csv", **flags)
    assert "dataset." not in str(caught.value)


def test_flags_of_files_of_new_users_have_no_effect_without_one(run):
    for name, value in (("user_column", "a"), ("separator", ";"), ("header", False)):
        with pytest.raises(UserError, match=f"--{name} has no effect without --history; leave it out"):
            run(**{name: value, "output": "lists.csv"})
    with pytest.raises(UserError, match="--exclude_untrained has no effect with --similar_users"):
        run(exclude_untrained=True, similar_users="x")


def test_untrained_items_and_users_without_a_list_are_said(run, played, tmp_path, capsys):
    model, path = cml_jax.load(played), tmp_path / "lists.parquet"
    assert model.untrained_items.to_list() == ["only in test"]
    run(workdir=str(played), output=str(path), k=50)
    listed = pl.read_parquet(path)
    count = listed.filter(pl.col("item") == "only in test").height
    assert count == 12
    said = capsys.readouterr().err
    assert f"12 of {listed.height} rows are of items that nobody was trained on (1 such items); --exclude_un" in said
    run(workdir=str(played), output=str(path), k=50, exclude_untrained=True)
    left = listed.filter(pl.col("item") != "only in test")
    assert pl.read_parquet(path).drop("rank").equals(left.drop("rank"))
    assert "nobody was trained" not in capsys.readouterr().err
    (tmp_path / "items").write_text("game 0\n")
    run(workdir=str(played), output=str(path), allow=str(tmp_path / "items"))
    have = set(pl.read_parquet(path)["user"])
    without = [str(user) for user in model.user_ids.values if user not in have]
    assert "player 0" in without, "everyone has the game of the same number"
    count = f"{len(without)} users have" if len(without) > 1 else "1 user has"
    sentence = f"{count} no list, since nothing is left to recommend: {', '.join(without[:10])}"
    assert sentence in capsys.readouterr().err
    run(workdir=str(played), similar_items="only in test", k=2)
    assert "nobody was trained on item only in test; its neighbours mean nothing" in capsys.readouterr().err


def test_python_warns_of_what_the_command_says(played):
    model = cml_jax.load(played)
    with pytest.warns(
        UserWarning, match=r"1 of \d+ rows are of items .* exclude_untrained=True leaves them out"
    ) as seen:
        model.recommend("player 3", 50)
    assert Path(seen[0].filename).name == "test_recommend_command.py"
    with pytest.warns(UserWarning, match=r"1 user has no list, .*: player 0\."):
        model.recommend(["player 0"], allow=["game 0"])
    with pytest.warns(UserWarning, match="its neighbours mean nothing"):
        model.similar_items("only in test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.recommend_for(["game 1"], 50, exclude_untrained=True)
        assert found.height == len(model.item_ids) - 2
        model.similar_items("game 1", 2)


def test_the_commands_own_files_can_be_fed_back(run, trained, tmp_path):
    """The ids of the model hold commas, blanks and umlauts."""
    model = cml_jax.load(trained)
    for suffix in table_files.FORMATS:
        first, again = tmp_path / f"first{suffix}", tmp_path / "again.parquet"
        run(users=[USER.format(4), USER.format(29)], output=str(first), k=2)
        run(users_file=str(first), deny=str(first), output=str(again), k=45)
        found = pl.read_parquet(again)
        assert found["user"].unique(maintain_order=True).to_list() == [USER.format(4), USER.format(29)]
        denied = set(model.recommend([USER.format(4), USER.format(29)], 2)["item"])
        assert not denied & set(found["item"]) and denied
        with pytest.raises(UserError, match="no item is left that may be listed"):
            run(users_file=str(first), allow=str(first), deny=str(first), output=str(again))
