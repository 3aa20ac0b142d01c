"""A hidden Markov model: three states, 16 steps, Normal emissions."""

import ppxsim
from ppxsim import Categorical, Normal

INITIAL = [1, 1, 1]
TRANSITION = [[0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.15, 0.15, 0.7]]
EMISSION = [-1, 1, 0]  # means, standard deviation 1


def hmm():
    states = [ppxsim.sample(Categorical(INITIAL), name="state0")]
    for t in range(1, 17):
        states.append(ppxsim.sample(Categorical(TRANSITION[states[-1]]), name=f"state{t}"))
        ppxsim.observe(Normal(EMISSION[states[-1]], 1), name=f"obs{t}")
    return states


if __name__ == "__main__":
    ppxsim.main(hmm, name="hmm")
