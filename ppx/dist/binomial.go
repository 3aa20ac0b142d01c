package dist

import "math"

// maxCount is the largest total_count whose integers are all doubles.
const maxCount = 1 << 53

var binomialFamily = family{
	name:     "Binomial",
	params:   numbers("total_count", "probs"),
	discrete: true,
	check:    checks(checkCount, checkProbability),
	logProb: func(x float64, a args) float64 {
		n, p := a.a, a.b
		if x < 0 || x > n || !isInteger(x) {
			return math.Inf(-1)
		}
		return binomialRaw(x, n, p, 1-p)
	},
	sample: func(s *Stream, a args) float64 {
		n, p := a.a, a.b
		if p > 0.5 {
			return n - sampleBinomial(s, n, 1-p)
		}
		return sampleBinomial(s, n, p)
	},
	support: func(p args) (float64, float64) {
		n := p.a
		return 0, n
	},
	mean: func(a args) float64 {
		n, p := a.a, a.b
		return n * p
	},
	variance: func(a args) float64 {
		n, p := a.a, a.b
		return n * p * (1 - p)
	},
	// A Beta-mixed Binomial of the same mean and nine times the variance where n allows it.
	widen: func(p args) (wide, bool) {
		n, q := p.a, p.b
		total := math.Max((n-9)/8, 1/math.Min(q, 1-q))
		return wide{kind: Beta, p: args{a: total * q, b: total * (1 - q)}, mixed: Binomial, n: n}, n >= 1 && n < wideLarge && q > 1/wideLarge && q < 1-1/wideLarge
	},
	carry: carryBinomial,
}

// sampleBinomial draws for p ≤ ½: by inversion while n·p < 10, else by transformed rejection (BTRS:
// W. Hörmann, "The generation of binomial random variates", 1993).
func sampleBinomial(s *Stream, n, p float64) float64 {
	if n*p < 10 {
		u := s.Float64()
		odds := p / (1 - p)
		r := math.Exp(n * math.Log1p(-p))
		k := 0.0
		for u > r && k < n {
			u -= r
			k++
			r *= odds * (n - k + 1) / k
			if r == 0 {
				break
			}
		}
		return k
	}
	q := 1 - p
	spq := math.Sqrt(n * p * q)
	b := 1.15 + 2.53*spq
	a := -0.0873 + 0.0248*b + 0.01*p
	c := n*p + 0.5
	vr := 0.92 - 4.2/b
	alpha := (2.83 + 5.1/b) * spq
	mode := math.Floor((n + 1) * p)
	top := binomialRaw(mode, n, p, q)
	for {
		u := s.Float64() - 0.5
		v := s.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + c)
		if k < 0 || k > n {
			continue
		}
		if us >= 0.07 && v <= vr {
			return k
		}
		if math.Log(v*alpha/(a/(us*us)+b)) <= binomialRaw(k, n, p, q)-top {
			return k
		}
	}
}
