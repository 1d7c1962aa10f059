"""Every command, flag, config key and path that the pages name exists; nothing is run."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

import cml_jax
from cml_jax import keys
from experiments.config import KEYS
from tests import pages, parsed
from tests.tiny import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_SECTIONS = {key.split(".")[0] for key in KEYS if "." in key}
_KEY = re.compile(rf"({'|'.join(sorted(_SECTIONS))})\.([a-z_]+)(?: ?= ?(.+))?")
_SUFFIXES = ("py", "txt", "npz", "json", "csv", "tsv", "parquet")  # train.txt is a file
_PLACE = re.compile(r"(?:cml_jax|docs|experiments|tests)/[\w./{},*-]+?(?::\w+)?")


def problems(lines):
    """What is wrong with each of (modules, arguments, strict), as the command's own parser says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.parsed"],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        input=json.dumps(lines),
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    return json.loads(done.stdout)


def exists(place):
    """Whether a path of the repository exists; {a,b} and * stand for several, a name in capitals for any."""
    places = [place.split(":")[0]]
    while any("{" in one for one in places):
        found = (re.fullmatch(r"(.*?)\{([^}]*)\}(.*)", one) for one in places)
        places = [f"{m[1]}{choice}{m[3]}" for m in found if m for choice in m[2].split(",")]
    patterns = [re.sub(r"\b[A-Z]+\b", "*", one).rstrip("/") for one in places]
    return all(any(ROOT.glob(one)) or any(ROOT.glob(f"{one}.py")) for one in patterns)


def with_file(argument):
    """--config=FILE, released/*.py or results/NAME.py with a file that there is in its place."""
    path, colon, rest = argument.removeprefix("--config=").partition(":")
    if not argument.startswith("--config=") or not re.search(r"\*|\b[A-Z]+\b", path):
        return argument
    pattern = "experiments/configs/quickstart.py" if path.isupper() else re.sub(r"\b[A-Z]+\b", "*", path)
    found = [file for file in sorted(ROOT.glob(pattern)) if file.name != "__init__.py"]
    return f"--config={found[0].relative_to(ROOT).as_posix()}{colon}{rest}" if found else argument


def packaging_problem(words):
    """What is wrong with a command of pip, pytest or mkdocs; None where nothing is."""
    extras = _PROJECT["project"]["optional-dependencies"]
    markers = [marker.split(":")[0] for marker in _PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    text = " ".join(words)
    if words[0] == "mkdocs":
        return None if re.fullmatch(r"mkdocs (build|serve)( --strict)?", text) else f"{text}: unknown to the test"
    if words[0] == "pip":
        found = re.fullmatch(r"pip install(?: -e)? (\.|dist/\*\.whl|cml_jax)(?:\[([\w,]+)\])?", text)
        unknown = [] if found is None or found[2] is None else [e for e in found[2].split(",") if e not in extras]
        return f"{text}: not understood" if found is None else f"no extra {unknown}" if unknown else None
    rest = re.sub(r" -m (\w+)", lambda m: "" if m[1] in markers else m[0], text.removeprefix("pytest"))
    rest = re.sub(r" -n \d+| -[qx]\b", "", rest).split()
    wrong = [word for word in rest if not (ROOT / word.split("::")[0]).exists()]
    return f"{text}: {wrong[0]} is no marker, option or path" if wrong else None


@pytest.fixture(scope="module")
def all_pages():
    return [pages.read(path) for path in pages.PAGES]


def lines_of(page):
    """(module, arguments, strict) of the page's commands of experiments."""
    found = []
    for words, whole in pages.commands(page):
        if words[:2] == ["python", "-m"] and words[2].startswith("experiments."):
            arguments = [with_file(word) for word in words[3:] if word != "..."]
            found.append((words[2], arguments, whole and "..." not in words))
    return found


def test_commands_of_the_pages_are_understood_by_their_own_parsers(all_pages, capsys):
    lines = [(page.name, *line) for page in all_pages for line in lines_of(page)]
    said = problems([line[1:] for line in lines])
    wrong = [
        f"{line[0]}: {' '.join(line[1:2] + tuple(line[2]))}: {why}"
        for line, why in zip(lines, said, strict=True)
        if why
    ]
    assert not wrong, "\n".join(wrong)
    modules = {module for _, module, _, _ in lines}
    assert modules >= {f"experiments.{name}" for name in ("main", "sweep", "report", "recommend", "bench")}
    with capsys.disabled():
        print(f"\n{len(lines)} commands of {len(modules)} modules are understood.")


def test_commands_of_pip_pytest_and_mkdocs_name_what_there_is(all_pages, capsys):
    found = [(page.name, words) for page in all_pages for words, _ in pages.commands(page) if words[0] != "python"]
    wrong = [f"{name}: {why}" for name, words in found if (why := packaging_problem(words))]
    assert not wrong, "\n".join(wrong)
    assert {words[0] for _, words in found} == {"pip", "pytest", "mkdocs"}
    with capsys.disabled():
        print(f"\n{len(found)} commands of pip, pytest and mkdocs name what there is.")


def test_flags_in_the_text_belong_to_a_command(all_pages, capsys):
    """Those of one span of inline code to one command, with their values."""
    added = {span for page in all_pages if page.name == "docs/extending.md" for span in page.spans if "closest" in span}
    spans = [(page.name, span) for page in all_pages for span in page.spans if span.startswith("--")]
    spans = [(name, span) for name, span in spans if span not in added]
    assert spans
    lines = [(_able(span), with_equals(span), False) for _, span in spans]
    wrong = [f"{name}: {span}: {why}" for (name, span), why in zip(spans, problems(lines), strict=True) if why]
    assert not wrong, "\n".join(wrong)
    with capsys.disabled():
        print(f"\n{len(spans)} flags in the text belong to a command.")


def _able(span):
    """Commands that may have the flags of a span, likeliest first."""
    names = (
        ("main", "sweep", "search")
        if span.startswith("--config")
        else ("recommend", "sweep", "search", "report", "explore", "main")
    )
    return "|".join(f"experiments.{name}" for name in names)


def with_equals(span):
    """Flags of a span; one that is named without a value gets one, if it takes it."""
    words = [with_file(word) for word in shlex.split(span)]
    values = {"--k": 20, "--memory_budget_mb": 512, "--process_id": 0, "--num_processes": 2}
    values |= {f"--hnsw_{name}": 32 for name in ("m", "ef_construction", "ef_search")}
    values |= {"--space": "model.dim=32,64", "--config": "experiments/configs/quickstart.py"}
    values |= {f"--{name}": "x" for name in ("workdir", "output", "baseline", "only", "config.a.b")}
    return [f"{word}={values[word]}" if word in values else word for word in words if word != "--config.KEY=VALUE"]


def test_config_keys_in_the_text_exist_and_may_have_their_values(all_pages, capsys):
    count = 0
    for page in all_pages:
        for span in page.spans:
            found = _KEY.fullmatch(span)
            if not found or found[2] in _SUFFIXES or hasattr(cml_jax.Recommender, found[2]):
                continue
            count += 1
            key = f"{found[1]}.{found[2]}"
            assert key in KEYS, f"{page.name}: {span}: there is no key {key}"
            if found[3] and not found[3].isupper():
                parsed.check_value(key, found[3])
    assert count > 50
    with capsys.disabled():
        print(f"\n{count} config keys in the text exist.")


def test_paths_in_the_text_exist(all_pages, capsys):
    found = [(page.name, span) for page in all_pages for span in page.spans if _PLACE.fullmatch(span)]
    wrong = [f"{name}: {place}" for name, place in found if not exists(place)]
    assert not wrong, "\n".join(wrong)
    assert found
    with capsys.disabled():
        print(f"\n{len(found)} paths in the text exist.")


def test_wrong_commands_are_found():
    soft = "--config=experiments/configs/soft.py"
    cases = [
        (["experiments.main", [soft, "--workdirs=x"], True], "Unknown command line flag"),
        (["experiments.main", ["--config=experiments/configs/hard.py"], True], "hard.py"),
        (["experiments.main", [soft, "--config.model.dims=3"], True], "dims"),
        (["experiments.main", [soft, "--config.model.dim=many"], True], "many"),
        (["experiments.main", [soft, "--config.model.dim=0"], True], "must be 1 or more"),
        (["experiments.main", ["--workdir=x"], True], "Flag --config must have a value"),
        (["experiments.explore", ["--workdir=x", "--output=y.html", "--num_users=0"], True], "not a positive integer"),
        (["experiments.main", ["workdir"], False], "is not a flag"),
        (["experiments.sweep", [soft, "--axis=model.dims=3,4"], False], "model.dims"),
        (["experiments.sweep", [soft, "--axis=model.dim=3,0"], False], "must be 1 or more"),
        (["experiments.search", [soft, "--space=model.dims=3:4"], False], "model.dims"),
        (["experiments.recommend", ["--workdir=x", "--unknown=drop"], True], "should be one of"),
        (["experiments.report|experiments.recommend", ["--unknown=drop"], False], "'unknown'"),
        (["experiments.report|experiments.recommend", ["--unknown=skip"], False], None),
        (["experiments.nothing", [], True], "No module named"),
        (["experiments.main", [soft, "--config.model.dim=D"], True], None),
    ]
    said = problems([line for line, _ in cases])
    for (line, expected), why in zip(cases, said, strict=True):
        assert why is None if expected is None else expected in (why or ""), (line, why)


def test_values_that_tables_call_the_default_are(all_pages, capsys):
    values, count = cml_jax.make_options().values(), 0
    for page in all_pages:
        key = None
        for line in page.path.read_text().splitlines():
            header, row = re.match(r"\| `([a-z_.]+)` \|", line), re.match(r"\| `(\w+)` \(default", line)
            if header and header[1] in keys.KEYS:
                key = header[1]
            elif not line.startswith("|"):
                key = None
            elif row and key:
                count += 1
                assert str(values[keys.option_name(key)]) == row[1], f"{page.name}: {key}: {line}"
    assert count >= 4
    with capsys.disabled():
        print(f"\n{count} defaults in tables are those of the code.")


@pytest.mark.parametrize(
    "line", ["pip install -e '.[tests]'", "pip install numpie", "pytest -m slowly", "pytest tests/no.py"]
)
def test_a_wrong_command_of_packaging_is_found(line):
    page = pages.read(ROOT / "README.md", f"```\n{line}\n```\n")
    ((words, whole),) = pages.commands(page)
    assert whole and packaging_problem(words)


def test_commands_over_several_lines_and_beside_each_other_are_found():
    block = "pip install -e . && python -m experiments.main \\\n  --workdir=x\nls\n"
    text = f"```\n{block}```\nor `srun -n 2 python -m experiments.bench`\n"
    found = pages.commands(pages.read(ROOT / "README.md", text))
    assert found == [
        (["pip", "install", "-e", "."], True),
        (["python", "-m", "experiments.main", "--workdir=x"], True),
        (["python", "-m", "experiments.bench"], False),
    ]
