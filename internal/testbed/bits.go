package testbed

import (
	"fmt"
	"math"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
)

// Fingerprint writes down everything of a trace that must not depend on how it was made, numbers to the bit (tensors'
// String, which people read, shows six digits of eight elements): all but seconds, and the numbers of addresses and
// names, which depend on what the table met before.
func Fingerprint(t *tracing.Trace) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d %v %q w=%s+%s l=%s+%s", t.Chain, t.Draw, t.Status, t.Error, Bits(t.LogWeight), Bits(t.LogWeightRest),
		Bits(t.LogLikelihood), Bits(t.LogLikelihoodRest))
	tensor(&b, "result", t.Result)
	for i := range t.Sites {
		e := &t.Sites[i]
		d := t.Dist(i)
		fmt.Fprintf(&b, "\n  %s %q %v %v %v %t p=%s q=%s", t.Table.Label(e.Key), t.Table.Name(e.Name), e.Op, e.Kind, e.Origin, e.Control,
			Bits(e.LogP), Bits(e.LogQ))
		tensor(&b, "value", t.Value(i))
		for k, p := range d.Params {
			tensor(&b, fmt.Sprint("param", k), p)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// Bits is a number that can be told from every other one; all NaNs are the same.
func Bits(x float64) string {
	if x != x {
		return "NaN"
	}
	return fmt.Sprintf("%x", math.Float64bits(x))
}

func tensor(b *strings.Builder, what string, t ppx.Tensor) {
	if t.Data == nil {
		return
	}
	fmt.Fprintf(b, " %s%v", what, t.Shape)
	for _, x := range t.Data {
		b.WriteByte(' ')
		b.WriteString(Bits(x))
	}
}
