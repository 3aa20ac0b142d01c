package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/training"
)

// record is a Spec as run.json and train.json keep it: with absolute paths, without what stands elsewhere in the folder.
func (s *Spec) record() (json.RawMessage, error) {
	out := s.clone()
	out.Out = ""
	if out.Sampling != nil {
		out.Data = map[string]Datum{}
	}
	for _, p := range out.paths() {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, err
		}
		*p = abs
	}
	return json.Marshal(out)
}

// Recorded is the job that a run directory was made by, or the folder of a training, with its data.
func Recorded(dir string) (*Spec, error) {
	s, _, err := recorded(dir)
	return s, err
}

// SimulatorOf is the simulator of a recorded run; of a derived one, that of the run that it was made from.
func SimulatorOf(dir string) (*Simulator, error) {
	s, err := Recorded(dir)
	if err == nil {
		return &s.Simulator, nil
	}
	m, e := rundir.ReadManifest(dir)
	switch {
	case e != nil || len(m.Command) == 0:
		return nil, err
	case ppx.CheckEndpoint(m.Command[0]) == nil: // it was running
		return &Simulator{Connect: m.Command}, nil
	}
	return &Simulator{Command: m.Command}, nil
}

// recorded also tells whether the job has come to its end.
func recorded(dir string) (s *Spec, m *rundir.Manifest, err error) {
	m, err = rundir.ReadManifest(dir)
	if errors.Is(err, rundir.ErrNotARun) {
		for _, name := range []string{filepath.Join(dir, calibrationFile), filepath.Join(dir, eachFile), filepath.Join(dir+autoFolder, autoFile)} {
			if b, e := disk.ReadFile(name, maxSpec); e == nil {
				var x struct {
					Job json.RawMessage `json:"job"`
				}
				if e = json.Unmarshal(b, &x); e != nil {
					e = fmt.Errorf("%w: %s: %w", rundir.ErrDamaged, name, e)
				}
				if s, err = parse(dir, x.Job, e); err != nil || filepath.Base(name) != autoFile {
					return s, nil, err
				}
				pilot := filepath.Join(filepath.Dir(name), "pilot") // its data are those of the job
				if m, err = rundir.ReadManifest(pilot); err != nil {
					return nil, nil, misuse("%s: nothing was drawn before the job ended; begin another", dir)
				}
				return s, nil, s.takeData(pilot, m)
			}
		}
		if j, e := training.ReadManifest(dir); !errors.Is(e, os.ErrNotExist) {
			s, err = parse(dir, j.Job, e)
			return s, nil, err
		}
	}
	var job json.RawMessage
	if err == nil {
		job = m.Job
	}
	if s, err = parse(dir, job, err); err != nil {
		return nil, nil, err
	}
	if err := s.takeData(dir, m); err != nil {
		return nil, nil, err
	}
	return s, m, nil
}

// takeData takes the data of a run.
func (s *Spec) takeData(dir string, m *rundir.Manifest) error {
	data, err := m.Tensors(dir)
	for name, v := range data {
		s.Data[name] = Datum{Value: v}
	}
	return err
}

// parse reads a recorded job.
func parse(dir string, job json.RawMessage, err error) (*Spec, error) {
	if err != nil {
		return nil, err
	}
	if len(job) == 0 {
		return nil, misuse("%s: the job is not recorded there: what is in it can be read, but not gone on with", dir)
	}
	s, err := decode(job, dir, anything)
	if err != nil {
		return nil, misuse("%s: job: %w", dir, err)
	}
	s.Out = dir
	return s, nil
}

// free are the settings, by their names in JSON, that a job may go on with others of.
var free = []string{"n", "max_time", "target_ess", "save_every", "command", "connect", "workers", "start_timeout", "timeout", "run_timeout", "restart_every",
	"max_failed", "cwd_per_worker", "plain", "output", "max_draws"}

// Free tells whether a job may go on with another value of a setting, by its name in JSON.
func Free(name string) bool { return slices.Contains(free, name) }

// Continue is the job that goes on in a folder: the recorded one, but for settings that are changed, by their names in JSON. A new budget takes
// the place of all of the old one; without, a job that has come to its end has nothing to do.
func Continue(dir string, changes *Spec, changed func(name string) bool) (*Spec, error) {
	s, m, err := recorded(dir)
	if changes.Verb == Train && (errors.Is(err, os.ErrNotExist) || errors.Is(err, rundir.ErrNotARun)) {
		return nil, misuse("there is no training in %s to go on with", dir)
	}
	if err != nil {
		return nil, err
	}
	if s.Verb != changes.Verb {
		return nil, misuse("%s was made by ppx %s", dir, s.Verb)
	}
	if s.Verb == Predict && changed("n") && changes.N != s.N {
		return nil, misuse("-n %d: which latents %d replicates are made from was settled when they were begun; begin another", changes.N, s.N)
	}
	if s.Sampling != nil && s.SMC != nil && changed("n") && changes.N != s.N {
		return nil, misuse("-n %d: how many particles there are was settled when they were begun; begin another run (--ladder %s saves what it has learned)", changes.N, dir)
	}
	switch {
	case m == nil && s.Sampling == nil:
	case changed("n") || changed("max_time") || changed("target_ess"):
		s.MaxTime, s.TargetESS = 0, 0
	case m != nil && m.State == rundir.Complete && s.Method != "auto":
		if s.SMC == nil {
			s.N = m.N
		}
	}
	if changed("command") || changed("connect") {
		s.Simulator.Command, s.Simulator.Connect = []string{}, []string{}
	}
	for _, name := range free {
		if changed(name) {
			s.Take(changes, name)
		}
	}
	return s, nil
}

// continues refuses a Spec that is not the job that was begun in its folder.
func continues(s *Spec) error {
	if s.Out == "" {
		return misuse("--resume continues the run in --out DIR")
	}
	r, err := Recorded(s.Out)
	if err != nil {
		return err
	}
	a, b := r.clone(), s.clone()
	for _, name := range append([]string{"out"}, free...) {
		b.Take(a, name)
	}
	if a.Sampling != nil && b.Sampling != nil {
		if a.Network != nil && b.Network != nil { // wherever it is now
			b.Network.File = a.Network.File
		}
		if !sameData(a.Data, b.Data) {
			return misuse("%s was made with other data", s.Out)
		}
		a.Data, b.Data = nil, nil
	}
	if what, x, y := different(reflect.ValueOf(a), reflect.ValueOf(b)); what != "" {
		return misuse("%s was made with another %s: %v, not %v", s.Out, what, x, y)
	}
	return nil
}

// different names the first setting that two Specs differ in.
func different(a, b reflect.Value) (name string, x, y any) {
	if a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil() {
		a, b = a.Elem(), b.Elem()
	}
	if a.Kind() != reflect.Struct {
		return "", nil, nil
	}
	for i := range a.NumField() {
		p, q, f := a.Field(i), b.Field(i), a.Type().Field(i)
		if reflect.DeepEqual(p.Interface(), q.Interface()) {
			continue
		}
		if name, x, y := different(p, q); name != "" {
			return name, x, y
		}
		return f.Tag.Get("json"), inJSON(p), inJSON(q)
	}
	return "", nil, nil
}

func inJSON(v reflect.Value) string {
	b, _ := json.Marshal(v.Interface()) // of settings, which came from JSON
	return string(b)
}

// sameData compares observed values to the bit.
func sameData(a, b map[string]Datum) bool {
	if len(a) != len(b) {
		return false
	}
	for name, x := range a {
		y, ok := b[name]
		if !ok || !x.Value.Same(y.Value) {
			return false
		}
	}
	return true
}
