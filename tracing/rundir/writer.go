package rundir

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"time"

	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/tracing"
)

const (
	// A part has about this many sites, and at most about this many numbers in them; a power of two of draws.
	partSites   = 120_000
	partNumbers = 4 << 20
	maxPartSize = 1 << 16
	// The part size is chosen when this many draws have come, or partNumbers numbers.
	sizingDraws = 64
	// DefaultSync is how old a finished trace gets before it is on disk, however slowly others follow.
	DefaultSync = 2 * time.Second
	syncTick    = 100 * time.Millisecond
)

//go:embed views.sql
var viewsSQL []byte

// Writer stores traces in a run directory, part by part. The part that is being filled is written every
// two seconds too, as a whole, so that a kill costs at most that much and every file on disk is always
// complete. Write is called by one goroutine.
type Writer struct {
	Path string

	mu       sync.Mutex // guards all below: the sync goroutine writes too
	m        *Manifest
	lock     *os.File
	enc      encoder
	open     part   // the one that is being filled
	closed   Counts // of the parts before
	unsaved  bool
	every    time.Duration // between two syncs
	lastSync time.Time
	cost     time.Duration // of the last sync
	err      error
	started  time.Time
	before   float64 // seconds of earlier sessions
	pending  int     // number of the last folder of pending traces

	// Pending are finished traces of a resumed run that wait for earlier draws.
	Pending []*tracing.Trace

	next    atomic.Int64     // the first row that has not been written
	earlyMu sync.Mutex       // not mu, which is held while the disk is slow
	early   []*tracing.Trace // some of them have come in their turn meanwhile
	earlier bool             // others wait than were stored last
	seen    int64            // next, when it was looked at last,
	since   time.Time        // and when it came to that

	known   map[int64]bool            // addresses that are on disk, or new in the open part
	cache   map[*tracing.Table][]bool // the same, by a table's numbers
	stop    chan struct{}
	stopped sync.WaitGroup
}

var _ tracing.Writer = (*Writer)(nil)

// part is the traces of one file of each kind.
type part struct {
	number uint64
	traces []*tracing.Trace
	fresh  []addressRow // addresses that stand in no earlier part
}

// readPart reads part k again, to be written anew.
func (r *Reader) readPart(k uint64) (p part, err error) {
	p.number = k
	if p.traces, err = r.Part(k); err == nil {
		p.fresh, err = readAddressPart(r.Path, k)
	}
	return p, err
}

// ErrExists says that a folder for a new run is not empty.
var ErrExists = errors.New("exists and is not empty")

// LockFile is in a folder that is being written.
const LockFile = ".lock"

// ErrLocked says that another process writes the run.
var ErrLocked = disk.ErrLocked

// Create makes the folder of a new run with these observed values. Errors: ErrExists where there is something already, ErrLocked where
// somebody is about to.
func Create(path string, m *Manifest, data map[string]ppx.Tensor) (*Writer, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	lock, err := disk.Lock(filepath.Join(path, LockFile))
	if err != nil {
		return nil, err
	}
	if err := Free(path); err != nil {
		return nil, errors.Join(err, disk.Unlock(lock))
	}
	for _, dir := range kinds {
		if err := os.MkdirAll(filepath.Join(path, dir), 0o755); err != nil {
			return nil, errors.Join(err, disk.Unlock(lock))
		}
	}
	w := newWriter(path, m)
	w.lock = lock
	m.Format, m.State, m.Started, m.Host = Format, Running, time.Now().UTC().Truncate(time.Second), host()
	err = disk.Replace(filepath.Join(path, "views.sql"), func(f *os.File) error {
		_, err := f.Write(viewsSQL)
		return err
	})
	// run.json last: a run that can be resumed knows its data.
	if err = errors.Join(err, m.setData(path, data)); err == nil {
		err = m.write(path)
	}
	if err != nil {
		disk.Unlock(w.lock)
		return nil, err
	}
	w.begin()
	return w, nil
}

// kinds are the folders of the three kinds of files.
var kinds = []string{"draws", "sites", "addresses"}

// Free is nil where Create can make a run: the folder does not exist, is empty, or holds at most what a Create leaves that was killed
// before run.json. Otherwise it is an ErrExists.
func Free(path string) error {
	exists := fmt.Errorf("%s %w", path, ErrExists)
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	made := 0 // of the folders, which come first
	for _, e := range entries {
		if slices.Contains(kinds, e.Name()) {
			made++
		}
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == LockFile:
		case made == len(kinds) && (name == "views.sql" || name == dataFile || strings.HasPrefix(name, ".tmp-")):
		case e.IsDir() && slices.Contains(kinds, name):
			if inside, err := os.ReadDir(filepath.Join(path, name)); err != nil || len(inside) > 0 {
				return exists
			}
		default:
			return exists
		}
	}
	return nil
}

func newWriter(path string, m *Manifest) *Writer {
	return &Writer{Path: path, m: m, enc: encoder{bare: m.NoParameters}, known: map[int64]bool{}, since: time.Now(), cache: map[*tracing.Table][]bool{},
		started: time.Now(), every: DefaultSync, lastSync: time.Now(), before: m.Seconds, stop: make(chan struct{})}
}

// Resume continues a run. It calls each for every trace that is recorded, in order (they use table), and
// returns the number of the first draw that is missing. The caller may change m, which is the manifest,
// before the first Write. Errors: those of Open, and ErrLocked.
func Resume(ctx context.Context, path string, table *tracing.Table, each func(*tracing.Trace) error) (w *Writer, m *Manifest, next uint64, err error) {
	if _, err := ReadManifest(path); err != nil { // before a lock file appears in some other folder
		return nil, nil, 0, err
	}
	mine, err := disk.Lock(filepath.Join(path, LockFile))
	if err != nil {
		return nil, nil, 0, err
	}
	defer func() {
		if err != nil {
			disk.Unlock(mine)
		}
	}()
	for _, dir := range append([]string{""}, kinds...) { // what a kill has left
		disk.Sweep(filepath.Join(path, dir), "")
	}
	r, err := Open(path, table)
	if err != nil {
		return nil, nil, 0, err
	}
	m = r.Manifest
	w = newWriter(path, m)
	w.lock = mine
	for _, a := range r.Addresses() {
		w.known[a.ID()] = true
	}
	next = m.First
	m.Counts.Traces, m.Counts.Failed, m.Counts.BadWeights = 0, 0, 0
	var last Counts // without the last part
	for k := uint64(0); ; k++ {
		traces, err := r.Part(k)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, nil, 0, err
		}
		for _, t := range traces {
			if t.Row != int64(next) {
				return nil, nil, 0, damaged(partName(path, "draws", k), fmt.Errorf("row %d where %d was expected", t.Row, next))
			}
			next++
			if err := each(t); err != nil {
				return nil, nil, 0, err
			}
		}
		w.open, last = part{number: k, traces: traces}, m.Counts
		m.Counts.add(traces...)
	}
	w.closed = last
	if m.PartSize > 0 && uint64(len(w.open.traces)) == m.PartSize {
		w.open, w.closed = part{number: w.open.number + 1}, m.Counts
	}
	// The open part is written again with the addresses that it brought.
	if rows, err := readAddressPart(path, w.open.number); err == nil {
		w.open.fresh = rows
	}
	waiting, number, err := readPending(path, r.Table)
	if err != nil {
		return nil, nil, 0, err
	}
	w.pending = number
	w.next.Store(int64(next))
	for _, t := range waiting {
		if t.Row >= int64(next) {
			w.Pending = append(w.Pending, t)
			w.early = append(w.early, t)
		}
	}
	m.State, m.Error, m.Ended, m.Cut = Running, "", nil, nil
	if err := m.write(path); err != nil {
		return nil, nil, 0, err
	}
	w.begin()
	return w, m, next, nil
}

// begin starts the goroutine that saves the open part from time to time.
func (w *Writer) begin() {
	w.stopped.Go(func() {
		tick := time.NewTicker(syncTick)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				w.mu.Lock()
				if w.err == nil && w.due() {
					w.err = w.save()
				}
				if waiting, changed := w.waiting(false); w.err == nil && changed {
					w.err = w.savePending(waiting)
				}
				w.mu.Unlock()
			}
		}
	})
}

// SyncEvery sets how old a finished trace gets before it is on disk.
func (w *Writer) SyncEvery(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.every = d
}

// due tells whether the open part is to be saved: not more than a tenth of the time goes into it.
func (w *Writer) due() bool {
	return w.unsaved && time.Since(w.lastSync) >= max(w.every, 10*w.cost)
}

// Write implements tracing.Writer.
func (w *Writer) Write(_ context.Context, t *tracing.Trace) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.next.Store(t.Row + 1)
	w.open.traces = append(w.open.traces, t)
	w.unsaved = true
	w.err = w.closeParts()
	if w.err == nil && w.due() {
		w.err = w.save()
	}
	return w.err
}

// add counts traces.
func (c *Counts) add(traces ...*tracing.Trace) {
	for _, t := range traces {
		if t.Status == tracing.Failed {
			c.Failed++
			continue
		}
		c.Traces++
		if t.Bad() {
			c.BadWeights++
		}
	}
}

// tally makes the manifest count what is on disk, when the open part has been written.
func (w *Writer) tally() {
	c := w.closed
	c.add(w.open.traces...)
	c.LostAndRedrawn = w.m.Counts.LostAndRedrawn
	w.m.Counts = c
}

// choosePartSize looks at the first draws: as many as it takes for a decision, 0 while there are too few. The
// size is at least their number, so that a part never shrinks, and depends on nothing but them, so that it
// is the same after a resume.
func choosePartSize(traces []*tracing.Trace, bare bool) uint64 {
	sites, numbers := 0, 0
	for i, t := range traces {
		sites += len(t.Sites)
		numbers += size(t, bare)
		n := i + 1
		if n < sizingDraws && numbers < partNumbers {
			continue
		}
		b := uint64(1)
		for b < maxPartSize && (int(b) < n || int(b)*sites/n < partSites && int(b)*(numbers/n) < partNumbers) {
			b *= 2
		}
		return b
	}
	return 0
}

// size is how many numbers a trace is on disk, where parameters have been broadcast, or left out.
func size(t *tracing.Trace, bare bool) int {
	n := 8 + len(t.Result.Data)
	var d ppx.Dist
	for i := range t.Sites {
		v := len(t.Value(i).Data)
		if n += 8 + v; !bare {
			t.DistInto(i, &d)
			n += d.FlatLen(v)
		}
	}
	return n
}

// closeParts writes the parts that are full.
func (w *Writer) closeParts() error {
	if w.m.PartSize == 0 {
		if w.m.PartSize = choosePartSize(w.open.traces, w.m.NoParameters); w.m.PartSize == 0 {
			return nil
		}
	}
	for uint64(len(w.open.traces)) >= w.m.PartSize {
		if err := w.closePart(); err != nil {
			return err
		}
	}
	return nil
}

// closePart writes the first PartSize open traces as a part for good.
func (w *Writer) closePart() error {
	all := w.open.traces
	w.open.traces = all[:w.m.PartSize]
	rest := append([]*tracing.Trace(nil), all[w.m.PartSize:]...)
	if err := w.save(); err != nil {
		return err
	}
	w.closed = w.m.Counts
	w.open = part{number: w.open.number + 1, traces: rest}
	w.unsaved = len(rest) > 0
	return nil
}

// save writes the open part and the manifest. The draws come last: a part is what they say.
func (w *Writer) save() error {
	start := time.Now()
	if err := w.write(&w.open); err != nil {
		return err
	}
	w.tally()
	w.m.Seconds = w.before + time.Since(w.started).Seconds()
	if err := w.m.write(w.Path); err != nil {
		return err
	}
	w.unsaved = false
	w.lastSync = time.Now()
	w.cost = time.Since(start)
	return nil
}

// write writes the files of a part: what others refer to first.
func (w *Writer) write(p *part) error {
	var known []bool // of the table's addresses
	var table *tracing.Table
	for _, t := range p.traces {
		if t.Table != table {
			table, known = t.Table, w.cache[t.Table]
		}
		for i := range t.Sites {
			if a := t.Sites[i].Address; int(a) >= len(known) || !known[a] {
				known = w.note(p, t, a)
			}
		}
	}
	if len(w.known) > maxAddresses {
		return fmt.Errorf("%s: more than %d addresses: do they hold something that differs in every run?", w.Path, maxAddresses)
	}
	if err := disk.Replace(partName(w.Path, "addresses", p.number), func(f *os.File) error { return w.enc.writeAddresses(f, p.fresh) }); err != nil {
		return err
	}
	err := disk.Replace(partName(w.Path, "sites", p.number), func(f *os.File) error { return w.enc.writeSites(f, p.traces) })
	if err != nil {
		return err
	}
	return disk.Replace(partName(w.Path, "draws", p.number), func(f *os.File) error { return w.enc.writeDraws(f, p.traces) })
}

// note makes an address one of those that are new in a part, unless it is on disk; it returns which of the table's are known now.
func (w *Writer) note(p *part, t *tracing.Trace, address uint32) (known []bool) {
	c := w.cache[t.Table]
	for int(address) >= len(c) {
		c = append(c, false)
	}
	c[address] = true
	w.cache[t.Table] = c
	a := t.Table.Address(address)
	if w.known[a.ID()] {
		return c
	}
	w.known[a.ID()] = true
	row := addressRow{ID: a.ID(), Base: a.Base, Role: tracing.Role(a.Op), Params: a.Kind.Params()}
	if a.Kind != dist.None {
		row.Kind = a.Kind.String()
		if at := strings.LastIndex(a.Base, "__"); at >= 0 { // with the sizes of rows
			row.Kind = a.Base[at+2:]
		}
	}
	p.fresh = append(p.fresh, row)
	return c
}

// Update changes the manifest; it reaches the disk with the next part.
func (w *Writer) Update(change func(*Manifest)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.m)
}

// Replace puts traces in the place of failed ones of the same rows. Only after Resume, before the first
// Write.
func (w *Writer) Replace(r *Reader, by map[int64]*tracing.Trace) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	parts := map[uint64]bool{}
	for row := range by {
		parts[w.partOf(row)] = true
	}
	for k := range parts {
		p := &w.open
		if k != w.open.number {
			old, err := r.readPart(k)
			if err != nil {
				return err
			}
			p = &old
		}
		var before, after Counts
		before.add(p.traces...)
		for i, t := range p.traces {
			if n, ok := by[t.Row]; ok {
				p.traces[i] = n
			}
		}
		after.add(p.traces...)
		if err := w.write(p); err != nil {
			return err
		}
		if p != &w.open {
			w.closed.Traces += after.Traces - before.Traces
			w.closed.Failed += after.Failed - before.Failed
			w.closed.BadWeights += after.BadWeights - before.BadWeights
		}
	}
	w.tally()
	return w.m.write(w.Path)
}

func (w *Writer) partOf(row int64) uint64 {
	if w.m.PartSize == 0 {
		return 0
	}
	return (uint64(row) - w.m.First) / w.m.PartSize
}

// Close saves what is open and the state. After an error of Write it keeps what is on disk and returns
// that error, having tried to note it.
func (w *Writer) Close(state string, reason error) error {
	close(w.stop)
	w.stopped.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer disk.Unlock(w.lock)
	now := time.Now().UTC().Truncate(time.Second)
	w.m.State, w.m.Ended, w.m.Error = state, &now, ""
	if reason != nil {
		w.m.Error = reason.Error()
	}
	w.m.Seconds = w.before + time.Since(w.started).Seconds()
	if w.err != nil {
		return w.fail(w.err)
	}
	if err := w.closeParts(); err != nil {
		return w.fail(err)
	}
	if waiting, changed := w.waiting(true); changed {
		if err := w.savePending(waiting); err != nil {
			return w.fail(err)
		}
	}
	if len(w.open.traces) > 0 || w.open.number == 0 {
		if err := w.save(); err != nil {
			return w.fail(err)
		}
		return nil
	}
	return w.m.write(w.Path)
}

// fail notes in the manifest that the run has failed, and what of it is there. The disk may be full: then run.json stays as
// it was, and the parts are readable without.
func (w *Writer) fail(err error) error {
	w.m.State, w.m.Error = Failed, err.Error()
	if _, e := os.Stat(partName(w.Path, "draws", 0)); e != nil { // somebody has removed the folder, or it never was
		w.m.Counts = Counts{LostAndRedrawn: w.m.Counts.LostAndRedrawn}
	}
	_ = w.m.write(w.Path)
	return err
}

func host() Host {
	h := Host{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), OS: runtime.GOOS}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return h
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			h.CPU = strings.TrimSpace(value)
			break
		}
	}
	return h
}
