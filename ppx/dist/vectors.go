package dist

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Families whose draws are rows. Each is also a sequence of scalar distributions, a number given those before it, in coordinates of its own: that is how
// networks propose them, and chains move them.

// partition is a vector family by coordinates c₁, c₂, …, each of which has a scalar distribution given those before it.
type partition struct {
	kind Kind                                  // of all of them
	n    func(p rows) int                      // how many there are
	part func(p rows, i int, c []float64) args // of coordinate i, of c those before it are looked at
	// split writes the coordinates of a draw, and returns log |dc/dx|; false: the draw has none.
	split func(p rows, x, c []float64) (logSlope float64, ok bool)
	join  func(p rows, c, x []float64) // is its inverse
}

// Row is one draw's distribution, of a vector family.
type Row struct {
	kind Kind
	p    rows
}

// Rows appends the distributions of n draws to dst; the tensors of d must have passed Check.
func (d *Dist) Rows(dst []Row, n int) []Row {
	_, _ = d.walkRows(func(_ int, p rows) bool {
		dst = append(dst, Row{d.Kind, p})
		return true
	})
	return dst
}

// Draws is how many draws a value is; of a kind that is no Vector as many as elements.
func (d *Dist) Draws() (int, error) {
	var room [MaxRank]int32
	s, err := d.batchShape(room[:0])
	if err != nil {
		return 0, err
	}
	return Elements(s)
}

// PartKind is the kind of the coordinates of a vector kind (Row.Part), None for others.
func (k Kind) PartKind() Kind {
	if f := kinds[k].rows; f != nil && f.parts != nil {
		return f.parts.kind
	}
	return None
}

// Size is how many numbers a draw has, Parts how many coordinates.
func (r *Row) Size() int  { return len(r.p[kinds[r.kind].rows.like]) }
func (r *Row) Parts() int { return kinds[r.kind].rows.parts.n(r.p) }

// Part is the distribution of coordinate i given those before it, the first of c.
func (r *Row) Part(i int, c []float64) Element {
	f := kinds[r.kind].rows.parts
	e := Element{Kind: f.kind}
	a := f.part(r.p, i, c)
	e.Args = [MaxArgs]float64{a.a, a.b, a.c, a.d}
	return e
}

// Split writes the coordinates of a draw to c, and returns log |dc/dx|, to add to the density of the coordinates; false for an x outside the support.
func (r *Row) Split(x, c []float64) (logSlope float64, ok bool) {
	return kinds[r.kind].rows.parts.split(r.p, x, c)
}

// Join writes the draw that has the coordinates c to x.
func (r *Row) Join(c, x []float64) { kinds[r.kind].rows.parts.join(r.p, c, x) }

// ---- Dirichlet

// dirichletParts are shares of what is left: x₁, x₂/(1 − x₁), …, each a Beta.
var dirichletParts = partition{
	kind: Beta,
	n:    func(p rows) int { return len(p[0]) - 1 },
	part: func(p rows, i int, _ []float64) args { return args{a: p[0][i], b: rowSum(p[0][i+1:])} },
	split: func(p rows, x, c []float64) (logSlope float64, ok bool) {
		if !shares(x) {
			return 0, false
		}
		left := 0.0 // from the end, where it keeps its digits
		for i := len(x) - 1; i >= 0; i-- {
			if left += x[i]; i < len(c) {
				c[i] = clamp(x[i]/left, tiny, belowOne)
				if i > 0 {
					logSlope -= math.Log(left)
				}
			}
		}
		return logSlope, true
	},
	join: func(_ rows, c, x []float64) {
		left := 1.0
		for i, v := range c {
			x[i] = math.Max(left*v, tiny)
			left *= 1 - v
		}
		x[len(c)] = math.Max(left, tiny)
	},
}

// dirichletRaw is the log density at shares x by Loader's saddle point, as of a multinomial probability with real counts a: its large terms cancel exactly.
func dirichletRaw(x, a []float64) float64 {
	n := rowSum(a)
	lp := stirlingError(n) - 0.5*math.Log(n) + halfLog2Pi // log of √(2πn)/n
	over, lost := -1.0, 0.0                               // Σx − 1, in twice the digits
	ends := 0.0
	for i, v := range x {
		k := a[i]
		sum := over + v
		if math.Abs(over) > v {
			lost += (over - sum) + v
		} else {
			lost += (v - sum) + over
		}
		over = sum
		if v == 0 { // where only the power counts
			if k != 1 {
				ends -= (k - 1) * math.Inf(1)
			}
			lp -= k
			continue
		}
		lp -= stirlingError(k) + deviance(k, n*v) + halfLog2Pi - 0.5*math.Log(k) + math.Log(v)
	}
	return lp + n*(over+lost) + ends
}

// simplexTolerance is how far the sum of shares may be from 1.
const simplexTolerance = 1e-6

// shares tells whether x are shares, which add up to 1.
func shares(x []float64) bool {
	total := 0.0
	for _, v := range x {
		if !(v >= 0) {
			return false
		}
		total += v
	}
	return math.Abs(total-1) <= simplexTolerance
}

// checkNotTiny is for concentrations and degrees of freedom.
func checkNotTiny(v float64) string {
	if !(v >= 1e-300) || math.IsInf(v, 0) {
		return "must be positive and finite, and not below 1e-300"
	}
	return ""
}

// A Dirichlet is a row of shares, which add up to 1.
var dirichletFamily = family{
	name:   "Dirichlet",
	params: []param{{"concentration", 1}},
	rows: &rowFamily{
		vector: true,
		parts:  &dirichletParts,
		check: func(p rows) (int, int, string) {
			for j, v := range p[0] {
				if r := checkNotTiny(v); r != "" {
					return 0, j, r
				}
			}
			if math.IsInf(rowSum(p[0]), 0) {
				return 0, 0, "begins a row whose sum is not finite"
			}
			return 0, 0, ""
		},
		logProb: func(x []float64, p rows) float64 {
			if !shares(x) {
				return math.Inf(-1)
			}
			return dirichletRaw(x, p[0])
		},
		sample: func(s *Stream, p rows, x []float64) {
			most := math.Inf(-1)
			for i, a := range p[0] {
				x[i] = logGammaVariate(s, a)
				most = math.Max(most, x[i])
			}
			sum := 0.0
			for i, v := range x {
				x[i] = math.Exp(v - most)
				sum += x[i]
			}
			for i := range x {
				x[i] = math.Max(x[i]/sum, tiny)
			}
		},
		support: func(_ rows, lo, hi []float64) {
			for i := range lo {
				lo[i], hi[i] = 0, 1
			}
		},
		moments: func(p rows, mean, variance []float64) {
			total := rowSum(p[0])
			for i, a := range p[0] {
				q := a / total
				mean[i], variance[i] = q, q*((total-a)/total)/(total+1)
			}
		},
		coarse: func(p rows) bool {
			for i := range len(p[0]) - 1 {
				if betaCoarse(p[0][i], rowSum(p[0][i+1:])) {
					return true
				}
			}
			return false
		},
		widen: func(p rows, room []float64) (rows, []float64) {
			for _, a := range p[0] {
				if a > wideSmallShape {
					a = flatter(a, 9)
				}
				room = append(room, a)
			}
			return rows{room}, room
		},
		sizes: func(_, event int, _ []float64) ([MaxArgs]int, bool) { return [MaxArgs]int{event}, true },
	},
}

// ---- MultivariateNormal, MultivariateStudentT

// solveLower writes the solution z of L·z = x − loc, L a lower triangle by rows, and returns log |dz/dx|.
func solveLower(loc, tril, x, z []float64) (logSlope float64) {
	d := len(loc)
	for i := range d {
		v := x[i] - loc[i]
		for j, l := range tril[i*d : i*d+i] {
			v -= l * z[j]
		}
		l := tril[i*d+i]
		z[i] = v / l
		logSlope -= math.Log(l)
	}
	return logSlope
}

// applyLower writes loc + L·z to x, which may be z.
func applyLower(loc, tril, z, x []float64) {
	d := len(loc)
	for i := d - 1; i >= 0; i-- {
		sum := 0.0
		for j, l := range tril[i*d : i*d+i+1] {
			sum += l * z[j]
		}
		x[i] = clamp(loc[i]+sum, -math.MaxFloat64, math.MaxFloat64)
	}
}

// largestScale is the largest number of a vector of locations and of a triangle: sums of them times numbers of that size are finite.
const largestScale = 1e150

// checkTril is for a row of locations and a lower triangle, which are parameters loc and loc + 1.
func checkTril(p rows, loc int) (int, int, string) {
	mean, tril := p[loc], p[loc+1]
	for j, v := range mean {
		if !(math.Abs(v) <= largestScale) {
			return loc, j, "must be finite, and at most 1e150"
		}
	}
	d := len(mean)
	if len(tril) != d*d {
		return loc + 1, 0, "begins a matrix that has not as many rows as loc has numbers"
	}
	if d > 1 && tril[0] <= 0 && tril[1] != tril[1] { // what clients make of a matrix that has no triangle
		return loc + 1, 0, "is the smallest eigenvalue of the matrix that it was to be made of: that must be positive definite"
	}
	for i := range d {
		for j := range d {
			v := tril[i*d+j]
			switch {
			case j > i && v != 0:
				return loc + 1, i*d + j, "must be 0: it stands above the diagonal of a lower triangle"
			case i == j && !(v > 0 && v <= largestScale):
				return loc + 1, i*d + j, "must be positive and at most 1e150: it stands on the diagonal"
			case !(math.Abs(v) <= largestScale):
				return loc + 1, i*d + j, "must be finite, and at most 1e150"
			}
		}
	}
	return 0, 0, ""
}

func wholeLine(_ rows, lo, hi []float64) {
	for i := range lo {
		lo[i], hi[i] = math.Inf(-1), math.Inf(1)
	}
}

// rowVariance is that of element i: of row i of a lower triangle.
func rowVariance(tril []float64, d, i int) (v float64) {
	for _, l := range tril[i*d : i*d+i+1] {
		v += l * l
	}
	return v
}

// coarseTril tells that doubles are too coarse for a row of locations and a lower triangle.
func coarseTril(loc, tril []float64) bool {
	for i, m := range loc {
		if normalCoarse(m, tril[i*len(loc)+i]) {
			return true
		}
	}
	return false
}

// wideTril is three times a lower triangle, or that itself where it is of no use.
func wideTril(loc, tril, room []float64) []float64 {
	by := 3.0
	d := len(loc)
	for i, m := range loc {
		if !widensLocated(m, tril[i*d+i]) || !(rowVariance(tril, d, i) < 1e290) {
			by = 1
		}
	}
	for _, l := range tril {
		room = append(room, by*l)
	}
	return room
}

// MultivariateNormal has a vector of means, and the lower triangle L of its covariance L·Lᵀ.
var multivariateNormalFamily = family{
	name:   "MultivariateNormal",
	params: []param{{"loc", 1}, {"scale_tril", 2}},
	sums:   true,
	rows: &rowFamily{
		vector: true,
		parts:  &normalParts,
		check:  func(p rows) (int, int, string) { return checkTril(p, 0) },
		logProb: func(x []float64, p rows) float64 {
			var room [32]float64
			z := room[:]
			if len(x) > len(room) {
				z = make([]float64, len(x))
			}
			lp := solveLower(p[0], p[1], x, z) - halfLog2Pi*float64(len(x))
			for _, v := range z[:len(x)] {
				lp -= 0.5 * v * v
			}
			return lp
		},
		sample: func(s *Stream, p rows, x []float64) {
			for i := range x {
				x[i] = mathext.NormalQuantile(s.Float64())
			}
			applyLower(p[0], p[1], x, x)
		},
		support: wholeLine,
		moments: func(p rows, mean, variance []float64) {
			for i, m := range p[0] {
				mean[i], variance[i] = m, rowVariance(p[1], len(p[0]), i)
			}
		},
		coarse: func(p rows) bool { return coarseTril(p[0], p[1]) },
		widen: func(p rows, room []float64) (rows, []float64) {
			room = wideTril(p[0], p[1], room)
			return rows{p[0], room}, room
		},
		carry: func(x []float64, from, to rows, _ *Stream, out []float64) {
			solveLower(from[0], from[1], x, out)
			applyLower(to[0], to[1], out, out)
		},
		sizes: func(_, d int, _ []float64) ([MaxArgs]int, bool) { return [MaxArgs]int{d, d * d}, true },
	},
}

// normalParts are independent standard Normals.
var normalParts = partition{
	kind: Normal,
	n:    func(p rows) int { return len(p[0]) },
	part: func(rows, int, []float64) args { return args{a: 0, b: 1} },
	split: func(p rows, x, c []float64) (float64, bool) {
		return solveLower(p[0], p[1], x, c), true
	},
	join: func(p rows, c, x []float64) { applyLower(p[0], p[1], c, x) },
}

// MultivariateStudentT is loc + L·z/√(χ²/df), z standard Normals and χ² one ChiSquared of df degrees of freedom.
var multivariateStudentTFamily = family{
	name:   "MultivariateStudentT",
	params: []param{{"df", 0}, {"loc", 1}, {"scale_tril", 2}},
	sums:   true,
	rows: &rowFamily{
		vector: true,
		like:   1,
		parts:  &studentParts,
		check: func(p rows) (int, int, string) {
			if r := checkNotTiny(p[0][0]); r != "" {
				return 0, 0, r
			}
			return checkTril(p, 1)
		},
		logProb: func(x []float64, p rows) float64 {
			z := make([]float64, len(x))
			lp := solveLower(p[1], p[2], x, z)
			for i, v := range z { // whose densities have their digits for any number of degrees of freedom
				lp += studentTFamily.logProb(v, studentPart(p, i, z))
			}
			return lp
		},
		sample: func(s *Stream, p rows, x []float64) {
			for i := range x {
				x[i] = mathext.NormalQuantile(s.Float64())
			}
			f := math.Exp((math.Log(p[0][0]/2) - logGammaVariate(s, p[0][0]/2)) / 2)
			for i := range x {
				x[i] = clamp(x[i]*f, -largestScale, largestScale)
			}
			applyLower(p[1], p[2], x, x)
		},
		support: wholeLine,
		moments: func(p rows, mean, variance []float64) {
			df := p[0][0]
			for i, m := range p[1] {
				mean[i], variance[i] = m, rowVariance(p[2], len(p[1]), i)
				switch {
				case !(df > 1):
					mean[i], variance[i] = math.NaN(), math.NaN()
				case !(df > 2):
					variance[i] = math.Inf(1)
				default:
					variance[i] *= df / (df - 2)
				}
			}
		},
		coarse: func(p rows) bool { return coarseTril(p[1], p[2]) },
		widen: func(p rows, room []float64) (rows, []float64) {
			room = wideTril(p[1], p[2], room)
			return rows{p[0], p[1], room}, room
		},
		carry: func(x []float64, from, to rows, _ *Stream, out []float64) {
			if from[0][0] != to[0][0] {
				out[0] = math.NaN()
				return
			}
			solveLower(from[1], from[2], x, out)
			applyLower(to[1], to[2], out, out)
		},
		sizes: func(_, d int, _ []float64) ([MaxArgs]int, bool) { return [MaxArgs]int{1, d, d * d}, true },
	},
}

// studentParts are StudentTs, whose degrees of freedom and scales come from the coordinates before (P. Ding, "On the conditional distribution of the multivariate
// t distribution", 2016).
var studentParts = partition{
	kind:  StudentT,
	n:     func(p rows) int { return len(p[1]) },
	part:  studentPart,
	split: func(p rows, x, c []float64) (float64, bool) { return solveLower(p[1], p[2], x, c), true },
	join:  func(p rows, c, x []float64) { applyLower(p[1], p[2], c, x) },
}

func studentPart(p rows, i int, c []float64) args {
	df, sum := p[0][0], 0.0
	for _, z := range c[:i] {
		sum += z * z
	}
	own := df + float64(i)
	return args{a: own, b: 0, c: clamp(math.Sqrt(df/own+sum/own), 1e-290, 1e290)}
}

// ---- Multinomial

// multinomialParts are the counts themselves but the last, each a Binomial of what is left.
var multinomialParts = partition{
	kind: Binomial,
	n:    func(p rows) int { return len(p[1]) - 1 },
	part: func(p rows, i int, c []float64) args {
		return args{a: p[0][0] - rowSum(c[:i]), b: shareOf(p[1], i)}
	},
	split: func(p rows, x, c []float64) (float64, bool) {
		left := p[0][0]
		for i, v := range x {
			if !(v >= 0) || !isInteger(v) {
				return 0, false
			}
			if left -= v; i < len(c) {
				c[i] = v
			}
		}
		return 0, left == 0
	},
	join: func(p rows, c, x []float64) {
		copy(x, c)
		x[len(c)] = p[0][0] - rowSum(c)
	},
}

// shareOf is the probability of category i among those from it on.
func shareOf(probs []float64, i int) float64 {
	if probs[i] == 0 {
		return 0
	}
	return probs[i] / (probs[i] + rowSum(probs[i+1:]))
}

// Multinomial is how often each category comes in total_count independent draws.
var multinomialFamily = family{
	name:     "Multinomial",
	params:   []param{{"total_count", 0}, {"probs", 1}},
	discrete: true,
	rows: &rowFamily{
		vector: true,
		like:   1,
		parts:  &multinomialParts,
		check: func(p rows) (int, int, string) {
			if r := checkCount(p[0][0]); r != "" {
				return 0, 0, r
			}
			return checkWeights(p[1], 1)
		},
		logProb: func(x []float64, p rows) float64 {
			left, lp := p[0][0], 0.0
			last := len(x) - 1
			for i, v := range x {
				if !(v >= 0) || v > left || !isInteger(v) {
					return math.Inf(-1)
				}
				if i < last {
					q := shareOf(p[1], i)
					after := rowSum(p[1][i+1:])
					lp += binomialRaw(v, left, q, math.Max(0, after/(p[1][i]+after)))
				}
				left -= v
			}
			if left != 0 || (x[last] > 0 && p[1][last] == 0) {
				return math.Inf(-1)
			}
			return lp
		},
		sample: func(s *Stream, p rows, x []float64) {
			left := p[0][0]
			last := len(x) - 1
			for i := range last {
				x[i] = binomialFamily.sample(s, args{a: left, b: shareOf(p[1], i)})
				left -= x[i]
			}
			x[last] = left
		},
		support: func(p rows, lo, hi []float64) {
			for i := range lo {
				lo[i], hi[i] = 0, p[0][0]
			}
		},
		moments: func(p rows, mean, variance []float64) {
			sum := rowSum(p[1])
			for i, q := range p[1] {
				mean[i], variance[i] = p[0][0]*(q/sum), p[0][0]*(q/sum)*(1-q/sum)
			}
		},
		widen: func(p rows, room []float64) (rows, []float64) {
			sum := rowSum(p[1])
			chances := 0.0
			for _, q := range p[1] {
				if q > 0 {
					chances++
				}
			}
			for _, q := range p[1] { // half way to all that have a chance being equally likely
				if q > 0 {
					q = (q/sum + 1/chances) / 2
				}
				room = append(room, q)
			}
			return rows{p[0], room}, room
		},
		sizes: func(total, _ int, _ []float64) ([MaxArgs]int, bool) { return [MaxArgs]int{1, total - 1}, true },
	},
}
