"""An analysis of a score matrix as text lines and as HTML: the chain of difficulty, and tokens by what they tell."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.logs import plain

CHAIN = (
    ("random", "which document of the pool, I(X;Z)"),
    ("topic", "  of it which topic, I(C;Z)"),
    ("within_topic", "  of it which one in the topic, I(X;Z|C)"),
    ("fact", "which version of its own facts"),
)
WIDTH = 42
NOT_MEASURED = ("topic", "within_topic", "fact", "pool", "tokens", "beta", "identified_after")


def information_lines(found: Mapping[str, Any], clip: bool = False) -> list[str]:
    """The analysis (`Analysis.to_dict()`) in lines. `clip` prints negative values as 0, as the paper does."""
    found = known(found)

    def nats(value: float) -> str:
        return f"{max(0.0, value) if clip else value:.4f}"

    def line(name: str, text: str) -> str:
        return f"{name:{WIDTH}} {text}"

    low, high = found["ci_nats"]
    lines = [
        line("estimand", found["estimand"]),
        line("compressions, documents", f"{found['n_compressions']}, {found['n_documents']}"),
        line("InfoNCE (lower bound)", f"{nats(found['infonce_nats'])} nats, 95 % [{low:.4f}, {high:.4f}]"),
        line("  the same, jackknife", "95 % [{:.4f}, {:.4f}]".format(*found["jackknife_ci_nats"])),
    ]
    if math.isnan(found["leave_one_out_nats"]):
        lines.append(line("leave-one-out (upper)", "not reported: it would bound nothing, as a warning says"))
    else:
        lines += [
            line("leave-one-out (upper)", f"{found['leave_one_out_nats']:.4f} nats, only if the scorer is the sampler"),
            line("midpoint", f"{found['midpoint_nats']:.4f} nats"),
        ]
    lines += [
        line("ceiling log K", f"{found['ceiling_nats']:.4f} nats, headroom {found['headroom_nats']:.4f}"),
        line("saturation", f"{found['saturation']:.1%}"),
        line("at K", ", ".join(f"{k}: {v:.3f}" for k, v in found["at_k"].items())),
        line(
            "power",
            f"with {found['n_documents']} documents differences of {found['detectable_nats']:.2f} nats can be told "
            "without pairing, smaller ones with",
        ),
    ]
    if found["beta"] is not None:
        lines.append(line("critic scale", f"{found['beta']:.4f}, fitted on other documents and applied to every value here"))
    chain = found["chain"]
    if any(chain[name] is not None for name in ("topic", "fact")):
        lines += ["", line("chain of difficulty, nats", f"{'value':>7} {'95 %':>17} {'ceiling':>8} {'saturated':>10}")]
        for name, title in CHAIN:
            term = chain[name]
            if term is not None:
                low, high = term["ci_nats"]
                share = "  nothing" if math.isnan(term["saturation"]) else f"{term['saturation']:9.0%}"
                interval = f"[{low:.3f}, {high:.3f}]"
                lines.append(line(title, f"{term['value_nats']:7.3f} {interval:>17} {term['ceiling_nats']:8.3f} {share}"))
    if found["pool"] is not None:
        pool = found["pool"]
        low, high = pool["ci_nats"]
        lines += [
            "",
            line("against the whole pool, by strata", f"{nats(pool['value_nats'])} nats, 95 % [{low:.4f}, {high:.4f}]"),
            line("  ceiling log D", f"{pool['ceiling_nats']:.4f} nats"),
            line("  error of the denominator", f"{pool['relative_error']:.1%}, corrected by {pool['correction_nats']:.4f}"),
            line("  plain bound from a uniform part", f"{pool['uniform_nats']:.4f} of {pool['uniform_ceiling_nats']:.4f}"),
        ]
    if found["tokens"] is not None:
        tokens = found["tokens"]
        median = tokens["median_tokens_to_identify"]
        share = tokens["identified"]["value"]
        after = "" if math.isnan(median) else f", in the median after {median:.0f} tokens"
        parts = " ".join(f"{part['value']:.2f}" for part in tokens["by_position_nats"])
        lines += [
            "",
            line("identify their document", f"{share:.0%} of compressions{after}"),
            line("nats by tenth of the length", parts),
        ]
    return lines


def difference_lines(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Paired differences of two compressors (`analysis.compare`), a line for each term."""
    lines = [f"{'nats':{WIDTH}} {'first':>7} {'second':>7}  difference [95 %]"]
    for name, title in CHAIN:
        if name in found:
            d = found[name]
            if math.isnan(d["low_nats"]):
                told = f"no interval; {d['n_documents']:.0f} documents differ by the same"
            else:
                told = f"[{d['low_nats']:+.3f}, {d['high_nats']:+.3f}]; {d['n_documents']:.0f} documents show {d['detectable_nats']:.2f}"
            lines.append(f"{title:{WIDTH}} {d['first_nats']:7.3f} {d['second_nats']:7.3f}  {d['difference_nats']:+.3f} {told}")
    return lines


def known(found: Any) -> Any:
    """None of a JSON file back as NaN where a number stands: JSON has no NaN. Parts that were not measured stay None."""
    if isinstance(found, Mapping):
        return {k: v if v is None and k in NOT_MEASURED else known(v) for k, v in found.items()}
    if isinstance(found, list | tuple):
        return [known(v) for v in found]
    return math.nan if found is None else found


def token_lines(identity: str, tokens: Sequence[str], found: Mapping[str, Any], colour: bool) -> list[str]:
    """One compression, every token followed by its nats, or coloured where the terminal can."""
    after = found["identified_after"]
    identified = "never identifies its document" if after is None else f"identifies its document after {after} tokens"
    shown = []
    for token, nats in zip(tokens, found["nats"], strict=True):
        visible = plain(token).replace("\n", "⏎")
        if colour:
            shown.append(f"\x1b[48;5;{_terminal_colour(nats)}m\x1b[30m{visible}\x1b[0m")
        else:
            shown.append(f"{visible}({nats:+.2f})")
    return [f"{identity}: {found['total_nats']:.2f} nats, {identified}", "  " + "".join(shown)]


def _terminal_colour(nats: float) -> int:
    """From red (tells against) over white to green in the 256 colours of terminals."""
    steps = ((-0.5, 210), (-0.1, 224), (0.1, 255), (0.5, 194), (1.5, 157), (math.inf, 120))
    return next(code for limit, code in steps if nats < limit)


def token_html(identity: str, tokens: Sequence[str], found: Mapping[str, Any]) -> str:
    """One compression as coloured spans: green tells for the source, red against it; the number is in the tooltip."""
    spans = []
    for token, nats in zip(tokens, found["nats"], strict=True):
        strength = min(1.0, abs(nats) / 2)
        hue = "58,143,92" if nats > 0 else "200,60,50"
        text = html.escape(token).replace("\n", "⏎<br>")
        spans.append(f'<span style="background:rgba({hue},{strength:.2f})" title="{nats:+.2f} nats">{text}</span>')
    after = found["identified_after"]
    identified = "never" if after is None else f"after {after} tokens"
    return (
        f'<p class="tokens"><b>{html.escape(identity)}</b> {found["total_nats"]:.2f} nats, identified {identified}<br>'
        + "".join(spans)
        + "</p>"
    )
