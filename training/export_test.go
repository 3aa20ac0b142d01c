package training

import "os"

// LookEvery is lookEvery.
var LookEvery = &lookEvery

// Step makes one with what is held out.
func Step[E Example](t *Trainer[E]) (loss, norm float64, err error) { return t.step(t.held) }

// DropLock releases the lock of a journal, as the end of its process does.
func DropLock[E Example](j *Journal[E]) {
	j.lock.Close()
	os.Remove(j.lock.Name())
}
