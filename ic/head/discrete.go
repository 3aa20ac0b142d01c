package head

import (
	"math"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// categorical is a Categorical whose logits are the row's, relative to the prior's probabilities, mixed with
// the prior: categories without a chance stay so. A visit may have fewer categories than the row, whose rest is then not looked at, or more, which stand to each other as in the prior.
type categorical struct{ categories int }

func (f categorical) Outputs() int { return f.categories }

func (f categorical) Linear() (from, to int) { return 0, f.categories }

// Init begins with the prior.
func (categorical) Init(row []float64) { clear(row) }

// logit is that of category j.
func (f categorical) logit(row []float64, j int) float64 {
	if j < f.categories {
		return row[j]
	}
	return 0
}

// total is log Σ pⱼ·e^rowⱼ, and log Σ pⱼ.
func (f categorical) total(p *Prior, row []float64) (logits, prior float64) {
	most := math.Inf(-1)
	sum := 0.0
	for j, x := range p.Rows[0] {
		if sum += x; x > 0 {
			most = math.Max(most, f.logit(row, j))
		}
	}
	weighted := 0.0
	for j, x := range p.Rows[0] {
		if x > 0 {
			weighted += x * math.Exp(f.logit(row, j)-most)
		}
	}
	return most + math.Log(weighted), math.Log(sum)
}

func (f categorical) LogProb(p *Prior, row []float64, x float64, grad []float64) float64 {
	k := int(x)
	if !(x >= 0) || k >= len(p.Rows[0]) || float64(k) != x || p.Rows[0][k] == 0 {
		clear(grad)
		return p.LogProb(x)
	}
	logits, logSum := f.total(p, row)
	prior := math.Log(p.Rows[0][k]) - logSum
	own := math.Log(p.Rows[0][k]) + f.logit(row, k) - logits
	total := logSumExp(math.Log1p(-MinPrior)+own, math.Log(MinPrior)+prior)
	if grad != nil {
		clear(grad)
		r := math.Exp(math.Log1p(-MinPrior) + own - total)
		for j, q := range p.Rows[0][:min(len(p.Rows[0]), f.categories)] {
			if q > 0 {
				grad[j] = -r * q * math.Exp(row[j]-logits)
			}
		}
		if k < f.categories {
			grad[k] += r
		}
	}
	return total
}

func (f categorical) Sample(p *Prior, row []float64, st *dist.Stream) float64 {
	logits, prior := f.total(p, row)
	t := st.Float64()
	pick := 0
	for j, q := range p.Rows[0] {
		if q == 0 {
			continue
		}
		pick = j
		if t -= q * ((1-MinPrior)*math.Exp(f.logit(row, j)-logits) + MinPrior*math.Exp(-prior)); t < 0 {
			break
		}
	}
	return float64(pick)
}

// bernoulli is a Bernoulli whose logit is the row's, relative to the prior's, mixed with the prior.
type bernoulli struct{}

func (bernoulli) Outputs() int { return 1 }

func (bernoulli) Linear() (from, to int) { return 0, 1 }

// Init begins with the prior.
func (bernoulli) Init(row []float64) { clear(row) }

// chance is the probability of x, and its derivative with respect to the row, of the part that is not the prior.
func (bernoulli) chance(p *Prior, row []float64, x float64) (q, derivative float64) {
	z := row[0] + math.Log(p.Args[0]) - math.Log1p(-p.Args[0])
	if x == 0 {
		z = -z
	}
	q = sigmoid(z)
	derivative = q * sigmoid(-z)
	if x == 0 {
		derivative = -derivative
	}
	return q, derivative
}

func (f bernoulli) LogProb(p *Prior, row []float64, x float64, grad []float64) float64 {
	prior := p.LogProb(x)
	if math.IsInf(prior, -1) || prior != prior || p.Args[0] == 0 || p.Args[0] == 1 {
		clear(grad)
		return prior
	}
	q, d := f.chance(p, row, x)
	total := (1-MinPrior)*q + MinPrior*math.Exp(prior)
	if grad != nil {
		grad[0] = (1 - MinPrior) * d / total
	}
	return math.Log(total)
}

func (f bernoulli) Sample(p *Prior, row []float64, st *dist.Stream) float64 {
	q := p.Args[0]
	if p.Args[0] > 0 && p.Args[0] < 1 {
		own, _ := f.chance(p, row, 1)
		q = (1-MinPrior)*own + MinPrior*p.Args[0]
	}
	if st.Float64() < q {
		return 1
	}
	return 0
}
