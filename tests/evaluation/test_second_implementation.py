"""The grid against a second implementation in plain transformers: lengths, accuracy and InfoNCE of a cell of each family."""

import math

import pytest
import torch
from families import ENDS, family
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from infoagent.analysis.session import run_evaluation
from infoagent.evaluation.cells import plan_cells
from infoagent.recipes import EvaluationRecipe
from infoagent.records.json_form import as_json

LONGEST = 12
SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 4096, "initializer_range": 0.25, "tie_word_embeddings": True,
}  # fmt: skip
SLIDING, FULL = "sliding_attention", "full_attention"
MODELS = {
    "llama3": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen2_5": (Qwen2ForCausalLM, Qwen2Config, {}),
    # two layers of three see 64 tokens, fewer than a document has
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, {"head_dim": 8, "sliding_window": 64, "layer_types": [SLIDING, FULL, SLIDING]}),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def directory(request, tmp_path_factory):
    """A random model of the family as a user would bring one, and the token with which it ends a turn."""
    path, tokenizer = tmp_path_factory.mktemp(request.param), family(request.param)
    end = tokenizer.convert_tokens_to_ids(ENDS[request.param])
    model_class, config_class, more = MODELS[request.param]
    torch.manual_seed(0)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": end, "pad_token_id": tokenizer.pad_token_id}
    model_class(config_class(vocab_size=len(tokenizer), **SHAPE, **more, **ids)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path, end


class Plain:
    """Prompts, greedy texts and log-probabilities, a token and a text at a time."""

    def __init__(self, directory, end):
        self.model, self.end = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval(), end
        self.tokenizer = AutoTokenizer.from_pretrained(directory)

    def prompt(self, text):
        chat = [{"role": "user", "content": text}]
        written = self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        return self.tokenizer(written, add_special_tokens=False).input_ids

    @torch.no_grad()
    def next(self, ids):
        return self.model(torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(-1)

    def greedy(self, prompt):
        written = []
        while len(written) < LONGEST:
            token = int(self.next([*prompt, *written])[-1].argmax())
            if token == self.end:
                return written, True
            written.append(token)
        return written, False

    def log_prob(self, prompt, ids):
        table = self.next([*prompt, *ids])
        return sum(float(table[len(prompt) - 1 + i, token]) for i, token in enumerate(ids))


def test_a_cell_is_what_plain_transformers_makes_of_it(directory, tmp_path):
    path, end = directory
    model = {"name": str(path), "dtype": "float32"}
    recipe = EvaluationRecipe.model_validate(
        {
            "output_dir": str(tmp_path / "out"),
            "data": [{"name": "records", "limit": 5, "min_words": 40, "max_words": 60}],
            "compressors": [{"label": "lm", "model": model, "max_tokens": LONGEST, "temperature": 0}],
            "predictors": [{**model, "label": "reads"}],
            "negatives": {"random": 1, "counterfactual": 2},
        }
    )
    cells = plan_cells(recipe, quiet=True)
    records, [summary] = run_evaluation(recipe, cells, quiet=True)
    compressions = [r for r in as_json(records) if r["kind"] == "compression"]
    plain, [cell] = Plain(path, end), cells
    tokens, terms, easy, hard, right = [], [], [], [], []
    for problem, negatives, record in zip(cell.problems, cell.negatives, compressions, strict=True):
        asked = "\n\nSummarise in one short sentence the part of the text above that is needed to answer: " + problem.query
        prompts = [plain.prompt(document + asked) for document in (problem.document, *(n.document for n in negatives))]
        written, ended = plain.greedy(prompts[0])
        assert record["rate_tokens"] == len(written)
        tokens.append(len(written))
        scored = torch.tensor([plain.log_prob(prompt, [*written, *([end] if ended else [])]) for prompt in prompts]).double()
        assert record["log_probs"] == pytest.approx(scored.tolist(), abs=2e-3)
        kinds = [True, *(n.kind == "counterfactual" for n in negatives)]
        others = [True, *(n.kind != "counterfactual" for n in negatives)]
        terms.append(float(scored.log_softmax(0)[0]) + math.log(len(scored)))
        hard.append(float(scored[kinds].log_softmax(0)[0]) + math.log(sum(kinds)))
        easy.append(float(scored[others].log_softmax(0)[0]) + math.log(sum(others)))
        notes = record["text"].strip() or "(none)"
        question = f"Notes: {notes}\n\nQuestion: {problem.query}\n\nAnswer from the notes with a short phrase and nothing else."
        replies = [[*plain.tokenizer(c, add_special_tokens=False).input_ids, end] for c in problem.choices]
        likely = [plain.log_prob(plain.prompt(question), reply) for reply in replies]
        right.append(problem.choices[likely.index(max(likely))] == problem.answer)
    found = as_json([summary])[0]
    assert found["values"]["rate/tokens"]["value"] == pytest.approx(sum(tokens) / 5)
    for among, expected in (("all", terms), ("easy", easy), ("hard", hard)):
        assert found["estimates"][among]["infonce_nats"] == pytest.approx(sum(expected) / 5, abs=1e-3), among
    assert found["predictors"]["reads"]["distortion/error"]["value"] == pytest.approx(1 - sum(right) / 5)
