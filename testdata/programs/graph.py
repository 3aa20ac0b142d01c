"""graph.py P: a random graph of ten nodes, each pair of which is joined with probability P. Prints how many edges it has."""

import sys

import networkx

print("edges", networkx.gnp_random_graph(10, float(sys.argv[1])).number_of_edges())
