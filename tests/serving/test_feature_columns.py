"""A model keeps the features of its items and users, and lists show them."""

import polars as pl
import pytest

import cml_jax
from cml_jax.errors import UserError
from experiments import recommend

PAIRS = {"user": ["ann", "ann", "bob", "cid", "cid"], "item": ["a", "b", "b", "a", "c"]}
ITEMS = {
    "item": ["c", "b"],
    "title": ["Cid's", "Bob's"],
    "tags": [["x", "y"], ["y"]],
    "year": [1990, 2000],
    "shelf": pl.Series([3, 4]),
    "point": [[0.5], [1.0]],
}


@pytest.fixture(scope="module")
def model():
    kinds = ("title", "tags", "year", "shelf:categorical", "point")
    return cml_jax.fit(
        PAIRS,
        valid_fraction=0,
        num_steps=2,
        progress=False,
        item_features=ITEMS,
        item_feature_columns=kinds,
        user_features={"user": ["cid"], "age": [5]},
    )


def test_lists_show_features_of_their_items(model):
    table = model.recommend(["bob", "ann"], k=3)
    shown = model.with_features(table, "title", "year", "tags", "shelf")
    assert shown.columns == [*table.columns, "title", "year", "tags", "shelf"]
    assert shown[table.columns].equals(table)
    cells = {row[0]: row[1:] for row in shown.select("item", "title", "year", "tags", "shelf").rows()}
    assert cells == {"a": (None, None, None, None), "c": ("Cid's", 1990.0, "x|y", 3)}


def test_other_tables_have_features_too(model):
    assert model.with_features(model.similar_items("a"), "title")["title"].null_count() == 0
    ages = model.with_features(model.similar_users("ann"), "age")
    assert dict(zip(ages["user"], ages["age"], strict=True)) == {"bob": None, "cid": 5.0}


def test_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = cml_jax.load(tmp_path / "model")
    for name in ("item_features", "user_features"):
        assert list(getattr(loaded, name).pieces()) == list(getattr(model, name).pieces())
    again = loaded.with_features(loaded.recommend("bob"), "title")
    assert again.equals(model.with_features(model.recommend("bob"), "title"))


def test_a_run_keeps_them_in_its_workdir_and_goes_on_only_with_the_same(tmp_path):
    options = {"valid_fraction": 0, "num_steps": 2, "progress": False, "workdir": tmp_path / "run"}
    cml_jax.fit(PAIRS, item_features=ITEMS, **options)
    kept = cml_jax.load(tmp_path / "run").item_features
    assert kept is not None and kept.names == ("title", "tags", "year", "shelf", "point")
    with pytest.raises(UserError, match="other data"):
        cml_jax.fit(PAIRS, item_features=ITEMS | {"year": [1990, 2001]}, **options)
    pl.DataFrame(ITEMS).write_parquet(tmp_path / "items.parquet")
    cml_jax.fit(PAIRS, item_features=tmp_path / "items.parquet", **options)  # the same, from elsewhere


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("point",), "'point' is a vector"),
        (("titel",), "no feature is named 'titel'; there are title, tags"),
        ((), "name at least one"),
    ],
)
def test_what_no_list_can_show(model, names, sentence):
    with pytest.raises(UserError, match=sentence):
        model.with_features(model.recommend("bob"), *names)


def test_a_model_without_features_or_a_column_of_that_name(model):
    table = model.recommend("bob").with_columns(year=1)
    with pytest.raises(UserError, match="has a column 'year' already"):
        model.with_features(table, "year")
    plain = cml_jax.fit(PAIRS, valid_fraction=0, num_steps=1, progress=False)
    with pytest.raises(UserError, match="no features of items, so there is no 'title'; train with item_features"):
        plain.with_features(plain.recommend("bob"), "title")


def test_errors_name_keywords():
    with pytest.raises(UserError, match=r"^item_feature_columns has no effect without item_features"):
        cml_jax.fit(PAIRS, item_feature_columns=("a",), progress=False)


def test_the_command_lists_features(model, tmp_path, monkeypatch):
    model.save(tmp_path / "model")
    recommend.FLAGS.mark_as_parsed()

    def run(**values):
        with monkeypatch.context() as patch:
            for name, value in (
                {"workdir": str(tmp_path / "model"), "with_features": ["title", "tags"]} | values
            ).items():
                patch.setattr(recommend.FLAGS[name], "value", value)
            recommend.main()

    run(output=str(tmp_path / "lists.csv"), k=3)
    written = pl.read_csv(tmp_path / "lists.csv")
    assert written.columns == ["user", "rank", "item", "score", "title", "tags"]
    assert set(written.filter(pl.col("item") == "c").select("title", "tags").rows()) == {("Cid's", "x|y")}
    run(similar_users="ann", with_features=["age"], output=str(tmp_path / "near.csv"))
    assert pl.read_csv(tmp_path / "near.csv").filter(pl.col("user") == "cid")["age"].to_list() == [5.0]
    for values, sentence in (
        ({"with_features": ["age"]}, "no feature is named 'age'"),
        ({"similar_users": "ann"}, "no feature is named 'title'"),
        ({"export": "x"}, "--with_features has no effect with --export"),
    ):
        with pytest.raises(UserError, match=sentence):
            run(**({"output": str(tmp_path / "no.csv")} | values if "export" not in values else values))
    assert not (tmp_path / "no.csv").exists()
