package jobs

import (
	"context"
	"errors"
	"math"

	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// thinned is how many draws of chains are ranked.
const thinned = 99

// drawChains runs chains for a data set until every quantity has the effective sample size, or there are too many steps, and ranks the truth among so few
// of their draws, evenly spaced, that these are nearly independent: autocorrelated ranks are not uniform, even of right chains.
func (c *calibration) drawChains(ctx context.Context, set uint64, r *run, x *truth, out *CalibratedSet) (*posterior.Ranks, error) {
	m, k, q := c.spec.MCMC, mcmc.NewKernel(r.kernel()), c.quantities(x, set)
	want := q.truth()
	ranks := posterior.NewRanks(want)
	out.ESS, out.bulk = 0, make([]float64, len(want))
	states, steps := make([]*mcmc.State, m.Chains), make([]uint64, m.Chains)
	series := make([][][]float64, len(want)) // by quantity and chain
	for i := range series {
		series[i] = make([][]float64, m.Chains)
	}
	chain := func(i int) uint32 { return uint32(set)*uint32(m.Chains) + uint32(i) + 1 }
	step := func(i int, adapt bool) error {
		s, _, err := k.Step(ctx, c.x, chain(i), steps[i], states[i], adapt)
		if err != nil {
			return err
		}
		states[i] = s
		steps[i]++
		out.Draws++
		c.drawn.Add(1)
		return nil
	}
	for i := range states {
		var err error
		if states[i], err = k.Start(ctx, c.x, chain(i)); errors.Is(err, mcmc.ErrStart) {
			return ranks, nil // undecided: there is nothing to rank it among
		} else if err != nil {
			return nil, err
		}
		for range m.Warmup {
			if err := step(i, true); err != nil {
				return nil, err
			}
		}
	}
	for n := 100; ; n *= 2 {
		for i := range states {
			for len(series[0][i]) < n {
				for range m.Thin {
					if err := step(i, false); err != nil {
						return nil, err
					}
				}
				for j, v := range q.of(states[i].Trace) {
					series[j][i] = append(series[j][i], v)
				}
			}
		}
		least := math.Inf(1)
		for j := range series {
			if out.bulk[j] = bulkOf(series[j]); ranks.Known(j) {
				least = min(least, out.bulk[j])
			}
		}
		out.ESS = rundir.Number(least)
		if least >= c.spec.Calibration.MinESS || out.Draws >= c.spec.Calibration.MaxDraws {
			break
		}
	}
	total := m.Chains * len(series[0][0])
	for d := range thinned {
		at := d * total / thinned
		row := make([]float64, len(want))
		for j := range row {
			row[j] = series[j][at%m.Chains][at/m.Chains]
		}
		ranks.Add(0, row)
	}
	ranks.Add(0, want) // S draws and the truth itself: its place among S + 1 is uniform, to the bit
	return ranks, nil
}

// bulkOf is the bulk effective sample size of a quantity; of one that some draws lack, that of the draws that have it, at most.
func bulkOf(chains [][]float64) float64 {
	there, all := 0, 0
	for _, c := range chains {
		for _, v := range c {
			all++
			if !math.IsNaN(v) {
				there++
			}
		}
	}
	if there < all {
		has := make([][]float64, len(chains))
		for i, c := range chains {
			for _, v := range c {
				x := 0.0
				if !math.IsNaN(v) {
					x = 1
				}
				has[i] = append(has[i], x)
			}
		}
		return posterior.Chains(has).Bulk * float64(there) / float64(all)
	}
	return posterior.Chains(chains).Bulk
}
