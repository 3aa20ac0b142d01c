// Package disk writes files so that they are whole at every moment, also when the process or the machine ends.
package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
			if err := sign(f); err != nil {
				return nil, errors.Join(err, Unlock(f))
			}
			return f, nil
		}
		f.Close()
	}
}

// sign writes who has the lock.
func sign(f *os.File) error {
	host, err := os.Hostname()
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), host), 0)
	}
	return err
}

// Owner is the process on this machine that has the lock; not ok if none has, or one of another machine.
func Owner(path string) (pid int, ok bool) {
	if !Locked(path) {
		return 0, false
	}
	b, err := ReadFile(path, 1000)
	if err != nil {
		return 0, false
	}
	var host string
	if n, err := fmt.Sscan(string(b), &pid, &host); n != 2 || err != nil || pid <= 1 {
		return 0, false
	}
	own, err := os.Hostname()
	return pid, err == nil && host == own
}

// Locked tells whether another process has the lock.
func Locked(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// Unlock removes the lock file.
func Unlock(f *os.File) error { return errors.Join(os.Remove(f.Name()), f.Close()) }
