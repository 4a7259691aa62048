"""Warm start: train a compressor on the best of its own samples, judged by the reward of all trainers.

    python train/sft.py configs/train/sft.yaml [key=value ...]

Expert iteration. In each round the current policy writes a group of compressions z for each problem, a frozen scorer
gives each its reward (information minus price · rate), the best of each group are kept if they beat their group's
mean, and the adapter is fitted to them (reward.budget_range: the best of each length, asked for by the tokens they have):

    keep = {z : reward(z) ≥ mean of its group + gain, among the top of the group}
    loss = − mean over the kept z of log π(z | x, q), over the tokens of z and its end of turn

The next round samples from the new adapter. All samples stay in candidates.jsonl with the parts of their reward:
train/dpo.py makes its pairs from them. Each round ends with an ordinary checkpoint, which train/grpo.py takes as
init_adapter and eval/checkpoint.py compares with the frozen model.
"""

import sys

from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle
from infoagent.recipes import SFTRecipe


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = settle(load_recipe(SFTRecipe, arguments.recipe, arguments.overrides), arguments.dry_run)
    if arguments.dry_run:
        return dry_run(recipe)
    return train(recipe, arguments.quiet)


def train(recipe: SFTRecipe, quiet: bool) -> int:
    # Imports that wait: --dry-run answers without torch and TRL, which take seconds to load.
    import torch
    from trl import SFTTrainer

    from infoagent.lm.machine.allocator import free_memory
    from infoagent.training.candidates import CandidateFile, round_problems, sample_candidates, settings_of
    from infoagent.training.choice import choice_metrics, keep_best
    from infoagent.training.expert_iteration import begin_round, clear_finished, find_round, finish_round
    from infoagent.training.fit_callback import FitCallback
    from infoagent.training.fitting import data_set, imitation_rows, sft_arguments, step_count
    from infoagent.training.frozen_scorer import base_scorer
    from infoagent.training.launch import check_one_process
    from infoagent.training.policy import load_to_sample, policy_name, quiet_libraries
    from infoagent.training.proposing import proposer_of
    from infoagent.training.recipe_reward import build_reward
    from infoagent.training.run import TrainingRun, run_trainer

    # 1. Everything that can be wrong is found before a model loads.
    check_one_process("train/sft.py")
    sampling, sft, run = recipe.sampling, recipe.sft, TrainingRun(recipe, "sft", quiet)
    last, least = run.resume_from, ("sft.problems_per_round", sft.problems_per_round or 1)
    first_round, run.steps_done = find_round(recipe, last)
    prepared = run.prepare(sampling.max_completion_tokens, 1, least)
    proposer = proposer_of(sampling, prepared)

    with run:
        # 2. The record: recipe, seed, commit, versions, data revision; metrics to JSONL and W&B.
        file = CandidateFile(recipe.output_dir, settings_of(recipe, sampling, prepared), recipe.resume)
        if first_round > sft.rounds:
            return run.leave(f"{sft.rounds} rounds", "raise sft.rounds to go on")
        clear_finished(recipe.output_dir)
        run.write_run_file()
        tracker, reward = run.track(), build_reward(recipe, prepared)
        run.measure_unmeasured()
        for number in range(first_round, sft.rounds + 1):
            # 3. Sample from the policy as it stands, and score under the frozen base. What is on disk stays.
            adapter = str(last) if last is not None else recipe.init_adapter
            with quiet_libraries():
                lm, fresh_adapter = load_to_sample(recipe, prepared, adapter)
                reward.scorer = base_scorer(recipe, lm)
            problems = round_problems(number, sft.problems_per_round, len(prepared.problems), recipe.seed)
            drawn = sample_candidates(file, number, policy_name(adapter), lm, reward, problems, recipe, proposer, quiet)

            # 4. Keep what beats its group.
            kept = keep_best(drawn, recipe.selection, recipe.reward.budget_range)
            metrics = choice_metrics(drawn, {"selected": kept}, reward.price, reward.candidates(0))

            # 5. Imitate it: a fit of its own, from the adapter that wrote the samples; from a checkpoint if killed.
            work, resume_from, offset = begin_round(recipe, number, last, **run.sources)
            torch.manual_seed(recipe.seed)  # a fresh adapter is drawn here, whatever was drawn before
            with quiet_libraries():
                trainer = SFTTrainer(
                    model=lm.model,
                    args=sft_arguments(recipe, str(work), step_count(len(kept), sft), quiet),
                    train_dataset=data_set(imitation_rows(prepared, recipe, kept), sft, recipe.seed + number),
                    processing_class=prepared.tokenizer,
                    peft_config=fresh_adapter,
                    callbacks=[FitCallback(tracker, f"round {number}: fit", run.facts | {"round": number}, metrics, offset, quiet)],
                )
            run_trainer(trainer, resume_from, "the learning_rate")
            last = finish_round(recipe.output_dir, number, offset)
            run.measure_round(trainer, reward, last)
            print(last)
            del trainer, lm  # two bases and two optimizers would stand on the device otherwise
            free_memory()
    return 0


def dry_run(recipe: SFTRecipe) -> int:
    """The resolved recipe and what it will take; torch is not imported."""
    from infoagent.training.estimate import describe_sft

    print(recipe_yaml(recipe), describe_sft(recipe), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
