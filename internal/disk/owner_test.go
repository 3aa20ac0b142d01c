package disk_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/disk"
)

// A lock that is given back and taken all the time has one owner at any time. (Unlock removes the file first: who has
// opened it before, and locks it after, has a lock on a file that is no more, beside the next one's on a new file.)
func TestLockHasOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	var owners, twice, failed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				f, err := disk.Lock(path)
				if err != nil {
					continue
				}
				if owners.Add(1) != 1 {
					twice.Add(1)
				}
				owners.Add(-1)
				if disk.Unlock(f) != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if twice.Load()+failed.Load() > 0 {
		t.Errorf("%d times two had the lock; %d times it could not be given back", twice.Load(), failed.Load())
	}
}

// A folder's name is no pattern: sweeping run[12] leaves run1, where somebody else is writing, alone.
func TestSweepTakesFoldersByName(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"run1", "run[12]"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, ".tmp-f.1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	disk.Sweep(filepath.Join(dir, "run[12]"), "f")
	if _, err := os.Stat(filepath.Join(dir, "run1", ".tmp-f.1")); err != nil {
		t.Errorf("the other folder's file is gone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run[12]", ".tmp-f.1")); err == nil {
		t.Error("this folder's file is still there")
	}
}
