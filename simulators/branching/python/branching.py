"""A model whose number of random choices depends on a random choice."""

import ppxsim
from ppxsim import Poisson


def fibonacci(n):
    a, b = 1, 1
    for _ in range(2, n):
        a, b = b, a + b
    return b


def branching():
    r = ppxsim.sample(Poisson(4), name="r")
    rate = 6
    if r <= 4:
        rate = 1 + fibonacci(3 * r) + ppxsim.sample(Poisson(4), name="extra")
    ppxsim.observe(Poisson(rate), name="obs")
    return r


if __name__ == "__main__":
    ppxsim.main(branching, name="branching")
