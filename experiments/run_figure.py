"""The figure that a run leaves in its workdir."""

from cml_jax.runs.run import Run
from cml_jax.runs.summary import Summary
from experiments.reports.curves import save_curves


def draw_curves(run: Run, summary: Summary) -> None:
    """Draws curves.png and curves.pdf; for `open_run`."""
    assert run.workdir is not None
    metric, name = run.setup.protocol.metric, run.setup.config["dataset.name"]
    save_curves(run.records, summary, metric, run.workdir.folder / "curves.png", name)
