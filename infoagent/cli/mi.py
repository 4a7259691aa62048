"""`infoagent mi` and `infoagent calibrate`: numbers from a score matrix. No model, no torch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from infoagent.files import check_output_file, check_writable, json_text
from infoagent.logs import plain, result_stream
from infoagent.types import InputError


def mi(arguments: argparse.Namespace) -> None:
    from infoagent.information.analysis import analyse, compare, tokens_among_counterfactuals, tokens_among_pool
    from infoagent.reporting.information import difference_lines, information_lines, token_lines

    path = arguments.scores
    matrix = _load(path)
    if arguments.plot and Path(arguments.plot).suffix not in (".svg", ".png"):
        raise InputError(f"--plot {arguments.plot}: must end in .svg or .png")
    if arguments.plot:
        check_writable(arguments.plot, "--plot")
    beta = None
    if arguments.calibration:
        from infoagent.measurement.calibration import read_calibration, scorer_name

        beta = read_calibration(arguments.calibration, scorer_name(_scorer(matrix, path)), _documents(matrix, path)).beta
    sampler = not arguments.proxy and matrix.about.get("sampler") is not False
    try:
        analysis = analyse(matrix, beta=beta, sampler=sampler, drop_failed=arguments.drop_failed)
        if arguments.tokens:
            kept = matrix.without_failed()[0] if arguments.drop_failed else matrix
            among = tokens_among_pool if arguments.among == "pool" else tokens_among_counterfactuals
            tokens, texts = among(kept, 1.0 if beta is None else beta), kept.token_texts()
    except ValueError as error:
        said = str(error).replace("with drop_failed", "with --drop-failed").replace("drop its row", "see --drop-failed")
        raise InputError(f"{path}: {said}") from error
    if arguments.plot:
        from infoagent.reporting.plots import save_mi_at_k

        save_mi_at_k(analysis.to_dict(), arguments.plot)
    differences = None
    if arguments.against:
        try:
            differences = compare(matrix, _load(arguments.against), beta, arguments.drop_failed)
        except ValueError as error:
            raise InputError(f"{path} against {arguments.against}: {error}") from error
    if arguments.json:
        fields = analysis.to_dict()
        if arguments.tokens:
            rows = zip(texts, tokens, strict=True)
            # a row for each compression; of one without a counterfactual its tokens alone
            fields["token_information"] = [{"tokens": t, **({} if found is None else found.to_dict())} for t, found in rows]
        if differences is not None:
            fields["against"] = differences
        print(json_text(fields, indent=2))
        return
    clip = bool(matrix.about.get("print_clipped"))
    print("\n".join(information_lines(analysis.to_dict(), clip)))
    if arguments.tokens:
        ids = range(len(tokens)) if matrix.compression_id_C is None else kept.compression_id_C
        print(f"\nnats that each token adds, among {arguments.among}")
        for identity, text, found in zip(ids, texts, tokens, strict=True):
            if found is None:  # of how many there is no counterfactual stands among the warnings
                continue
            lines = token_lines(plain(str(identity)), text, found.to_dict(), colour=sys.stdout.isatty())
            print("\n".join(lines), file=result_stream(coloured=True))
    if differences is not None:
        print("\n".join(["", f"against {arguments.against}, paired by document", *difference_lines(differences)]))
    for note in analysis.warnings:
        print(f"warning: {note}", file=sys.stderr)


def calibrate(arguments: argparse.Namespace) -> None:
    from infoagent.files import write_json
    from infoagent.information.calibration import fit_beta
    from infoagent.measurement.calibration import scorer_name

    if Path(arguments.out).suffix != ".json":
        raise InputError(f"--out {arguments.out}: must end in .json")
    check_output_file(arguments.out, "infoagent calibrate", earlier=('"beta"', '"scorer"'))
    matrix = _load(arguments.scores)
    scorer, documents = _scorer(matrix, arguments.scores), _documents(matrix, arguments.scores)
    try:
        found = fit_beta(
            matrix.log_probs_CK,
            matrix.source_C,
            document=matrix.document_C,
            scorer=scorer_name(scorer),
            document_ids=sorted(set(documents)),
        )
    except ValueError as error:
        raise InputError(f"{arguments.scores}: {error}") from error
    write_json(arguments.out, found.to_dict())
    print(
        f"{found.scorer}: beta {found.beta:.4f} on {found.n_documents} documents; InfoNCE there "
        f"{found.infonce_before_nats:.4f} → {found.infonce_after_nats:.4f} nats (it was chosen there: report others)"
    )
    for note in found.warnings:
        print(f"warning: {note}", file=sys.stderr)


def _scorer(matrix: Any, path: str) -> Any:
    if not matrix.about.get("scorer"):
        raise InputError(f"{path}: does not name its scorer; write it with `infoagent score` or eval/information.py")
    return matrix.about["scorer"]


def _documents(matrix: Any, path: str) -> list[str]:
    """Hashes of all documents of the matrix, candidates included."""
    if matrix.text_K is None:
        raise InputError(f"{path}: does not name its documents; write it with `infoagent score` or eval/information.py")
    return [str(text) for text in matrix.text_K]


def _load(path: str) -> Any:
    from infoagent.information.scores import ScoreMatrix

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; `infoagent score` writes one")
    try:
        return ScoreMatrix.load(path)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
