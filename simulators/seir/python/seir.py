"""An epidemic in a town of 2,000; as ../cpp/seir.cpp, which says what it is."""

import argparse
import math
import sys

import ppxsim
from ppxsim import Binomial, Gamma, LogNormal, Poisson, Uniform

POPULATION, LATENT = 2000, 3


def quantile(u, n, p):
    """That of the binomial distribution."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    k = max(0, math.floor(n * p - 12 * math.sqrt(n * p * (1 - p))))
    mass = math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p))
    below = mass
    while below < u and k < n:
        mass *= (n - k) / (k + 1) * (p / (1 - p))
        below += mass
        k += 1
    return k


def seir(days=60, horizon=0, cut=0.0, cut_from=60, reporting="poisson"):
    r0 = ppxsim.sample(LogNormal(math.log(2), 0.4), name="R0")
    infectious = ppxsim.sample(Gamma(20, 4), name="infectious_days")
    reported = ppxsim.sample(ppxsim.Beta(2, 4), name="reported")
    first = ppxsim.sample(LogNormal(math.log(4), 0.5), name="first")
    s, i, peak = POPULATION - math.floor(first + 0.5), first, 0.0
    curve, infected = [], []
    for day in range(1, days + horizon + 1):
        contacts = r0 / infectious * (1 - cut if day > cut_from else 1)
        luck = ppxsim.sample(Uniform(0, 1), name="luck")
        infected.append(quantile(luck, s, 1 - math.exp(-contacts * i / POPULATION)))
        onset = infected[day - 1 - LATENT] if day > LATENT else 0
        s -= infected[-1]
        i = i * math.exp(-1 / infectious) + onset
        peak = max(peak, i)
        curve.append(i)
        if day <= days:
            d = Binomial(onset, reported) if reporting == "binomial" else Poisson(reported * onset + 0.1)
            ppxsim.observe(d, name=f"cases{day}")
    ppxsim.tag(peak, "peak")
    ppxsim.tag(1 - s / POPULATION, "attack_rate")
    return curve


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--horizon", type=int, default=0)
    parser.add_argument("--cut", type=float, default=0)
    parser.add_argument("--from", dest="cut_from", type=int, default=60)
    parser.add_argument("--reporting", default="poisson", choices=["poisson", "binomial"])
    known, sys.argv[1:] = parser.parse_known_args()  # the rest is the client's
    ppxsim.main(lambda: seir(**vars(known)), name="seir")
