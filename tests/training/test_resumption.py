"""The order of the problems, whatever was done before: against the orders of one sampler that was never made anew."""

from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.utils import RepeatSampler

from infoagent.training.resumption import PassSampler


def trl_sampler(problems, chunk, repeats, seed):
    return RepeatSampler(range(problems), mini_repeat_count=2, batch_size=chunk, repeat_count=repeats, shuffle=True, seed=seed)


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1), st.data())
def test_a_new_sampler_goes_on_in_the_pass_that_was_broken(chunk, steps, repeats, seed, data):
    problems = chunk * steps + data.draw(st.integers(0, chunk - 1))  # what fills no step is left out of its pass
    own, at = trl_sampler(problems, chunk, repeats, seed), [0]
    unbroken = PassSampler(own, lambda: at[0])
    passes = []
    for number in range(4):
        at[0] = number * steps
        passes.append(list(unbroken))
    assert passes[0] == list(trl_sampler(problems, chunk, repeats, seed))  # the first is TRL's own
    done = data.draw(st.integers(0, 4 * steps - 1))
    resumed = PassSampler(trl_sampler(problems, chunk, repeats, seed), lambda: done)
    assert list(resumed) == passes[done // steps]
    if problems > 6:
        assert len({tuple(order) for order in passes}) > 1
    for order in passes:
        assert len(order) == len(own)
        assert len(set(order)) == chunk * steps  # none twice within a pass
