"""`infoagent merge` and `infoagent card`: what is done with a trained adapter."""

from __future__ import annotations

import argparse
import sys


def merge(arguments: argparse.Namespace) -> None:
    from infoagent.lm.merging import merge_adapter
    from infoagent.training.policy import quiet_libraries

    with quiet_libraries():
        merged = merge_adapter(arguments.adapter, arguments.out, arguments.dtype, arguments.model)
    print(merged.directory)
    print(
        f"{merged.base} + {arguments.adapter} in {arguments.dtype}: differs from the adapter by "
        f"{merged.difference_nats:.2g} nats a token of a prompt; the adapter itself moves {merged.effect_nats:.2g}",
        file=sys.stderr,
    )


def card(arguments: argparse.Namespace) -> None:
    from infoagent.training.model_card import write_card

    print(write_card(arguments.checkpoint, arguments.evaluation))
