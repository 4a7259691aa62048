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
    # 1. Everything that can be wrong is found before a model loads.
    from infoagent.mirror import wandb_mode
    from infoagent.training.candidates import CandidateFile, load_candidates, sample_candidates, settings_of
    from infoagent.training.choice import choice_metrics, make_pairs
    from infoagent.training.expert_iteration import check_one_process, load_to_sample, policy_name
    from infoagent.training.frozen_scorer import base_scorer
    from infoagent.training.preparation import prepare
    from infoagent.training.recipe_reward import build_reward
    from infoagent.training.run_directory import (
        check_same_sources,
        checkpoint_facts,
        checkpoint_step,
        find_resume_point,
        take_directory,
        write_run_file,
    )
    from infoagent.training.validation_checks import drawn_of, plan_validation

    check_one_process("train/dpo.py")
    wandb_mode(recipe.tracking.wandb)
    resolved = recipe.model_dump(mode="json")
    resume_from = find_resume_point(recipe.output_dir, resolved, recipe.resume)
    prepared = prepare(recipe, recipe.sampling.max_completion_tokens, quiet=quiet)
    plan = plan_validation(recipe, recipe.sampling.max_completion_tokens, recipe.dpo.save_steps, quiet)
    facts = checkpoint_facts(recipe, prepared.reference, prepared.data_revision)
    if resume_from is not None:
        check_same_sources(resume_from, facts)
    reward = build_reward(recipe, prepared)
    settings = settings_of(recipe, recipe.sampling, prepared)
    if recipe.candidates:
        drawn = load_candidates(recipe.candidates, settings, prepared.problems, reward.price)
        pairs = make_pairs(drawn, recipe.pairs)
    take_directory(recipe.output_dir)
    if not recipe.candidates:
        file = CandidateFile(recipe.output_dir, settings, recipe.resume)

    import torch

    from infoagent.tracking import Tracker
    from infoagent.training.artifacts import log_adapters
    from infoagent.training.fit_callback import FitCallback, run_trainer
    from infoagent.training.fitting import PairTrainer, data_set, dpo_arguments, preference_rows, step_count
    from infoagent.training.frozen_scorer import frozen_scorer
    from infoagent.training.policy import quiet_libraries
    from infoagent.training.validation import describe_best, validation_callbacks

    # 2. Samples and what they are worth: those of earlier runs, or drawn from the policy that training starts from.
    write_run_file(recipe.output_dir, resolved, data_revision=prepared.data_revision,
                   base_revision=prepared.reference.revision, drawn=drawn_of(prepared, plan))  # fmt: skip
    with quiet_libraries():
        lm, fresh_adapter = load_to_sample(recipe, prepared, recipe.init_adapter)
    if not recipe.candidates:
        reward.scorer = base_scorer(recipe, lm)
        everything = range(len(prepared.problems))
        drawn = sample_candidates(
            file, 1, policy_name(recipe.init_adapter), lm, reward, everything, recipe.sampling, recipe.seed, quiet
        )
        pairs = make_pairs(drawn, recipe.pairs)

    # 3. The record: metrics to JSONL and W&B.
    steps = step_count(len(pairs), recipe.dpo)
    if resume_from is not None and checkpoint_step(resume_from) >= steps:
        print(f"{resume_from}: has all {steps} steps already; name another output_dir to train anew", file=sys.stderr)
        print(resume_from)
        return 0
    chosen, rejected = ([pair[side] for pair in pairs] for side in (0, 1))
    metrics = choice_metrics(drawn, {"chosen": chosen, "rejected": rejected}, reward.price, 1 + recipe.negatives.total)
    tracker = Tracker.of(recipe, "dpo", checkpoint_step(resume_from) if resume_from else None)

    # 4. Prefer the better one of each pair; from the last complete checkpoint if there is one.
    failed = True
    try:
        torch.manual_seed(recipe.seed)  # a fresh adapter is drawn here, whatever was drawn before
        with quiet_libraries():
            trainer = PairTrainer(
                model=lm.model,
                args=dpo_arguments(recipe, steps, quiet),
                train_dataset=data_set(preference_rows(prepared, recipe.prompt, pairs), recipe.dpo, recipe.seed),
                processing_class=prepared.tokenizer,
                peft_config=fresh_adapter,
                callbacks=[FitCallback(tracker, "DPO", facts, metrics, 0, quiet),
                           *validation_callbacks(plan, reward, tracker, quiet)],
            )  # fmt: skip
            reward.scorer = frozen_scorer(recipe, trainer) if plan is not None else None
        run_trainer(trainer, resume_from)
        log_adapters(tracker, recipe)
        failed = False
    finally:
        tracker.finish(exit_code=int(failed))
    if plan is not None:
        print(describe_best(recipe.output_dir), file=sys.stderr)
    print(f"{recipe.output_dir}/checkpoint-{trainer.state.global_step}")
    return 0


def dry_run(recipe: DPORecipe) -> int:
    """The resolved recipe and what it will take; torch is not imported."""
    from infoagent.training.estimate import describe_dpo

    print(recipe_yaml(recipe))
    print(describe_dpo(recipe))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
