package tracing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ppx-engine/ppx-engine/ppx"
)

// Loop is a rejection loop of a trace.
type Loop struct {
	Address uint32 // of its passes' marks
	Passes  []int  // entries of these marks; the last pass is the accepted one
	End     int    // entry of the mark at the end; −1: it was left with a rejected pass of the loop around it
	Parent  int    // the loop in one of whose passes it stands; −1: none
}

// Mark tells whether an address base is that of a loop's mark.
func Mark(op ppx.Type, base string) (start, end bool) {
	return op == ppx.Tag && strings.HasSuffix(base, ppx.LoopStart), op == ppx.Tag && strings.HasSuffix(base, ppx.LoopEnd)
}

// MarksLoops tells whether the simulator has marked a rejection loop in a trace.
func (t *Trace) MarksLoops() bool {
	return slices.ContainsFunc(t.Sites, func(e Site) bool {
		start, _ := Mark(e.Op, t.Table.Address(e.Address).Base)
		return start
	})
}

// LoopWalk finds the loops of a trace entry by entry. The zero value is ready.
type LoopWalk struct {
	Loops []Loop // in the order of their beginnings
	open  []int
	next  int
}

// To looks at the entries before number n that it has not seen yet. An error: an end without a beginning.
func (w *LoopWalk) To(t *Trace, n int) error {
	for ; w.next < n; w.next++ {
		if t.Sites[w.next].Op == ppx.Tag {
			if err := w.mark(t, w.next); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *LoopWalk) mark(t *Trace, i int) error {
	address := t.Sites[i].Address
	base := t.Table.Address(address).Base
	switch start, end := Mark(ppx.Tag, base); {
	case start:
		parent := -1
		for k, l := range w.open {
			if w.Loops[l].Address == address { // those inside it were left with the pass
				w.open = w.open[:k+1]
				w.Loops[l].Passes = append(w.Loops[l].Passes, i)
				return nil
			}
			parent = l
		}
		w.open = append(w.open, len(w.Loops))
		w.Loops = append(w.Loops, Loop{Address: address, Passes: []int{i}, End: -1, Parent: parent})
	case end:
		k := len(w.open) - 1
		if k < 0 {
			return fmt.Errorf("a rejection loop ends at %s that has not begun", ppx.Quote(base))
		}
		w.Loops[w.open[k]].End = i
		w.open = w.open[:k]
	}
	return nil
}

// LoopsOf are the loops of a trace. An error: marks that are no loops', or a whole trace with a loop that has no end.
func LoopsOf(t *Trace) ([]Loop, error) {
	var w LoopWalk
	if err := w.To(t, len(t.Sites)); err != nil {
		return nil, err
	}
	if len(w.open) > 0 && t.Status == OK {
		return nil, fmt.Errorf("the rejection loop at %s has no end: mark it after the pass that is accepted", ppx.Quote(t.Table.Address(w.Loops[w.open[0]].Address).Base))
	}
	return w.Loops, nil
}

// Rejected tells of each entry whether it stands in a pass that was rejected.
func Rejected(t *Trace, loops []Loop) []bool {
	out := make([]bool, len(t.Sites))
	for _, l := range loops {
		last := l.Passes[len(l.Passes)-1]
		for i := l.Passes[0]; i < last; i++ {
			out[i] = true
		}
		if l.End < 0 { // it was left with a pass of another
			for i := last; i < len(out) && (l.Parent < 0 || !beyond(loops[l.Parent], i)); i++ {
				out[i] = true
			}
		}
	}
	return out
}

// beyond tells whether an entry after the loop's first pass begins its next pass or stands behind it.
func beyond(l Loop, i int) bool {
	return i == l.End || slices.Contains(l.Passes, i)
}
