"""Train a compressor by reinforcement learning against MI − price · rate.

    accelerate launch --config_file accelerate_configs/cpu.yaml train/grpo.py configs/train/records.yaml [key=value ...]

For each problem (document x, question q) the policy writes a group of compressions z. A frozen scorer, the base model
without its adapter, says how well each z picks x out among negatives that were drawn before training:

    reward(z) = log K + log r(z) − price · tokens(z)         r = softmax over the candidates of log p(z | x_k, q)

GRPO moves the policy towards compressions that beat their group's mean. What the reward pays for is decided by the
negatives: random documents reward naming the document, counterfactual ones reward keeping the fact that q asks for.
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
    # 1. Everything that can be wrong is found before a model loads.
    from infoagent.training.launch import batch_shape, is_main_process, process_count
    from infoagent.training.preparation import prepare
    from infoagent.training.price_control import PriceControl
    from infoagent.training.prompt_rows import training_rows
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
    from infoagent.training.vllm_checks import check_vllm

    resume_from = find_resume_point(recipe.output_dir, recipe.model_dump(mode="json"), recipe.resume)
    batch_shape(recipe, process_count())
    check_vllm(recipe, process_count())
    prepared = prepare(
        recipe, recipe.grpo.max_completion_tokens, ("grpo.prompts_per_step", recipe.grpo.prompts_per_step), quiet=quiet
    )
    plan = plan_validation(recipe, recipe.grpo.max_completion_tokens, recipe.grpo.save_steps, quiet)
    facts = checkpoint_facts(recipe, prepared.reference, prepared.data_revision)
    control = PriceControl.of(recipe.reward)
    if resume_from is not None:
        check_same_sources(resume_from, facts)
        control.restore(resume_from)
        if checkpoint_step(resume_from) >= recipe.grpo.steps:
            print(
                f"{resume_from}: has all {recipe.grpo.steps} steps already; raise grpo.steps to go on", file=sys.stderr
            )
            print(resume_from)
            return 0

    from transformers import PrinterCallback, ProgressCallback

    from infoagent.tracking import Tracker
    from infoagent.training.artifacts import log_adapters
    from infoagent.training.audit_callback import audit_callbacks
    from infoagent.training.callbacks import RunCallback
    from infoagent.training.engine import check_engine, settle_engine
    from infoagent.training.faults import one_line_faults
    from infoagent.training.frozen_scorer import frozen_scorer
    from infoagent.training.grpo_trainer import trainer_arguments, trainer_class
    from infoagent.training.policy import load_policy, quiet_libraries
    from infoagent.training.profiling import profile_callbacks
    from infoagent.training.validation import describe_best, validation_callbacks

    # 2. One process keeps the record: recipe, seed, commit, versions, data revision; metrics to JSONL and W&B.
    engine, tracker = settle_engine(), None
    if is_main_process():
        take_directory(recipe.output_dir)
        write_run_file(recipe.output_dir, recipe.model_dump(mode="json"), data_revision=prepared.data_revision,
                       base_revision=prepared.reference.revision, drawn=drawn_of(prepared, plan),
                       processes=engine.processes, engine=engine.name)  # fmt: skip
        tracker = Tracker.of(recipe, "grpo", checkpoint_step(resume_from) if resume_from else None)

    # 3. The reward: information minus length, judged among negatives that never change; the price may move.
    reward = build_reward(recipe, prepared)
    reward.price = replace(reward.price, price=control.price)

    # 4. The policy: a frozen base with a LoRA adapter that learns.
    with quiet_libraries():
        model, peft_config = load_policy(recipe, prepared.reference)
        trainer = trainer_class(recipe.grpo.algorithm)(
            model=model,
            reward_funcs=reward,
            args=trainer_arguments(recipe, quiet),
            train_dataset=training_rows(prepared, recipe),
            processing_class=prepared.tokenizer,
            peft_config=peft_config,
            callbacks=[
                RunCallback(tracker, reward, control, facts, recipe, quiet),
                *audit_callbacks(recipe, reward, is_main_process()),
                *validation_callbacks(plan, reward, tracker, quiet),
                *profile_callbacks(recipe),
            ],
        )  # fmt: skip
        check_engine(trainer, engine)
        reward.scorer = frozen_scorer(recipe, trainer)
        reward.stop_ids |= set(trainer.eos_token_ids)
    for printer in (ProgressCallback, PrinterCallback):  # RunCallback shows the one bar
        trainer.remove_callback(printer)

    # 5. Sample, score, step; from the last complete checkpoint if there is one.
    if resume_from is not None and is_main_process():
        print(f"resuming from {resume_from}", file=sys.stderr)
    failed = True
    try:
        with one_line_faults():
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if tracker is not None:
            log_adapters(tracker, recipe)
        failed = False
    finally:
        if tracker is not None:
            tracker.finish(exit_code=int(failed))
    if is_main_process():
        if plan is not None:
            print(describe_best(recipe.output_dir), file=sys.stderr)
        print(f"{recipe.output_dir}/checkpoint-{trainer.state.global_step}")
    return 0


def dry_run(recipe: GRPORecipe) -> int:
    """The resolved recipe and what it will take; torch is not imported."""
    from infoagent.training.estimate import describe_grpo

    print(recipe_yaml(recipe))
    print(describe_grpo(recipe))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
