"""The local record: names, resume, W&B beside it without a prompt."""

import json
import time
from pathlib import Path

import pytest
from wandb_files import read_back

from infoagent import mirror
from infoagent.files import read_jsonl, write_json
from infoagent.mirror import wandb_mode
from infoagent.store import check_output_dir, provenance
from infoagent.tracking import Tracker, known_metrics, run_group
from infoagent.types import InputError


def test_metrics_are_kept_up_to_the_step_that_is_resumed(tmp_path):
    tracker = Tracker(tmp_path, {}, wandb="disabled")
    for step in range(1, 6):
        tracker.log(step, {"mi/nats": step / 10})
    resumed = Tracker(tmp_path, {}, resume_step=3)
    resumed.log(4, {"mi/nats": 9.0})
    resumed.finish()
    assert [(r["step"], r["mi/nats"]) for r in read_jsonl(tmp_path / "metrics.jsonl")] == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 9.0)]
    assert (tmp_path / "wandb_id").read_text()


def test_an_offline_run_file_holds_what_the_local_files_hold(tmp_path):
    tracker = Tracker(tmp_path / "run", {"seed": 1, "reward": {"price": 0.02}}, project="p", job_type="grpo")
    for step in range(1, 4):
        tracker.log(step, {"mi/nats": 1.25 / step, "rate/tokens": 17.0 + step})
    tracker.samples(3, [{"compression": "a text", "reward": 0.5}])
    tracker.wandb.summary({"records/frozen/mi/nats": 0.75})
    tracker.finish(exit_code=1)
    [run] = read_back(tmp_path / "run")
    assert (run.run.project, run.run.run_group, run.run.job_type, run.run.display_name) == ("p", "run", "grpo", "run")
    assert run.run.run_id == (tmp_path / "run" / "wandb_id").read_text()
    assert {k: run.config[k] for k in ("seed", "reward")} == {"seed": 1, "reward": {"price": 0.02}}
    assert [line for line in run.history if "mi/nats" in line] == read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert run.table("samples") == read_jsonl(tmp_path / "run" / "samples.jsonl")
    assert run.summary["records/frozen/mi/nats"] == 0.75
    assert run.exit_code == 1


def test_a_chart_and_an_artifact_are_in_the_run_file(tmp_path):
    rows = [
        {"curve": "b", "rate_tokens": 9.0, "mi_nats": 1.5},
        {"curve": "a", "rate_tokens": 8.0, "mi_nats": 1.0},
        {"curve": "a", "rate_tokens": 2.0, "mi_nats": 0.5},
        {"curve": "a", "rate_tokens": 4.0, "mi_nats": None},
    ]
    adapter = tmp_path / "adapter.bin"
    adapter.write_bytes(b"weights")
    held = mirror.Mirror(tmp_path, {}, "offline", "p", "a group", "eval", name="a name")
    held.chart("rd", rows, "rate_tokens", "mi_nats", "curve", "MI")
    held.artifact("a run/adapter", "model", [adapter], {"step": 3}, ["step-3"])
    held.finish()
    adapter.unlink()  # as a checkpoint that is rotated out before the run is sent

    [run] = read_back(tmp_path)
    assert (run.run.run_group, run.run.job_type, run.run.display_name) == ("a group", "eval", "a name")
    assert run.table("rd/table") == rows
    drawn = [rows[2], rows[1], rows[0]]  # each line in the order of its x
    fields = {"x": "rate_tokens", "y": "mi_nats"}, {"step": "rate_tokens", "lineKey": "curve", "lineVal": "mi_nats"}
    for name, shown in zip(("rd/points", "rd/lines"), fields, strict=True):
        assert run.table(f"{name}_table") == drawn
        assert run.charts[name]["fieldSettings"] == shown
        assert run.charts[name]["stringSettings"]["title"] == "MI"
    [model] = [a for a in run.artifacts if a.type == "model"]
    assert model.name == "a-run-adapter"
    assert json.loads(model.metadata) == {"step": 3}
    assert set(model.aliases) == {"latest", "step-3"}
    [content] = model.manifest.contents
    assert content.path == "adapter.bin"
    assert Path(content.local_path).read_bytes() == b"weights"
    assert tmp_path in Path(content.local_path).parents  # not in the user's home


def test_a_run_that_goes_on_after_a_kill_keeps_its_id(tmp_path):
    first = Tracker(tmp_path / "run", {"steps": 4})
    for step in (1, 2, 3):
        first.log(step, {"mi/nats": step / 10})
    first.finish(exit_code=1)
    time.sleep(1.1)  # folders are named by the second
    second = Tracker(tmp_path / "run", {"steps": 9}, resume_step=2)
    second.log(3, {"mi/nats": 7.0})
    second.finish()
    time.sleep(1.1)
    Tracker(tmp_path / "run", {}).finish()  # begun anew
    one, two, anew = read_back(tmp_path / "run")
    assert one.run.run_id == two.run.run_id != anew.run.run_id
    assert one.run.run_group == two.run.run_group == "run"
    assert [line["step"] for line in one.history] == [1, 2, 3]
    assert two.history == [{"step": 3, "mi/nats": 7.0}]
    assert two.config["steps"] == 9


def test_online_the_run_is_taken_up_again_and_a_dead_service_stops_nothing(tmp_path, monkeypatch, caplog):
    import wandb

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    asked, real = [], wandb.init

    def unreachable(**settings):
        asked.append(settings)
        if settings["mode"] == "online":
            raise wandb.errors.CommError("no route to host")
        return real(**settings)

    monkeypatch.setattr(wandb, "init", unreachable)
    (tmp_path / "wandb_id").write_text("abcd1234")
    tracker = Tracker(tmp_path, {}, resume_step=1)
    tracker.log(2, {"mi/nats": 1.0})
    tracker.finish()
    assert [(a["mode"], a["id"], a["resume"]) for a in asked] == [("online", "abcd1234", "allow"), ("offline", "abcd1234", None)]
    assert "no route to host" in caplog.text
    assert [line["mi/nats"] for line in read_back(tmp_path)[0].history] == [1.0]


class GoneService:
    """A run whose helper process was killed: whatever is asked of it fails, as its kind of failure does."""

    def __init__(self, error):
        self.error, self.asked = error, 0

    @property
    def summary(self):
        return self

    def log(self, *_, **__):
        self.asked += 1
        raise self.error

    update = log_artifact = finish = log


CALLS = {
    "log": lambda held: held.log(1, {"mi/nats": 1.0}),
    "table": lambda held: held.table("samples", 1, [{"reward": 1.0}]),
    "chart": lambda held: held.chart("rd", [{"curve": "a", "x": 1.0, "y": 2.0}], "x", "y", "curve", "MI"),
    "summary": lambda held: held.summary({"mi/nats": 1.0}),
    "artifact": lambda held: held.artifact("a", "model", [], {}),
    "finish": lambda held: held.finish(1),
}


@pytest.mark.parametrize("error", [ConnectionResetError("Connection lost"), RuntimeError("closed")], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("first", CALLS)
def test_a_service_that_dies_on_the_way_stops_nothing_and_is_told_once(first, error, tmp_path, monkeypatch, caplog):
    import wandb

    ended = []
    monkeypatch.setattr(wandb, "teardown", lambda: ended.append(1))
    tracker = Tracker(tmp_path, {}, wandb="disabled")
    run = tracker.wandb._run = GoneService(error)
    for call in [CALLS[first], *CALLS.values()]:
        call(tracker.wandb)
    tracker.log(1, {"mi/nats": 1.0})
    assert run.asked == 1
    assert caplog.text.count("W&B is gone") == 1
    assert read_jsonl(tmp_path / "metrics.jsonl") == [{"step": 1, "mi/nats": 1.0}]
    assert len(ended) == isinstance(error, ConnectionError)  # a dead helper process must not be waited for at exit


def test_groups_come_from_the_recipe_the_environment_or_the_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    assert run_group(None, tmp_path / "runs" / "records-grpo") == "records-grpo"
    monkeypatch.chdir(tmp_path)
    assert run_group(None, ".") == tmp_path.name
    monkeypatch.setenv("WANDB_RUN_GROUP", "a sweep")
    assert run_group(None, "runs/x") == "a sweep"
    assert run_group("mine", "runs/x") == "mine"


def test_without_a_login_nothing_goes_online(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wandb_mode("auto") == "offline"
    assert mirror.login_source() is None
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert mirror.login_source() == str(tmp_path / "netrc")
    assert wandb_mode("auto") == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")  # the login is another server's
    assert wandb_mode("auto") == "offline"
    monkeypatch.delenv("WANDB_BASE_URL")
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert wandb_mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode("online") == "disabled"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_mode("online") == "offline"
    assert wandb_mode("disabled") == "disabled"  # who wants nothing gets nothing


@pytest.fixture
def no_login(tmp_path, monkeypatch):
    """A home without any trace of W&B."""
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_CONFIG_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_login_at_ones_own_server_is_found(no_login):
    """As `wandb login --host` leaves it: the address in its settings, the key under the host."""
    (no_login / ".netrc").write_text("machine wandb.example.org login user password " + "x" * 40)
    assert mirror.login_source() is None
    settings = no_login / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.example.org\n")
    assert mirror.login_source() == str(no_login / ".netrc")
    assert wandb_mode("online") == "online"
    settings.write_text("no settings at all")
    assert mirror.login_source() is None


@pytest.mark.parametrize(("named", "mode"), [("dryrun", "offline"), ("shared", "shared"), ("dry-run", None), ("off", None)])
def test_a_mode_that_is_none_is_refused_before_anything_is_computed(no_login, monkeypatch, named, mode):
    monkeypatch.setenv("WANDB_MODE", named)
    if mode is not None:
        assert wandb_mode("auto") == mode
        return
    with pytest.raises(InputError, match=f"WANDB_MODE={named}: must be one of auto, online, offline, disabled"):
        wandb_mode("auto")


@pytest.mark.parametrize("failed", [0, 1])
def test_samples_of_which_some_failed_are_one_table(tmp_path, failed):
    rows = [{"compression": "a", "reward": 0.5}, {"compression": "b", "reward": 0.25}]
    rows[failed] |= {"reward": None, "failed": "not finite"}
    held = mirror.Mirror(tmp_path, {}, "offline", "p", "g", "grpo")
    held.table("samples", 1, rows)
    held.finish()
    [run] = read_back(tmp_path)
    assert run.table("samples") == [{"step": 1, "failed": None, **row} for row in rows]


def test_a_half_written_last_line_is_skipped_and_any_other_is_an_error(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert read_jsonl(file) == [{"a": 1}, {"a": 2}]
    file.write_text('{"a": 1}\n{"a"\n{"a": 3}\n')
    with pytest.raises(ValueError, match=":2: damaged line"):
        read_jsonl(file)


def test_texts_may_hold_any_line_end_and_a_kill_may_cut_a_character(tmp_path):
    file = tmp_path / "x.jsonl"
    row = {"text": "one\u2028two\x85three\u2029"}
    file.write_bytes(json.dumps(row, ensure_ascii=False).encode() + b"\n" + '{"text": "é'.encode()[:-1])
    assert read_jsonl(file) == [row]
    file.write_bytes(b"")
    assert read_jsonl(file) == []


def test_a_directory_serves_one_kind_of_run(tmp_path):
    write_json(tmp_path / "run.json", {"kind": "train", "recipe": {}})
    check_output_dir(str(tmp_path), "train")
    with pytest.raises(InputError, match="belongs to a run of kind 'train'"):
        check_output_dir(str(tmp_path), "evaluate")


def test_online_without_a_login_is_refused_instead_of_asking(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="no login found"):
        Tracker(tmp_path / "run", {}, wandb="online")


def test_json_is_replaced_as_a_whole(tmp_path):
    write_json(tmp_path / "deep" / "x.json", {"a": 1})
    write_json(tmp_path / "deep" / "x.json", {"a": 2})
    assert json.loads((tmp_path / "deep" / "x.json").read_text()) == {"a": 2}
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_provenance_names_commit_and_versions():
    found = provenance()
    assert found["commit"]
    assert found["versions"]["trl"].startswith("1.16")


def test_the_houses_metric_names_are_all_described():
    named = (
        "mi/nats mi/bits_per_token mi/ceiling_nats mi/saturation mi/hard_nats rate/tokens rate/bytes rate/price distortion/error"
    )
    named += " distortion/nll faithfulness/unsupported reward/total reward/mi reward/rate scorer/seconds scorer/share_of_step"
    assert set(named.split()) <= set(known_metrics())


def test_a_run_that_a_killed_process_still_holds_is_waited_for(tmp_path, monkeypatch):
    import wandb
    from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

    monkeypatch.setattr(mirror.time, "sleep", lambda seconds: None)
    real, asked = wandb.init, []

    def held(times):
        def init(**settings):
            asked.append(settings["id"])
            if len(asked) <= times:
                raise ServerResponseError(f"run ID {settings['id']} is in use")
            return real(**settings)

        return init

    monkeypatch.setattr(wandb, "init", held(3))
    Tracker(tmp_path / "a", {}, "offline").finish()
    assert len(asked) == 4
    assert len(set(asked)) == 1  # the same run, once it was free
    asked.clear()
    monkeypatch.setattr(wandb, "init", held(mirror.HELD_SECONDS))
    Tracker(tmp_path / "b", {}, "offline").finish()
    assert asked[-1] != asked[0]
    assert (tmp_path / "b" / "wandb_id").read_text() == asked[-1]
