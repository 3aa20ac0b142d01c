package posterior

import (
	"fmt"
	"math"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Resample draws n indices with the given log weights, by systematic resampling: one uniform number, n
// equally spaced points on the cumulative weights (J. Carpenter, P. Clifford and P. Fearnhead, 1999). Index
// i appears ⌊n·w̄ᵢ⌋ or ⌈n·w̄ᵢ⌉ times; n·w̄ᵢ times on average. NaN and +Inf count as weight zero.
// The indices are ascending.
func Resample(logWeights []float64, n int, s *dist.Stream) ([]int, error) {
	top := math.Inf(-1)
	ordinary := func(lw float64) bool { return !math.IsNaN(lw) && !math.IsInf(lw, 0) }
	for _, lw := range logWeights {
		if ordinary(lw) {
			top = math.Max(top, lw)
		}
	}
	if math.IsInf(top, -1) {
		return nil, fmt.Errorf("resampling: none of the %d weights is positive", len(logWeights))
	}
	sum, last := 0.0, 0
	for i, lw := range logWeights {
		if ordinary(lw) {
			if e := math.Exp(lw - top); e > 0 {
				sum += e
				last = i
			}
		}
	}
	out := make([]int, 0, n)
	u := s.Float64()
	cum := 0.0
	for i, lw := range logWeights {
		if !ordinary(lw) {
			continue
		}
		cum += math.Exp(lw - top)
		for len(out) < n && ((float64(len(out))+u)/float64(n)*sum < cum || i == last) {
			out = append(out, i)
		}
	}
	return out, nil
}
