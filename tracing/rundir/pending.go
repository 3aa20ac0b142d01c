package rundir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/tracing"
)

// Traces are stored in the order of draws. Those that are finished while an earlier draw still runs (a slow
// one may run for hours) wait in a folder pending-N of the same files, each N whole and by itself: it is
// written beside the one before, which is then removed.

func pendingDirs(path string) []string {
	entries, _ := os.ReadDir(path) // a folder's name may look like a pattern
	var dirs []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "pending-") {
			dirs = append(dirs, filepath.Join(path, e.Name()))
		}
	}
	// Longer numbers are larger ones.
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return dirs
}

// Early takes a trace that is finished and waits for an earlier row: it is stored beside the others when that takes long, or when the run
// ends before. From any goroutine.
func (w *Writer) Early(t *tracing.Trace) {
	w.earlyMu.Lock()
	if len(w.early) == cap(w.early) { // most of them have come in their turn meanwhile
		w.dropEarly()
	}
	w.early = append(w.early, t)
	w.earlier = true
	w.earlyMu.Unlock()
}

// dropEarly forgets those that have come in their turn.
func (w *Writer) dropEarly() {
	next := w.next.Load()
	w.early = slices.DeleteFunc(w.early, func(t *tracing.Trace) bool { return t.Row < next })
}

// waiting is the traces that have not come in their turn, in the order of rows, if they are others than were stored last and, unless at
// once, no row has come for a while.
func (w *Writer) waiting(atOnce bool) (out []*tracing.Trace, changed bool) {
	w.earlyMu.Lock()
	defer w.earlyMu.Unlock()
	had := len(w.early)
	w.dropEarly()
	w.earlier = w.earlier || len(w.early) < had
	if next := w.next.Load(); next != w.seen {
		w.seen, w.since = next, time.Now()
	}
	if !w.earlier || !atOnce && time.Since(w.since) < w.every {
		return nil, false
	}
	w.earlier = false
	out = slices.Clone(w.early)
	slices.SortFunc(out, func(a, b *tracing.Trace) int { return cmp.Compare(a.Row, b.Row) })
	return out, true
}

// savePending stores traces that wait for earlier rows, in the place of those stored before.
func (w *Writer) savePending(traces []*tracing.Trace) error {
	old := pendingDirs(w.Path)
	if len(traces) > 0 {
		w.pending++
		dir := filepath.Join(w.Path, fmt.Sprintf("pending-%06d", w.pending))
		// With all its addresses: it is read by itself.
		p := newWriter(dir, &Manifest{NoParameters: w.m.NoParameters})
		for _, kind := range kinds {
			if err := os.MkdirAll(filepath.Join(dir, kind), 0o755); err != nil {
				return err
			}
		}
		if err := p.write(&part{traces: traces}); err != nil {
			return err
		}
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// readPending reads the last folder that is whole.
func readPending(path string, table *tracing.Table) (traces []*tracing.Trace, number int, err error) {
	dirs := pendingDirs(path)
	for i := len(dirs) - 1; i >= 0; i-- {
		if _, err := fmt.Sscanf(filepath.Base(dirs[i]), "pending-%d", &number); err != nil {
			continue
		}
		r := &Reader{Path: dirs[i], Manifest: &Manifest{}, Table: table}
		if err = r.readAddresses(); err == nil {
			traces, err = r.Part(0)
		}
		if errors.Is(err, fs.ErrNotExist) { // the draws come last: this one was not finished
			continue
		}
		return traces, number, err
	}
	return nil, number, nil
}
