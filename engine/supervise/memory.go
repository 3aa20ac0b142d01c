package supervise

import (
	"fmt"
	"os"
	"strings"
)

// FreeMemory is how much memory is free on this machine, in kB; 0 where the system does not say.
func FreeMemory() int64 { return proc("/proc/meminfo", "MemAvailable: %d kB") }

// Memory is how much of it a process has, in kB; 0 where the system does not say.
func Memory(pid int64) int64 { return proc(fmt.Sprintf("/proc/%d/status", pid), "VmRSS: %d kB") }

func proc(path, line string) (n int64) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(b)) {
		_, _ = fmt.Sscanf(l, line, &n)
	}
	return n
}
