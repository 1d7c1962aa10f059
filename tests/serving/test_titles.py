"""Titles of items: read, kept with a model, shown beside ids; nothing that is trained depends on them."""

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest

import cml_jax
from cml_jax.errors import UserError
from experiments import recommend

PAIRS = {"user": ["ann", "ann", "bob", "cid", "cid"], "item": ["a", "b", "b", "a", "c"]}
TITLES = {"item": ["c", "b", "x", "b"], "title": ["Cid's <b>", "Bob's", "nobody's", "second"]}
QUICK = {"valid_fraction": 0, "num_steps": 2, "progress": False}


@pytest.fixture(scope="module")
def model():
    return cml_jax.fit(PAIRS, item_titles=TITLES, **QUICK)


def titles(model):
    assert model.item_titles is not None
    return model.item_titles.tolist()


def titles_of(model):
    return dict(zip(model.item_ids.values.tolist(), titles(model), strict=True))


def test_lists_show_them_beside_the_item(model):
    assert titles_of(model) == {"a": "", "b": "Bob's", "c": "Cid's <b>"}  # of two titles the first
    table = model.recommend(["bob", "ann"], k=3)
    shown = model.with_titles(table)
    assert shown.columns == ["user", "rank", "item", "title", "score"] and shown.drop("title").equals(table)
    assert set(shown.select("item", "title").rows()) <= {("a", None), ("c", "Cid's <b>")}
    assert table.columns == ["user", "rank", "item", "score"]
    for other, sentence in ((shown, "has a column 'title' already"), (table.drop("item"), "has no column 'item'")):
        with pytest.raises(UserError, match=sentence):
            model.with_titles(other)


def test_what_was_read_is_said(capsys):
    options: dict[str, Any] = {**QUICK, "progress": True}
    cml_jax.fit(PAIRS, item_titles=TITLES, **options)
    sentence = "titles of 2 of 3 items by columns 'item' and 'title'. 1 id has several titles; the first is taken."
    assert sentence in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("name", "options"),
    [("t.csv", {}), ("t.parquet", {}), ("t.jsonl", {}), ("n.csv", {"item_title_id": "no", "item_title_column": "is"})],
)
def test_files(name, options, tmp_path):
    table = pl.DataFrame(TITLES)
    table = table.rename({"item": "no", "title": "is"}) if name[0] == "n" else table
    path = tmp_path / name
    {"csv": table.write_csv, "parquet": table.write_parquet, "jsonl": table.write_ndjson}[name[2:]](path)
    assert titles_of(cml_jax.fit(PAIRS, item_titles=path, **options, **QUICK))["c"] == "Cid's <b>"


def test_integers_are_ids_however_they_are_written_and_titles_may_be_numbers():
    pairs = {"user": [1, 1, 2], "item": [7, 8, 7]}
    model = cml_jax.fit(pairs, item_titles={"item": ["7", "8"], "name": [1984, None]}, **QUICK)
    assert titles(model) == ["1984", ""]


def test_kept_in_the_workdir_which_goes_on_with_others_or_without(model, tmp_path):
    options = {**QUICK, "workdir": tmp_path / "run"}

    def kept():
        return titles(cml_jax.load(tmp_path / "run"))

    cml_jax.fit(PAIRS, **options)
    assert cml_jax.load(tmp_path / "run").item_titles is None
    cml_jax.fit(PAIRS, item_titles=TITLES, **options)
    assert kept() == ["", "Bob's", "Cid's <b>"]
    cml_jax.fit(PAIRS, **options)
    assert kept() == ["", "Bob's", "Cid's <b>"]
    cml_jax.fit(PAIRS, item_titles=TITLES | {"title": ["x", "y", "z", ""]}, **options)
    assert kept() == ["", "y", "x"]
    model.save(tmp_path / "saved")
    assert titles(cml_jax.load(tmp_path / "saved")) == titles(model)


def test_new_items_have_none(model):
    grown = model.with_items({"new": ["ann"]})
    assert titles_of(grown) == titles_of(model) | {"new": ""}


@pytest.mark.parametrize(
    ("titles", "options", "sentence"),
    [
        (
            {"item": ["a"], "label": ["A"]},
            {},
            "no column 'title' of titles; its columns are 'item, label', name it by item_title_column",
        ),
        ({"item": ["x"], "title": ["X"]}, {}, "item_titles: no row is of an item of the data"),
        ({"item": ["a"], "title": [["A"]]}, {}, r"column 'title' holds List\(String\), no text"),
        ({"code": ["a"], "title": ["A"]}, {}, "no column 'item' of raw ids; .* name it by item_title_id"),
        ("none.csv", {}, "none.csv: no such file; give it with item_titles"),
        ("none.doc", {}, "does not tell the format of titles"),
        (None, {"item_title_column": "x"}, "item_title_column has no effect without item_titles"),
    ],
)
def test_what_cannot_be_titles(titles, options, sentence):
    with pytest.raises(UserError, match=sentence):
        cml_jax.fit(PAIRS, item_titles=titles, **options, **QUICK)


def test_the_command_prints_them_and_writes_them_where_asked(model, tmp_path, monkeypatch, capsys):
    model = dataclasses.replace(model, item_titles=np.array(["", "two\nlines \x1b[31m", "c"], object))
    model.save(tmp_path / "model")
    recommend.FLAGS.mark_as_parsed()

    def run(**values):
        with monkeypatch.context() as patch:
            for name, value in ({"workdir": str(tmp_path / "model"), "k": 3} | values).items():
                patch.setattr(recommend.FLAGS[name], "value", value)
            recommend.main()
        return capsys.readouterr().out

    assert "two lines  [31m" in run(similar_items="a")
    assert "title" not in run(similar_items="a", with_titles=False)
    assert "title" not in run(similar_users="ann")
    for with_titles, columns in ((None, ["rank", "item", "score"]), (True, ["rank", "item", "title", "score"])):
        run(similar_items="a", with_titles=with_titles, output=str(tmp_path / "near.csv"))
        assert pl.read_csv(tmp_path / "near.csv").columns == columns
    with pytest.raises(UserError, match="--with_titles has no effect with --similar_users"):
        run(similar_users="ann", with_titles=True)
    cml_jax.fit(PAIRS, **QUICK).save(tmp_path / "plain")
    assert "title" not in run(workdir=str(tmp_path / "plain"), similar_items="a")
    with pytest.raises(UserError, match="no titles of items; train with item_titles"):
        run(workdir=str(tmp_path / "plain"), similar_items="a", with_titles=True)
