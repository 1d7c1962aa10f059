from experiments import report
from experiments.reports import console, rows
from experiments.reports.sections import make_sections
from tests.reports.reported_runs import write_grid, write_run


def test_table_is_aligned_and_says_what_the_report_says(tmp_path):
    write_grid(tmp_path)
    sections = make_sections(rows.collect(tmp_path), "uniform,batch_size=64")
    text = console.as_text(sections, tmp_path, with_page=True)
    heading, head, *lines = text.splitlines()[:6]
    assert heading == "made, test; mean ± standard deviation over seeds, * best; p by Holm"
    assert " ".join(head.split()) == "run seeds NDCG@50 MAP@50 Recall@20 MMR@50 seconds vs baseline p"
    assert [line.split()[0] for line in lines] == [row.label for row in sections[0].rows]
    assert lines[0].split()[1:5] == ["2", "0.3020", "±", "0.0028*"]
    assert lines[2].split()[-1] == "baseline"
    comparison = sections[0].comparison
    assert comparison is not None
    assert lines[0].split()[-2] == f"{comparison.differences[0].test.difference:+.4f}"
    ends = {line.index("±") for line in lines}
    assert len(ends) == 1 and sum("*" in line for line in lines) == 1
    files = "report.html, results.csv and 4 figures as PNG and PDF"
    assert text.splitlines()[-1] == f"Report: {tmp_path}/report.md, with {files}."


def test_long_names_lose_their_middle_and_every_line_fits(tmp_path):
    long = "similarity_cutoff=0.1,popularity_exponent=0.5,num_negatives=3,learning_rate=0.003,temperature="
    for number in range(2):
        for seed in (0, 1):
            folder = tmp_path / f"{long}{number}" / str(seed)
            write_run(folder, 0.3, seed=seed, model__dim=8 + number, per_user=[0.1 * seed] * 9)
    text = report.write_report(tmp_path)
    lines = text.splitlines()[:-1]
    assert max(map(len, lines)) <= console.WIDTH
    names = [line.split()[0] for line in lines[2:4]]
    assert names[0] != names[1] and all(name.startswith("similarity") and "…" in name for name in names)
    assert names[1].endswith("temperature=1")


def test_failures_and_notes_are_said_once(tmp_path):
    write_run(tmp_path / "a", ndcg=0.2)
    sections = make_sections(rows.collect(tmp_path))
    text = console.as_text(sections, tmp_path, [("b/0", "The loss is not a number.")], "A note.")
    assert text.count("A note.") == 1 and "1 run failed, b/0: The loss is not a number." in text
    assert "*" not in text.splitlines()[2] and "baseline" not in text.splitlines()[1]
