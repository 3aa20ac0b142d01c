"""A bank with one counter: bank.py RATE serves eight customers at that rate, and prints their mean waiting time."""

import random
import sys

import simpy

RATE = float(sys.argv[1])
waits = []


def customer(env, counter):
    arrived = env.now
    with counter.request() as turn:
        yield turn
        waits.append(env.now - arrived)
        yield env.timeout(random.expovariate(RATE))


def doors(env, counter):
    for _ in range(8):
        env.process(customer(env, counter))
        yield env.timeout(random.expovariate(1.0))


env = simpy.Environment()
env.process(doors(env, simpy.Resource(env, capacity=1)))
env.run()
print("mean wait", sum(waits) / len(waits))
