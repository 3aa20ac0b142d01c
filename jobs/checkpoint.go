package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/mcmc"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/smc"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// checkpoint keeps particles between rungs: a run directory of their traces below that of the job, with a file that says where they stand. The newest whole one counts.
type checkpoint struct {
	dir     string
	every   time.Duration
	version string
	last    time.Time
}

const (
	checkpointPrefix = "particles-"
	stateFile        = "state.json"
)

// exact is a float64 that JSON keeps to the bit, infinite ones too.
type exact float64

// MarshalJSON implements json.Marshaler.
func (x exact) MarshalJSON() ([]byte, error) {
	return json.Marshal(strconv.FormatFloat(float64(x), 'g', -1, 64))
}

// UnmarshalJSON implements json.Unmarshaler.
func (x *exact) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(s, 64)
	*x = exact(v)
	return err
}

func exacts(list []float64) (out []exact) {
	for _, x := range list {
		out = append(out, exact(x))
	}
	return out
}

func floats(list []exact) (out []float64) {
	for _, x := range list {
		out = append(out, float64(x))
	}
	return out
}

// population is a smc.Population without its traces.
type population struct {
	LogZ      []exact       `json:"log_z"`
	LogZ0     []exact       `json:"log_z0"`
	Reference exact         `json:"reference,omitempty"`
	Ladder    []rundir.Rung `json:"ladder"`
	Next      int           `json:"next"`
	Step      uint64        `json:"step"`
	Beta      float64       `json:"beta"`
	Possible  bool          `json:"possible"`
	Splitting bool          `json:"splitting"`
	Reached   []bool        `json:"reached"`
	Done      bool          `json:"done"`
	Runs      uint64        `json:"runs"`
	Failed    uint64        `json:"failed"`
	Particles []particle    `json:"particles"`
}

type particle struct {
	Island    int   `json:"island"`
	LogWeight exact `json:"log_weight"`
	Ancestor  int   `json:"ancestor"`
	Score     exact `json:"score"`
}

// save keeps a population, if the last one is old enough.
func (c *checkpoint) save(ctx context.Context, p *smc.Population) error {
	if p.Done || time.Since(c.last) < c.every { // what follows the end takes no time
		return nil
	}
	path := filepath.Join(c.dir, fmt.Sprintf("%s%06d", checkpointPrefix, p.Next))
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	w, err := rundir.Create(path, &rundir.Manifest{PPXVersion: c.version, Method: "smc", Conditioned: true, N: uint64(len(p.Particles))}, nil)
	if err != nil {
		return err
	}
	x := &population{LogZ: exacts(p.LogZ), LogZ0: exacts(p.LogZ0), Reference: exact(p.Reference), Next: p.Next, Step: p.Step, Beta: p.Beta, Possible: p.Possible, Splitting: p.Splitting, Reached: p.Reached,
		Runs: p.Runs, Failed: p.Failed}
	var failed error
	for i := range p.Particles {
		q := &p.Particles[i]
		t := *q.Trace
		t.Row, t.From = int64(i), nil
		if failed = w.Write(ctx, &t); failed != nil {
			break
		}
		x.Ladder = recordLadder(t.Table, p.Ladder)
		x.Particles = append(x.Particles, particle{q.Island, exact(q.LogWeight), q.Ancestor, exact(q.Score)})
	}
	if err := errors.Join(failed, w.Close(StateAfter(failed), failed)); err != nil {
		return err
	}
	if err := disk.WriteJSON(filepath.Join(path, stateFile), x); err != nil {
		return err
	}
	c.last = time.Now()
	return c.removeBut(path)
}

// saved tells whether a run directory has particles to go on with.
func saved(dir string) bool {
	list, err := (&checkpoint{dir: dir}).all()
	return err != nil || len(list) > 0
}

// all are the checkpoints that there are, whole or not, the oldest first.
func (c *checkpoint) all() ([]string, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), checkpointPrefix) {
			out = append(out, filepath.Join(c.dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

func (c *checkpoint) removeBut(path string) error {
	list, err := c.all()
	for _, p := range list {
		if p != path {
			err = errors.Join(err, os.RemoveAll(p))
		}
	}
	return err
}

// remove forgets all checkpoints: the job is done.
func (c *checkpoint) remove() error { return c.removeBut("") }

// load is the newest population that was kept; nil: none was.
func (c *checkpoint) load(ctx context.Context, table *tracing.Table) (*smc.Population, error) {
	list, err := c.all()
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Backward(list) {
		b, err := disk.ReadFile(filepath.Join(path, stateFile), maxSpec)
		if errors.Is(err, os.ErrNotExist) { // the job ended while it was being written
			continue
		}
		if err != nil {
			return nil, err
		}
		x := new(population)
		if err := json.Unmarshal(b, x); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", rundir.ErrDamaged, filepath.Join(path, stateFile), err)
		}
		p := &smc.Population{LogZ: floats(x.LogZ), LogZ0: floats(x.LogZ0), Reference: float64(x.Reference), Next: x.Next, Step: x.Step, Beta: x.Beta, Possible: x.Possible, Splitting: x.Splitting, Reached: x.Reached,
			Runs: x.Runs, Failed: x.Failed}
		if p.Ladder, err = ladderOf(table, x.Ladder); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", rundir.ErrDamaged, path, err)
		}
		r, err := rundir.Open(path, table)
		if err != nil {
			return nil, err
		}
		k := mcmc.NewKernel(mcmc.Kernel{})
		for t, err := range r.All(ctx) {
			i := len(p.Particles)
			switch {
			case err != nil:
				return nil, err
			case i == len(x.Particles) || t.Status != tracing.OK || x.Particles[i].Island >= len(p.LogZ) || x.Particles[i].Island < 0:
				return nil, fmt.Errorf("%w: %s: its traces are not those of its state", rundir.ErrDamaged, ppx.Quote(path))
			}
			q := x.Particles[i]
			p.Particles = append(p.Particles, smc.Particle{State: k.Resume(t, nil), Island: q.Island, LogWeight: float64(q.LogWeight), Ancestor: q.Ancestor, Score: float64(q.Score)})
		}
		if len(p.Particles) != len(x.Particles) || len(p.Reached) != len(p.LogZ) {
			return nil, fmt.Errorf("%w: %s: its traces are not those of its state", rundir.ErrDamaged, ppx.Quote(path))
		}
		return p, nil
	}
	return nil, nil
}
