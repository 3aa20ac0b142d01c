package dist_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// No two kinds of streams share a number, whatever their indices, and docs/random.md lists them all.
func TestStreamsAreApart(t *testing.T) {
	seen := map[uint64]bool{}
	for k := range dist.NumStreamKinds {
		for _, index := range []uint32{0, 1, 2, 1 << 31, 1<<32 - 1} {
			n := k.Stream(index)
			if seen[n] || n>>32 != uint64(k) || uint32(n) != index {
				t.Errorf("kind %d, index %d is stream %#x", k, index, n)
			}
			seen[n] = true
		}
	}
	text, err := os.ReadFile("../../docs/random.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^  \| (\d+) \| `).FindAllSubmatch(text, -1)
	if len(rows) != int(dist.NumStreamKinds) {
		t.Fatalf("docs/random.md lists %d kinds of streams, there are %d", len(rows), dist.NumStreamKinds)
	}
	for i, row := range rows {
		if n, _ := strconv.Atoi(string(row[1])); n != i {
			t.Errorf("docs/random.md lists kind %d in place %d", n, i)
		}
	}
	for k, n := range map[dist.StreamKind]int{dist.StreamInference: 0, dist.StreamTraining: 1, dist.StreamPrior: 2, dist.StreamTruths: 3,
		dist.StreamCalibration: 4, dist.StreamParticles: 5, dist.StreamPrediction: 6, dist.StreamRounds: 7} {
		if int(k) != n {
			t.Errorf("a kind of stream is %d, runs were recorded with %d", k, n)
		}
	}
	// The same draw of another kind begins with another number.
	first := func(k dist.StreamKind) uint64 {
		s := dist.NewStream(1, k.Stream(0), 0, 7, dist.PurposeValue)
		return s.Uint64()
	}
	if first(dist.StreamPrior) == first(dist.StreamInference) {
		t.Error("simulated data and inference draw the same numbers")
	}
}
