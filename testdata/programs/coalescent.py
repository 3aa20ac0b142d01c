"""Two genomes: when was their common ancestor, and how many mutations tell them apart?"""

import msprime

tree = msprime.sim_ancestry(2, ploidy=1, population_size=1000, sequence_length=1, discrete_genome=False, random_seed=1)
print("tmrca", tree.first().tmrca(0, 1))
print("sites", msprime.sim_mutations(tree, rate=0.002, discrete_genome=False, random_seed=2).num_sites)
