import json
import os
import subprocess
import sys

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
