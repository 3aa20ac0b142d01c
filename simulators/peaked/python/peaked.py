"""A bright spot in an image of 64 x 64: four latents, whose posterior is a thousand times narrower than the prior."""

import numpy as np
import ppxsim
from ppxsim import Normal, Uniform

GRID = np.linspace(-2, 2, 64)
NOISE = 0.05


def spot(r, cx, cy, a):
    return a * np.exp(-((GRID[None, :] - cx) ** 2 + (GRID[:, None] - cy) ** 2) / (2 * r * r))


def peaked():
    r = ppxsim.sample(Uniform(0.1, 0.5), name="r")
    cx = ppxsim.sample(Normal(0, 0.5), name="cx")
    cy = ppxsim.sample(Normal(0, 0.5), name="cy")
    a = ppxsim.sample(Uniform(0.5, 1.5), name="a")
    ppxsim.observe(Normal(spot(r, cx, cy, a), NOISE), name="image")
    return r


if __name__ == "__main__":
    ppxsim.main(peaked, name="peaked")
