"""A Gaussian with unknown mean: one latent, two observations."""

import ppxsim
from ppxsim import Normal


def gum():
    mu = ppxsim.sample(Normal(1, 5**0.5), name="mu")
    likelihood = Normal(mu, 2**0.5)
    ppxsim.observe(likelihood, name="obs0")
    ppxsim.observe(likelihood, name="obs1")
    return mu


if __name__ == "__main__":
    ppxsim.main(gum, name="gum")
