"""`infoagent compress`: a file in, its compression on stdout, figures on stderr; or a folder in and a folder out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from infoagent.cli.text import read_input
from infoagent.data.reading.documents import SUFFIXES
from infoagent.data.reading.tables import kind_of
from infoagent.files import hold, read_json, write_json, write_text
from infoagent.logs import result_stream
from infoagent.progress import Progress, say
from infoagent.store import TEMPLATE_DATE, template_date, text_id
from infoagent.types import AUTO, InputError

SETTINGS_FILE = "compress.json"
EARLIER_DTYPE = "bfloat16"
"""Of folders from before their settings named the type."""
DEFAULT_MODEL = "smollm2-135m"
NO_ADAPTER = "none"
"""--adapter of that name: the frozen model, also where an adapter comes along."""
ALONG = "bundled"
"""How records name the adapter that comes along; where it lies depends on the machine, its revision does not."""
FAILURES = (InputError, OSError)
"""What one file of a folder may fail of without stopping the others."""


def compress(arguments: argparse.Namespace) -> int:
    _check(arguments)
    if arguments.file != "-" and Path(arguments.file).is_dir():
        return _folder(arguments)
    text = read_input(arguments.file)
    session = _Session(arguments)
    shortened = session.fitted(text)
    [record] = session.run([text], [shortened])
    if arguments.json:
        print(json.dumps(record))
    else:
        print(record["text"], file=result_stream())
    print(_figures(record), file=sys.stderr)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    mistakes = []
    is_folder = arguments.file != "-" and Path(arguments.file).is_dir()
    if is_folder and arguments.out is None:
        mistakes.append(f"{arguments.file}: is a folder; say where its compressions go with --out DIR")
    if not is_folder and arguments.out is not None:
        mistakes.append(f"--out {arguments.out}: is for a folder; the compression of one text goes to stdout")
    if mistakes:
        raise InputError(mistakes)


class _Session:
    """One model with one prompt. It loads when the first text needs it; its tokenizer before, to refuse bad input."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from infoagent.lm import models
        from infoagent.lm.adapters import base_here
        from infoagent.lm.long_text import CompressionTask
        from infoagent.lm.machine import device, dtype
        from infoagent.lm.prompts import Prompt

        self.adapter, self.is_bundled = chosen_adapter(arguments)
        name = arguments.model
        if name is None and self.adapter is not None and not self.is_bundled:
            name = base_here(self.adapter)
        self.name = name or DEFAULT_MODEL
        prompt: dict[str, Any] = {"template": "query-v1" if arguments.query else "agnostic-v1"}
        self.model = models.find_by_name(self.name, adapter=self.adapter)
        if self.adapter is not None:
            from infoagent.lm.adapter_fit import check_fit

            check_fit(self.adapter, self.model.pinned.reference)
        reference = self.model.reference
        recorded, budget_range = models.trained_prompt(self.adapter, reference, bool(arguments.query), "--query")
        prompt |= recorded
        self.prompt = prompt
        self.task = CompressionTask(
            query=arguments.query or "",
            prompt=Prompt(**prompt),
            budget=arguments.budget,
            temperature=arguments.temperature,
            seed=arguments.seed,
            truncate=arguments.truncate,
            batch_size=arguments.batch_size,
            budget_range=budget_range,
        )
        self.tokenizer, self.context_tokens = self.model.tokenizer, self.model.context_tokens
        self.dtype = dtype.resolve(_begun_dtype(arguments) or arguments.dtype, device.default_device())
        self._lm: Any = None

    def fitted(self, text: str) -> str:
        from infoagent.lm.long_text import fitted

        return fitted(text, self.tokenizer, self.context_tokens, self.task)

    def run(self, texts: list[str], shortened: list[str]) -> list[dict[str, Any]]:
        """The record of each text; `shortened` is what is left of them under --truncate."""
        from infoagent.lm import models
        from infoagent.lm.long_text import compress_texts
        from infoagent.lm.prompts import text_ids

        if self._lm is None:
            self._lm = models.load(self.name, dtype=self.dtype, adapter=self.adapter)
        records = []
        for text, short, z in zip(texts, shortened, compress_texts(self._lm, shortened, self.task), strict=True):
            source = z.source_tokens if short == text else len(text_ids(self.tokenizer, text))
            records.append(
                {
                    "text": z.text,
                    "tokens": z.tokens,
                    "bytes": len(z.text.encode()),
                    "source_tokens": source,
                    "ratio": source / z.tokens if z.tokens else None,  # null: nothing was written, there is no ratio
                    "seconds": z.seconds,
                    "finish": z.finish,
                    "parts": z.parts,
                    "rounds": z.rounds,
                    "truncated": short != text,
                    **self.settings(),
                }
            )
        return records

    def settings(self) -> dict[str, Any]:
        """What a compression depends on beside its text."""
        task = self.task
        return {
            "model": self.name,
            "model_revision": self.model.reference.revision,
            "dtype": self.dtype,
            "template_date": None if template_date() == TEMPLATE_DATE else template_date().isoformat(),
            "adapter": ALONG if self.is_bundled else self.adapter,
            "adapter_revision": self.model.adapter_revision,
            "query": task.query or None,
            "prompt": self.prompt,
            "budget": task.budget,
            "temperature": task.temperature,
            "seed": task.seed,
            "truncate": task.truncate,
        }


def chosen_adapter(arguments: argparse.Namespace) -> tuple[str | None, bool]:
    """(directory, whether it is the one that comes along): what is named, else what comes along for the model where a question is
    asked, which is what it was trained for."""
    from infoagent.lm.adapters import bundled_adapter

    if arguments.adapter is not None:
        return (None if arguments.adapter == NO_ADAPTER else arguments.adapter), False
    along = bundled_adapter(arguments.model or DEFAULT_MODEL) if arguments.query else None
    return along, along is not None


def _figures(record: dict[str, Any]) -> str:
    cut = " (cut off at the budget)" if record["finish"] == "length" else ""
    ratio = "empty" if record["ratio"] is None else f"{record['ratio']:.1f}:1"
    label = record["model"] + (f"+{Path(record['adapter']).name}" if record["adapter"] else "")
    line = f"{record['source_tokens']} tokens → {record['tokens']}{cut}, {ratio}, {record['bytes']} bytes, "
    line += f"{record['seconds']:.1f} s, {label} in {record['dtype']}"
    if record["parts"] > 1:
        again = f", joined and compressed again {record['rounds'] - 1} ×" if record["rounds"] > 1 else " and joined"
        line += f"\nlonger than the model's context: compressed in {record['parts']} parts{again}"
    if record["truncated"]:
        line += f"\nlonger than the model's context: its {_KEPT[record['truncate']]}"
    return line


_KEPT = {"head": "head was kept, the rest cut off", "tail": "tail was kept, the rest cut off", "middle": "middle was cut out"}


# ---- folders --------------------------------------------------------------------------------------------------


def _folder(arguments: argparse.Namespace) -> int:
    """Every text, Markdown and PDF file below the folder, to the same place below --out, and its figures beside it as
    .json. The compression of `report.pdf` is `report.pdf.txt`.

    A file is done when its .json is there and its text has not changed since. Returns 1 if a file failed.
    """
    source, out = Path(arguments.file), Path(arguments.out)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a directory")
    if out.resolve() in (source.resolve(), *source.resolve().parents):
        raise InputError(f"--out {out}: holds the folder that is read; name a directory of its own")
    files = sorted(
        f for f in source.rglob("*") if kind_of(f) in SUFFIXES and f.is_file() and out.resolve() not in f.resolve().parents
    )
    if not files:
        raise InputError(f"{source}: holds no {' or '.join(SUFFIXES)} file")
    twice = [f for f in files if target_of(f) != f and target_of(f) in files]
    if twice:
        raise InputError([f"{target_of(f)}: its compression would stand in the place of {f.name}'s; rename one" for f in twice])
    session = _Session(arguments)
    _claim(out, session.settings())
    hold(out)
    done = failed = 0
    waiting: list[tuple[Path, str, str]] = []

    with Progress(len(files), "compress", "file", arguments.quiet) as bar:

        def work_off() -> None:
            if not waiting:
                return
            records = session.run([text for _, text, _ in waiting], [short for _, _, short in waiting])
            for (file, text, _), record in zip(waiting, records, strict=True):
                name = file.relative_to(source)
                target = out / target_of(name)
                _write(target, record["text"])
                record = {"file": name.as_posix(), "source": text_id(text), **record}
                write_json(_record_of(target), record)  # last: it says that the file is done
                if arguments.json:
                    print(json.dumps(record), flush=True)
            bar.update(len(waiting))
            waiting.clear()

        for file in files:
            try:
                text = read_input(str(file))
                if _is_done(out / target_of(file.relative_to(source)), text):
                    done += 1
                    bar.update()
                    continue
                waiting.append((file, text, session.fitted(text)))
            except FAILURES as error:
                failed += 1
                bar.update()
                say(f"failed: {str(error).splitlines()[0]}")
                if arguments.json:
                    print(json.dumps({"file": file.relative_to(source).as_posix(), "error": str(error)}), flush=True)
            if len(waiting) >= arguments.batch_size:
                work_off()
        work_off()
    print(f"{len(files) - done - failed} compressed to {out}, {done} were done before, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def _begun_dtype(arguments: argparse.Namespace) -> str | None:
    """With `auto`, the type that the compressions of --out were begun in: a folder is of one type, on any machine."""
    file = Path(arguments.out or ".") / SETTINGS_FILE
    if arguments.dtype != AUTO or arguments.out is None or not file.is_file():
        return None
    return str(read_json(file).get("dtype", EARLIER_DTYPE))


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Write down the settings of `out`, or raise InputError where its compressions were made under others."""
    from infoagent.lm.identity import same_revision

    file = out / SETTINGS_FILE
    if file.is_file():
        before = {"dtype": EARLIER_DTYPE, **read_json(file)}
        different = [key for key in settings if not same_revision(before.get(key), settings[key])]
        if different:
            raise InputError(
                f"--out {out}: its compressions were made with other settings, {', '.join(different)} differ; "
                "restore them to go on, or name another directory"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out}: is not empty and not of this command; name another directory")
    write_json(file, settings)


def target_of(name: Path) -> Path:
    """Where the compression of a file goes: a text under the name of a PDF or a gzip would be taken for one."""
    return name.with_name(f"{name.name}.txt") if name.suffix.lower() in (".pdf", ".gz") else name


def _record_of(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _is_done(target: Path, text: str) -> bool:
    record = _record_of(target)
    if not record.is_file() or not target.is_file():
        return False
    return bool(read_json(record)["source"] == text_id(text))


def _write(target: Path, text: str) -> None:
    write_text(target, text + "\n")
