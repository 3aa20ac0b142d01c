package dist

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// number reads the doubles of the test vectors, infinities included.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*n = number(v)
	return err
}

func floats(v []number) (out []float64) {
	for _, x := range v {
		out = append(out, float64(x))
	}
	return out
}

func load(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "dist", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func kindOf(t testing.TB, name string) Kind {
	k, ok := KindByName(name)
	if !ok {
		t.Fatalf("no kind %q", name)
	}
	return k
}

// near compares to a relative error, and where values are sums of large cancelling terms to the scale
// of rounding of those terms.
func near(got, want, rel, scale float64) bool {
	if math.IsInf(want, 0) || math.IsInf(got, 0) || want != want {
		return got == want || got != got && want != want
	}
	return math.Abs(got-want) <= rel*math.Max(math.Abs(want), scale)
}

func TestLogProbAgainstTables(t *testing.T) {
	var rows []struct {
		Kind           string
		Params         []number
		X              []float64
		LogProb        []number `json:"log_prob"`
		Mean, Variance number
	}
	load(t, "density.json", &rows)
	seen := map[Kind]bool{}
	for _, r := range rows {
		k := kindOf(t, r.Kind)
		seen[k] = true
		d := New(k, floats(r.Params)...)
		if err := d.Check(); err != nil {
			t.Errorf("%s%v: %v", r.Kind, r.Params, err)
			continue
		}
		for i, x := range r.X {
			got, err := d.LogProb(Scalar(x))
			if err != nil {
				t.Errorf("%s%v at %g: %v", r.Kind, r.Params, x, err)
			}
			if !near(got, float64(r.LogProb[i]), 2e-13, 1) {
				t.Errorf("%s%v at %g: log density %.17g, want %.17g", r.Kind, r.Params, x, got, float64(r.LogProb[i]))
			}
		}
		var m, v [1]float64
		if err := errors.Join(d.Mean(m[:]), d.Variance(v[:])); err != nil {
			t.Error(err)
		}
		if !near(m[0], float64(r.Mean), 1e-12, math.Sqrt(v[0])) || !near(v[0], float64(r.Variance), 1e-9, 1e-300) {
			t.Errorf("%s%v: mean %g variance %g, want %g %g", r.Kind, r.Params, m[0], v[0], r.Mean, r.Variance)
		}
	}
	for _, r := range loadRows(t) {
		seen[kindOf(t, r.Kind)] = true
	}
	seen[Custom], seen[DiscreteCustom] = true, true // whose densities are others' word
	if len(seen) != int(NumKinds)-1 {
		t.Errorf("the tables cover %d of %d kinds", len(seen), NumKinds-1)
	}
}

func parseWord(t testing.TB, s string, base int) uint64 {
	v, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPhiloxAgainstNumpy(t *testing.T) {
	var rows []struct {
		Seed, Stream, Statement, Draw, Purpose string
		Words                                  []string
	}
	load(t, "philox.json", &rows)
	for _, r := range rows {
		s := NewStream(parseWord(t, r.Seed, 10), parseWord(t, r.Stream, 10), parseWord(t, r.Statement, 10),
			parseWord(t, r.Draw, 10), parseWord(t, r.Purpose, 10))
		for i, w := range r.Words {
			if got, want := s.Uint64(), parseWord(t, w, 16); got != want {
				t.Fatalf("seed %s word %d: %016x, want %016x", r.Seed, i, got, want)
			}
		}
	}
}

func TestSamplesAgainstVectors(t *testing.T) {
	type row struct {
		Kind               string
		Params             []number
		Seed, Draw         string
		Stream             uint64
		Statement, Purpose uint64
		Values             []float64
	}
	var rows, wide []row
	load(t, "samples.json", &rows)
	load(t, "widened.json", &wide)
	plain := len(rows)
	for k, r := range append(rows, wide...) {
		d := New(kindOf(t, r.Kind), floats(r.Params)...)
		s := NewStream(parseWord(t, r.Seed, 10), r.Stream, r.Statement, parseWord(t, r.Draw, 10), r.Purpose)
		out := make([]float64, 1)
		var w Widened
		for i, want := range r.Values {
			if k < plain {
				if err := d.Sample(&s, out); err != nil {
					t.Fatal(err)
				}
			} else {
				if d.Kind == Categorical { // each is the first draw of a stream of its own
					s.Skip(uint64(i) << 16)
					p := w.wider(kinds[Categorical].rows, d.row(0))
					kinds[Categorical].rows.sample(&s, p, out)
				} else {
					w.each(&d, nil, 1, func(int) { out[0] = w.sample(&s, uint64(i)) })
				}
			}
			if !near(out[0], want, 1e-12, 1e-300) {
				t.Errorf("%s%v value %d: %.17g, want %.17g", r.Kind, r.Params, i, out[0], want)
			}
		}
	}
}

func TestUnitStaysInsideTheOpenInterval(t *testing.T) {
	if u := Unit(math.MaxUint64); !(u < 1) {
		t.Errorf("largest uniform is %v", u)
	}
	if u := Unit(0); !(u > 0) {
		t.Errorf("smallest uniform is %v", u)
	}
}

// testDists is one or more ordinary members of every family.
var testDists = []Dist{
	New(Normal, 1, 2), New(Uniform, -1, 3), New(Categorical, 1, 0, 2, 5), New(Poisson, 3.5), New(Poisson, 60),
	New(Bernoulli, 0.3), New(Beta, 2, 3), New(Beta, 0.5, 0.7), New(Exponential, 2), New(Gamma, 2.5, 3),
	New(Gamma, 0.4, 1), New(LogNormal, 0.5, 0.4), New(Binomial, 12, 0.3), New(Binomial, 400, 0.7), New(Weibull, 2, 1.7),
	New(TruncatedNormal, 0, 1, -1, 2), New(TruncatedNormal, 3, 0.5, math.Inf(-1), 1), New(TruncatedNormal, 0, 1, 6, 9), New(TruncatedNormal, 1, 1, 2, 2.4), New(TruncatedNormal, 0, 1, 0.5, math.Inf(1)),
	New(HalfNormal, 2), New(StudentT, 9, 1, 2), New(Laplace, 1, 2), New(Logistic, -1, 0.5), New(Pareto, 2, 9), New(InverseGamma, 12, 3), New(VonMises, 2, 1), New(VonMises, 0, 40),
	New(LogUniform, 0.5, 20), New(NegativeBinomial2, 4, 2), New(NegativeBinomial2, 60, 0.7), New(Geometric, 0.3), New(DiscreteUniform, -3, 8), New(ZeroInflatedPoisson, 0.3, 4),
	New(ZeroInflatedNegativeBinomial2, 0.2, 12, 3), New(BetaBinomial, 2, 3, 20),
}

// Sampling and density must describe the same distribution: a chi-squared test over cells whose
// probability is integrated from the density. With fixed seeds a failure is a defect; the bound is the
// statistic's mean plus five of its standard deviations.
func TestSamplesFollowTheDensity(t *testing.T) {
	const n = 40000
	for _, d := range testDists {
		t.Run(fmt.Sprintf("%s%v", d.Kind, d.Params[0].Data), func(t *testing.T) {
			xs := make([]float64, n)
			for i := range xs {
				s := NewStream(7, 0, uint64(d.Kind), uint64(i), PurposeValue)
				if err := d.Sample(&s, xs[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			edges, probs := cells(t, d)
			counts := make([]float64, len(probs))
			for _, x := range xs {
				if !d.InSupport(Scalar(x)) {
					t.Fatalf("sample %g has no density", x)
				}
				for j := range counts {
					if x < edges[j+1] {
						if x >= edges[j] {
							counts[j]++
						}
						break
					}
				}
			}
			chi2, df, rest, restN := 0.0, 0, 1.0, float64(n)
			for j, p := range probs {
				e := p * n
				if e < 10 {
					continue
				}
				chi2 += (counts[j] - e) * (counts[j] - e) / e
				df++
				rest -= p
				restN -= counts[j]
			}
			if e := rest * n; e > 5 {
				chi2 += (restN - e) * (restN - e) / e
			} else {
				df--
			}
			if limit := float64(df) + 5*math.Sqrt(2*float64(df)); chi2 > limit {
				t.Errorf("chi-squared %.1f with %d degrees of freedom", chi2, df)
			}
		})
	}
}

// cells cuts the support: unit cells for integers, Simpson-integrated ones for continuous families.
func cells(t *testing.T, d Dist) (edges, probs []float64) {
	var m, v, lo, hi [1]float64
	if err := errors.Join(d.Mean(m[:]), d.Variance(v[:]), d.Support(lo[:], hi[:])); err != nil {
		t.Fatal(err)
	}
	density := func(x float64) float64 {
		lp, _ := d.LogProb(Scalar(x))
		return math.Exp(lp)
	}
	a, b := math.Max(lo[0], m[0]-6*math.Sqrt(v[0])), math.Min(hi[0], m[0]+6*math.Sqrt(v[0]))
	if d.Kind.Discrete() {
		for x := math.Ceil(a); x <= b; x++ {
			edges = append(edges, x-0.5)
			probs = append(probs, density(x))
		}
		return append(edges, math.Floor(b)+0.5), probs
	}
	const k, sub = 40, 400
	h := (b - a) / k
	last := b
	for j := range k {
		lo := a + h*float64(j)
		if j == 0 && math.IsInf(density(lo), 1) {
			lo += h / 2 // leave the pole to the rest cell
		}
		hi := a + h*float64(j+1)
		if j == k-1 && math.IsInf(density(hi), 1) {
			hi -= h / 2
		}
		w := (hi - lo) / sub
		sum := 0.0
		for i := range sub {
			x := lo + w*float64(i)
			sum += w / 6 * (density(x) + 4*density(x+w/2) + density(x+w))
		}
		edges, probs = append(edges, lo), append(probs, sum)
		last = hi
	}
	return append(edges, last), probs
}

func TestMomentsOfSamples(t *testing.T) {
	const n = 40000
	for _, d := range testDists {
		var m, v [1]float64
		if err := errors.Join(d.Mean(m[:]), d.Variance(v[:])); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := range n {
			var x [1]float64
			s := NewStream(8, 0, uint64(d.Kind), uint64(i), PurposeValue)
			if err := d.Sample(&s, x[:]); err != nil {
				t.Fatal(err)
			}
			sum += x[0]
		}
		if se := math.Sqrt(v[0] / n); math.Abs(sum/n-m[0]) > 4*se {
			t.Errorf("%s: mean of samples %g, want %g ± %g", d.Kind, sum/n, m[0], se)
		}
	}
}

func TestExtremeParametersSampleWithinTheSupport(t *testing.T) {
	for _, d := range []Dist{
		New(Poisson, 1e-300), New(Poisson, 1e6), New(Poisson, 1e15), New(Poisson, 1e300), New(Poisson, 0),
		New(Bernoulli, 0), New(Bernoulli, 1), New(Binomial, 0, 0.5), New(Binomial, 1<<53, 0.5), New(Binomial, 1<<53, 1e-16),
		New(Binomial, 1000, 0), New(Binomial, 1000, 1), New(Gamma, 1e-5, 1), New(Gamma, 1e300, 1e300), New(Gamma, 1, 1e-300),
		New(Beta, 1e-5, 1e-5), New(Beta, 1e10, 1e-3), New(Beta, 1e300, 1e300), New(Exponential, 1e-308), New(Exponential, 1e308),
		New(LogNormal, 0, 1e3), New(LogNormal, 700, 1), New(LogNormal, -1e6, 1), New(Weibull, 1e-300, 0.01),
		New(Weibull, 1e300, 0.01), New(Uniform, -8e307, 8e307), New(Uniform, 1, math.Nextafter(1, 2)), New(Normal, 1e308, 1e-300),
		New(Categorical, 0, 0, 1e-308), New(Categorical, 1e307, 1e307),
		New(TruncatedNormal, 0, 1, 1e99, math.Inf(1)), New(TruncatedNormal, 0, 1e-300, 0, 1e300), New(TruncatedNormal, 0, 1, 5, math.Nextafter(5, 6)),
		New(TruncatedNormal, 1e8, 1, -1, 1), New(HalfNormal, 1e308), New(HalfNormal, 1e-308), New(StudentT, 1e-3, 0, 1), New(StudentT, 1e300, 0, 1), New(Cauchy, 0, 1e308), New(Laplace, 0, 1e307),
		New(Logistic, 1e300, 1e-300), New(Pareto, 1e-300, 1e-3), New(Pareto, 1e300, 1e3), New(InverseGamma, 1e-3, 1), New(InverseGamma, 1e300, 1e300), New(VonMises, 1e300, 1), New(VonMises, 0, 1e300),
		New(VonMises, 0, 1e-300), New(LogUniform, 1e-307, 1e307), New(LogUniform, 1, math.Nextafter(1, 2)), New(NegativeBinomial2, 0, 1), New(NegativeBinomial2, 1e300, 1e-3), New(NegativeBinomial2, 1e-300, 1e300),
		New(Geometric, 1), New(Geometric, 1e-299), New(DiscreteUniform, -(1 << 52), 1<<52-1), New(DiscreteUniform, 4, 4), New(ZeroInflatedPoisson, 1, 3), New(ZeroInflatedPoisson, 0, 0),
		New(ZeroInflatedNegativeBinomial2, 1e-300, 1e200, 1e-2), New(BetaBinomial, 1e-5, 1e-5, 100), New(BetaBinomial, 1e300, 1e300, 1<<53), New(BetaBinomial, 1, 1, 0),
	} {
		if err := d.Check(); err != nil {
			t.Error(err)
			continue
		}
		for i := range 200 {
			s := NewStream(9, 0, 0, uint64(i), 0)
			var x [1]float64
			if err := d.Sample(&s, x[:]); err != nil {
				t.Fatal(err)
			}
			if lp, err := d.LogProb(Tensor{Data: x[:]}); err != nil || lp != lp || math.IsInf(lp, 1) || math.IsInf(x[0], 0) {
				t.Errorf("%v: sample %g has log density %g (%v)", d, x[0], lp, err)
				break
			}
		}
	}
}

func TestInvalidParametersNameTheParameter(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		d     Dist
		param string
	}{
		{New(Normal, 0, -1), "stddev"}, {New(Normal, nan, 1), "mean"}, {New(Normal, 0, 0), "stddev"}, {New(Normal, inf, 1), "mean"},
		{New(Uniform, 1, 1), "high"}, {New(Uniform, 2, 1), "high"}, {New(Uniform, nan, 1), "low"}, {New(Uniform, -1e308, 1e308), "high"},
		{New(Categorical, 0, 0), "probs"}, {New(Categorical, 0.5, -0.1), "probs"}, {New(Categorical, nan), "probs"},
		{New(Categorical, 1e308, 1e308), "probs"}, {New(Poisson, -1), "rate"}, {New(Poisson, inf), "rate"},
		{New(Bernoulli, 1.1), "probs"}, {New(Bernoulli, nan), "probs"}, {New(Beta, 0, 1), "concentration1"},
		{New(Beta, 1, -2), "concentration0"}, {New(Exponential, 0), "rate"}, {New(Gamma, 1, 0), "rate"},
		{New(Gamma, -1, 1), "concentration"}, {New(LogNormal, 0, -1), "scale"}, {New(Binomial, 2.5, 0.1), "total_count"},
		{New(Binomial, -1, 0.1), "total_count"}, {New(Binomial, 3, 1.5), "probs"}, {New(Weibull, 0, 1), "scale"},
		{New(Weibull, 1, nan), "concentration"},
		{New(TruncatedNormal, 0, 1, 2, 2), "high"}, {New(TruncatedNormal, 0, 1, 2, 1), "high"}, {New(TruncatedNormal, 0, 1, nan, 1), "low"}, {New(TruncatedNormal, 0, 1, inf, inf), "low"},
		{New(TruncatedNormal, 0, 1, 0, nan), "high"}, {New(TruncatedNormal, 0, 0, 0, 1), "scale"}, {New(TruncatedNormal, 0, 1e-200, 1, 2), "low"}, {New(TruncatedNormal, 0, 1e-200, -2, -1), "high"},
		{New(HalfNormal, 0), "scale"}, {New(StudentT, 0, 0, 1), "df"}, {New(StudentT, 1, nan, 1), "loc"}, {New(StudentT, 1, 0, -1), "scale"}, {New(Cauchy, 0, inf), "scale"}, {New(Laplace, inf, 1), "loc"},
		{New(Logistic, 0, 0), "scale"}, {New(Pareto, -1, 1), "scale"}, {New(Pareto, 1, 0), "alpha"}, {New(InverseGamma, 0, 1), "concentration"}, {New(VonMises, 0, 0), "concentration"},
		{New(LogUniform, 0, 1), "low"}, {New(LogUniform, 1, 1), "high"}, {New(NegativeBinomial2, -1, 1), "mean"}, {New(NegativeBinomial2, 1, 0), "concentration"}, {New(Geometric, 0), "probs"},
		{New(DiscreteUniform, 0.5, 2), "low"}, {New(DiscreteUniform, 3, 2), "high"}, {New(DiscreteUniform, -(1 << 53), 1<<53), "high"}, {New(ZeroInflatedPoisson, 1.5, 1), "gate"},
		{New(ZeroInflatedNegativeBinomial2, 0.5, 1, nan), "concentration"}, {New(BetaBinomial, 1, 1, 2.5), "total_count"}, {New(BetaBinomial, 0, 1, 2), "concentration1"},
	} {
		var pe *ParamError
		if err := c.d.Check(); !errors.As(err, &pe) || pe.Param != c.param {
			t.Errorf("%v: %v, want parameter %s", c.d, err, c.param)
		}
	}
	bad := Dist{Kind: Normal, Params: []Tensor{Vector(1, 2, 3), Vector(1, -1, 1)}}
	var pe *ParamError
	if err := bad.Check(); !errors.As(err, &pe) || pe.Index != 1 {
		t.Errorf("vector parameter: %v", err)
	}
}

func TestBroadcasting(t *testing.T) {
	row := Tensor{Data: []float64{1, 2, 3}, Shape: []int32{1, 3}}
	col := Tensor{Data: []float64{1, 10}, Shape: []int32{2, 1}}
	d := Dist{Kind: Normal, Params: []Tensor{row, col}}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	shape, err := d.Shape(nil)
	if err != nil || ShapeString(shape) != "[2,3]" {
		t.Fatalf("shape %v, %v", shape, err)
	}
	x := Tensor{Data: []float64{0, 1, 2, 3, 4, 5}, Shape: []int32{2, 3}}
	got, err := d.LogProb(x)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for i := range 6 {
		want += normalLogProb(x.Data[i], row.Data[i%3], col.Data[i/3])
	}
	if !near(got, want, 1e-14, 1) {
		t.Errorf("log density %g, want %g", got, want)
	}
	out := make([]float64, 6)
	s := NewStream(1, 0, 0, 0, 0)
	if err := d.Sample(&s, out); err != nil {
		t.Fatal(err)
	}
	// A scalar value against vector parameters is scored at every element.
	if got, _ := d.LogProb(Scalar(2)); !near(got, sumScalar(d, 2), 1e-14, 1) {
		t.Errorf("scalar value: %g", got)
	}
	bad := Dist{Kind: Normal, Params: []Tensor{Vector(1, 2), Vector(1, 2, 3)}}
	if err := bad.Check(); !errors.Is(err, ErrBroadcast) {
		t.Errorf("[2] against [3]: %v", err)
	}
	huge := Dist{Kind: Normal, Params: []Tensor{
		{Data: make([]float64, 1<<14), Shape: []int32{1 << 14, 1}}, {Data: make([]float64, 1<<14), Shape: []int32{1, 1 << 14}}}}
	if err := huge.Check(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("2^28 elements: %v", err)
	}
	cat := Dist{Kind: Categorical, Params: []Tensor{{Data: []float64{1, 0, 0, 0, 0, 2}, Shape: []int32{2, 3}}}}
	if n, err := cat.Len(); n != 2 || err != nil {
		t.Fatalf("categorical rows %d, %v", n, err)
	}
	if err := cat.Sample(&s, out[:2]); err != nil || out[0] != 0 || out[1] != 2 {
		t.Errorf("categorical rows drew %v, %v", out[:2], err)
	}
	if lp, err := cat.LogProb(Vector(0, 2)); lp != 0 || err != nil {
		t.Errorf("categorical rows: %g, %v", lp, err)
	}
}

func sumScalar(d Dist, v float64) float64 {
	sum := 0.0
	for i := range 6 {
		sum += normalLogProb(v, d.Params[0].Data[i%3], d.Params[1].Data[i/3])
	}
	return sum
}

func TestEmptyTensors(t *testing.T) {
	empty := Tensor{Data: []float64{}, Shape: []int32{0}}
	for k := Normal; k < NumKinds; k++ {
		if k.Own() { // no engine draws
			continue
		}
		d := Dist{Kind: k, Params: []Tensor{empty, empty, empty, empty}[:len(k.Params())]}
		for i, p := range kinds[k].params {
			d.Params[i].Shape = []int32{0, 3, 3}[:1+p.event]
		}
		x := empty
		if k == Histogram {
			d.Params[0].Shape = []int32{0, 4}
		}
		if k.Vector() {
			x.Shape = []int32{0, 3}
		}
		if err := d.Check(); err != nil {
			t.Errorf("%s: %v", k, err)
			continue
		}
		n, err := d.Len()
		s := NewStream(1, 0, 0, 0, 0)
		lp, err2 := d.LogProb(x)
		if n != 0 || lp != 0 || errors.Join(err, err2, d.Sample(&s, nil)) != nil {
			t.Errorf("%s: %d elements, log density %g, %v %v", k, n, lp, err, err2)
		}
	}
}

func TestNaNValueHasNaNDensity(t *testing.T) {
	for _, d := range testDists {
		if lp, err := d.LogProb(Scalar(math.NaN())); err != nil || lp == lp {
			t.Errorf("%s: %g, %v", d.Kind, lp, err)
		}
	}
}

func TestTensorElements(t *testing.T) {
	for _, c := range []struct {
		shape []int32
		n     int
		err   error
	}{
		{nil, 1, nil}, {[]int32{2, 3}, 6, nil}, {[]int32{0, 1 << 30, 1 << 30}, 0, nil}, {[]int32{-1}, 0, ErrShape},
		{[]int32{1 << 14, 1 << 13}, 0, ErrTooLarge}, {[]int32{1 << 30, 1 << 30, 1 << 30}, 0, ErrTooLarge},
		{make([]int32, MaxRank+1), 0, ErrShape},
	} {
		if n, err := Elements(c.shape); n != c.n || !errors.Is(err, c.err) {
			t.Errorf("%v: %d, %v", c.shape, n, err)
		}
	}
	if _, err := NewTensor(make([]float64, 5), []int32{2, 3}); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
}

func BenchmarkSampleLogProb(b *testing.B) {
	for _, d := range []Dist{New(Normal, 1, 2), New(Categorical, 1, 2, 3), New(Poisson, 4), New(Gamma, 2.5, 3)} {
		b.Run(d.Kind.String(), func(b *testing.B) {
			var x [1]float64
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s := NewStream(1, 0, 0, uint64(i), 0)
				if d.Sample(&s, x[:]) != nil {
					b.Fatal()
				}
				if _, err := d.LogProb(Tensor{Data: x[:]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Whatever parameters are valid, a draw ends, and is a number of the support; at random from all that doubles are.
func TestDrawsEndWhateverIsValid(t *testing.T) {
	r := NewStream(11, 0, 0, 0, 0)
	number := func() float64 {
		sign := 1.0
		if r.Float64() < 0.3 {
			sign = -1
		}
		switch u := r.Float64(); {
		case u < 0.3:
			return sign * math.Floor(math.Exp(r.Float64()*36))
		case u < 0.6:
			return sign * math.Exp((r.Float64()-0.5)*20)
		case u < 0.65:
			return []float64{0, 1, math.Inf(1), math.Inf(-1), math.MaxFloat64, 5e-324, 1 - 0x1p-53}[int(r.Float64()*7)]
		default:
			return sign * math.Exp((r.Float64()-0.5)*1400)
		}
	}
	for k := Normal; k < NumKinds; k++ {
		if k == Categorical || k.Own() {
			continue
		}
		size := 1
		if k.Vector() {
			size = 3
		}
		valid := 0
		for try := 0; try < 40_000 && valid < 1000; try++ {
			var p []float64
			for range k.Params() {
				p = append(p, number())
			}
			d := New(k, p...)
			if kinds[k].rows != nil {
				d = randomRows(k, number)
			}
			if d.Check() != nil {
				continue
			}
			valid++
			taken := 0
			s := Asking(func() float64 {
				if taken++; taken > 1_000_000 {
					t.Fatalf("%v: a draw takes more than a million uniform numbers", d)
				}
				return r.Float64()
			})
			x := make([]float64, size)
			for range 3 {
				taken = 0
				if err := d.Sample(&s, x); err != nil {
					t.Fatal(err)
				}
				lo, hi := make([]float64, size), make([]float64, size)
				err := d.Support(lo, hi)
				for i := range x {
					if err != nil || !(x[i] >= lo[i] && x[i] <= hi[i]) || math.IsInf(x[i], 0) {
						t.Fatalf("%v: drew %v, the support is %v to %v (%v)", d, x, lo, hi, err)
					}
				}
			}
		}
		if valid < 100 {
			t.Errorf("%s: %d valid parameters", k, valid)
		}
	}
}

// randomRows is a distribution of which parameters are rows, of three numbers as a rule.
func randomRows(k Kind, number func() float64) Dist {
	row := func(n int) (out []float64) {
		for range n {
			out = append(out, number())
		}
		return out
	}
	weights := func(n int) []float64 {
		w := row(n)
		for i := range w {
			w[i] = math.Abs(w[i])
		}
		return w
	}
	ascending := func(n int) []float64 {
		x := row(n)
		slices.Sort(x)
		return x
	}
	tril := func() Tensor {
		l := row(9)
		l[1], l[2], l[5] = 0, 0, 0
		l[0], l[4], l[8] = math.Abs(l[0]), math.Abs(l[4]), math.Abs(l[8])
		return Tensor{Data: l, Shape: []int32{3, 3}}
	}
	d := Dist{Kind: k}
	switch k {
	case Dirichlet:
		d.Params = []Tensor{Vector(weights(3)...)}
	case MultivariateNormal:
		d.Params = []Tensor{Vector(row(3)...), tril()}
	case MultivariateStudentT:
		d.Params = []Tensor{Scalar(number()), Vector(row(3)...), tril()}
	case Multinomial:
		d.Params = []Tensor{Scalar(number()), Vector(weights(3)...)}
	case Empirical:
		d.Params = []Tensor{Vector(ascending(3)...), Vector(weights(3)...)}
	case Histogram:
		d.Params = []Tensor{Vector(ascending(4)...), Vector(weights(3)...)}
	default:
		of := []Kind{Normal, Gamma, Cauchy, TruncatedNormal}
		if k == DiscreteMixture {
			of = []Kind{Poisson, Geometric, Binomial, NegativeBinomial2}
		}
		var families, parameters []float64
		for range 2 {
			c := of[int(math.Abs(number()))&3]
			families, parameters = append(families, float64(c)), append(parameters, row(len(c.Params()))...)
		}
		d.Params = []Tensor{Vector(families...), Vector(weights(2)...), Vector(parameters...)}
	}
	return d
}
