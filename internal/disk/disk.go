// Package disk writes files so that they are whole at every moment, also when the process or the machine ends.
package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Replace makes a file appear as a whole: written beside, synced, renamed, and the folder synced.
func Replace(path string, write func(*os.File) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), temporary(filepath.Base(path))+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := write(tmp); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// temporary begins the names of files that are to become the named one; what follows has no ".": see Sweep.
func temporary(name string) string { return ".tmp-" + name + "." }

// Sweep removes what a Replace of the named file in a folder has left that was killed in its middle, or of any file where
// name is "". Whoever calls it is the only writer of these files.
func Sweep(dir, name string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), ".tmp-")
		if name != "" {
			if rest, ok = strings.CutPrefix(e.Name(), temporary(name)); ok {
				ok = !strings.Contains(rest, ".")
			}
		}
		if ok && rest != "" {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// WriteJSON is Replace with a value as indented JSON.
func WriteJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return Replace(path, func(f *os.File) error {
		_, err := f.Write(append(b, '\n'))
		return err
	})
}

// ErrLocked says that another process has the lock.
var ErrLocked = errors.New("another process is writing it")

// Lock makes this process the owner of a lock file, until Unlock or its end.
func Lock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: %w", filepath.Dir(path), ErrLocked)
		}
		// The owner before may have removed the file between our opening it and locking it: then it locks nobody out.
		mine, err := f.Stat()
		if there, e := os.Stat(path); err == nil && e == nil && os.SameFile(mine, there) {
			return f, nil
		}
		f.Close()
	}
}

// Holder tells whether a process has the lock, without getting in its way: by the system's table of locks. pid is that of a process that we may send a signal to, 0 if it is
// not known, as of another user or another machine.
func Holder(path string) (pid int, held bool) {
	there, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	system, ok := there.Sys().(*syscall.Stat_t)
	table, err := os.ReadFile("/proc/locks")
	if err != nil || !ok {
		return 0, Locked(path)
	}
	for line := range strings.Lines(string(table)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 08:01:567890 0 EOF
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[3] != "WRITE" {
			continue
		}
		parts := strings.Split(f[5], ":")
		if parts[len(parts)-1] != strconv.FormatUint(system.Ino, 10) { // devices are told otherwise by some file systems
			continue
		}
		p, err := strconv.Atoi(f[4])
		if err != nil || p <= 1 {
			held = held || p == 0 || p == -1 // of another container or machine
			continue
		}
		// It is this file, and not one of the same number elsewhere, if the process has it open.
		open, err := filepath.Glob(filepath.Join("/proc", f[4], "fd", "*"))
		if err != nil || len(open) == 0 { // another user's
			held = true
			continue
		}
		for _, fd := range open {
			if it, err := os.Stat(fd); err == nil && os.SameFile(it, there) {
				return p, true
			}
		}
	}
	return 0, held
}

// Locked tells whether another process has the lock.
func Locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil // shared: others who ask are not owners
}

// Unlock removes the lock file.
func Unlock(f *os.File) error { return errors.Join(os.Remove(f.Name()), f.Close()) }
