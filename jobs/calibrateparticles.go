package jobs

import (
	"context"
	"errors"
	"math"

	"github.com/ppx-engine/ppx-engine/posterior"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/smc"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

const (
	fewParticles  = 256    // of the first try for a data set
	mostParticles = 16_384 // whatever it takes
	particleRoom  = 3 * mostParticles
)

// drawParticles moves particles for a data set until every quantity has the effective sample size, as islands tell, or there are too many runs, and ranks the truth
// among them by their weights. Each try has fresh particles.
func (c *calibration) drawParticles(ctx context.Context, set uint64, r *run, x *truth, out *CalibratedSet) (*posterior.Ranks, error) {
	q := c.quantities(x, set)
	want := q.truth()
	out.ESS, out.bulk = 0, make([]float64, len(want))
	k := r.kernel()
	k.Kind = dist.StreamCalibration
	islands := c.spec.SMC.Islands
	for n := fewParticles; ; n *= 2 {
		ranks := posterior.NewRanks(want)
		config := smc.Config{Kernel: k, N: n, Islands: islands, Power: c.spec.LikelihoodImportance, Moves: c.spec.SMC.Moves, Offset: uint32(set)*particleRoom + uint32(n)}
		p, err := smc.Run(ctx, c.x, &config, nil)
		if errors.Is(err, smc.ErrStart) {
			return ranks, nil // undecided: there is nothing to rank it among
		}
		if err != nil {
			return nil, err
		}
		out.Draws += p.Runs
		out.Failed += p.Failed
		c.drawn.Add(p.Runs)
		figures := make([]*posterior.IslandFigure, len(want))
		for i := range figures {
			figures[i] = posterior.NewIslandFigure(islands)
		}
		weights := posterior.NewWeights()
		for t := range p.Weighted(0) {
			values := q.of(t)
			lw := weights.Add(t.LogWeight, 0)
			ranks.Add(lw, values)
			for i, v := range values {
				figures[i].Add(int(t.Chain)-1, v, lw)
			}
		}
		least := math.Inf(1)
		for i, f := range figures {
			if out.bulk[i] = f.ESS(); ranks.Known(i) {
				least = min(least, out.bulk[i])
			}
		}
		out.ESS, out.LogEvidence = rundir.Number(least), rundir.Number(weights.LogEvidence())
		if least >= c.spec.Calibration.MinESS || out.Draws >= c.spec.Calibration.MaxDraws || 2*n > mostParticles {
			return ranks, nil
		}
	}
}
