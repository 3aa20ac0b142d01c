package jobs

import (
	"context"
	"path/filepath"

	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Merge joins run directories, shards of one job, into the one at out that the whole job would have left. each hears of every trace. Errors:
// those of rundir.Merge.
func Merge(ctx context.Context, paths []string, out string, each func(*tracing.Trace) error) error {
	for _, p := range paths {
		if rel, err := filepath.Rel(p, out); err == nil && filepath.IsLocal(rel) && rel != "." {
			return misuse("%s is inside of %s: give another -o", out, p)
		}
	}
	settle := func(m *rundir.Manifest) error {
		if len(m.Job) == 0 {
			return nil
		}
		s, err := decode(m.Job, out, anything)
		if err != nil {
			return misuse("%s: job: %w", paths[0], err)
		}
		s.First, s.N = m.First, m.N
		m.Job, err = s.record()
		return err
	}
	_, err := rundir.Merge(ctx, paths, out, settle, each)
	return err
}
