"""The Gaussian with unknown mean, its mean drawn by Marsaglia's polar method: a rejection loop."""

import math
import os

import ppxsim
from ppxsim import Normal, Uniform


def polar(mean, sd):
    while True:
        x = ppxsim.sample(Uniform(-1, 1))
        y = ppxsim.sample(Uniform(-1, 1))
        s = x * x + y * y
        if 0 < s < 1:
            return mean + sd * x * math.sqrt(-2 * math.log(s) / s)


def marsaglia():
    mu = polar(1, math.sqrt(5))
    ppxsim.tag(mu, name="mu")
    likelihood = Normal(mu, math.sqrt(2))
    ppxsim.observe(likelihood, name="obs0")
    ppxsim.observe(likelihood, name="obs1")
    return mu


def polar_marked(mean, sd):
    while True:
        ppxsim.rs_start()
        x = ppxsim.sample(Uniform(-1, 1))
        y = ppxsim.sample(Uniform(-1, 1))
        s = x * x + y * y
        if 0 < s < 1:
            ppxsim.rs_end()
            return mean + sd * x * math.sqrt(-2 * math.log(s) / s)


def marked():
    """The same with a loop that is marked (MODEL=marked), for networks that learn its accepted passes alone."""
    mu = polar_marked(1, math.sqrt(5))
    ppxsim.tag(mu, name="mu")
    likelihood = Normal(mu, math.sqrt(2))
    ppxsim.observe(likelihood, name="obs0")
    ppxsim.observe(likelihood, name="obs1")
    return mu


if __name__ == "__main__":
    ppxsim.main(marked if os.environ.get("MODEL") == "marked" else marsaglia, name="marsaglia")
