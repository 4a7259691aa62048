"""Train a compressor by reinforcement learning against MI − price · rate.

    accelerate launch --config_file accelerate_configs/cpu.yaml train/grpo.py configs/train/records.yaml [key=value ...]

For each problem (document x, question q) the policy π writes a group of compressions z. A frozen scorer, the base model
without its adapter, says how well each z picks x = x_0 out among negatives x_1, … that were drawn before training:

    log_probs[k] = log p(z | x_k, q)                          Scorer.score        infoagent/lm/scoring/exact.py
    MI(z)        = log K + log softmax(log_probs)[0]          mi_nats             infoagent/reward/scoring.py
    reward(z)    = MI(z) − price · tokens(z) + other parts    reward_parts        infoagent/pricing/parts.py
    advantage(z) = reward(z) − mean of its group's rewards    GRPOTrainer of TRL, scale_rewards="none"
    gradient     = mean of advantage(z) · ∇ log π(z | x, q)   the same, loss_type="dr_grpo"; minus β · KL to the base

What the reward pays for is decided by the negatives: random documents reward naming the document, counterfactual ones
reward keeping the fact that q asks for.
"""

import sys
from dataclasses import replace

from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle
from infoagent.recipes import GRPORecipe


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = settle(load_recipe(GRPORecipe, arguments.recipe, arguments.overrides), arguments.dry_run)
    if arguments.dry_run:
        return dry_run(recipe)
    return train(recipe, arguments.quiet)


def train(recipe: GRPORecipe, quiet: bool) -> int:
    # Imports that wait: --dry-run answers without torch and TRL, which take seconds to load.
    from infoagent.training.audit_callback import audit_callbacks
    from infoagent.training.callbacks import RunCallback
    from infoagent.training.frozen_scorer import frozen_scorer
    from infoagent.training.grpo_trainer import course_of, trainer_arguments, trainer_class
    from infoagent.training.launch import batch_shape, is_main_process, process_count
    from infoagent.training.policy import load_policy, quiet_libraries
    from infoagent.training.price_control import PriceControl
    from infoagent.training.profiling import profile_callbacks
    from infoagent.training.prompt_rows import training_rows
    from infoagent.training.recipe_reward import build_reward
    from infoagent.training.run import TrainingRun, run_trainer
    from infoagent.training.validation import validation_callbacks
    from infoagent.training.vllm_checks import check_vllm

    # 1. Everything that can be wrong is found before a model loads.
    grpo, run = recipe.grpo, TrainingRun(recipe, "grpo", quiet)
    batch_shape(recipe, process_count())
    check_vllm(recipe, process_count())
    least = ("grpo.prompts_per_step", grpo.prompts_per_step)
    prepared = run.prepare(grpo.max_completion_tokens, grpo.save_steps, least)
    rows = training_rows(prepared, recipe)
    control = PriceControl.of(recipe.reward)
    if run.resume_from is not None:
        control.restore(run.resume_from)

    with run:
        if run.steps_done >= grpo.steps:
            return run.leave(f"{grpo.steps} steps", "raise grpo.steps to go on")
        # 2. One process keeps the record: recipe, seed, commit, versions, data revision; metrics to JSONL and W&B.
        run.write_run_file()
        tracker = run.track()

        # 3. The reward: information minus length, scored among negatives that never change; the price may move.
        reward = build_reward(recipe, prepared)
        reward.price = replace(reward.price, price=control.price)

        # 4. The policy: a frozen base with a LoRA adapter that learns; the base alone is the scorer.
        with quiet_libraries():
            model, peft_config = load_policy(recipe, prepared.reference)
            trainer = trainer_class(grpo.algorithm, course_of(recipe))(
                model=model,
                reward_funcs=reward,
                args=trainer_arguments(recipe, quiet),
                train_dataset=rows,
                processing_class=prepared.tokenizer,
                peft_config=peft_config,
                callbacks=[
                    RunCallback(tracker, reward, control, run.facts, recipe, quiet),
                    *audit_callbacks(recipe, reward, is_main_process()),
                    *validation_callbacks(run.plan, reward, tracker, quiet),
                    *profile_callbacks(recipe),
                ],
            )
            reward.scorer = frozen_scorer(recipe, trainer)
            reward.stop_ids |= set(trainer.eos_token_ids)

        # 5. Sample, score, step; from the last complete checkpoint if there is one.
        run_trainer(trainer, run.resume_from, "grpo.learning_rate")
    if is_main_process():
        print(f"{recipe.output_dir}/checkpoint-{trainer.state.global_step}")
    return 0


def dry_run(recipe: GRPORecipe) -> int:
    """The resolved recipe and what it will take; torch is not imported."""
    from infoagent.training.estimate import describe_grpo

    print(recipe_yaml(recipe), describe_grpo(recipe), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
