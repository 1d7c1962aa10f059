"""What stands in the local files of trackers, read back."""

import json
import struct
from typing import Any

_BLOCK = 1 << 15
_HEADER = 7


def _wandb_records(path):
    """Serialized records of a .wandb file: LevelDB's log format, after a header of its own."""
    content, position, parts = path.read_bytes(), _HEADER, b""
    while position + _HEADER <= len(content):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts += content[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_wandb(folder):
    """The offline runs in a folder, in the order of their creation."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # until its service ends, it may still be writing
    pb: Any = wandb_internal_pb2
    runs = []
    for path in sorted(folder.glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        run = {"history": {}, "summary": {}, "config": {}}
        for serialized in _wandb_records(path):
            record = pb.Record.FromString(serialized)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run |= {"id": record.run.run_id, "name": record.run.display_name}
                run |= {"group": record.run.run_group, "project": record.run.project}
            elif kind == "config":
                _update(run["config"], record.config.update)
            elif kind == "history":
                row = _update({}, record.history.item)
                assert row["_step"] not in run["history"]
                run["history"][row["_step"]] = {name: v for name, v in row.items() if not name.startswith("_")}
            elif kind == "summary":
                _update(run["summary"], record.summary.update)
            elif kind == "exit":
                run["exit"] = record.exit.exit_code
        runs.append(run)
    return runs


def _update(values, items):
    for item in items:
        *sections, name = item.nested_key or [item.key]
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = json.loads(item.value_json)
    return values


def read_mlflow(experiment):
    """The runs of an experiment, with every point of every metric, each of which is there once."""
    from mlflow import MlflowClient

    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = []
    for run in client.search_runs([found.experiment_id]):
        metrics = {}
        for name in run.data.metrics:
            for point in client.get_metric_history(run.info.run_id, name):
                assert (name, point.step) not in metrics
                metrics[name, point.step] = point.value
        about = {"name": run.info.run_name, "status": run.info.status}
        runs.append(about | {"params": run.data.params, "tags": run.data.tags, "metrics": metrics})
    return runs


def read_event_files(folder):
    """{(tag, step): value}; each is there once."""
    from tensorboard.backend.event_processing import event_accumulator

    found = event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    values = {}
    for tag in found.Tags()["tensors"]:
        for event in found.Tensors(tag) if not tag.startswith("_hparams_") else []:
            assert (tag, event.step) not in values
            values[tag, event.step] = float(event.tensor_proto.float_val[0])
    return values


def read_hparams(folder):
    """What the HPARAMS tab shows of the runs below a folder, by name."""
    from google.protobuf import json_format
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    api: Any = api_pb2
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    hparams = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = api.ListSessionGroupsRequest(
        allowed_statuses=list(api.Status.values()), slice_size=100, include_metrics=True
    )
    experiment = hparams.experiment_from_metadata(
        context.RequestContext(), "", True, hparams.hparams_metadata(context.RequestContext(), ""), []
    )
    for metric in experiment.metric_infos:
        asked.col_params.add(metric=metric.name)
    found = list_session_groups.Handler(context.RequestContext(), hparams, "", asked).run()
    return sorted(
        (
            {
                "name": group.name,
                "status": group.sessions[0].status,
                "hparams": {key: json_format.MessageToDict(value) for key, value in group.hparams.items()},
                "metrics": {value.name.tag: value.value for value in group.metric_values},
            }
            for group in found.session_groups
        ),
        key=lambda group: group["name"],
    )
