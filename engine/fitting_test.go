package engine

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// kilobytes is a figure from a file in /proc.
func kilobytes(t *testing.T, path, name string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		var n int64
		if _, err := fmt.Sscanf(line, name+": %d kB", &n); err == nil {
			return n
		}
	}
	t.Fatalf("no %s in %s", name, path)
	return 0
}

// As many copies are launched as were asked for, or as fit into half of the free memory beside those that are there.
func TestCopiesFitIntoMemory(t *testing.T) {
	const most = math.MaxInt32
	var p Pool
	if got := p.fitting(7); got != 7 {
		t.Errorf("%d without a simulator, want the 7 that were asked for", got)
	}
	const members = 1e6 // so many that they are not mistaken for a change of what is free
	p.members = make([]*member, members)
	p.loops = []*loop{{}}
	if got := p.fitting(7); got != 7 {
		t.Errorf("%d before the first simulator has started, want 7", got)
	}
	sim := exec.Command("sleep", "1000")
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sim.Process.Kill()
		_ = sim.Wait()
	}()
	p.loops[0].pid.Store(int64(sim.Process.Pid))
	if got := p.fitting(2); got != 2 {
		t.Errorf("%d, want the 2 that were asked for", got)
	}
	// What is free changes all the time: at some time it does not, or lies between what it is before and after.
	free := func() int64 { return kilobytes(t, "/proc/meminfo", "MemAvailable") }
	size := func() int64 { return kilobytes(t, fmt.Sprintf("/proc/%d/status", sim.Process.Pid), "VmRSS") }
	for deadline := time.Now().Add(10 * time.Second); ; {
		before, size1 := free(), size()
		got := p.fitting(most)
		after, size2 := free(), size()
		low, high := members+int(min(before, after)/2/size1), members+int(max(before, after)/2/size1)
		if size1 == size2 && got >= low && got <= high {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d copies of %d kB fit into %d to %d kB, want %d to %d", got, size1, before, after, low, high)
		}
	}
	// A process that is gone has no size.
	_ = sim.Process.Kill()
	_ = sim.Wait()
	if got := p.fitting(most); got != most {
		t.Errorf("%d when the simulator has gone, want all that were asked for", got)
	}
}
