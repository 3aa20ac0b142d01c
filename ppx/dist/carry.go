package dist

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Carry writes to out the value that d draws with the noise with which from drew x: F_d⁻¹(F_from(x)), element by element. What one value of a discrete family says of its
// noise is an interval, in which u is drawn; a Categorical's categories are in their order. Where an element's parameters are the same its value stays as it is, to the bit. Both must be checked,
// and out have the elements of a value of both; !ok: they are of different families or sizes, or no noise of from makes x.
//
// That is how a counterfactual goes on after an intervention (J. Pearl, "Causality", 2009, section 7.1: abduction, action, prediction).
func (d *Dist) Carry(from *Dist, x []float64, u *Stream, out []float64) (ok bool) {
	f := &kinds[d.Kind]
	if from.Kind != d.Kind || len(x) != len(out) {
		return false
	}
	if f.rows != nil {
		return f.rows.carry != nil && d.carryRows(from, x, u, out)
	}
	if f.carry == nil {
		return false
	}
	var old, own elements
	if old.init(from, nil) != nil || own.init(d, nil) != nil || old.n != len(x) || own.n != len(x) {
		return false
	}
	for i, v := range x {
		a, b := old.next(), own.next()
		if a == b {
			out[i] = v
			continue
		}
		if !(f.logProb(v, a) > math.Inf(-1)) {
			return false
		}
		lo, hi := f.support(b)
		if out[i] = clamp(f.carry(v, a, b, u), lo, hi); !(out[i] == out[i]) || math.IsInf(out[i], 0) {
			return false
		}
	}
	return true
}

// carryRows is Carry for families of which parameters are rows.
func (d *Dist) carryRows(from *Dist, x []float64, u *Stream, out []float64) bool {
	m := d.width()
	if m == 0 || from.width() != m {
		return false
	}
	n := len(x) / m
	if !from.aligned(n) || !d.aligned(n) {
		return false
	}
	f := kinds[d.Kind].rows
	for i := range n {
		v, y := x[i*m:(i+1)*m], out[i*m:(i+1)*m]
		old, own := from.row(i), d.row(i)
		same := true
		for k := range old {
			if d.Kind == Categorical && len(old[k]) != len(own[k]) {
				return false
			}
			same = same && slices.Equal(old[k], own[k])
		}
		if same {
			copy(y, v)
			continue
		}
		if !(f.density(v, old) > math.Inf(-1)) {
			return false
		}
		f.carry(v, old, own, u, y)
		for _, z := range y {
			if z != z || math.IsInf(z, 0) {
				return false
			}
		}
	}
	return true
}

// tails are the two sides of a distribution function at a value: how probable less is, and more. The smaller one has the digits.
type tails struct{ below, above float64 }

// Families whose draws are functions of noise that has the same distribution whatever the parameters: no distribution function is needed, and no digit lost.

func carryNormal(x float64, from, to args, _ *Stream) float64 { return to.a + to.b*((x-from.a)/from.b) }

func carryUniform(x float64, from, to args, _ *Stream) float64 {
	return to.a + (to.b-to.a)*((x-from.a)/(from.b-from.a))
}

func carryExponential(x float64, from, to args, _ *Stream) float64 { return x * (from.a / to.a) }

func carryLogNormal(x float64, from, to args, _ *Stream) float64 {
	return math.Exp(carryNormal(math.Log(x), from, to, nil))
}

// (x/scale)^k is an Exponential.
func carryWeibull(x float64, from, to args, _ *Stream) float64 {
	return math.Exp(math.Log(to.a) + (math.Log(x)-math.Log(from.a))*from.b/to.b)
}

func carryGamma(x float64, from, to args, _ *Stream) float64 {
	x *= from.b
	if from.a != to.a {
		if below := mathext.GammaIncReg(from.a, x); below < 0.5 {
			x = mathext.GammaIncRegInv(to.a, below)
		} else {
			x = mathext.GammaIncRegCompInv(to.a, mathext.GammaIncRegComp(from.a, x))
		}
	}
	return x / to.b
}

func carryBeta(x float64, from, to args, _ *Stream) float64 {
	if below := mathext.RegIncBeta(from.a, from.b, x); below < 0.5 {
		return mathext.InvRegIncBeta(to.a, to.b, below)
	}
	return 1 - mathext.InvRegIncBeta(to.b, to.a, mathext.RegIncBeta(from.b, from.a, 1-x))
}

func carryBernoulli(x float64, from, to args, u *Stream) float64 {
	row := func(p float64) []float64 { return []float64{1 - p, p} }
	return carryRow(x, row(from.a), row(to.a), u)
}

// carryRow goes through categories in their order.
func carryRow(x float64, from, to []float64, u *Stream) float64 {
	k := int(x)
	if k < 0 || k >= len(from) || float64(k) != x || !(from[k] > 0) {
		return math.NaN()
	}
	before := 0.0
	for _, p := range from[:k] {
		before += p
	}
	left := (before + u.Float64()*from[k]) / rowSum(from) * rowSum(to)
	last := 0
	for j, p := range to {
		if p > 0 {
			if last = j; left < p {
				break
			}
			left -= p
		}
	}
	return float64(last)
}

// poissonTails tell how probable at most k is, and more.
func poissonTails(rate float64) func(k float64) tails {
	return func(k float64) tails {
		return tails{mathext.GammaIncRegComp(k+1, rate), mathext.GammaIncReg(k+1, rate)}
	}
}

func carryPoisson(x float64, from, to args, u *Stream) float64 {
	return carryCount(x, poissonTails(from.a), poissonTails(to.a), math.Inf(1), to.a, u)
}

// carryBy is for continuous families without a better way: it looks for the value with the same tails, between two ends.
func carryBy(of func(x float64, p args) tails, x float64, from, to args, lo, hi float64) float64 {
	want := of(x, from)
	less := func(x float64) bool { // P(X ≤ x) is too small
		t := of(x, to)
		if want.below < want.above {
			return t.below < want.below
		}
		return t.above > want.above
	}
	// By bits, in which doubles of one sign are in their order: 64 halvings come to neighbours.
	a, b := ordered(math.Max(lo, -math.MaxFloat64)), ordered(math.Min(hi, math.MaxFloat64))
	for a < b {
		m := a + int64(uint64(b-a)/2)
		if less(unordered(m)) {
			a = m + 1
		} else {
			b = m
		}
	}
	return unordered(a)
}

// ordered maps doubles to integers in the same order; unordered is its inverse.
func ordered(x float64) int64 {
	i := int64(math.Float64bits(x))
	if i < 0 {
		return math.MinInt64 - i
	}
	return i
}

func unordered(i int64) float64 {
	if i < 0 {
		i = math.MinInt64 - i
	}
	return math.Float64frombits(uint64(i))
}

func carryBinomial(x float64, from, to args, u *Stream) float64 {
	below := func(n, p float64) func(k float64) tails {
		return func(k float64) tails {
			switch {
			case k >= n:
				return tails{1, 0}
			case p == 0 || p == 1:
				return tails{1 - p, p}
			}
			return tails{mathext.RegIncBeta(n-k, k+1, 1-p), mathext.RegIncBeta(k+1, n-k, p)}
		}
	}
	return carryCount(x, below(from.a, from.b), below(to.a, to.b), to.a, to.a*to.b, u)
}

// carryCount is for counts: at most is the largest there is, near the mean. The functions tell how probable at most k is, and more.
func carryCount(x float64, from, to func(k float64) tails, most, near float64, u *Stream) float64 {
	at, before := from(x), tails{0, 1}
	if x > 0 {
		before = from(x - 1)
	}
	share := u.Float64()
	want := tails{before.below + share*(at.below-before.below), at.above + (1-share)*(before.above-at.above)}
	reached := func(k float64) bool { // P(K ≤ k) ≥ want
		if want.below < want.above {
			return to(k).below >= want.below
		}
		return to(k).above <= want.above
	}
	lo, hi := -1.0, math.Max(1, math.Ceil(near))
	for hi < most && !reached(hi) {
		lo, hi = hi, 2*hi
	}
	hi = math.Min(hi, most)
	for hi-lo > 1 {
		if k := math.Floor((lo + hi) / 2); reached(k) {
			hi = k
		} else {
			lo = k
		}
	}
	return hi
}
