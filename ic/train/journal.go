package train

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ppx-engine/ppx-engine/ic"
	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Journal is what a training leaves behind: the network itself (the best so far), and a folder with the checkpoint, the
// loss curve as CSV and as a picture, and a manifest.
type Journal struct {
	Network  string // file
	Dir      string
	Manifest Manifest

	lock   *os.File
	points []Point
	best   *ic.Network[float32] // that is not in its file yet
}

// Manifest is DIR/train.json.
type Manifest struct {
	Format     int             `json:"format"` // 1
	PPXVersion string          `json:"ppx_version"`
	State      string          `json:"state"` // running, complete, interrupted or failed
	Error      string          `json:"error,omitempty"`
	Network    string          `json:"network"`
	Model      string          `json:"model"`
	Command    []string        `json:"command,omitempty"`
	From       []string        `json:"from,omitempty"`
	Config     Config          `json:"config"`
	Job        json.RawMessage `json:"job,omitempty"` // as it was asked for (package jobs)
	Traces     uint64          `json:"traces"`
	Validation *float64        `json:"validation"` // the best
	BestAt     uint64          `json:"best_at"`
	Places     int             `json:"places"`
	Weights    int             `json:"weights"`
	Failed     uint64          `json:"failed"` // draws that were given up
	Started    time.Time       `json:"started"`
	Ended      time.Time       `json:"ended,omitzero"`
}

const (
	checkpointFile = "checkpoint.safetensors"
	lossFile       = "loss.csv"
	pictureFile    = "loss.png"
	manifestFile   = "train.json"
)

// ErrExists says that there is a training already.
var ErrExists = errors.New("exists already")

// CreateJournal begins a training's records.
func CreateJournal(network, dir string) (*Journal, error) {
	for _, path := range []string{network, filepath.Join(dir, checkpointFile), filepath.Join(dir, lossFile)} {
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s %w; give another -o, or --resume to go on with it", path, ErrExists)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	j := &Journal{Network: network, Dir: dir, Manifest: Manifest{Format: 1, State: rundir.Running, Network: network, Started: time.Now().UTC()}}
	return j, j.open()
}

// ReadManifest reads the manifest of a training's folder.
func ReadManifest(dir string) (m Manifest, err error) {
	path := filepath.Join(dir, manifestFile)
	b, err := disk.ReadFile(path, 32<<20)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// ResumeJournal opens the records of a training that was interrupted; t is its last checkpoint, nil when it has none yet.
func ResumeJournal(network, dir string) (j *Journal, t *Trainer, err error) {
	j = &Journal{Network: network, Dir: dir}
	if j.Manifest, err = ReadManifest(dir); err != nil {
		return nil, nil, err
	}
	if err := j.open(); err != nil {
		return nil, nil, err
	}
	if t, err = j.resume(); err != nil {
		return nil, nil, errors.Join(err, j.Release())
	}
	return j, t, nil
}

func (j *Journal) resume() (t *Trainer, err error) {
	path := filepath.Join(j.Dir, checkpointFile)
	t, err = ReadCheckpoint(path)
	if errors.Is(err, fs.ErrNotExist) {
		c := j.Manifest.Config
		if err := c.Complete(); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(j.Dir, manifestFile), err)
		}
		t, err = NewTrainer(c), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w (without %s the training begins anew)", err, path)
	}
	j.Manifest.State, j.Manifest.Error = rundir.Running, ""
	return t, j.readPoints(t.Traces)
}

func (j *Journal) open() (err error) {
	if j.lock, err = disk.Lock(filepath.Join(j.Dir, ".lock")); err != nil {
		return err
	}
	disk.Sweep(j.Dir, "")
	disk.Sweep(filepath.Dir(j.Network), filepath.Base(j.Network))
	return nil
}

// Point adds a point to the loss curve.
func (j *Journal) Point(p Point) error {
	j.points = append(j.points, p)
	return nil
}

// Best notes that the best network has changed.
func (j *Journal) Best(t *Trainer) error {
	j.best = t.Best
	return nil
}

func (j *Journal) writeBest() error {
	if j.best == nil {
		return nil
	}
	err := ic.WriteFile(j.Network, j.best, nil)
	if err == nil {
		j.best = nil
	}
	return err
}

// Save writes everything: the network before the checkpoint, so that what a resumed training takes for written is.
func (j *Journal) Save(t *Trainer) error {
	if _, err := os.Stat(j.Network); j.best == nil && t.Network != nil && t.Step > 0 && errors.Is(err, fs.ErrNotExist) {
		j.best = t.Network // somebody has removed the best one: better this than none
	}
	if err := j.writeBest(); err != nil {
		return err
	}
	if err := j.writePoints(); err != nil {
		return err
	}
	m := &j.Manifest
	m.Traces, m.BestAt, m.Config, m.Failed = t.Traces, t.BestAt, t.Config, t.Failed
	if t.BestLoss < math.MaxFloat64 {
		v := t.BestLoss
		m.Validation = &v
	}
	if t.Network != nil {
		m.Places, m.Weights, m.Model = len(t.Network.Places()), t.Network.Size(), t.Network.Model
		if err := t.WriteCheckpoint(filepath.Join(j.Dir, checkpointFile)); err != nil {
			return err
		}
	}
	return j.WriteManifest()
}

// WriteManifest writes DIR/train.json.
func (j *Journal) WriteManifest() error {
	return disk.WriteJSON(filepath.Join(j.Dir, manifestFile), &j.Manifest)
}

// Close ends the records, and draws the loss curve.
func (j *Journal) Close(state string, reason error) error {
	j.Manifest.State, j.Manifest.Ended = state, time.Now().UTC()
	if reason != nil {
		j.Manifest.Error = reason.Error()
	}
	errs := []error{j.writeBest()} // also of a training that has failed since
	if len(j.points) > 0 {
		var curve []report.LossPoint
		for _, p := range j.points {
			curve = append(curve, report.LossPoint{Traces: float64(p.Traces), Loss: p.Loss, Validation: p.Validation})
		}
		errs = append(errs, j.writePoints(), report.LossCurve(j.Picture(), "training of "+filepath.Base(j.Network), curve))
	}
	errs = append(errs, j.WriteManifest())
	return errors.Join(append(errs, disk.Unlock(j.lock))...)
}

// HasCheckpoint tells whether there is anything to go on from.
func (j *Journal) HasCheckpoint() bool {
	_, err := os.Stat(filepath.Join(j.Dir, checkpointFile))
	return err == nil
}

// Picture is the file with the loss curve.
func (j *Journal) Picture() string { return filepath.Join(j.Dir, pictureFile) }

func (j *Journal) writePoints() error {
	return disk.Replace(filepath.Join(j.Dir, lossFile), func(f *os.File) error {
		w := csv.NewWriter(f)
		number := func(v float64) string {
			if math.IsNaN(v) {
				return ""
			}
			return strconv.FormatFloat(v, 'g', 9, 64)
		}
		rows := [][]string{{"traces", "seconds", "loss", "validation", "rate"}}
		for _, p := range j.points {
			rows = append(rows, []string{strconv.FormatUint(p.Traces, 10), number(p.Seconds), number(p.Loss), number(p.Validation), number(p.Rate)})
		}
		return w.WriteAll(rows)
	})
}

// readPoints reads the loss curve as far as the checkpoint.
func (j *Journal) readPoints(upTo uint64) error {
	f, _, err := disk.OpenRegular(filepath.Join(j.Dir, lossFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = 5
	rows, err := r.ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	for _, r := range rows[min(1, len(rows)):] {
		number := func(s string) float64 {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return math.NaN()
			}
			return v
		}
		n, err := strconv.ParseUint(r[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		if n <= upTo {
			j.points = append(j.points, Point{n, number(r[1]), number(r[2]), number(r[3]), number(r[4])})
		}
	}
	return nil
}

// Release gives the records back without a change.
func (j *Journal) Release() error { return disk.Unlock(j.lock) }
