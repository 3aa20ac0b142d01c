// Package rundir keeps traces on disk: a folder with a manifest (run.json) and Parquet files, readable
// without this project (docs/run-directory.md).
package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// Format is the version of the folder's layout.
const Format = 2

// States of a run.
const (
	Running     = "running"
	Complete    = "complete"
	Interrupted = "interrupted"
	Failed      = "failed"
)

// Manifest is run.json.
type Manifest struct {
	Format     int      `json:"format"`
	PPXVersion string   `json:"ppx_version"`
	State      string   `json:"state"`
	Error      string   `json:"error,omitempty"`
	Model      string   `json:"model"`
	Systems    []string `json:"systems"`
	Command    []string `json:"command"`
	Method     string   `json:"method"`
	// Conditioned tells that traces carry the likelihood of data in their weights.
	Conditioned          bool             `json:"conditioned"`
	KeepValues           bool             `json:"keep_values,omitempty"`
	InvalidObserve       string           `json:"invalid_observe,omitempty"` // "zero": an Observe with invalid parameters has weight zero
	Inflation            float64          `json:"inflation"`
	LikelihoodImportance float64          `json:"likelihood_importance"`
	Network              *NetworkFile     `json:"network,omitempty"`
	Defensive            float64          `json:"defensive,omitempty"` // probability of a trace from the prior, with a network
	Seed                 uint64           `json:"seed"`
	StreamKind           uint32           `json:"stream_kind"`             // of random numbers: docs/random.md
	First                uint64           `json:"first"`                   // number of the first draw
	N                    uint64           `json:"n"`                       // number of draws
	PartSize             uint64           `json:"part_size"`               // draws per part, 0 while not yet decided
	NoParameters         bool             `json:"no_parameters,omitempty"` // of distributions: they are not stored
	Data                 map[string]Datum `json:"data"`
	Counts               Counts           `json:"counts"`
	Started              time.Time        `json:"started"`
	Ended                *time.Time       `json:"ended,omitempty"`
	Seconds              float64          `json:"seconds"` // at work, sessions added up
	Host                 Host             `json:"host"`
	Cut                  *Cut             `json:"cut,omitempty"` // of a run that ended early
	Lineage              *Lineage         `json:"lineage,omitempty"`
	Job                  json.RawMessage  `json:"job,omitempty"`    // that has made it (package jobs), but for its data
	Chains               *Chains          `json:"chains,omitempty"` // of a method that makes chains; weights are 1
	Particles            *Particles       `json:"particles,omitempty"`
	Auto                 *Auto            `json:"auto,omitempty"`     // how the method was found
	LeftOut              uint64           `json:"left_out,omitempty"` // draws without a row: those for which the condition of a derived run is false; their weight is zero
	Resampled            *Resampled       `json:"resampled,omitempty"`
	Seeds                []uint64         `json:"seeds,omitempty"` // of joined runs, in the order of rows
	Mixed                []uint64         `json:"mixed,omitempty"` // draws from which on another simulator has answered (--force)
}

// Cut is the longest run that was going on when a job ended early, and is not among the traces.
type Cut struct {
	What    string  `json:"what,omitempty"` // where it is not a draw: step 12 of chain 3
	Draw    uint64  `json:"draw"`
	Last    uint64  `json:"last,omitempty"` // it is one of the draws from draw to this one
	Running float64 `json:"running"`        // seconds
	Mean    float64 `json:"mean"`           // seconds that a run takes
}

// Chains are what a run's rows are: row r is a draw of chain r mod Chains, from 0; the column chain has its number, from 1.
type Chains struct {
	Chains int    `json:"chains"`
	Warmup uint64 `json:"warmup"` // steps that were not kept
	Thin   uint64 `json:"thin"`   // every so many-th step was
	Steps  uint64 `json:"steps"`  // in all sessions
	Failed uint64 `json:"failed"` // of these: the run failed, and the step was not taken
	// Scales are those of each chain's walks, by address base, as its warm-up has left them; null while that goes on.
	Scales []map[string]float64 `json:"scales,omitempty"`
	// Acceptance counts the steps behind the draws of the last session, by the address base of the site that was to move.
	Acceptance map[string]*Acceptance `json:"acceptance,omitempty"`
}

// Acceptance is how many steps there were, and how many of them were taken.
type Acceptance struct {
	Steps    uint64 `json:"steps"`
	Accepted uint64 `json:"accepted"`
}

// Particles are what a run's rows are: particles of islands, which the column chain numbers from 1. The weights of an island's particles sum to its evidence, times as
// many as it has particles; errors are those between islands.
type Particles struct {
	Islands     int      `json:"islands"`
	Keep        int      `json:"keep"`             // states of each particle that are draws
	Moves       int      `json:"moves"`            // that were asked for at each rung; −1: as many as it takes, 0: none
	From        string   `json:"from,omitempty"`   // run that has taught the ladder; "": this one, which makes its evidence biased a little
	Taught      *uint64  `json:"taught,omitempty"` // seed of the particles that have taught the ladder, if those of From were themselves taught, too
	Looks       []Look   `json:"looks,omitempty"`  // at the states that were kept, to see whether they are enough
	Runs        uint64   `json:"runs"`             // of the simulator, in all
	Failed      uint64   `json:"failed"`           // of these
	LogEvidence []Number `json:"log_evidence"`     // of each island; null: none of its particles was left
	Ladder      []Rung   `json:"ladder,omitempty"` // that was climbed
	// Of a run with a score: what it is, what it was to exceed (or to reach), and how probable that is given the data.
	Score            string  `json:"score,omitempty"`
	Above            *Number `json:"above,omitempty"`
	AtLeast          *Number `json:"at_least,omitempty"`
	LogProbability   *Number `json:"log_probability,omitempty"`
	LogProbabilitySE *Number `json:"log_probability_se,omitempty"`
}

// Look is what so many states of each particle have come to.
type Look struct {
	States int     `json:"states"`
	ESS    float64 `json:"ess"`
}

// Rung is a step of particles from the prior to the posterior, or to a level of the score.
type Rung struct {
	Beta      float64                `json:"beta"`               // exponent of the likelihood, or the part of the way from a network's proposals
	Possible  bool                   `json:"possible,omitempty"` // the first particles are draws that the data allow
	Level     *Number                `json:"level,omitempty"`    // of the score, on average
	Moves     int                    `json:"moves"`              // of each particle
	Scales    map[string]float64     `json:"scales,omitempty"`   // of walks, by address
	Block     *Block                 `json:"block,omitempty"`
	ESS       float64                `json:"ess"`       // of the weights, before resampling
	Resampled int                    `json:"resampled"` // islands
	Moved     float64                `json:"moved"`     // share of the particles
	Ancestors int                    `json:"ancestors"` // first particles that have descendants
	Steps     map[string]*Acceptance `json:"steps,omitempty"`
}

// Block is the sites that move together.
type Block struct {
	Sites []BlockSite `json:"sites"`
	Mean  []float64   `json:"mean"`
	L     [][]float64 `json:"l"`     // rows of the lower triangle of the covariance's Cholesky factor, in coordinates without bounds
	Scale float64     `json:"scale"` // of a step, at most 1
}

// BlockSite is one of them.
type BlockSite struct {
	Address  string `json:"address"` // base
	Instance uint32 `json:"instance"`
	Kind     string `json:"kind"`
	Elements int    `json:"elements"`
}

// Auto is how a run's method was found, and what has checked the result.
type Auto struct {
	Pilot      string   `json:"pilot"`             // run directory, not part of the result
	Learned    string   `json:"learned,omitempty"` // of particles: the run that has taught the ladder
	Check      string   `json:"check,omitempty"`   // run of another kind that the result was compared with
	Chosen     string   `json:"chosen"`            // method
	Runs       uint64   `json:"runs"`              // of the simulator, by all runs together
	Checked    bool     `json:"checked"`
	Difference Number   `json:"difference"` // the largest between result and check, in standard errors of one comparison
	Where      string   `json:"where"`      // variable, or evidence
	Sentences  []string `json:"sentences"`  // what was done, and why it can be trusted or not
}

// Lineage says that a run was made from the traces of another: row r from the other's row of parent in draws.
type Lineage struct {
	Run    string `json:"run"`
	Change string `json:"change,omitempty"` // what was done otherwise
	// ESS is the effective sample size of the weights that the traces of Run were drawn by; 0 where they were not.
	ESS float64 `json:"ess,omitempty"`
	// Khat is theirs, where they were importance weights.
	Khat *Number `json:"khat,omitempty"`
}

// From is the lineage of what is made of a run: with what the traces of that run were drawn by.
func (l *Lineage) From(run, change string) *Lineage {
	out := &Lineage{Run: run, Change: change}
	if l != nil {
		out.ESS, out.Khat = l.ESS, l.Khat
	}
	return out
}

// Words are what was done; "" where nothing is known.
func (l *Lineage) Words() string {
	if l == nil {
		return ""
	}
	return l.Change
}

// NetworkFile is the network that has guided a run.
type NetworkFile struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	// Gain is that of its training over the prior, in nats. Distance is how far the data are from those of the training (Mahalanobis, of their
	// embedding), and P the probability that data of the prior are so far; 0 where it is not known.
	Gain     float64 `json:"gain,omitempty"`
	Distance float64 `json:"distance,omitempty"`
	P        float64 `json:"p,omitempty"`
}

// Resampled is what traces of equal weight were drawn from: they are clones, and say no more than those.
type Resampled struct {
	From          uint64  `json:"from"` // traces
	ESS           float64 `json:"ess"`
	Khat          Number  `json:"khat"`
	LogEvidenceSE Number  `json:"log_evidence_se"`
}

// Number is a float64 that is null in JSON where it is NaN or infinite.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if x := float64(n); math.IsNaN(x) || math.IsInf(x, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(b []byte) error {
	x := math.NaN()
	if string(b) != "null" {
		if err := json.Unmarshal(b, &x); err != nil {
			return err
		}
	}
	*n = Number(x)
	return nil
}

// Counts are numbers of draws.
type Counts struct {
	Traces         uint64 `json:"traces"` // with a weight, zero and bad ones included
	Failed         uint64 `json:"failed"`
	BadWeights     uint64 `json:"bad_weights"`
	LostAndRedrawn uint64 `json:"lost_and_redrawn"`
}

// Host is where the run was made.
type Host struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	OS    string `json:"os"`
}

// Datum is an observed value: its elements in row-major order, or the name of its array in data.npz when
// there are more than inlineElements.
type Datum struct {
	Shape []int32 `json:"shape"`
	Data  numbers `json:"data,omitempty"`
	File  string  `json:"file,omitempty"`
}

// numbers are elements of which some may be missing: NaN here, null in JSON.
type numbers []float64

// MarshalJSON implements json.Marshaler.
func (n numbers) MarshalJSON() ([]byte, error) {
	out := make([]*float64, len(n))
	for i, x := range n {
		if x == x {
			out[i] = &n[i]
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *numbers) UnmarshalJSON(b []byte) error {
	var in []*float64
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*n = make(numbers, len(in))
	for i, x := range in {
		(*n)[i] = math.NaN()
		if x != nil {
			(*n)[i] = *x
		}
	}
	return nil
}

const (
	manifestFile   = "run.json"
	dataFile       = "data.npz"
	inlineElements = 1000
	inlineTotal    = 32 << 10 // elements of all data that stand in run.json itself
	maxManifest    = 32 << 20 // bytes; observed values of many names are the most of it
)

// setData puts observed values into the manifest of the folder at path, large ones into a file beside it.
func (m *Manifest) setData(path string, data map[string]ppx.Tensor) error {
	m.Data = map[string]Datum{}
	large := map[string]ppx.Tensor{}
	inline := 0
	for _, name := range slices.Sorted(maps.Keys(data)) {
		t := data[name]
		d := Datum{Shape: append([]int32{}, t.Shape...), Data: t.Data}
		if inline += len(t.Data); len(t.Data) > inlineElements || inline > inlineTotal {
			d.Data, d.File = nil, dataFile
			large[name] = t
		}
		m.Data[name] = d
	}
	if len(large) == 0 {
		return nil
	}
	return writeNPZ(filepath.Join(path, dataFile), large)
}

// Tensors returns the observed values of the folder at path.
func (m *Manifest) Tensors(path string) (map[string]ppx.Tensor, error) {
	out := map[string]ppx.Tensor{}
	files := map[string]map[string]ppx.Tensor{}
	for name, d := range m.Data {
		if d.File == "" {
			t, err := dist.NewTensor(d.Data, d.Shape)
			if err != nil {
				return nil, damaged(filepath.Join(path, manifestFile), fmt.Errorf("data of %s: %w", ppx.Quote(name), err))
			}
			out[name] = t
			continue
		}
		file := filepath.Join(path, filepath.Base(d.File))
		if files[file] == nil {
			arrays, err := readNPZ(file)
			if err != nil {
				return nil, err
			}
			files[file] = arrays
		}
		t, ok := files[file][name]
		if !ok {
			return nil, damaged(file, fmt.Errorf("it has no array %s", ppx.Quote(name)))
		}
		// Arrays in the file are vectors.
		var err error
		if out[name], err = dist.NewTensor(t.Data, d.Shape); err != nil {
			return nil, damaged(file, fmt.Errorf("%s: %w", ppx.Quote(name), err))
		}
	}
	return out, nil
}

// ErrNotARun says that a folder is no run directory.
var ErrNotARun = errors.New("not a run directory")

// ReadManifest reads the run.json of a folder.
func ReadManifest(path string) (*Manifest, error) {
	b, err := disk.ReadFile(filepath.Join(path, manifestFile), maxManifest)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("%s: %w: it has no %s", path, ErrNotARun, manifestFile)
		}
		return nil, damaged(filepath.Join(path, manifestFile), err)
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case !errors.As(err, &wrong):
		case wrong.Field == "":
			err = fmt.Errorf("it holds a JSON %s, no object", wrong.Value)
		default:
			err = fmt.Errorf("%s cannot be a JSON %s", wrong.Field, wrong.Value)
		}
		return nil, damaged(filepath.Join(path, manifestFile), err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("%s: %w: its format is %d, and this version of ppx reads %d: read it with the version that made it (%s), or make the run again",
			path, ErrFormat, m.Format, Format, ppx.Quote(m.PPXVersion))
	}
	if err := m.check(); err != nil {
		return nil, damaged(filepath.Join(path, manifestFile), err)
	}
	return m, nil
}

// ErrFormat says that a run directory is of another format.
var ErrFormat = errors.New("a run directory of another version")

// plain is the words that the manifest has.
var plain = regexp.MustCompile(`^[a-z0-9-]{0,40}$`)

// check refuses what no Writer writes.
func (m *Manifest) check() error {
	switch {
	case !slices.Contains([]string{Running, Complete, Interrupted, Failed}, m.State):
		return fmt.Errorf("state %q", m.State)
	case !plain.MatchString(m.Method) || !plain.MatchString(m.InvalidObserve):
		return fmt.Errorf("method %q, invalid_observe %q", m.Method, m.InvalidObserve)
	case m.PartSize > maxPartSize || m.PartSize&(m.PartSize-1) != 0:
		return fmt.Errorf("part_size %d is no power of two up to %d", m.PartSize, maxPartSize)
	case m.First > math.MaxInt64-m.N || m.N > math.MaxInt64:
		return fmt.Errorf("first %d and n %d are too large", m.First, m.N)
	case m.Counts.Traces > math.MaxInt64/2 || m.Counts.Failed > math.MaxInt64/2:
		return fmt.Errorf("counts of %d and %d", m.Counts.Traces, m.Counts.Failed)
	case m.Seconds != m.Seconds || !(m.Inflation >= 0 && m.Inflation < 1) || m.LikelihoodImportance < 0:
		return fmt.Errorf("seconds %g, inflation %g, likelihood_importance %g", m.Seconds, m.Inflation, m.LikelihoodImportance)
	}
	for name, d := range m.Data {
		if n, err := dist.Elements(d.Shape); err != nil || d.File == "" && n != len(d.Data) {
			return fmt.Errorf("data of %s: shape %v", ppx.Quote(name), d.Shape)
		}
	}
	return nil
}

// Amend changes the run.json of a run that nobody writes.
func Amend(path string, change func(*Manifest)) error {
	m, err := ReadManifest(path)
	if err != nil {
		return err
	}
	lock, err := disk.Lock(filepath.Join(path, LockFile))
	if err != nil {
		return err
	}
	change(m)
	return errors.Join(m.write(path), disk.Unlock(lock))
}

// write replaces run.json.
func (m *Manifest) write(path string) error {
	return disk.WriteJSON(filepath.Join(path, manifestFile), m)
}
