// Package posterior says what weighted or unweighted draws of a model's variables tell, wherever they come from: evidence, effective
// sample size, the Pareto diagnostic k̂, tables, histograms, resampling, and how far all that can be relied on. All sums are in
// logarithms and in the order of draws.
package posterior
