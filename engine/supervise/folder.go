package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Folder is a private folder for the sockets of launched simulators.
type Folder struct {
	Path string
	lock *os.File // others see by it that the folder is in use
}

// NewFolder makes a private folder for the sockets of launched simulators, and removes those of engines that were killed.
func NewFolder() (_ *Folder, err error) {
	const inUse = "in-use"
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), "ppxs-*"))
	for _, d := range old {
		f, err := os.OpenFile(filepath.Join(d, inUse), os.O_RDWR, 0)
		if err != nil { // somebody else's, or just being made
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(d)
		}
		f.Close()
	}
	dir, err := os.MkdirTemp("", "ppxs-")
	if err != nil {
		return nil, err
	}
	x := &Folder{Path: dir}
	// Locked before it has the name by which others look for it.
	path := filepath.Join(dir, inUse)
	if x.lock, err = os.Create(path + ".new"); err == nil {
		if err = syscall.Flock(int(x.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return x, nil
}

// Close removes the folder.
func (f *Folder) Close() error { return errors.Join(os.RemoveAll(f.Path), f.lock.Close()) }
