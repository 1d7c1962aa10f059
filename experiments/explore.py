"""Makes a page on which people see the space of a trained model; of its run only the workdir is needed.

python -m experiments.explore --workdir=DIR --output=space.html [--users=ID,ID] [--maps=pca,umap]

The page is one file, which any browser opens without a network: a map of the items with search and neighbours, users
with their lists and the reasons for them, and what each sampler would draw as negatives of a user and a positive.
"""

import json
from pathlib import Path

from absl import flags

import cml_jax
from cml_jax.errors import UserError
from cml_jax.runs import compilation_cache
from experiments import cli, id_files
from experiments.log import say
from experiments.pages import building
from experiments.space import content, maps, page
from experiments.space.content import Wanted

FLAGS = flags.FlagValues()  # its own, since commands share names
_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a run; it is only read.", required=True, flag_values=FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "The page, FILE.html.", required=True, flag_values=FLAGS)
_USERS = flags.DEFINE(
    id_files.CommaSeparated(),
    "users",
    [],
    "Raw ids of users to show, a comma between them; others are drawn at random.",
    flag_values=FLAGS,
    serializer=flags.CsvListSerializer(","),
)
_NUM_USERS = flags.DEFINE_integer("num_users", 500, "Users shown.", lower_bound=1, flag_values=FLAGS)
_PAIR_USERS = flags.DEFINE_integer(
    "num_pair_users", 30, "Of these, users whose negatives are shown.", lower_bound=0, flag_values=FLAGS
)
_MAX_ITEMS = flags.DEFINE_integer(
    "max_items", 50_000, "Items shown at most; of more a sample.", lower_bound=100, flag_values=FLAGS
)
_MAPS = flags.DEFINE_list("maps", ["pca"], f"Maps, the first one first: {' and '.join(maps.MAPS)}.", flag_values=FLAGS)
_CACHE = flags.DEFINE_string(
    compilation_cache.KEY, None, "Folder of compiled programs, read instead of compiling.", flag_values=FLAGS
)


def main() -> None:
    """Runs with the flags' values."""
    output = Path(_OUTPUT.value)
    if output.suffix != ".html" or output.is_dir() or not output.parent.is_dir():
        raise UserError(f"--output={output}: name a file of HTML, such as space.html, in a folder that is there.")
    building.check_installed()
    maps.check(tuple(_MAPS.value))
    with compilation_cache.used(_CACHE.value, say, f"--{compilation_cache.KEY}"):
        model = cml_jax.load(_WORKDIR.value)
        wanted = Wanted(
            users=tuple(id_files.as_known(model.user_ids, _USERS.value)),
            num_users=max(_NUM_USERS.value, len(_USERS.value)),
            num_pair_users=_PAIR_USERS.value,
            max_items=_MAX_ITEMS.value,
            maps=tuple(_MAPS.value),
        )
        made = content.make(model, data_name(Path(_WORKDIR.value)), wanted)
        page.write(made, output)
    for note in made["about"]["notes"]:
        say(note)
    say(f"Wrote {output}, {output.stat().st_size / 1e6:.1f} MB.")


def data_name(workdir: Path) -> str:
    """Name of the data set in a workdir's config; that of the folder where there is none."""
    config = json.loads((workdir / "config.json").read_text())  # `load` has read it
    return str(config.get("dataset", {}).get("name") or workdir.name)


if __name__ == "__main__":
    cli.run(main, FLAGS, example="python -m experiments.explore --workdir=runs/quickstart --output=space.html")
