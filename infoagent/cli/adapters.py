"""`infoagent merge` and `infoagent card`: what is done with a trained adapter."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def merge(arguments: argparse.Namespace) -> None:
    from infoagent.lm.machine import dtype
    from infoagent.lm.machine.device import default_device
    from infoagent.lm.merging import merge_adapter
    from infoagent.training.policy import quiet_libraries

    chosen = dtype.resolve(arguments.dtype, default_device())
    with quiet_libraries():
        merged = merge_adapter(arguments.adapter, arguments.out, chosen, arguments.model)
    print(merged.directory)
    print(
        f"{merged.base} + {arguments.adapter} in {chosen}: differs from the adapter by "
        f"{merged.difference_nats:.2g} nats a token of a prompt; the adapter itself moves {merged.effect_nats:.2g}",
        file=sys.stderr,
    )


def card(arguments: argparse.Namespace) -> None:
    from infoagent.files import check_output_file
    from infoagent.training.model_card import CARD_FILE, is_unfilled, write_card

    card = Path(arguments.checkpoint) / CARD_FILE
    if not is_unfilled(card):
        check_output_file(card, "infoagent", "model card")
    print(write_card(arguments.checkpoint, arguments.evaluation))
