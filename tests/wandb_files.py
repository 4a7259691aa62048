"""What the run files of W&B's offline mode say, read without W&B's own reader."""

import json
import struct
import time
from pathlib import Path


def wandb_records(path):
    """The records of an offline run file: a 7-byte header, then LevelDB log blocks of 32 KiB with protobuf payloads."""
    from wandb.proto import wandb_internal_pb2

    content, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a full record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


class ReadBack:
    """What an offline run file says."""

    def __init__(self, file):
        self.folder, self.exit_code = file.parent, None
        self.config, self.charts, self.summary, self.history, self.artifacts = {}, {}, {}, [], []
        for record in wandb_records(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config = {u.key: json.loads(u.value_json) for u in record.run.config.update}
            elif kind == "config":
                for update in record.config.update:
                    if list(update.nested_key[:2]) == ["_wandb", "visualize"]:
                        self.charts[update.nested_key[2]] = json.loads(update.value_json)["panel_config"]
            elif kind == "history":
                line = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                self.history.append({k: v for k, v in line.items() if not k.startswith("_")})
            elif kind == "summary":
                for update in record.summary.update:
                    if update.key:
                        self.summary[update.key] = json.loads(update.value_json)
            elif kind == "artifact":
                self.artifacts.append(record.artifact)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def table(self, name):
        [path] = [line[f"{name}/path"] for line in self.history if f"{name}/path" in line]
        content = json.loads((self.folder / "files" / path).read_text())
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def read_back(directory, ended=True):
    """The runs of a directory in the order in which they were started. W&B's service may still be writing the last bytes
    when `finish` returns; with `ended` each run is waited for until it says that it ended."""
    deadline = time.monotonic() + 300
    while True:
        runs = [ReadBack(file) for file in sorted(Path(directory).glob("wandb/offline-run-*/*.wandb"))]
        if not ended or all(run.exit_code is not None for run in runs):
            return runs
        assert time.monotonic() < deadline, "a run file does not say that the run ended"
        time.sleep(0.05)
