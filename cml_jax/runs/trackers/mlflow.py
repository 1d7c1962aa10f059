"""MLflow: a run of the experiment, tagged with the sweep; where that is, MLFLOW_TRACKING_URI says as for any client."""

import time
from collections.abc import Mapping
from typing import Any

from cml_jax.runs.trackers.base import About, End, Tracker

_STATUS: dict[End, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_PARAMS_A_CALL = 100  # more are refused
_GROUP_TAG = "sweep"


def open_tracker(about: About) -> Tracker:
    """A run, or the one that goes on."""
    from mlflow import MlflowClient  # the fluent functions know one run at a time

    client = MlflowClient()
    run_id = about.id
    if run_id is None:
        tags = {_GROUP_TAG: about.group} if about.group else {}
        run_id = client.create_run(_experiment(client, about.project), run_name=about.name, tags=tags).info.run_id
    else:
        client.update_run(run_id, status="RUNNING")
    _write_params(client, run_id, {key: str(value) for key, value in about.config.items() if value is not None})
    return _MlflowRun(client, run_id, about.project)


def _experiment(client: Any, name: str) -> str:
    """The id of an experiment, which is made where there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    try:
        return client.create_experiment(name)
    except MlflowException:  # another process may have been faster
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id


def _write_params(client: Any, run_id: str, params: Mapping[str, str]) -> None:
    """Writes parameters; those that a longer run changes become tags, since a parameter never changes there."""
    from mlflow.entities import Param, RunTag

    there = client.get_run(run_id).data.params
    new = [Param(key, value) for key, value in params.items() if key not in there]
    changed = [RunTag(key, value) for key, value in params.items() if there.get(key, value) != value]
    for start in range(0, len(new), _PARAMS_A_CALL):
        client.log_batch(run_id, params=new[start : start + _PARAMS_A_CALL])
    client.log_batch(run_id, tags=changed)


class _MlflowRun:
    def __init__(self, client: Any, run_id: str, project: str) -> None:
        self._client = client
        self.id: str | None = run_id
        self.address: str | None = f"run {run_id} of experiment {project}"

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Logs metrics; 'ndcg@20' is 'ndcg_at_20', since names there have no @."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name.replace("@", "_at_"), value, now, step) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def result(self, step: int, values: Mapping[str, float]) -> None:
        """Logs metrics, of names of their own."""
        self.report(step, values)

    def close(self, end: End) -> None:
        """Sets the run's status."""
        self._client.set_terminated(self.id, _STATUS[end])
