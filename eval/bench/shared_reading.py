"""What the judge of a compactor reads in a step, and what it would read the naive way; counted, no model is loaded.

    python eval/bench/shared_reading.py configs/train/compaction.yaml [data.limit=60] [--out FILE]

A memory is scored under its history and versions of it with one fact changed. Naive: each of these anew for every memory of
a group. Shared over memories: once for all of a group. Over versions: a version from its changed turn on. Over rounds, which is
not done: a history goes on from where it stood a compaction before.
"""

import sys

from infoagent.arguments import written_by
from infoagent.config import exit_code, load_recipe, script_parser


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("recipe", help="a recipe of train/grpo.py with grpo.loop")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--out", type=written_by("eval/bench/shared_reading.py"), help="write the figures as JSON")
    arguments = parser.parse_args(argv)

    from infoagent.files import write_json
    from infoagent.lm.prompts import Prompt, compressor_ids
    from infoagent.lm.scoring.exact import tokens_read
    from infoagent.recipes import GRPORecipe
    from infoagent.store import provenance
    from infoagent.training.preparation import prepare
    from infoagent.training.prompt_rows import courses_of

    recipe = load_recipe(GRPORecipe, arguments.recipe, arguments.overrides)
    prepared = prepare(recipe, recipe.grpo.max_completion_tokens)
    prompt, group = Prompt.of(recipe.prompt), recipe.grpo.num_generations
    courses = courses_of(prepared.problems, recipe)
    naive = memories = versions = rounds = 0
    for course in courses:
        of_course = []
        for i in course:
            problem = prepared.problems[i]
            texts = (problem.document, *(n.document for n in prepared.negatives[i]))
            prefixes = [compressor_ids(prepared.tokenizer, text, problem.query, prompt) for text in texts]
            whole = sum(map(len, prefixes))
            naive, memories, versions = naive + group * whole, memories + whole, versions + tokens_read(prefixes)
            of_course += prefixes
        rounds += tokens_read(of_course)
    read = {"naive": naive, "over memories": memories, "over versions": versions, "over rounds": rounds}
    for way, tokens in read.items():
        print(f"{way:14} {tokens / len(courses):9,.0f} tokens a history, 1/{naive / tokens:.1f} of the naive way")
    if arguments.out:
        tables = {way: {"tokens_a_history": tokens / len(courses), "times_fewer": naive / tokens} for way, tokens in read.items()}
        sizes = {"histories": len(courses), "memories": group, "compactions": len(courses[0]), "read": tables}
        write_json(arguments.out, {**sizes, "recipe": recipe.model_dump(mode="json"), **provenance()})
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
