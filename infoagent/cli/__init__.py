"""The `infoagent` command: its grammar. Each command lives in a module that is imported when it is called."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from infoagent import __version__
from infoagent.arguments import COUNT, MEMORY_MIB, MONEY, NATURAL, PORT, SEED, TEMPERATURE, Parser, real, whole
from infoagent.config import exit_code
from infoagent.logs import add_log_level
from infoagent.mirror import MODES
from infoagent.types import AUTO, DTYPES

MODULES = {
    "compress": "compress", "compact": "compact", "merge": "adapters", "card": "adapters", "score": "score", "mi": "mi", "calibrate": "mi",
    "fit": "fit", "sweep": "sweep", "questions": "questions", "serve": "serve", "plan": "plan",
    "data_ls": "show", "data_show": "show", "models": "show", "report": "show", "config": "show", "doctor": "show",
}  # fmt: skip
AUTO_HELP = "auto (default): bfloat16 where the device has it and is faster in it, else float32"


def main(argv: Sequence[str] | None = None) -> int:
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int | None:
    arguments = _parsed(_parser(), argv)
    command = getattr(import_module(f"infoagent.cli.{MODULES[arguments.run]}"), arguments.run)
    code: int | None = command(arguments)
    return code


def _parsed(parser: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; overrides may stand behind options, which argparse takes for unknown words in a subcommand."""
    arguments, rest = parser.parse_known_args(argv)
    late = [word for word in rest if hasattr(arguments, "overrides") and "=" in word and not word.startswith("-")]
    if unknown := [word for word in rest if word not in late]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if late:
        arguments.overrides = [*arguments.overrides, *late]
    return parser.checked(arguments)


def _parser() -> Parser:
    parser = Parser(prog="infoagent", description="Measure, train and prove context compressors.")
    parser.add_argument("--version", action="version", version=f"infoagent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="from documents to a trained adapter, its comparison and its report; resumable")
    fit.add_argument("documents", help="a file or folder of texts, a file of problems, or a set of `infoagent data ls`")
    fit.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. data.questions=FILE train.grpo.steps=50")
    fit.add_argument("--budget", type=COUNT, required=True, metavar="N", help="mean tokens of a compression")
    fit.add_argument(
        "--model", default="smollm2-135m", help="embedded model, hub id, directory or GGUF file (default: smollm2-135m)"
    )
    fit.add_argument("--adapter", metavar="DIR", help="start from this checkpoint")
    fit.add_argument("--size", default="standard", help="base recipes of configs/fit/: standard (default), quick")
    fit.add_argument(
        "--launch", metavar="X", help="accelerate_configs/X.yaml for the training (default: single_gpu on an accelerator, else cpu)"
    )
    fit.add_argument("--out", metavar="DIR", help="where all of it goes (default: runs/fit/NAME-N)")
    fit.add_argument("--dry-run", action="store_true", help="check the documents, show the stages and an estimate, then stop")
    fit.add_argument("--quiet", action="store_true", help="a line a stage")
    add_log_level(fit)
    fit.set_defaults(run="fit")

    compress = commands.add_parser("compress", help="compress a file; the compression on stdout, figures on stderr")
    compress.add_argument("file", help="text, Markdown or PDF file, - for standard input, or a folder of them (with --out)")
    compress.add_argument("--query", help="what the compression must let a reader answer (default: keep the facts)")
    compress.add_argument("--model", default=None, help="embedded model, hub id, directory or GGUF file (default: smollm2-135m)")
    compress.add_argument(
        "--adapter",
        metavar="DIR",
        help="a trained checkpoint; none: the frozen model (default: what comes along for the model, where --query is given)",
    )
    compress.add_argument("--dtype", choices=DTYPES, default=AUTO, help=AUTO_HELP)
    compress.add_argument("--budget", type=COUNT, default=60, help="at most so many tokens (default 60)")
    compress.add_argument("--temperature", type=TEMPERATURE, default=0.0, help="0 is greedy (default)")
    compress.add_argument("--seed", type=SEED, default=0)
    compress.add_argument(
        "--truncate",
        choices=["error", "head", "tail", "middle"],
        default=None,
        help="of a text longer than the context: refuse or cut it (default: compress it part by part)",
    )
    compress.add_argument("--json", action="store_true", help="text and figures as JSON on stdout; a folder: a line a file")
    compress.add_argument("--out", metavar="DIR", help="for a folder: where the compressions go; goes on if they are there")
    compress.add_argument("--batch-size", type=COUNT, default=8, help="prompts generated together (default 8)")
    compress.add_argument("--quiet", action="store_true", help="no progress bar, a line a minute")
    add_log_level(compress)
    compress.set_defaults(run="compress")

    compact = commands.add_parser("compact", help="replace the older messages of a history by a memory; messages on stdout")
    compact.add_argument("history", help="JSONL: a message a line, or a conversation a row; - for standard input")
    compact.add_argument("--budget", type=COUNT, default=600, help="the memory's longest length in tokens (default 600)")
    compact.add_argument(
        "--newest", type=NATURAL, default=6, help="messages that stay as they are (default 6), and what they are tied to"
    )
    compact.add_argument(
        "--keep",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="stands in the memory to the letter where it stands in what goes; re:PATTERN: each match of a regular expression",
    )
    compact.add_argument("--query", help="what the memory must let a reader answer (default: facts of every kind)")
    compact.add_argument("--model", default=None, help="embedded model, hub id, directory or GGUF file (default: smollm2-135m)")
    compact.add_argument("--adapter", metavar="DIR", help="a trained checkpoint (default: the frozen model)")
    compact.add_argument("--dtype", choices=DTYPES, default=AUTO, help=AUTO_HELP)
    compact.add_argument("--temperature", type=TEMPERATURE, default=0.0, help="0 is greedy (default)")
    compact.add_argument("--seed", type=SEED, default=0)
    compact.add_argument("--json", action="store_true", help="a line a history: messages, memory and figures")
    compact.add_argument("--quiet", action="store_true", help="no progress bar")
    add_log_level(compact)
    compact.set_defaults(run="compact")

    merge = commands.add_parser("merge", help="base and adapter as one plain model directory")
    merge.add_argument("adapter", help="a trained checkpoint")
    merge.add_argument("--model", help="its base, where the adapter names none or a path that is not here")
    merge.add_argument("--out", required=True, metavar="DIR", help="the directory to make")
    merge.add_argument("--dtype", choices=DTYPES, default=AUTO, help=f"of the merged weights; {AUTO_HELP}")
    add_log_level(merge)
    merge.set_defaults(run="merge")

    card = commands.add_parser("card", help="write the model card (README.md) of a checkpoint anew")
    card.add_argument("checkpoint", help="a trained checkpoint")
    card.add_argument("--evaluation", metavar="DIR", help="output_dir of eval/checkpoint.py: its comparison goes in")
    card.set_defaults(run="card")

    score = commands.add_parser("score", help="log-probabilities of compressions under documents, as .npz")
    score.add_argument("--documents", required=True, help="JSONL with id, document, query [answer, group, …]")
    score.add_argument("--compressions", required=True, help="JSONL with id (of its document's line) and compression")
    score.add_argument("--model", default="smollm2-135m", help="who scores: embedded model, hub id, directory or GGUF file")
    score.add_argument("--dtype", choices=DTYPES, default=AUTO, help=AUTO_HELP)
    score.add_argument("--out", required=True, help="the .npz to write")
    score.add_argument(
        "--query",
        choices=["shared", "own_document"],
        default="shared",
        help="every column under the question of the compression (default), or each under its own",
    )
    score.add_argument(
        "--counterfactuals",
        type=NATURAL,
        default=0,
        metavar="N",
        help="score N versions of each document with a fact changed as well",
    )
    score.add_argument(
        "--missing",
        choices=["fewer", "refuse"],
        default="fewer",
        help="documents with fewer versions than --counterfactuals: take what there is, and count them (default), or an error",
    )
    score.add_argument("--tokens", action="store_true", help="keep what each token is worth (infoagent mi --tokens)")
    score.add_argument(
        "--sampler",
        action="store_true",
        help="the model itself wrote these texts, at temperature 1 under this prompt, each to its end",
    )
    score.add_argument("--allow-missing", action="store_true", help="documents without a compression stand as candidates")
    score.add_argument("--scores", metavar="DIR", help="scores by content, to go on from (default: OUT.scores)")
    score.add_argument("--memory-mib", type=MEMORY_MIB, default=1024, help="memory of a pass beside weights and one document")
    score.add_argument("--quiet", action="store_true", help="no progress bar, a line a minute")
    add_log_level(score)
    score.set_defaults(run="score")

    serve = commands.add_parser("serve", help="a frozen scorer behind HTTP (for scorer.url), or with --generate a chat model")
    serve.add_argument("model", help="embedded model, hub id, directory or GGUF file")
    serve.add_argument("--revision", help="hub revision (default: the default branch)")
    serve.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for other machines (default: this one only)")
    serve.add_argument("--port", type=PORT, default=8400, help="0 takes a free one (default 8400)")
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="one more name of this machine that clients call it by (a proxy's, an alias)",
    )
    serve.add_argument(
        "--no-token",
        action="store_true",
        help="answer whoever reaches the port (default: who brings INFOAGENT_SCORER_TOKEN, made anew where "
        "the environment has none)",
    )
    serve.add_argument("--dtype", choices=DTYPES, default=AUTO, help=f"as the recipe's; {AUTO_HELP}")
    serve.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the accelerator if there is one)")
    serve.add_argument("--memory-mib", type=MEMORY_MIB, default=1024, help="memory of a pass beside weights and one document")
    serve.add_argument(
        "--generate",
        action="store_true",
        help="OpenAI's chat completions under /v1 in place of scores: one reply at a time, streamed",
    )
    serve.add_argument(
        "--prefix-cache",
        type=NATURAL,
        default=8,
        metavar="N",
        help="with --generate: prompts whose beginnings need not be read again; 0: none (default 8)",
    )
    serve.set_defaults(run="serve")

    mi = commands.add_parser("mi", help="mutual information from a matrix of scores")
    mi.add_argument("scores", help=".npz with arrays log_probs (C, K) in nats and source (C,)")
    mi.add_argument("--json", action="store_true")
    mi.add_argument("--drop-failed", action="store_true", help="leave out compressions with a NaN cell, and count them")
    mi.add_argument("--proxy", action="store_true", help="the scorer is not the model that wrote the compressions")
    mi.add_argument("--calibration", metavar="FILE", help="critic scale of this scorer, from `infoagent calibrate`")
    mi.add_argument("--tokens", action="store_true", help="which tokens carry the information")
    mi.add_argument("--among", choices=["pool", "counterfactuals"], default="pool", help="candidates of --tokens")
    mi.add_argument("--against", metavar="SCORES", help="another compressor on the same documents: paired differences")
    mi.add_argument("--plot", metavar="FILE", help="MI against the number of candidates, as .svg or .png")
    mi.set_defaults(run="mi")

    calibrate = commands.add_parser("calibrate", help="fit a proxy's critic scale on held-out scores")
    calibrate.add_argument("scores", help=".npz of other documents than those to be measured")
    calibrate.add_argument("--out", required=True, help="the .json to write")
    calibrate.set_defaults(run="calibrate")

    data = commands.add_parser("data", help="data sets").add_subparsers(dest="action", required=True, metavar="ls|show")
    data.add_parser("ls", help="every data set by name").set_defaults(run="data_ls")
    show = data.add_parser("show", help="what a data set holds")
    show.add_argument("name", help="a set of `infoagent data ls`; conversations (chat logs); tasks (research tasks)")
    show.add_argument("overrides", nargs="*", metavar="data.key=value", help="e.g. data.path=my.jsonl data.split=test")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run="data_show")

    questions = commands.add_parser(
        "questions", help="a model writes questions and reference answers for your documents; resumable"
    )
    questions.add_argument("--data-name", default="text", help="a data set by name (default: text, your own files)")
    questions.add_argument("--path", help="its file or folder")
    questions.add_argument(
        "--model", required=True, help="who writes: embedded model, hub id, directory, GGUF file, or the server's name of it"
    )
    questions.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server that runs it, up to /v1")
    questions.add_argument(
        "--api-key-env",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="the environment variable that holds the key; empty for a server without keys",
    )
    questions.add_argument(
        "--price",
        type=MONEY,
        nargs=2,
        metavar=("IN", "OUT"),
        help="USD per million tokens; without it the price table is asked, 0 0 for your own server",
    )
    questions.add_argument(
        "--spending-limit", type=MONEY, default=5.0, metavar="USD", help="for a file, all calls on it together (default 5)"
    )
    questions.add_argument("--dtype", choices=DTYPES, default=AUTO, help=AUTO_HELP)
    questions.add_argument("--out", required=True, help="the .jsonl to write, or to go on with; for data.questions")
    questions.add_argument(
        "--kinds",
        default="extractive",
        metavar="KIND[:N],…",
        help="extractive, email, rap, poem, memory; with :N for N of it (default: extractive)",
    )
    questions.add_argument("--per-document", type=COUNT, default=2, help="of each kind that names no N (default 2)")
    questions.add_argument("--temperature", type=TEMPERATURE, default=0.7)
    questions.add_argument("--seed", type=SEED, default=0)
    questions.add_argument("--limit", type=COUNT, help="at most so many documents, drawn by the seed")
    questions.add_argument("--min-words", type=COUNT, help="shortest passage, as data.min_words (default 120)")
    questions.add_argument("--max-words", type=COUNT, help="longest passage, as data.max_words (default 250)")
    questions.add_argument(
        "--skip-bad-files", action="store_true", help="leave out files that cannot be read, as data.skip_bad_files"
    )
    questions.add_argument("--max-tokens", type=COUNT, default=512, help="longest reply (default 512)")
    questions.add_argument("--batch-size", type=COUNT, default=4, help="replies generated together (default 4)")
    questions.add_argument("--quiet", action="store_true", help="no progress bar, a line a minute")
    add_log_level(questions)
    questions.set_defaults(run="questions")

    models = commands.add_parser(
        "models", help="embedded models; `models prepare NAME` converts one now, `models path NAME` says where"
    )
    models.add_argument("action", nargs="?", choices=["ls", "prepare", "path"], default="ls")
    models.add_argument("name", nargs="?", default="smollm2-135m")
    models.set_defaults(run="models")

    report = commands.add_parser("report", help="one self-contained HTML page from run directories")
    report.add_argument("runs", nargs="+", metavar="RUN", help="output_dir of train/ or eval/ scripts")
    report.add_argument("--out", required=True, help="the .html to write; its numbers go beside it as .json")
    report.add_argument(
        "--baseline",
        action="append",
        default=[],
        metavar="FILE",
        help="a kept summary.json to lay below the curves, see eval/baselines/",
    )
    report.add_argument("--samples", type=NATURAL, default=200, metavar="N", help="compressions in the viewer (default 200)")
    report.add_argument("--wandb", choices=MODES, default="disabled", help="keep the page as a W&B artifact too (default: not)")
    report.set_defaults(run="report")

    plan = commands.add_parser("plan", help="memory of GRPO training on your GPUs, and the configuration to launch it with")
    plan.add_argument("model", help="embedded model, hub id, directory, GGUF file, or a known size such as Qwen2.5-7B")
    plan.add_argument("--gpus", type=whole(1, 100_000), default=1, metavar="N", help="processes, one a GPU (default 1)")
    plan.add_argument("--gpu-memory", type=real(0, 1e6, above=True), default=80.0, metavar="GIB", help="of one GPU (default 80)")
    plan.add_argument("--group", type=whole(1, 10**6), default=8, help="completions of a problem (default 8)")
    plan.add_argument("--prompts-per-step", type=whole(1, 10**6), default=8, help="problems in a step, over all GPUs (default 8)")
    plan.add_argument("--micro-batch", type=whole(1, 10**6), help="completions in one pass of one GPU (default: a group)")
    plan.add_argument("--document-tokens", type=COUNT, default=1000, help="of the longest document (default 1000)")
    plan.add_argument("--completion-tokens", type=COUNT, default=64, help="longest compression (default 64)")
    plan.add_argument("--lora-rank", type=whole(1, 10**6), default=16)
    plan.add_argument("--dtype", choices=DTYPES, default=AUTO, help="auto (default): bfloat16, which GPUs from Ampere on have")
    plan.add_argument("--gradient-checkpointing", action="store_true")
    plan.add_argument("--quantize", choices=["none", "4bit"], default="none", help="the frozen base (QLoRA)")
    plan.add_argument(
        "--sampler",
        choices=["own", "colocate", "server"],
        default="own",
        help="the model's own generate, vLLM on the same GPUs, or `trl vllm-serve` on others",
    )
    plan.add_argument("--scorer", choices=["base", "served"], default="base", help="served: `infoagent serve` on another GPU")
    plan.add_argument("--scorer-memory", type=MEMORY_MIB, default=1024, metavar="MIB", help="of a scoring pass (default 1024)")
    plan.add_argument("--json", action="store_true")
    plan.set_defaults(run="plan")

    sweep = commands.add_parser("sweep", help="run a W&B sweep file of method grid here, without a server; resumable")
    sweep.add_argument("sweep", help="the sweep file, see configs/sweeps/")
    sweep.add_argument("--out", required=True, metavar="DIR", help="a directory a run goes there, and sweep.json")
    sweep.add_argument("--evaluate", metavar="RECIPE", help="then prove each run by eval/checkpoint.py; plot the frontier")
    sweep.add_argument("--dry-run", action="store_true", help="show the runs and an estimate, then stop")
    sweep.add_argument("--quiet", action="store_true", help="no lines about runs that went well")
    add_log_level(sweep)
    sweep.set_defaults(run="sweep")

    config = commands.add_parser("config", help="check a recipe, or show it with its defaults")
    config.add_argument("action", choices=["check", "show"])
    config.add_argument("recipe")
    config.add_argument("overrides", nargs="*", metavar="key=value")
    config.set_defaults(run="config")

    doctor = commands.add_parser("doctor", help="what this machine has, what is missing or wrong, and what to do")
    doctor.add_argument("recipes", nargs="*", metavar="RECIPE", help="does this machine compute in the types it names?")
    doctor.add_argument("--json", action="store_true")
    doctor.add_argument("--imports", action="store_true", help="import vLLM and DeepSpeed too, where installed (slow)")
    doctor.set_defaults(run="doctor")
    return parser
