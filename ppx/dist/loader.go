package dist

import "math"

// Saddle-point evaluation of the Poisson and binomial probabilities after C. Loader, "Fast and accurate
// computation of binomial probabilities" (2000): the textbook sums of log-gammas cancel catastrophically
// for large parameters, these terms do not. Gamma and Beta densities reduce to them.

// stirlingErrors[n] is log(n!) − log(√(2πn)·(n/e)ⁿ).
var stirlingErrors = [16]float64{
	0, 0.08106146679532725822, 0.041340695955409294094, 0.027677925684998339149,
	0.020790672103765093112, 0.016644691189821192163, 0.013876128823070747999, 0.011896709945891770095,
	0.010411265261972096497, 0.0092554621827127329177, 0.0083305634333628712565, 0.007573675487951840795,
	0.0069428401072095298657, 0.0064089941880042070684, 0.0059513701127588477356, 0.005554733551962801371,
}

// stirlingError is log(Γ(n+1)) − [½·log(2πn) + n·log n − n].
func stirlingError(n float64) float64 {
	if n <= 15 {
		if n == math.Floor(n) {
			return stirlingErrors[int(n)]
		}
		lg, _ := math.Lgamma(n + 1)
		return lg - (n+0.5)*math.Log(n) + n - halfLog2Pi
	}
	nn := n * n
	switch {
	case n > 500:
		return (1.0/12 - 1.0/360/nn) / n
	case n > 80:
		return (1.0/12 - (1.0/360-1.0/1260/nn)/nn) / n
	case n > 35:
		return (1.0/12 - (1.0/360-(1.0/1260-1.0/1680/nn)/nn)/nn) / n
	}
	return (1.0/12 - (1.0/360-(1.0/1260-(1.0/1680-1.0/1188/nn)/nn)/nn)/nn) / n
}

// deviance is x·log(x/m) + m − x, accurate also for x near m.
func deviance(x, m float64) float64 {
	if math.Abs(x-m) < 0.1*(x+m) {
		v := (x - m) / (x + m)
		s := (x - m) * v
		ej := 2 * x * v
		v *= v
		for j := 1.0; j < 1000; j++ {
			ej *= v
			next := s + ej/(2*j+1)
			if next == s {
				break
			}
			s = next
		}
		return s
	}
	return x*math.Log(x/m) + m - x
}

// poissonRaw is log(e^{−m} m^x / Γ(x+1)) for real x ≥ 0.
func poissonRaw(x, m float64) float64 {
	switch {
	case m == 0:
		if x == 0 {
			return 0
		}
		return math.Inf(-1)
	case x == 0:
		return -m
	case x <= m*1e-300:
		return -m
	case m < x*1e-300:
		lg, _ := math.Lgamma(x + 1)
		return -m + x*math.Log(m) - lg
	}
	return -stirlingError(x) - deviance(x, m) - halfLog2Pi - 0.5*math.Log(x)
}

// binomialRaw is log(C(n,x) p^x q^{n−x}) for real 0 ≤ x ≤ n and q = 1 − p.
func binomialRaw(x, n, p, q float64) float64 {
	switch {
	case p == 0:
		if x == 0 {
			return 0
		}
		return math.Inf(-1)
	case q == 0:
		if x == n {
			return 0
		}
		return math.Inf(-1)
	case n == 0:
		return 0
	case x == 0:
		if p < 0.1 {
			return -deviance(n, n*q) - n*p
		}
		return n * math.Log(q)
	case x == n:
		if q < 0.1 {
			return -deviance(n, n*p) - n*q
		}
		return n * math.Log(p)
	}
	lc := stirlingError(n) - stirlingError(x) - stirlingError(n-x) - deviance(x, n*p) - deviance(n-x, n*q)
	return lc - halfLog2Pi - 0.5*(math.Log(x)+math.Log1p(-x/n))
}
