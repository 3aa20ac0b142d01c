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

// SavePending stores traces that wait for earlier draws, in the place of those saved before.
func (w *Writer) SavePending(traces []*tracing.Trace) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
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
