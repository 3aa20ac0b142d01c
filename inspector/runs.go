package inspector

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

// Run is a run directory in a list.
type Run struct {
	ID        string      `json:"id"` // its path below the folder that is served
	State     string      `json:"state"`
	Error     string      `json:"error,omitempty"`
	Verb      string      `json:"verb"`
	Model     string      `json:"model"`
	Method    string      `json:"method"`
	Data      bool        `json:"data"` // its traces are weighted by data
	Seed      uint64      `json:"seed"`
	N         uint64      `json:"n"`
	Traces    uint64      `json:"traces"`
	Failed    uint64      `json:"failed"`
	Seconds   view.Number `json:"seconds"`
	Started   time.Time   `json:"started"`
	Stoppable bool        `json:"stoppable"` // a process on this machine is writing it
}

// Runs is the list of runs, the latest first.
type Runs struct {
	Schema int    `json:"schema"`
	Dir    string `json:"dir"`
	Submit bool   `json:"submit"` // jobs are accepted
	Runs   []Run  `json:"runs"`
}

const (
	deepest  = 4
	mostRuns = 5000
)

var errUnknown = errors.New("there is no such run")

// list is the runs of the folder, as they were a moment ago.
func (s *Server) list() (*Runs, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	if s.listed != nil && time.Since(s.listedAt) < listEvery {
		return s.listed, nil
	}
	list, err := s.walk()
	if err == nil {
		s.listed, s.listedAt = list, time.Now()
	}
	return list, err
}

// listEvery is how old a list may be.
const listEvery = 300 * time.Millisecond

// walk looks for runs.
func (s *Server) walk() (*Runs, error) {
	out := &Runs{Schema: view.Schema, Dir: s.o.Dir, Submit: len(s.o.Allow) > 0, Runs: []Run{}}
	err := filepath.WalkDir(s.o.Dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == s.o.Dir:
			return err
		case err != nil: // what cannot be read is not shown
			return fs.SkipDir
		case !d.IsDir() || len(out.Runs) >= mostRuns:
			return nil
		case path != s.o.Dir && (strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(d.Name(), ".auto")): // what auto has tried on its way
			return fs.SkipDir
		}
		rel, err := filepath.Rel(s.o.Dir, path)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(path, "run.json")); err == nil {
			if rel == "." {
				rel = s.self()
			}
			out.Runs = append(out.Runs, describe(rel, path))
			return fs.SkipDir
		}
		if rel != "." && strings.Count(rel, string(filepath.Separator)) >= deepest-1 {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out.Runs, func(a, b Run) int { return b.Started.Compare(a.Started) })
	return out, nil
}

// describe is what a run's manifest says of it.
func describe(id, path string) Run {
	m, err := rundir.ReadManifest(path)
	if err != nil {
		return Run{ID: id, State: "unreadable", Error: ppx.Printable(err.Error())}
	}
	r := Run{ID: id, State: m.State, Error: ppx.Printable(m.Error), Model: ppx.Printable(m.Model), Method: methodOf(m), Data: m.Conditioned, Seed: m.Seed, N: m.N, Traces: m.Counts.Traces, Failed: m.Counts.Failed,
		Seconds: view.Number(m.Seconds), Started: m.Started, Verb: verbOf(m)}
	if m.State == rundir.Running {
		pid, held := disk.Holder(filepath.Join(path, rundir.LockFile))
		r.Stoppable = pid > 0
		if !held {
			r.State = "abandoned" // whoever wrote it is gone: it can be gone on with
		}
	}
	return r
}

// find is the path of a run.
func (s *Server) find(id string) (string, error) {
	if !filepath.IsLocal(id) {
		return "", fmt.Errorf("%w: %s", errUnknown, ppx.Quote(id))
	}
	path := filepath.Join(s.o.Dir, id)
	if id == s.self() { // the folder is a run itself
		if _, err := os.Stat(filepath.Join(s.o.Dir, "run.json")); err == nil {
			path = s.o.Dir
		}
	}
	// A link may lead out of the folder.
	real, err := filepath.Abs(path)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil || !below(s.dir, real) {
		return "", fmt.Errorf("%w: %s", errUnknown, ppx.Quote(id))
	}
	if _, err := os.Stat(filepath.Join(path, "run.json")); err != nil {
		return "", fmt.Errorf("%w: %s", errUnknown, ppx.Quote(id))
	}
	return path, nil
}

// self is what the folder is called if it is a run itself.
func (s *Server) self() string { return filepath.Base(s.dir) }

// below tells whether a path is in a folder.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// stateOf changes when a run does.
func stateOf(path string) (state string, live bool) {
	m, err := rundir.ReadManifest(path)
	if err != nil {
		return "unreadable", false
	}
	var b strings.Builder
	_, held := disk.Holder(filepath.Join(path, rundir.LockFile))
	fmt.Fprint(&b, m.State, m.Counts, m.N, held)
	for _, name := range []string{"run.json", "draws", "sites"} {
		if info, err := os.Stat(filepath.Join(path, name)); err == nil {
			fmt.Fprint(&b, " ", info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String(), m.State == rundir.Running && held
}

// methodOf is what a run's job was asked to do.
func methodOf(m *rundir.Manifest) string {
	if m.Auto != nil {
		return "auto: " + ppx.Printable(m.Method)
	}
	return ppx.Printable(m.Method)
}
