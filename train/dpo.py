"""Preference: train a compressor on pairs of its samples, ranked by the reward of all trainers.

    python train/dpo.py configs/train/dpo.yaml [candidates='[runs/sft]'] [key=value ...]

The samples come from earlier runs, whose candidates.jsonl holds what each one is worth, or are drawn here from the
policy that training starts from. Two samples of a problem make a pair if their rewards differ by a margin:

    pairs = {(z⁺, z⁻) of one problem : reward(z⁺) − reward(z⁻) ≥ margin}
    loss  = − mean log σ( β · [log π/π₀ (z⁺ | x, q) − log π/π₀ (z⁻ | x, q)] )

π₀ is the model that training starts from: the base, or init_adapter if one is named. Stored parts of the reward are
priced anew, so that one set of samples serves a sweep of prices.
"""

import sys

from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle
from infoagent.recipes import DPORecipe


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = settle(load_recipe(DPORecipe, arguments.recipe, arguments.overrides), arguments.dry_run)
    if arguments.dry_run:
        return dry_run(recipe)
    return train(recipe, arguments.quiet)


def train(recipe: DPORecipe, quiet: bool) -> int:
    # Imports that wait: --dry-run answers without torch and TRL, which take seconds to load.
    import torch

    from infoagent.training.candidates import CandidateFile, load_candidates, sample_candidates, settings_of
    from infoagent.training.choice import choice_metrics, make_pairs
    from infoagent.training.fit_callback import FitCallback
    from infoagent.training.fitting import PairTrainer, data_set, dpo_arguments, preference_rows, step_count
    from infoagent.training.frozen_scorer import base_scorer, frozen_scorer
    from infoagent.training.launch import check_one_process
    from infoagent.training.policy import load_to_sample, policy_name, quiet_libraries
    from infoagent.training.proposing import proposer_of
    from infoagent.training.recipe_reward import build_reward
    from infoagent.training.run import TrainingRun, run_trainer
    from infoagent.training.validation import validation_callbacks

    # 1. Everything that can be wrong is found before a model loads.
    check_one_process("train/dpo.py")
    sampling, run = recipe.sampling, TrainingRun(recipe, "dpo", quiet)
    prepared = run.prepare(sampling.max_completion_tokens, recipe.dpo.save_steps)
    reward = build_reward(recipe, prepared)
    settings = settings_of(recipe, sampling, prepared)
    proposer = proposer_of(sampling, prepared)
    if recipe.candidates:
        drawn = load_candidates(recipe.candidates, settings, prepared.problems, reward.price)
        pairs = make_pairs(drawn, recipe.pairs)

    with run:
        # 2. Samples and what they are worth: those of earlier runs, or drawn from the policy that training starts from.
        file = None if recipe.candidates else CandidateFile(recipe.output_dir, settings, recipe.resume)
        run.write_run_file()
        with quiet_libraries():
            lm, fresh_adapter = load_to_sample(recipe, prepared, recipe.init_adapter)
        if file is not None:
            reward.scorer = base_scorer(recipe, lm)
            policy, everything = policy_name(recipe.init_adapter), range(len(prepared.problems))
            drawn = sample_candidates(file, 1, policy, lm, reward, everything, recipe, proposer, quiet)
            pairs = make_pairs(drawn, recipe.pairs)
        steps = step_count(len(pairs), recipe.dpo)
        if run.steps_done >= steps:
            return run.leave(f"{steps} steps", "name another output_dir to train anew")

        # 3. The record: metrics to JSONL and W&B.
        chosen, rejected = ([pair[side] for pair in pairs] for side in (0, 1))
        sides = {"chosen": chosen, "rejected": rejected}
        metrics = choice_metrics(drawn, sides, reward.price, reward.candidates(0))
        tracker = run.track()

        # 4. Prefer the better one of each pair; from the last complete checkpoint if there is one.
        torch.manual_seed(recipe.seed)  # a fresh adapter is drawn here, whatever was drawn before
        with quiet_libraries():
            trainer = PairTrainer(
                model=lm.model,
                args=dpo_arguments(recipe, steps, quiet),
                train_dataset=data_set(preference_rows(prepared, recipe.prompt, pairs), recipe.dpo, recipe.seed),
                processing_class=prepared.tokenizer,
                peft_config=fresh_adapter,
                callbacks=[
                    FitCallback(tracker, "DPO", run.facts, metrics, 0, quiet),
                    *validation_callbacks(run.plan, reward, tracker, quiet),
                ],
            )
            reward.scorer = frozen_scorer(recipe, trainer) if run.plan is not None else None
        run_trainer(trainer, run.resume_from, "the learning_rate")
    print(f"{recipe.output_dir}/checkpoint-{trainer.state.global_step}")
    return 0


def dry_run(recipe: DPORecipe) -> int:
    """The resolved recipe and what it will take; torch is not imported."""
    from infoagent.training.estimate import describe_dpo

    print(recipe_yaml(recipe), describe_dpo(recipe), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
