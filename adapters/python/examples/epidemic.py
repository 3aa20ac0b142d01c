"""An outbreak in a town of 1,000: how infectious is it, how long is one ill? Cases were counted weekly.

    ppx infer --observe 'cases=[3,9,27,60,98,93]' -n 20000 -- python epidemic.py --endpoint {endpoint}
"""

import ppxsim
from ppxsim import Binomial, Gamma, Poisson, Uniform


def epidemic():
    reproduction = ppxsim.sample(Gamma(8, 4), name="reproduction")
    days_ill = ppxsim.sample(Uniform(3, 14), name="days_ill")
    susceptible, ill = 999, 1
    weekly = []
    for day in range(42):
        infected = ppxsim.sample(Binomial(susceptible, min(1, reproduction / days_ill * ill / 1000)))
        recovered = ppxsim.sample(Binomial(ill, 1 / days_ill))
        susceptible, ill = susceptible - infected, ill + infected - recovered
        if day % 7 == 0:
            weekly.append(0)
        weekly[-1] += infected
    ppxsim.tag(ill, name="ill_at_the_end")
    ppxsim.observe(Poisson([w + 0.5 for w in weekly]), name="cases")
    return weekly


if __name__ == "__main__":
    ppxsim.main(epidemic, name="epidemic")
