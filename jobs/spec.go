// Package jobs runs what was asked for, as data: a Spec says which simulator, method, data and draws, a table says what each method
// needs and how it makes its tasks, and Run makes a job of it, or goes on with one, in a run directory. A command line, a server or a
// program elsewhere only fill in the Spec and show the Outcome.
package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/engine/control"
	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/training"
)

// Schema is the version of a Spec.
const Schema = 1

// Spec is a job. Every setting that decides a trace is written out, defaults too. Paths in a file are relative to its folder.
type Spec struct {
	Schema    int       `json:"schema"`
	Verb      string    `json:"verb"`   // Prior, Infer, Train, Calibrate or Predict
	Method    string    `json:"method"` // a row of Methods
	Simulator Simulator `json:"simulator"`
	Seed      uint64    `json:"seed"`
	N         uint64    `json:"n"`          // draws; of a training, traces (0: until MaxTime; with From: all of them); of a calibration, data sets
	MaxTime   Duration  `json:"max_time"`   // 0: none
	SaveEvery Duration  `json:"save_every"` // how old a trace or a checkpoint gets before it is on disk
	Out       string    `json:"out"`        // folder

	*Sampling                // of all but Train
	Training    *Training    `json:"training,omitempty"`    // of Train
	Calibration *Calibration `json:"calibration,omitempty"` // of Calibrate
	Prediction  *Prediction  `json:"prediction,omitempty"`  // of Predict
}

// Sampling is what only jobs have that draw traces.
type Sampling struct {
	First                uint64           `json:"first"` // draws First to First + N − 1
	Data                 map[string]Datum `json:"data"`
	Each                 *Ref             `json:"each,omitempty"`  // file of data sets, for each of which the job is done with its values beside Data
	Missing              string           `json:"missing"`         // elements of data that are not given: Refuse, or OK
	InvalidObserve       string           `json:"invalid_observe"` // an Observe with invalid parameters: Fail, or Zero
	KeepValues           bool             `json:"keep_values"`     // of Prior: Observes keep the simulator's own values
	Inflation            float64          `json:"prior_inflation"`
	LikelihoodImportance float64          `json:"likelihood_importance"`
	Network              *Ref             `json:"network,omitempty"`
	Defensive            float64          `json:"defensive"`
	RejectionPasses      int              `json:"rejection_passes,omitempty"` // of networks that know rejection loops: runs for each loop of a trace (rejection.Config); 0: 10
	RejectionLoops       int              `json:"rejection_loops,omitempty"`
	TargetESS            float64          `json:"target_ess"` // 0: none
	NoParameters         bool             `json:"no_parameters"`
	MCMC                 *MCMC            `json:"mcmc,omitempty"` // of methods that make chains
	SMC                  *SMC             `json:"smc,omitempty"`  // of those that move particles
}

// Training is what only jobs have that train a network.
type Training struct {
	Output string   `json:"output"` // file of the network
	From   []string `json:"from"`   // run directories, in place of a simulator
	// Network is the sizes of that.
	Network ic.Settings `json:"network"`
	training.Settings
}

// The verbs, and the values of settings that are words.
const (
	Prior     = "prior"
	Infer     = "infer"
	Train     = "train"
	Calibrate = "calibrate"
	Predict   = "predict"
	Refuse    = "refuse"
	OK        = "ok"
	Fail      = "fail"
	Zero      = "zero"
)

// Simulator says which program to run and how, or where one runs already.
type Simulator struct {
	Command      []string `json:"command"`
	Connect      []string `json:"connect"`
	Workers      int      `json:"workers"` // 0: as many as help
	StartTimeout Duration `json:"start_timeout"`
	Timeout      Duration `json:"timeout"`
	RunTimeout   Duration `json:"run_timeout"`
	RestartEvery int      `json:"restart_every"`
	MaxFailed    float64  `json:"max_failed"`
	CwdPerWorker bool     `json:"cwd_per_worker"`
	Plain        bool     `json:"plain"`
}

// Ref names a file and what it must contain.
type Ref struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// read reads the file, and notes what it holds, or checks that.
func (r *Ref) read() ([]byte, error) {
	b, err := disk.ReadFile(r.File, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); r.SHA256 == "" {
		r.SHA256 = got
	} else if got != r.SHA256 {
		return nil, fmt.Errorf("%s is not the file that was meant: its sha256 is %s, not %s", r.File, got, r.SHA256)
	}
	return b, nil
}

// Duration is a time that JSON has as "90s".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("%s is no time, such as \"90s\"", b)
	}
	v, err := time.ParseDuration(text)
	*d = Duration(v)
	if err != nil {
		return fmt.Errorf("%q is no time, such as \"90s\"", text)
	}
	return nil
}

// Datum is an observed value: in the Spec itself a number or nested lists of numbers, null where elements are missing; larger ones in
// a .npy file.
type Datum struct {
	Value ppx.Tensor
	File  *Ref // of the value; nil: it stands in the Spec
}

// inlineElements is the most elements of a datum that stands in a Spec.
const inlineElements = 1000

// MarshalJSON implements json.Marshaler.
func (d Datum) MarshalJSON() ([]byte, error) {
	if d.File != nil {
		return json.Marshal(d.File)
	}
	if len(d.Value.Data) > inlineElements {
		return nil, fmt.Errorf("a value of %d elements does not go into a job: put it into a .npy file (NAME=@FILE.npy)", len(d.Value.Data))
	}
	return json.Marshal(nested(d.Value.Data, d.Value.Shape))
}

func nested(data []float64, shape []int32) any {
	if len(shape) == 0 {
		if math.IsNaN(data[0]) {
			return nil
		}
		return data[0]
	}
	out := make([]any, shape[0])
	for i := range out {
		n := len(data) / len(out)
		out[i] = nested(data[i*n:(i+1)*n], shape[1:])
	}
	return out
}

// UnmarshalJSON implements json.Unmarshaler; the file of a Ref is read by Read.
func (d *Datum) UnmarshalJSON(b []byte) error {
	if trimmed := bytes.TrimSpace(b); len(trimmed) > 0 && trimmed[0] == '{' {
		d.File = new(Ref)
		return strict(b, d.File)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	t, err := tensor(v)
	d.Value = t
	return err
}

// tensor is a number, or nested lists of numbers.
func tensor(v any) (ppx.Tensor, error) {
	switch x := v.(type) {
	case nil:
		return dist.Scalar(math.NaN()), nil
	case float64:
		return dist.Scalar(x), nil
	case []any:
		out := ppx.Tensor{Data: []float64{}, Shape: []int32{int32(len(x))}}
		for i, y := range x {
			t, err := tensor(y)
			if err != nil {
				return t, err
			}
			if i == 0 {
				out.Shape = append(out.Shape, t.Shape...)
			} else if !slices.Equal(out.Shape[1:], t.Shape) {
				return t, errors.New("rows of different shapes")
			}
			out.Data = append(out.Data, t.Data...)
		}
		return out, nil
	}
	return ppx.Tensor{}, fmt.Errorf("%v is no number", v)
}

// Misuse is an error of what was asked for, not of how it went.
type Misuse struct{ Err error }

func (m Misuse) Error() string { return m.Err.Error() }
func (m Misuse) Unwrap() error { return m.Err }

// misuse makes one.
func misuse(format string, args ...any) error { return Misuse{fmt.Errorf(format, args...)} }

// strict decodes JSON without fields that are unknown, or anything behind it.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something stands behind the object")
	}
	return nil
}

const maxSpec = 64 << 20 // bytes

// Read reads a Spec from a file, and the data that it refers to; or, of a run directory, the one that it was made by, without its Out.
// Errors are Misuse, and name the field.
func Read(path string) (*Spec, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		s, err := Recorded(path)
		if err == nil {
			s.Out = ""
		}
		return s, err
	}
	b, err := disk.ReadFile(path, maxSpec)
	if err != nil {
		return nil, Misuse{err}
	}
	s, err := decode(b, filepath.Dir(path), anything)
	if err != nil {
		return nil, misuse("%s: %w", path, err)
	}
	return s, nil
}

// Paths are the files and folders that a Spec names.
func (s *Spec) Paths() (out []string) {
	for _, p := range s.paths() {
		if *p != "" {
			out = append(out, *p)
		}
	}
	return out
}

// Decode reads a Spec from JSON whose paths are relative to a folder, and the data that it refers to, unless allow, which sees it before any file is
// opened, has something against it. Errors are allow's, and else Misuse, which name the field.
func Decode(b []byte, dir string, allow func(*Spec) error) (*Spec, error) {
	s, err := decode(b, dir, allow)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		return nil, refused.error
	case err != nil:
		return nil, Misuse{err}
	}
	return s, nil
}

// anything allows all.
func anything(*Spec) error { return nil }

// refusal is an error of who looks at a Spec.
type refusal struct{ error }

// decode reads a Spec whose paths are relative to a folder.
func decode(b []byte, dir string, allow func(*Spec) error) (*Spec, error) {
	s := new(Spec)
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(b, &version); err == nil && version.Schema != Schema {
		return nil, fmt.Errorf("schema %d; this version of ppx reads %d", version.Schema, Schema)
	}
	if err := strict(b, s); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			field := strings.TrimPrefix(strings.TrimPrefix(wrong.Field, "Sampling."), "training.Settings.")
			if field == "" {
				field = "a job"
			}
			err = fmt.Errorf("%s cannot be a JSON %s", field, wrong.Value)
		}
		return nil, err
	}
	if err := s.missing(b); err != nil {
		return nil, err
	}
	switch {
	case s.Verb != Train && s.Sampling == nil:
		s.Sampling = &Sampling{}
	case s.Verb == Train && s.Training == nil:
		s.Training = &Training{}
	}
	for _, p := range s.paths() {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if err := allow(s); err != nil {
		return nil, refusal{err}
	}
	if s.Sampling == nil {
		return s, nil
	}
	for name, d := range s.Data {
		if d.File == nil {
			continue
		}
		if err := d.load(); err != nil {
			return nil, fmt.Errorf("data: %s: %w", ppx.Quote(name), err)
		}
		s.Data[name] = d
	}
	return s, nil
}

// missing is an error that names a setting which a job does not have: none is left to a default that may change.
func (s *Spec) missing(b []byte) error {
	var got map[string]json.RawMessage
	want := New(s.Verb)
	if err := json.Unmarshal(b, &got); err != nil || !slices.Contains([]string{Prior, Infer, Train, Calibrate, Predict}, s.Verb) {
		return err // Check says what is wrong with the verb
	}
	lacks := func(where string, got map[string]json.RawMessage, want any) error {
		b, err := json.Marshal(want)
		if err != nil {
			return err
		}
		var names map[string]json.RawMessage
		if err := json.Unmarshal(b, &names); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if _, ok := got[name]; !ok {
				return fmt.Errorf("%s%s is missing", where, name)
			}
		}
		return nil
	}
	if err := lacks("", got, want); err != nil {
		return err
	}
	for name, part := range map[string]any{"simulator": want.Simulator, "training": want.Training, "calibration": want.Calibration, "prediction": want.Prediction} {
		var inner map[string]json.RawMessage
		if got[name] == nil || json.Unmarshal(got[name], &inner) != nil || inner == nil {
			continue
		}
		if err := lacks(name+".", inner, part); err != nil {
			return err
		}
	}
	return nil
}

// paths are those of a Spec.
func (s *Spec) paths() []*string {
	out := []*string{&s.Out}
	if c := s.Calibration; c != nil {
		out = append(out, &c.Truths)
	}
	if p := s.Prediction; p != nil {
		out = append(out, &p.Run)
	}
	if t := s.Training; t != nil {
		out = append(out, &t.Output)
		for i := range t.From {
			out = append(out, &t.From[i])
		}
	}
	if s.Sampling == nil {
		return out
	}
	if s.Each != nil {
		out = append(out, &s.Each.File)
	}
	if s.Network != nil {
		out = append(out, &s.Network.File)
	}
	if s.SMC != nil {
		out = append(out, &s.SMC.Ladder)
	}
	for _, d := range s.Data {
		if d.File != nil {
			out = append(out, &d.File.File)
		}
	}
	return out
}

// clone is a copy whose paths and data may change.
func (s *Spec) clone() *Spec {
	out := *s
	if s.Training != nil {
		t := *s.Training
		t.From = slices.Clone(t.From)
		out.Training = &t
	}
	if s.Prediction != nil {
		p := *s.Prediction
		p.LeaveOut = slices.Clone(p.LeaveOut)
		out.Prediction = &p
	}
	if s.Calibration != nil {
		c := *s.Calibration
		c.Names = slices.Clone(c.Names)
		out.Calibration = &c
	}
	if s.Sampling == nil {
		return &out
	}
	x := *s.Sampling
	out.Sampling = &x
	if x.MCMC != nil {
		c := *x.MCMC
		x.MCMC = &c
	}
	if x.SMC != nil {
		p := *x.SMC
		x.SMC = &p
	}
	if x.Each != nil {
		e := *x.Each
		x.Each = &e
	}
	if x.Network != nil {
		n := *x.Network
		x.Network = &n
	}
	x.Data = maps.Clone(x.Data)
	for name, d := range x.Data {
		if d.File != nil {
			f := *d.File
			d.File = &f
			x.Data[name] = d
		}
	}
	return &out
}

// load reads the file of a datum.
func (d *Datum) load() error {
	b, err := d.File.read()
	if err != nil {
		return err
	}
	d.Value, err = rundir.ReadNPY(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return fmt.Errorf("%s: %w", d.File.File, err)
	}
	return nil
}

// Write writes a Spec as a file has it, with paths relative to a folder where they lie below it.
func (s *Spec) Write(w io.Writer, dir string) error {
	out := s.clone()
	if err := out.hash(); err != nil {
		return err
	}
	base, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for _, p := range out.paths() {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
		if rel, err := filepath.Rel(base, abs); err == nil && filepath.IsLocal(rel) {
			*p = rel
		}
	}
	if out.Sampling != nil {
		for name, d := range out.Data {
			if d.File == nil && len(d.Value.Data) > inlineElements {
				return misuse("%s has %d elements, more than go into a job: put them into a file (numpy.save) and give --observe %s=@FILE.npy", ppx.Quote(name), len(d.Value.Data), ppx.Quote(name))
			}
		}
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return Misuse{err}
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// hash notes what the files hold that a Spec refers to.
func (s *Spec) hash() error {
	if s.Sampling == nil {
		return nil
	}
	if s.Each != nil && s.Each.SHA256 == "" {
		if _, err := s.Each.read(); err != nil {
			return misuse("each: %w", err)
		}
	}
	for name, d := range s.Data {
		if d.File != nil && d.File.SHA256 == "" {
			if err := d.load(); err != nil {
				return misuse("data: %s: %w", ppx.Quote(name), err)
			}
		}
	}
	if n := s.Network; n != nil && n.SHA256 == "" {
		_, extra, err := ic.ReadFile(n.File)
		if err != nil {
			return misuse("network: %w", err)
		}
		n.SHA256 = extra.SHA256
	}
	return nil
}

// New is a Spec with the defaults of a verb.
func New(verb string) *Spec {
	s := &Spec{Schema: Schema, Verb: verb, Method: verb, Simulator: Simulator{Command: []string{}, Connect: []string{}, StartTimeout: Duration(30 * time.Second),
		Timeout: Duration(60 * time.Second), MaxFailed: engine.MaxFailed}}
	switch verb {
	case Train:
		s.Method, s.SaveEvery = "ic", Duration(30*time.Second)
		s.Training = &Training{From: []string{}, Network: ic.DefaultSettings(), Settings: training.Defaults()}
		return s
	case Infer, Calibrate:
		s.Method = "is"
	}
	s.N, s.SaveEvery = 1000, Duration(rundir.DefaultSync)
	switch verb {
	case Predict:
		s.Prediction = &Prediction{LeaveOut: []string{}}
	case Calibrate:
		s.N = 500
		s.Calibration = &Calibration{Names: []string{}, MinESS: 100, MaxDraws: 100_000}
	}
	s.Sampling = &Sampling{Data: map[string]Datum{}, Missing: Refuse, InvalidObserve: Fail, LikelihoodImportance: 1, Defensive: 0.01}
	return s
}

// field finds a setting by its name in JSON; the zero Value if there is none.
func (s *Spec) field(name string) reflect.Value { return find(reflect.ValueOf(s), name) }

func find(v reflect.Value, name string) reflect.Value {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name {
			return v.Field(i)
		}
	}
	for i := range v.NumField() {
		if f := find(v.Field(i), name); f.IsValid() {
			return f
		}
	}
	return reflect.Value{}
}

// Has tells whether a Spec has a setting, by its name in JSON.
func (s *Spec) Has(name string) bool { return s.field(name).IsValid() }

// Same tells whether two Specs agree in a setting, by its name in JSON, and what the first has.
func (s *Spec) Same(other *Spec, name string) (same bool, value any) {
	a, b := s.field(name), other.field(name)
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid(), nil
	}
	return reflect.DeepEqual(a.Interface(), b.Interface()), a.Interface()
}

// Take takes a setting, by its name in JSON, from another Spec of the verb.
func (s *Spec) Take(other *Spec, name string) {
	if a, b := s.field(name), other.field(name); a.IsValid() && b.IsValid() {
		a.Set(b)
	}
}

// Options are those of the engine.
func (s *Simulator) Options() engine.Options {
	return engine.Options{Command: s.Command, Connect: s.Connect, Workers: s.Workers, StartTimeout: time.Duration(s.StartTimeout), Timeout: time.Duration(s.Timeout),
		RunTimeout: time.Duration(s.RunTimeout), RestartEvery: s.RestartEvery, MaxFailed: s.MaxFailed, CwdPerWorker: s.CwdPerWorker, Plain: s.Plain}
}

// Check refuses a Simulator that makes no sense. Errors are Misuse.
func (s *Simulator) Check() error {
	switch {
	case len(s.Command) > 0 && len(s.Connect) > 0:
		return misuse("give either --connect or a command after --, not both")
	case len(s.Command) == 0 && len(s.Connect) == 0:
		return misuse("which simulator? Give a command after -- (with {endpoint} in it), or --connect ENDPOINT")
	case s.StartTimeout <= 0:
		return misuse("start timeout %v must be positive", s.StartTimeout)
	case s.Timeout < 0 || s.RunTimeout < 0:
		return misuse("timeouts must not be negative")
	case s.Timeout > 0 && time.Duration(s.Timeout) < time.Millisecond || s.RunTimeout > 0 && time.Duration(s.RunTimeout) < time.Millisecond:
		return misuse("a timeout below 1ms: no run can be as short as that")
	case !(s.MaxFailed > 0 && s.MaxFailed <= 1):
		return misuse("--max-failed %g: want a share above 0, at most 1", s.MaxFailed)
	case s.RestartEvery < 0:
		return misuse("--restart-every %d must not be negative", s.RestartEvery)
	case s.Workers < 0 || s.Workers > 4096:
		return misuse("--workers %d: want auto or a number from 1 to 4096", s.Workers)
	}
	return nil
}

// Check refuses settings that make no sense, alone or together. Errors are Misuse.
func (s *Spec) Check() error {
	m, err := s.method()
	if err != nil {
		return err
	}
	if err := m.check(s); err != nil {
		return err
	}
	if len(s.SourceRuns()) == 0 {
		if err := s.Simulator.Check(); err != nil {
			return err
		}
	}
	switch {
	case s.SaveEvery <= 0:
		return misuse("save_every %v must be positive", s.SaveEvery)
	case s.MaxTime < 0:
		return misuse("max_time %v must not be negative", s.MaxTime)
	}
	switch s.Verb {
	case Train:
		return s.checkTraining()
	case Calibrate:
		if err := s.checkCalibration(); err != nil {
			return err
		}
	case Predict:
		if err := s.checkPrediction(); err != nil {
			return err
		}
	}
	for _, w := range []struct{ flag, value, one, other string }{{"--missing", s.Missing, Refuse, OK}, {"--invalid-observe", s.InvalidObserve, Fail, Zero}} {
		if w.value != w.one && w.value != w.other {
			return misuse("%s %s: want %s or %s", w.flag, ppx.Quote(w.value), w.one, w.other)
		}
	}
	switch {
	case s.N == 0:
		return misuse("-n must be at least 1")
	case s.First > math.MaxInt64/2 || s.N > math.MaxInt64/2:
		return misuse("--first %d -n %d: too large", s.First, s.N)
	case !(s.TargetESS >= 0):
		return misuse("--target-ess %g must not be negative", s.TargetESS)
	case !(s.Inflation >= 0 && s.Inflation < 1):
		return misuse("prior inflation %g must lie in [0, 1)", s.Inflation)
	case !(s.LikelihoodImportance > 0) || math.IsInf(s.LikelihoodImportance, 0):
		return misuse("--likelihood-importance %g must be positive and finite", s.LikelihoodImportance)
	case !(s.Defensive > 0 && s.Defensive < 1):
		return misuse("--defensive %g must lie between 0 and 1", s.Defensive)
	case s.RejectionPasses < 0 || s.RejectionLoops < 0 || s.RejectionPasses > 1_000_000 || s.RejectionLoops > 1_000_000:
		return misuse("--rejection-passes %d --rejection-loops %d: want numbers from 1 to 1,000,000", s.RejectionPasses, s.RejectionLoops)
	}
	for name, d := range s.Data {
		if err := s.checkDatum(name, d.Value); err != nil {
			return err
		}
	}
	if s.Verb == Calibrate { // there N counts data sets
		return nil
	}
	return errors.Join(s.checkMCMC(), s.checkSMC())
}

// SourceRuns are the run directories that a training takes in place of a simulator.
func (s *Spec) SourceRuns() []string {
	if s.Training == nil {
		return nil
	}
	return s.Training.From
}

func (s *Spec) checkDatum(name string, t ppx.Tensor) error {
	switch {
	case name == "":
		return misuse("a value without a name")
	case len(t.Data) == 0:
		return misuse("%s is empty", ppx.Quote(name))
	}
	for _, v := range t.Data {
		switch {
		case math.IsInf(v, 0):
			return misuse("%s holds %g; data must be finite", ppx.Quote(name), v)
		case v != v && s.Missing != OK:
			return misuse("%s holds elements that are not given; --missing ok leaves them out", ppx.Quote(name))
		}
	}
	return nil
}

// values are the data as layers take them.
func (s *Spec) values() control.Data {
	out := control.Data{}
	for name, d := range s.Data {
		out[name] = d.Value
	}
	return out
}

// FreshDirectory is a name for a run directory that is not taken.
func FreshDirectory(verb string) string {
	name := filepath.Join("ppx-runs", time.Now().UTC().Format("20060102T150405Z")+"-"+verb)
	for i, try := 2, name; ; i++ {
		_, err := os.Lstat(try)
		if _, beside := os.Lstat(try + autoFolder); err != nil && beside != nil {
			return try
		}
		try = fmt.Sprintf("%s-%d", name, i)
	}
}
