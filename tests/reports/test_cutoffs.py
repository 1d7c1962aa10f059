import polars as pl
import pytest

from experiments import report
from experiments.reports import cutoffs, rows
from tests.reports.reported_runs import write_run


def write_runs(folder, of_runs):
    for place, (name, ks) in enumerate(of_runs.items()):
        write_run(folder / name, ndcg=0.2 + 0.1 * place, eval__ks=ks, train__batch_size=2 ** (4 + place))
    return rows.collect(folder)


@pytest.mark.parametrize(
    ("of_runs", "baseline", "kept", "sentences"),
    [
        ({"a": (20, 50), "b": (50,), "c": (5, 50)}, None, "abc", []),
        ({"a": (20, 50), "b": (7,), "c": (50,)}, None, "ac", ["b is left out: its eval.ks are 7, the others have"]),
        ({"a": (50,), "b": (3, 7), "c": (50, 7), "d": (50,)}, None, "acd", ["b is left out: its eval.ks are 3, 7, "]),
        ({"a": (20,), "b": (50,)}, None, "b", ["a is left out: its eval.ks are 20, b has 50."]),
        ({"a": (20,), "b": (50,)}, "a", "a", ["b is left out: its eval.ks are 50, a has 20."]),
        ({"a": (50,), "b": (50,), "c": (20,)}, "c", "c", ["a is left out", "b is left out"]),
        ({"a": (20,), "b": (50,)}, "elsewhere", "b", ["a is left out"]),
    ],
)  # fmt: skip
def test_as_many_rows_as_possible_are_kept_and_the_others_named(of_runs, baseline, kept, sentences, tmp_path):
    found, said = cutoffs.with_a_common_one(write_runs(tmp_path, of_runs), baseline)
    assert [row.label for row in found] == list(kept)
    assert len(said) == len(sentences)
    assert all(sentence.startswith(expected) for sentence, expected in zip(said, sentences, strict=True))


def test_a_report_goes_on_without_the_odd_one_out(tmp_path):
    write_runs(tmp_path, {"a": (20, 50), "b": (20, 50), "odd": (7,)})
    shown = report.write_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    sentence = "odd is left out: its eval.ks are 7, the others have 20, 50."
    assert shown.count(sentence) == 1 and f"- {sentence}\n" in text
    assert "| a |" in text and "| b |" in text.replace("**", "") and "| odd |" not in text
    assert set(pl.read_csv(tmp_path / "results.csv")["run"]) == {"a", "b", "odd"}, "results.csv has all runs"
