"""The figure, and the page, that a run leaves in its workdir."""

from cml_jax.runs.config import section
from cml_jax.runs.run import Run
from cml_jax.runs.summary import Summary
from cml_jax.serving.saved_model import columns_of, recommender_of

PAGE = "space.html"


def draw_result(run: Run, summary: Summary) -> None:
    """Draws curves.png and curves.pdf and, where log.explore asks for it, space.html; for `open_run`."""
    draw_curves(run, summary)
    if run.setup.config["log.explore"]:
        try:
            write_page(run, summary)
        except Exception as error:  # whatever it is, the run keeps its result
            run.say(f"Warning: {PAGE} could not be made ({type(error).__name__}: {error}).")


def draw_curves(run: Run, summary: Summary) -> None:
    """Draws curves.png and curves.pdf."""
    from experiments.reports.curves import run_title, save_curves  # slow to import, and not needed by those who fail

    assert run.workdir is not None
    path, title = run.workdir.folder / "curves.png", run_title(run.setup.config)
    save_curves(run.records, summary, run.setup.protocol.metric, path, title)


def write_page(run: Run, summary: Summary) -> None:
    """Writes space.html, see `experiments.explore`."""
    from experiments.space import content, page  # slow to import, and seldom asked for

    assert run.workdir is not None
    setup = run.setup
    model = recommender_of(
        setup.options,
        run.best.params,
        setup.dataset,
        step=summary.best_step,
        metrics=summary.scores,
        columns=columns_of(section(setup.config, "dataset")),
        memory_budget_mb=setup.protocol.memory_budget_mb,
    )
    page.write(content.make(model, str(setup.config["dataset.name"]), content.Wanted()), run.workdir.folder / PAGE)
    run.say(f"Wrote {run.workdir.folder / PAGE}.")
