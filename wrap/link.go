package wrap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layout of the memory, as in adapters/hijack/link.hpp.
const (
	linkMagic = 0x314b4e494c585050

	atBell     = 8
	atCall     = 12
	atServer   = 16
	atRuns     = 20
	atStatus   = 24
	atPid      = 28
	atRequest  = 32
	atAnswer   = 36
	atAgain    = 40
	atTasks    = 44
	atSeed     = 48
	atStream   = 56
	atDraw     = 64
	atNext     = 72 // number of the next statement
	atAsk      = 80
	atLength   = 84
	atWritten  = 88
	atRead     = 96
	atNotices  = 104
	atArgc     = 168
	atEnvc     = 172
	atFlags    = 1 << 20
	flagsSize  = 1 << 20
	atTable    = 2 << 20
	atMemo     = 4 << 20
	atArgs     = 6 << 20
	argsSize   = 1 << 20
	atExchange = 7 << 20
	atLog      = 8 << 20
	linkSize   = 256 << 20
)

// What a hijacked process asks for.
const (
	requestSite = iota + 1
	requestValue
	requestRoom
	requestNext
	requestEnded
	requestFail
)

// What is said of a site.
const (
	flagBulk = 1 << iota
	flagAsk
	flagCaller
)

// How the program is run again.
const (
	againMain = iota
	againDraw
	againExec
	againManual
)

const (
	futexWait = 0
	futexWake = 1
)

// link is the memory that is shared with a hijacked process.
type link struct {
	mem  []byte
	file *os.File // inherited by the process
}

func newLink() (*link, error) {
	fd, err := unix.MemfdCreate("ppx", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory to share with the program: %w", err)
	}
	l := &link{file: os.NewFile(uintptr(fd), "ppx")}
	if err = unix.Ftruncate(fd, linkSize); err == nil {
		l.mem, err = unix.Mmap(fd, 0, linkSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	}
	if err != nil {
		return nil, fmt.Errorf("memory to share with the program: %w", errors.Join(err, l.file.Close()))
	}
	l.set64(0, linkMagic)
	return l, nil
}

func (l *link) close() error { return errors.Join(unix.Munmap(l.mem), l.file.Close()) }

func (l *link) word(at int) *uint32    { return (*uint32)(unsafe.Pointer(&l.mem[at])) }
func (l *link) long(at int) *uint64    { return (*uint64)(unsafe.Pointer(&l.mem[at])) }
func (l *link) get(at int) uint32      { return atomic.LoadUint32(l.word(at)) }
func (l *link) set(at int, v uint32)   { atomic.StoreUint32(l.word(at), v) }
func (l *link) get64(at int) uint64    { return atomic.LoadUint64(l.long(at)) }
func (l *link) set64(at int, v uint64) { atomic.StoreUint64(l.long(at), v) }
func (l *link) exchange() []byte {
	return l.mem[atExchange : atExchange+min(int(l.get(atLength)), 1<<20)]
}
func (l *link) setFlags(site int, flag byte) { l.mem[atFlags+site] = flag }

// tell sets a word for which the process waits, and wakes it.
func (l *link) tell(at int, v uint32) {
	l.set(at, v)
	l.wake(at)
}

func (l *link) wake(at int) {
	// The error of waking nobody is none.
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(l.word(at))), futexWake, math.MaxInt32, 0, 0, 0)
}

// ring is what wakes the side that is here.
func (l *link) ring() {
	atomic.AddUint32(l.word(atBell), 1)
	l.wake(atBell)
}

// wait waits until the bell has rung since it was at seen.
func (l *link) wait(seen uint32, d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(l.word(atBell))), futexWait, uintptr(seen), uintptr(unsafe.Pointer(&t)), 0, 0)
}

// forget makes places unknown: another process has other addresses.
func (l *link) forget() { clear(l.mem[atTable:atArgs]) }

// setArgs is the command line of the next run, and what is added to its environment.
func (l *link) setArgs(args, env []string) error {
	at := atArgs
	for _, list := range [][]string{args, env} {
		for _, s := range list {
			if at+len(s)+1 > atArgs+argsSize {
				return fmt.Errorf("the command line and the environment are longer than %d bytes", argsSize)
			}
			at += copy(l.mem[at:], s)
			l.mem[at] = 0
			at++
		}
	}
	l.set(atArgc, uint32(len(args)))
	l.set(atEnvc, uint32(len(env)))
	return nil
}

// record is a draw of the log.
type record struct {
	site   int
	kind   uint8
	asked  bool
	shape  []int32
	params []array
	value  []float64 // in the memory
	words  int
}

// array is a parameter.
type array struct {
	shape []int32
	data  []float64
}

var errLog = errors.New("what the program wrote to the memory that it shares with ppx wrap is damaged: it has written where it must not")

// read is the record of the log at an offset, up to what is written.
func (l *link) read(r *record, at, written uint64) error {
	if written > linkSize-atLog || at+16 > written {
		return errLog
	}
	mem := l.mem[atLog+at : atLog+written]
	words := uint64(binary.LittleEndian.Uint32(mem))
	if words < 2 || words*8 > uint64(len(mem)) {
		return errLog
	}
	long := unsafe.Slice((*uint64)(unsafe.Pointer(&mem[0])), words)
	numbers := unsafe.Slice((*float64)(unsafe.Pointer(&mem[0])), words)
	r.words = int(words)
	r.site = int(binary.LittleEndian.Uint32(mem[4:]))
	r.kind, r.asked = mem[8], mem[9] != 0
	params, rank := int(mem[10]), int(mem[11])
	size := uint64(binary.LittleEndian.Uint32(mem[12:]))
	next := uint64(2)
	dims := func(dst []int32, rank uint64) (shape []int32, n uint64, ok bool) {
		if next+rank > words {
			return nil, 0, false
		}
		n, shape = 1, dst[:0]
		for range rank {
			d := long[next]
			next++
			if d > math.MaxInt32 || n*d > words {
				return nil, 0, false
			}
			n *= d
			shape = append(shape, int32(d))
		}
		return shape, n, true
	}
	var n uint64
	var ok bool
	if r.shape, n, ok = dims(r.shape, uint64(rank)); !ok || n != size || params > 4 {
		return errLog
	}
	for len(r.params) < params {
		r.params = append(r.params, array{})
	}
	r.params = r.params[:params]
	var sizes [4]uint64
	for k := range r.params {
		if next >= words || long[next] > 16 {
			return errLog
		}
		rank := long[next]
		next++
		if r.params[k].shape, sizes[k], ok = dims(r.params[k].shape, rank); !ok {
			return errLog
		}
	}
	for k := range r.params {
		if next+sizes[k] > words {
			return errLog
		}
		r.params[k].data = numbers[next : next+sizes[k]]
		next += sizes[k]
	}
	if next+size != words {
		return errLog
	}
	r.value = numbers[next:]
	return nil
}
