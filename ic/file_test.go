package ic

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// rewritten is a network file with another description.
func rewritten(t *testing.T, file []byte, change func(*description)) []byte {
	t.Helper()
	n := binary.LittleEndian.Uint64(file)
	var head map[string]any
	if err := json.Unmarshal(file[8:8+n], &head); err != nil {
		t.Fatal(err)
	}
	meta := head["__metadata__"].(map[string]any)
	var d description
	if err := json.Unmarshal([]byte(meta["network"].(string)), &d); err != nil {
		t.Fatal(err)
	}
	change(&d)
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	meta["network"] = string(text)
	b, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(b)))
	return append(append(out, b...), file[8+n:]...)
}

// A description that asks for more than the file holds, or for numbers that nothing can be divided by, is refused before
// memory is taken for it.
func TestHostileNetworkFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.net")
	if err := WriteFile(path, trained(t, small(), everything, 1), nil); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(rewritten(t, file, func(*description) {})); err != nil {
		t.Fatal(err)
	}
	image := func(d *description) *Observable {
		for _, o := range d.Observables {
			if o.Embedding.dims() > 0 {
				return o
			}
		}
		t.Fatal("no observable has a CNN")
		return nil
	}
	for name, change := range map[string]func(*description){
		"categories": func(d *description) {
			d.Addresses[0].KindName, d.Addresses[0].Categories = "Categorical", maxCategories
		},
		"components":  func(d *description) { d.Settings.Components = 1 << 10; d.Settings.Trunk = 1 << 14 },
		"lstm":        func(d *description) { d.Settings.Hidden = 1 << 12 },
		"depth":       func(d *description) { d.Settings.Hidden, d.Settings.Depth = 1<<10, 16 },
		"addresses":   func(d *description) { d.Settings.Address = 1 << 12 },
		"observable":  func(d *description) { d.Observables[0].Embedding.Dim = 4096 },
		"channels":    func(d *description) { image(d).Embedding.Stages = []int{4096, 4096, 4096} },
		"image":       func(d *description) { image(d).Shape = []int{10_000, 10_000}; image(d).Embedding.Stages = []int{16} },
		"negative sd": func(d *description) { image(d).SD[0] = -1 },
		"spread":      func(d *description) { d.Addresses[0].Spread = 0 },
		"many places": func(d *description) {
			for range 5000 {
				p := *d.Addresses[0]
				p.Base = fmt.Sprint(p.Base, len(d.Addresses))
				d.Addresses = append(d.Addresses, &p)
			}
		},
	} {
		b := rewritten(t, file, change)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := read(b)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrFile) || strings.Contains(err.Error(), "runtime error") {
			t.Errorf("%s: %v", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(8*len(b))+64<<20 {
			t.Errorf("%s: %d MiB were taken for a file of %d MiB", name, grown>>20, len(b)>>20)
		}
	}
	if _, _, err := ReadFile("/dev/zero"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Error(err)
	}
}
