"""W&B beside the local files: one run, its metrics, charts and artifacts. Nothing is read back from it."""

from __future__ import annotations

import configparser
import contextlib
import logging
import netrc
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.types import InputError

HELD_SECONDS = 10
"""So long a run that goes on waits until a W&B service that it shares with its killed process lets go of the run's id."""
MODES = ("auto", "online", "offline", "disabled")
OF_ENVIRONMENT = (*MODES, "shared")
"""What WANDB_MODE may be; several machines that write one run are set up there, and not in a recipe."""
OLD_NAMES = {"run": "online", "dryrun": "offline"}
"""Of modes, which W&B still takes."""
LINES = "wandb/lineseries/v0"
PUBLIC_SERVER = "https://api.wandb.ai"
NETRC_FILES = (".netrc", "_netrc")

logger = logging.getLogger(__name__)


def wandb_mode(setting: str) -> Any:
    """`online`, `offline` or `disabled`, or the `shared` of WANDB_MODE. What is not disabled goes as WANDB_MODE says, or else as
    `setting` does; auto is online only where a login is found.

    Raises InputError for `online` without a login, and for a WANDB_MODE that is none, before anything is computed that W&B is
    to show.
    """
    if setting == "disabled":
        return setting
    named = os.environ.get("WANDB_MODE")
    asked = OLD_NAMES.get(named, named) if named else setting
    if asked not in OF_ENVIRONMENT:
        raise InputError(f"WANDB_MODE={named}: must be one of {', '.join(OF_ENVIRONMENT)}; unset it, and tracking.wandb decides")
    mode = ("online" if login_source() else "offline") if asked == "auto" else asked
    if mode == "online" and login_source() is None:
        where = f"WANDB_MODE={named}" if named else "tracking.wandb = 'online'"
        raise InputError(f"{where}: no login found; run `wandb login`, set WANDB_API_KEY, or use offline")
    return mode


def login_source() -> str | None:
    """Where a W&B login was found, never the login itself; None without one."""
    if os.environ.get("WANDB_API_KEY"):
        return "WANDB_API_KEY"
    host = _server().split("//")[-1].split("/")[0]
    for file in [os.environ["NETRC"]] if os.environ.get("NETRC") else [str(Path.home() / name) for name in NETRC_FILES]:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(file).authenticators(host) is not None:
                return file
    return None


def _server() -> str:
    """The address that `wandb` logs in at: of the environment, else what `wandb login --host` left in its settings."""
    if url := os.environ.get("WANDB_BASE_URL"):
        return url
    home = Path(os.environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config" / "wandb")
    settings = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, ValueError, configparser.Error):
        settings.read([home / "settings", Path("wandb") / "settings"])  # the nearer one has the last word
    return settings.get("default", "base_url", fallback=PUBLIC_SERVER)


class Mirror:
    """A W&B run in `directory`/wandb; where W&B is disabled every call is without effect.

    With the `run_id` of an earlier run it goes on: online that is one run, offline another folder of the same id.
    Once it has begun nothing that happens to W&B ends the program: the first failure is a warning, and the last call.
    """

    def __init__(
        self,
        directory: str | Path,
        config: Mapping[str, Any],
        mode: str,
        project: str,
        group: str,
        job_type: str,
        run_id: str | None = None,
        name: str | None = None,
    ) -> None:
        self.directory, self.mode = Path(directory), mode
        self._run: Any = None
        if mode != "disabled":
            about = {"project": project, "group": group, "job_type": job_type, "config": dict(config)}
            about["name"] = name or self.directory.resolve().name
            self._run = self._start(about, run_id or secrets.token_hex(4))

    @property
    def run_id(self) -> str | None:
        """Of W&B; under a W&B agent it is the agent's. None where W&B is disabled."""
        return None if self._run is None else str(self._run.id)

    def _start(self, about: dict[str, Any], run_id: str) -> Any:
        os.environ.setdefault("WANDB_SILENT", "true")  # it warns at every table of an offline run
        # what an artifact holds is copied there, and must be there when an offline run is sent
        os.environ["WANDB_DATA_DIR"] = str(self.directory.resolve() / "wandb")
        from wandb.errors import CommError

        try:
            run = self._init(about, run_id)
        except CommError as error:
            if self.mode != "online":
                raise
            logger.warning("W&B cannot be reached (%s); the run is kept offline, `wandb sync` sends it", error)
            self.mode = "offline"
            run = self._init(about, run_id)
        logger.info("W&B: %s run %s of project %s, group %s", self.mode, run.id, about["project"], about["group"])
        run.define_metric("step")
        run.define_metric("*", step_metric="step")
        return run

    def _init(self, about: dict[str, Any], run_id: str) -> Any:
        import wandb
        from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

        for seconds_left in range(HELD_SECONDS, -1, -1):
            try:
                return wandb.init(
                    **about,
                    dir=str(self.directory),
                    mode=self.mode,  # type: ignore[arg-type]
                    id=run_id,
                    resume="allow" if self.mode == "online" else None,
                    settings=wandb.Settings(silent=True, show_warnings=False, console="off"),
                )
            except ServerResponseError as error:  # the service of a killed process holds its run for a moment
                if "is in use" not in str(error) or not seconds_left:
                    raise
                if seconds_left == HELD_SECONDS:
                    logger.info("W&B run %s is held by another process; waiting up to %d s", run_id, HELD_SECONDS)
                time.sleep(1)
                if seconds_left == 1:  # it holds on: metrics.jsonl goes on as it was, W&B gets a run of its own
                    run_id = secrets.token_hex(4)
        raise AssertionError("the loop returns or raises")

    def _do(self, call: Callable[[Any], object]) -> None:
        """`call` with the run, if there is one. Nothing depends on it: W&B's helper process may be killed, its disk full, its
        server broken, and what it raises then depends on the moment. From the first failure on every call is without effect."""
        if self._run is None:
            return
        try:
            call(self._run)
        except Exception as error:
            self._run = None
            logger.warning("W&B is gone (%s: %s); nothing more is sent there, the local files go on", type(error).__name__, error)
            if isinstance(error, ConnectionError):  # else it would say goodbye to its dead process at exit, and fail aloud
                import wandb

                with contextlib.suppress(Exception, SystemExit):
                    wandb.teardown()

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        self._do(lambda run: run.log({"step": step, **values}))

    def table(self, name: str, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows as a table; what a row has not, such as the cause of a failure, is empty there."""
        if self._run is not None and rows:
            import wandb

            columns = list(dict.fromkeys(column for row in rows for column in row))
            table = wandb.Table(columns=["step", *columns], data=[[step, *(r.get(c) for c in columns)] for r in rows])
            self._do(lambda run: run.log({"step": step, name: table}))

    def chart(self, name: str, rows: Sequence[Mapping[str, Any]], x: str, y: str, series: str, title: str) -> None:
        """`rows` as a table with two charts of it: NAME/points, and NAME/lines with a line for each `series`, in the
        order of `x`. Rows without a finite `x` or `y` stand in the table alone."""
        if self._run is None or not rows:
            return
        import wandb

        columns = list(rows[0])
        finite = sorted((r for r in rows if r[x] is not None and r[y] is not None), key=lambda r: (str(r[series]), r[x]))
        drawn = [wandb.Table(columns=columns, data=[[r[c] for c in columns] for r in finite]) for _ in range(2)]
        names = {"title": title, "xname": x}
        charts = {
            f"{name}/table": wandb.Table(columns=columns, data=[[r[c] for c in columns] for r in rows]),
            f"{name}/points": wandb.plot.scatter(drawn[0], x, y, title),
            f"{name}/lines": wandb.plot_table(LINES, drawn[1], {"step": x, "lineKey": series, "lineVal": y}, names),
        }
        self._do(lambda run: run.log(charts))

    def summary(self, values: Mapping[str, Any]) -> None:
        """What stands for the whole run in W&B's table of runs."""
        self._do(lambda run: run.summary.update(dict(values)))

    def artifact(
        self, name: str, kind: str, files: Iterable[Path], metadata: Mapping[str, Any], aliases: Sequence[str] = ()
    ) -> None:
        """A version of the artifact `name` of type `kind`. The files are copied: they may go at once."""

        def keep(run: Any) -> None:
            import wandb

            artifact = wandb.Artifact(re.sub(r"[^\w.-]+", "-", name)[:128], kind, metadata=dict(metadata))
            for file in files:
                artifact.add_file(str(file))
            run.log_artifact(artifact, aliases=["latest", *aliases])

        self._do(keep)

    def finish(self, exit_code: int = 0) -> None:
        self._do(lambda run: run.finish(exit_code=exit_code))
        self._run = None
