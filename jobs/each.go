package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// newShared is what the jobs of a Spec have together.
func newShared(pool *engine.Pool, s *Spec) *shared {
	read := sync.OnceValue(func() (x struct {
		n     *ic.Network[float32]
		extra *ic.Extra
		err   error
	}) {
		x.n, x.extra, x.err = ic.ReadFile(s.Network.File)
		return x
	})
	return &shared{pool: pool, network: func() (*ic.Network[float32], *ic.Extra, error) {
		x := read()
		return x.n, x.extra, x.err
	}}
}

// Each is what a job came to that was done for each of many data sets.
type Each struct {
	Sets, Done int     // data sets, and how many of them have been made
	Made       int     // of these in this session
	Seconds    float64 // of it
	PerSecond  float64 // traces
}

// EachSet is one of them: what Options.Set hears of.
type EachSet struct {
	Set     int
	Outcome *Outcome // nil: Error says why
	Error   string
}

const eachFile = "each.json"

// EachManifest is each.json.
type EachManifest struct {
	Schema     int             `json:"schema"`
	PPXVersion string          `json:"ppx_version"`
	Model      string          `json:"model"`
	Job        json.RawMessage `json:"job"`
	Sets       int             `json:"sets"`
}

// setDirectory is the run directory of a data set.
func setDirectory(out string, set int) string { return filepath.Join(out, fmt.Sprintf("%06d", set)) }

// ofSet is the job for one data set. Its seed is its own, so that errors of different sets have nothing to do with each other.
func (s *Spec) ofSet(set int, data map[string]Datum) *Spec {
	out := s.clone()
	out.Each = nil
	out.Out = setDirectory(s.Out, set)
	out.Seed = s.Seed + uint64(set)
	maps.Copy(out.Data, data)
	return out
}

// each does a job for each data set of a file, several at a time, with the same simulators and network.
func each(ctx context.Context, m *Method, spec *Spec, o Options) (_ *Outcome, err error) {
	sets, err := spec.Each.sets(spec.Missing == OK)
	if err != nil {
		return nil, misuse("--each %s: %w", spec.Each.File, err)
	}
	for i, data := range sets {
		for name, d := range data {
			if _, twice := spec.Data[name]; twice {
				return nil, misuse("--each %s: %s is also given by --observe", spec.Each.File, ppx.Quote(name))
			}
			if err := spec.checkDatum(name, d.Value); err != nil {
				return nil, misuse("--each %s: data set %d: %w", spec.Each.File, i, err)
			}
		}
	}
	if err := spec.hash(); err != nil {
		return nil, err
	}
	if spec.Out == "" {
		spec.Out = FreshDirectory("each")
	}
	if !o.Resume {
		if err := unused(spec.Out); err != nil {
			return nil, err
		}
	}
	out := &Outcome{Dir: spec.Out, Spec: spec, State: rundir.Complete, Each: &Each{Sets: len(sets)}}
	todo, err := out.Each.recorded(ctx, spec, o)
	if err != nil {
		return nil, err
	}
	if len(todo) > 0 {
		err = eachOf(ctx, m, spec, o, sets, todo, out.Each)
	}
	out.Done = uint64(out.Each.Done)
	switch {
	case errors.Is(err, ErrInterrupted):
		out.State = rundir.Interrupted
		return out, fmt.Errorf("%w: %s of %s data sets are in %s; --resume --out %s continues", ErrInterrupted, text.Thousands(out.Done), text.Thousands(uint64(len(sets))), spec.Out, spec.Out)
	case err != nil:
		return nil, err
	}
	return out, nil
}

// recorded takes what is there of a job that goes on, and tells which data sets have yet to be made.
func (e *Each) recorded(ctx context.Context, spec *Spec, o Options) (todo []int, err error) {
	for i := range e.Sets {
		dir := setDirectory(spec.Out, i)
		m, err := rundir.ReadManifest(dir)
		if o.Resume && err != nil && !errors.Is(err, rundir.ErrNotARun) {
			return nil, err
		}
		if !o.Resume || err != nil || m.State != rundir.Complete || m.N < spec.N && spec.MaxTime == 0 && spec.TargetESS == 0 {
			todo = append(todo, i)
			continue
		}
		s := &EachSet{Set: i}
		if s.Outcome, err = Summarise(ctx, dir, false); err != nil {
			return nil, err
		}
		e.Done++
		if o.Set != nil {
			o.Set(s)
		}
	}
	return todo, nil
}

// eachOf makes the data sets of todo.
func eachOf(ctx context.Context, m *Method, spec *Spec, o Options, sets []map[string]Datum, todo []int, out *Each) (err error) {
	pool, err := spec.open(ctx, o)
	if err != nil {
		return err
	}
	defer pool.Close()
	release, err := holdFolder(spec.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	manifest := &EachManifest{Schema: Schema, PPXVersion: o.Version, Model: pool.Model(), Sets: len(sets)}
	if manifest.Job, err = spec.record(); err != nil {
		return err
	}
	if err := disk.WriteJSON(filepath.Join(spec.Out, eachFile), manifest); err != nil {
		return err
	}
	if o.Begun != nil {
		o.Begun(pool.Model(), spec)
	}
	begin := time.Now()
	traces := uint64(0)
	own := Options{Version: o.Version, System: o.System, Force: o.Force, RetryFailed: o.RetryFailed, Every: time.Hour, shared: newShared(pool, spec)}
	return together(ctx, len(todo), max(inFlight, pool.Stats().Workers), func(ctx context.Context, i int) (*EachSet, error) {
		set := todo[i]
		s, x := spec.ofSet(set, sets[set]), own
		if _, err := rundir.ReadManifest(s.Out); err == nil {
			x.Resume = true
		}
		r := &EachSet{Set: set}
		var err error
		switch r.Outcome, err = m.run(ctx, m, s, x); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, engine.ErrStart), errors.As(err, new(*os.PathError)):
			return nil, err // it would be the same for all
		case err != nil:
			r.Outcome, r.Error = nil, FirstLine(err).Error()
		}
		return r, nil
	}, func(r *EachSet) error {
		out.Made++
		out.Done++
		if r.Outcome != nil {
			traces += r.Outcome.Done
		}
		if o.Set != nil {
			o.Set(r)
		}
		out.Seconds = time.Since(begin).Seconds()
		out.PerSecond = float64(traces) / out.Seconds
		if o.Sets != nil {
			o.Sets(out.Done, out.Sets, out.PerSecond, pool.Stats())
		}
		return nil
	})
}

// holdFolder makes a folder and keeps other processes from writing there until release is called.
func holdFolder(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	f, err := disk.Lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return nil, err
	}
	return func() error { return disk.Unlock(f) }, nil
}

// sets reads a file of data sets: an .npz archive of arrays, by name, whose first axis is the data set; or JSON lines, an object of values
// by name each.
func (r *Ref) sets(missing bool) (out []map[string]Datum, err error) {
	b, err := r.read()
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(filepath.Ext(r.File), ".npz") {
		out, err = setsOfNPZ(b)
	} else {
		out, err = setsOfLines(b)
	}
	switch {
	case err != nil:
		return nil, err
	case len(out) == 0:
		return nil, errors.New("it has no data set")
	}
	return out, nil
}

func setsOfLines(b []byte) (out []map[string]Datum, err error) {
	for i, line := range bytes.Split(b, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		set := map[string]Datum{}
		if err := strict(line, &set); err != nil {
			return nil, fmt.Errorf("line %d: want a JSON object of numbers and lists of numbers, by name (%w)", i+1, err)
		}
		for name, d := range set {
			if d.File != nil {
				return nil, fmt.Errorf("line %d: %s is no number", i+1, ppx.Quote(name))
			}
		}
		if len(set) == 0 {
			return nil, fmt.Errorf("line %d has no data", i+1)
		}
		out = append(out, set)
	}
	return out, nil
}

func setsOfNPZ(b []byte) (out []map[string]Datum, err error) {
	arrays, err := rundir.ReadNPZ(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("it is no .npz archive: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		v := arrays[name]
		switch {
		case len(v.Shape) == 0:
			return nil, fmt.Errorf("%s is one number: its first axis has to be the data set", ppx.Quote(name))
		case out == nil:
			out = make([]map[string]Datum, v.Shape[0])
			for i := range out {
				out[i] = map[string]Datum{}
			}
		case len(out) != int(v.Shape[0]):
			return nil, fmt.Errorf("%s has %d data sets, others have %d", ppx.Quote(name), v.Shape[0], len(out))
		}
		for i := range out {
			n := len(v.Data) / len(out)
			out[i][name] = Datum{Value: ppx.Tensor{Data: v.Data[i*n : (i+1)*n], Shape: slices.Clone(v.Shape[1:])}}
		}
	}
	return out, nil
}
