"""FLOPs of generating and of scoring: matrix products only, a multiplication and an addition counted as two.

Norms, activations, rotary angles, softmax, sampling and the embedding's look-up are left out: together below 1 % of
a model of a billion weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from infoagent.costs.architecture import Architecture


@dataclass(frozen=True)
class GenerationFlops:
    """Of one generation: reading the prompt, and writing."""

    prefill: int
    decode: int

    @property
    def total(self) -> int:
        return self.prefill + self.decode


def generation_flops(architecture: Architecture, prompt_tokens: int, new_tokens: int) -> GenerationFlops:
    """FLOPs of writing `new_tokens` after `prompt_tokens`, with a cache of keys and values.

        prefill = P · B + A · m(0, P) + H        decode = N · (B + H) + A · m(P, N)

    B = 2 × the matrix weights of the layers that a token passes (of a mixture the router, the chosen and the shared
    experts), H = 2 × the head, A = 4 · heads · head size, and m(s, n) = the tokens that n tokens after s meet, summed
    over them and over layers: token i meets i + 1 with itself, in a sliding layer at most the window. Queries that
    share keys save memory, not FLOPs, so only the projections know of grouped queries.

    The head is applied where a token is drawn: once after the prompt, and after each new token. A text that ends by
    itself draws its end after its last token; one that was cut off at a limit needs one pass less than is counted.
    With no prompt, prefill is 0. Raises ValueError for a negative number of tokens.
    """
    if prompt_tokens < 0 or new_tokens < 0:
        raise ValueError(f"{prompt_tokens} prompt and {new_tokens} new tokens: a number of tokens is at least 0")
    head = 2 * architecture.head_parameters
    body = 2 * architecture.matrix_parameters - head
    read, all_met = _met(architecture, prompt_tokens), _met(architecture, prompt_tokens + new_tokens)
    return GenerationFlops(
        prefill=prompt_tokens * body + architecture.pair_flops * read + (head if prompt_tokens else 0),
        decode=new_tokens * (body + head) + architecture.pair_flops * (all_met - read),
    )


def _met(architecture: Architecture, tokens: int) -> int:
    """Tokens that the first `tokens` meet, themselves included, summed over tokens and layers."""
    full = tokens * (tokens + 1) // 2
    within = full
    if architecture.window is not None and tokens > architecture.window:
        window = architecture.window
        within = window * (window + 1) // 2 + (tokens - window) * window
    return (architecture.layers - architecture.sliding_layers) * full + architecture.sliding_layers * within


def paper_flops(
    architecture: Architecture,
    prompt_tokens: int,
    new_tokens: int,
    *,
    parameters: float | None = None,
    attention_width: int | None = None,
) -> float:
    """Decode only, as the paper: N · (2 · P + 2 · n_layer · n_ctx · d_attn), n_ctx = the prompt's tokens.

    P is the number of parameters, of a mixture the active ones with the router; `parameters` puts a nominal size in its
    place (7e9). d_attn is heads · head size; `attention_width` puts another in its place: the paper's released code
    takes the number of heads. Reading the prompt is not counted, and the factor 2 of attention counts the scores but
    not the weighted values, so this is for comparison with the paper's numbers only: `generation_flops` is what a
    machine computes. Source: He et al., arXiv 2512.21720, after Kaplan et al., arXiv 2001.08361, section 2.1.
    """
    weights = architecture.active_parameters if parameters is None else parameters
    width = architecture.heads * architecture.head_size if attention_width is None else attention_width
    return float(new_tokens * (2 * weights + 2 * architecture.layers * prompt_tokens * width))


def scoring_flops(
    architecture: Architecture, prefix_tokens: float, continuation_tokens: float, targets: float, past: float
) -> float:
    """What prefix-shared scoring needs and no more: a prefix token meets half its prefix of `past` tokens, a
    continuation token all of it, and the head is applied once for each target. Sliding layers meet the window at most."""
    head = 2 * architecture.head_parameters
    body = 2 * architecture.matrix_parameters - head
    window = past if architecture.window is None else min(past, architecture.window)
    # the mean of min(x, window) over x from 0 to past
    half = window - window * window / (2 * past) if past else 0.0
    met = (architecture.layers - architecture.sliding_layers) * past * (prefix_tokens / 2 + continuation_tokens)
    met += architecture.sliding_layers * (half * prefix_tokens + window * continuation_tokens)
    return (prefix_tokens + continuation_tokens) * body + architecture.pair_flops * met + head * targets
