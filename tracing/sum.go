package tracing

import "math"

// Sum adds numbers of very different sizes without losing the small ones: it carries twice the digits of a double (T. J. Dekker, "A
// floating-point technique for extending the available precision", 1971). Its zero value is zero.
type Sum struct {
	High, Rest float64 // the sum is both together; High alone is the nearest double
}

// restMatters is the size from which on the rest of a sum of log densities is worth keeping: below, doubles are less than 2.4e-10 apart.
const restMatters = 1 << 20

// Kept is the sum without a rest that matters to nobody: of log densities of ordinary size.
func (s Sum) Kept() Sum {
	if math.Abs(s.High) < restMatters {
		s.Rest = 0
	}
	return s
}

// Add adds a number. An infinite or undefined sum has no rest.
func (s *Sum) Add(x float64) {
	sum := s.High + x
	if math.IsInf(sum, 0) || sum != sum {
		s.High, s.Rest = sum, 0
		return
	}
	b := sum - s.High
	s.Rest += (s.High - (sum - b)) + (x - b)
	s.High = sum + s.Rest
	s.Rest -= s.High - sum
}

// AddProduct adds x·y, exactly.
func (s *Sum) AddProduct(x, y float64) {
	p := x * y
	s.Add(p)
	if e := math.FMA(x, y, -p); e == e && !math.IsInf(e, 0) {
		s.Add(e)
	}
}
