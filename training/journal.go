package training

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

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
)

// Journal is what a training leaves behind: the network itself (the best so far), and a folder with the checkpoint, the
// loss curve as CSV and as a picture, and a manifest.
type Journal[E Example] struct {
	Network  string // file
	Dir      string
	Manifest Manifest

	lock   *os.File
	points []Point
	best   Snapshot // that is not in its file yet
	draw   func(path, title string, curve []Point) error
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

// CreateJournal begins a training's records; draw makes the picture of the loss curve. Errors: ErrExists, disk.ErrLocked.
func CreateJournal[E Example](network, dir string, draw func(path, title string, curve []Point) error) (*Journal[E], error) {
	for _, path := range []string{network, filepath.Join(dir, checkpointFile), filepath.Join(dir, lossFile)} {
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s %w; give another -o, or --resume to go on with it", path, ErrExists)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	j := &Journal[E]{Network: network, Dir: dir, draw: draw, Manifest: Manifest{Format: 1, State: rundir.Running, Network: network, Started: time.Now().UTC()}}
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
func ResumeJournal[E Example](network, dir string, draw func(path, title string, curve []Point) error, read Read[E]) (j *Journal[E], t *Trainer[E], err error) {
	j = &Journal[E]{Network: network, Dir: dir, draw: draw}
	if j.Manifest, err = ReadManifest(dir); err != nil {
		return nil, nil, err
	}
	if err := j.open(); err != nil {
		return nil, nil, err
	}
	if t, err = j.resume(read); err != nil {
		return nil, nil, errors.Join(err, j.Release())
	}
	return j, t, nil
}

func (j *Journal[E]) resume(read Read[E]) (t *Trainer[E], err error) {
	path := filepath.Join(j.Dir, checkpointFile)
	t, err = ReadCheckpoint(path, read)
	if errors.Is(err, fs.ErrNotExist) {
		c := j.Manifest.Config
		if err := c.Complete(); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(j.Dir, manifestFile), err)
		}
		t, err = NewTrainer[E](c), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w (without %s the training begins anew)", err, path)
	}
	j.Manifest.State, j.Manifest.Error = rundir.Running, ""
	return t, j.readPoints(t.Traces)
}

func (j *Journal[E]) open() (err error) {
	if j.lock, err = disk.Lock(filepath.Join(j.Dir, ".lock")); err != nil {
		return err
	}
	disk.Sweep(j.Dir, "")
	disk.Sweep(filepath.Dir(j.Network), filepath.Base(j.Network))
	return nil
}

// Point adds a point to the loss curve.
func (j *Journal[E]) Point(p Point) error {
	j.points = append(j.points, p)
	return nil
}

// Best notes that the best network has changed.
func (j *Journal[E]) Best(t *Trainer[E]) error {
	j.best = t.Best
	return nil
}

func (j *Journal[E]) writeBest() error {
	if j.best == nil {
		return nil
	}
	err := j.best.Write(j.Network, nil)
	if err == nil {
		j.best = nil
	}
	return err
}

// Save writes everything: the network before the checkpoint, so that what a resumed training takes for written is.
func (j *Journal[E]) Save(t *Trainer[E]) error {
	if _, err := os.Stat(j.Network); j.best == nil && t.Model != nil && t.Step > 0 && errors.Is(err, fs.ErrNotExist) {
		j.best = t.Model // somebody has removed the best one: better this than none
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
	if t.Model != nil {
		d := t.Model.Describe()
		m.Places, m.Weights, m.Model = d.Addresses, d.Weights, d.Simulator
		if err := t.WriteCheckpoint(filepath.Join(j.Dir, checkpointFile)); err != nil {
			return err
		}
	}
	return j.WriteManifest()
}

// WriteManifest writes DIR/train.json.
func (j *Journal[E]) WriteManifest() error {
	return disk.WriteJSON(filepath.Join(j.Dir, manifestFile), &j.Manifest)
}

// Close ends the records, and draws the loss curve.
func (j *Journal[E]) Close(state string, reason error) error {
	j.Manifest.State, j.Manifest.Ended = state, time.Now().UTC()
	if reason != nil {
		j.Manifest.Error = reason.Error()
	}
	errs := []error{j.writeBest()} // also of a training that has failed since
	if len(j.points) > 0 {
		errs = append(errs, j.writePoints(), j.draw(j.Picture(), "training of "+filepath.Base(j.Network), j.points))
	}
	errs = append(errs, j.WriteManifest())
	return errors.Join(append(errs, disk.Unlock(j.lock))...)
}

// HasCheckpoint tells whether there is anything to go on from.
func (j *Journal[E]) HasCheckpoint() bool {
	_, err := os.Stat(filepath.Join(j.Dir, checkpointFile))
	return err == nil
}

// Picture is the file with the loss curve.
func (j *Journal[E]) Picture() string { return filepath.Join(j.Dir, pictureFile) }

func (j *Journal[E]) writePoints() error {
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
func (j *Journal[E]) readPoints(upTo uint64) error {
	points, err := ReadCurve(j.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, p := range points {
		if p.Traces <= upTo {
			j.points = append(j.points, p)
		}
	}
	return err
}

// ReadCurve is the loss curve in a training's folder; NaN stands for what is not known. Errors: fs.ErrNotExist, those of a file that is no such table.
func ReadCurve(dir string) (out []Point, err error) {
	f, _, err := disk.OpenRegular(filepath.Join(dir, lossFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = 5
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
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
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		out = append(out, Point{n, number(r[1]), number(r[2]), number(r[3]), number(r[4])})
	}
	return out, nil
}

// Release gives the records back without a change.
func (j *Journal[E]) Release() error { return disk.Unlock(j.lock) }
