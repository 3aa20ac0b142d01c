// Package ppxlink is what a hijacked Go program's math/rand calls. ppx wrap --goflags puts it into the standard library of a build (as internal/ppxlink, with the streams of
// package dist beside it): it must not need a package that needs math/rand. The memory that it shares with ppx wrap is that of adapters/hijack/link.hpp.
package ppxlink

import (
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

const (
	magic      = 0x314b4e494c585050
	size       = 256 << 20
	atFlags    = 1 << 20
	atExchange = 7 << 20
	atLog      = 8 << 20

	kindUniform         = 2
	kindNormal          = 1
	kindExponential     = 7
	kindDiscreteUniform = 24
)

// head is the beginning of the memory.
type head struct {
	magic                            uint64
	bell, call, server, runs         uint32
	status, pid                      int32
	request, answer, again, tasks    uint32
	seed, stream, draw, statement    uint64
	ask, length                      uint32
	written, read                    uint64
	threads, forks, reseeded, clocks uint64
	outside, repeats, spare1, spare2 uint64
	argc, envc                       uint32
}

var (
	live      bool
	mem       []byte
	h         *head
	lock      sync.Mutex
	statement uint64
	sites     map[uint64]site // by a hash of the stack
	bulk      dist.Stream
	keyed     bool
)

// depth is how many calls tell places apart.
const depth = 512

type site struct {
	number uint32
	own    bool // of another goroutine: it is not told
}

func init() {
	text, ok := syscall.Getenv("PPX_LINK")
	if !ok {
		return
	}
	fd := 0
	for _, c := range text {
		fd = 10*fd + int(c-'0')
	}
	var s syscall.Stat_t
	if syscall.Fstat(fd, &s) != nil || s.Size != size {
		return
	}
	m, err := syscall.Mmap(fd, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_NORESERVE)
	_ = syscall.Close(fd) // it is nobody else's
	if err != nil {
		return
	}
	if h = (*head)(unsafe.Pointer(&m[0])); h.magic != magic {
		return
	}
	_ = syscall.Unsetenv("PPX_LINK")
	mem = m
	h.pid = int32(syscall.Getpid())
	statement = h.statement
	sites = map[uint64]site{}
	live = true
}

func futex(at *uint32, op, v uintptr, wait *syscall.Timespec) {
	// The errors are those of waking nobody and of waiting for what has come.
	_, _, _ = syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(at)), op, v, uintptr(unsafe.Pointer(wait)), 0, 0)
}

// request asks ppx wrap, and waits for the answer.
func request(what uint32) uint32 {
	h.request = what
	atomic.StoreUint32(&h.call, 1)
	atomic.AddUint32(&h.bell, 1)
	futex(&h.bell, 1, math.MaxInt32, nil)
	for atomic.LoadUint32(&h.call) != 2 {
		futex(&h.call, 0, 1, &syscall.Timespec{Sec: 1})
		if syscall.Getppid() == 1 {
			syscall.Exit(0)
		}
	}
	atomic.StoreUint32(&h.call, 0)
	return h.answer
}

// place is that of the call of math/rand.
func place(kind byte) (s site) {
	var pcs [depth]uintptr
	n := runtime.Callers(4, pcs[:])
	key := uint64(0x9E3779B97F4A7C15)
	for _, pc := range pcs[:n] {
		key = (key ^ uint64(pc)) * 0xFF51AFD7ED558CCD
		key ^= key >> 32
	}
	if s, ok := sites[key]; ok {
		return s
	}
	s = describe(kind)
	if len(sites) > 1<<16 {
		clear(sites)
	}
	sites[key] = s
	return s
}

// describe tells ppx wrap of a place: of each call its function, the text of addresses, the file and the line, outermost first.
func describe(kind byte) (s site) {
	all := make([]uintptr, 4096)
	frames := runtime.CallersFrames(all[:runtime.Callers(4, all)])
	var calls []string
	what, main := "", false // whether it is the goroutine that runs main
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if inRand(f.Function) {
			if len(calls) == 0 {
				what = base(f.Function)
			}
			continue
		}
		main = main || f.Function == "runtime.main"
		if f.Function == "runtime.main" || f.Function == "runtime.goexit" || f.Function == "" {
			continue
		}
		line := f.Line
		if f.Func != nil {
			_, first := f.Func.FileLine(f.Func.Entry())
			line -= first
		}
		calls = append(calls, f.Function+"\t"+base(f.Function)+"+"+strconv.Itoa(line)+"\t"+f.File+"\t"+strconv.Itoa(f.Line)+"\n")
	}
	if !main {
		atomic.AddUint64(&h.threads, 1)
		return site{own: true}
	}
	text := ""
	for i := len(calls) - 1; i >= 0; i-- {
		text += calls[i]
	}
	text += what
	if made(what) {
		text += "\t1"
	} else {
		text += "\t0"
	}
	if len(text) > 1<<19 {
		text = text[len(text)-1<<19:]
	}
	out := mem[atExchange:]
	put32(out, uint32(len(text)))
	put32(out[4:], math.MaxUint32)
	put32(out[8:], uint32(kind))
	put32(out[12:], 0)
	copy(out[16:], text)
	h.length = uint32(16 + len(text))
	return site{number: request(1)}
}

func inRand(f string) bool {
	return strings.HasPrefix(f, "math/rand.") || strings.HasPrefix(f, "math/rand/v2.") || strings.HasPrefix(f, "internal/ppxlink.")
}

// base is a function's name behind the last slash.
func base(f string) string { return f[strings.LastIndexByte(f, '/')+1:] }

// made tells whether a function's value is made of what is recorded.
func made(what string) bool {
	switch what[strings.LastIndexByte(what, '.')+1:] {
	case "Float64", "Float32", "NormFloat64", "ExpFloat64", "Intn", "Int63n", "Int31n", "IntN", "Int64N", "Int32N", "UintN", "Uint64N", "Uint32N", "N":
		return false
	}
	return true
}

func put32(b []byte, v uint32) { *(*uint32)(unsafe.Pointer(&b[0])) = v }
func put64(b []byte, v uint64) { *(*uint64)(unsafe.Pointer(&b[0])) = v }

// draw is a number by a family of up to two parameters; ok is false where it is the program's own to make.
func draw(kind byte, n int, a, b float64) (v float64, ok bool) {
	lock.Lock()
	defer lock.Unlock()
	s := place(kind)
	if s.own {
		return 0, false
	}
	if mem[atFlags+int(s.number)]&1 != 0 {
		if !keyed {
			key := math.Float64bits(record(0, kindUniform, 2, 0, 1))
			bulk, keyed = dist.NewStream(key, 0, 0, 0, 0), true
		}
		v, _ = value(&bulk, kind, a, b)
		return v, true
	}
	return record(s.number, kind, n, a, b), true
}

// record writes a draw down, and makes its value or asks for it.
func record(number uint32, kind byte, n int, a, b float64) float64 {
	words := 2 + n + n + 1
	if h.written+uint64(8*words) > size-atLog {
		request(3)
	}
	at := mem[atLog+h.written:]
	put32(at, uint32(words))
	put32(at[4:], number)
	at[8], at[9], at[10], at[11] = kind, 0, byte(n), 0
	put32(at[12:], 1)
	for k := range n {
		put64(at[16+8*k:], 0)
	}
	at = at[16+8*n:]
	put64(at, math.Float64bits(a))
	if n > 1 {
		put64(at[8:], math.Float64bits(b))
	}
	at = at[8*n:]
	stream := dist.NewStream(h.seed, h.stream, statement, h.draw, dist.PurposeValue)
	v, exact := value(&stream, kind, a, b)
	asked := h.ask != 0 || mem[atFlags+int(number)]&2 != 0 || !exact
	if asked {
		mem[atLog+h.written+9] = 1
	} else {
		put64(at, math.Float64bits(v))
	}
	atomic.StoreUint64(&h.written, h.written+uint64(8*words))
	if asked {
		request(2)
		v = math.Float64frombits(*(*uint64)(unsafe.Pointer(&at[0])))
	}
	statement++
	return v
}

// value draws as docs/random.md says; exact is false in the far tails of a Normal, for which the standard library has no function that is.
func value(s *dist.Stream, kind byte, a, b float64) (v float64, exact bool) {
	u := s.Float64()
	switch kind {
	case kindNormal:
		return a + b*math.Sqrt2*math.Erfinv(2*u-1), u > 1e-6 && u < 1-1e-6
	case kindExponential:
		return math.Min(math.Max(-math.Log1p(-u)/a, 0x1p-1022), math.MaxFloat64), true
	case kindDiscreteUniform:
		return math.Min(a+math.Floor(u*(b-a+1)), b), true
	}
	return math.Min(math.Max(a+(b-a)*u, a), b), true
}

// ---- What math/rand calls

// Float is a number of [0, 1).
func Float() (float64, bool) {
	if !live {
		return 0, false
	}
	u, ok := draw(kindUniform, 2, 0, 1)
	return math.Min(u, 1-0x1p-53), ok
}

// Float32 is the same in single precision.
func Float32() (float32, bool) {
	if !live {
		return 0, false
	}
	u, ok := draw(kindUniform, 2, 0, 1)
	return min(float32(u), 1-0x1p-24), ok
}

// Bits is a number of so many bits, up to 64.
func Bits(n int) (uint64, bool) {
	if !live {
		return 0, false
	}
	u, ok := draw(kindUniform, 2, 0, 1)
	if n <= 53 {
		return uint64(math.Min(u*float64(uint64(1)<<n), float64(uint64(1)<<n)-1)), ok
	}
	// A double has 53 bits: the others are made of them, as some code takes the lowest bits for themselves. (SplitMix64's mixing function.)
	k := uint64(math.Min(u*0x1p53, 0x1p53-1))
	x := (k ^ k>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return k<<(n-53) | (x^x>>31)>>(64-(n-53)), ok
}

// Below is a number of 0, …, n − 1.
func Below(n uint64) (uint64, bool) {
	if !live || n == 0 {
		return 0, false
	}
	if n > 1<<53 {
		u, ok := draw(kindUniform, 2, 0, 1)
		return min(uint64(u*float64(n)), n-1), ok
	}
	v, ok := draw(kindDiscreteUniform, 2, 0, float64(n-1))
	return uint64(v), ok
}

// Norm is a number of the standard Normal.
func Norm() (float64, bool) {
	if !live {
		return 0, false
	}
	return draw(kindNormal, 2, 0, 1)
}

// Exp is a number of the Exponential of rate 1.
func Exp() (float64, bool) {
	if !live {
		return 0, false
	}
	return draw(kindExponential, 1, 1, 0)
}

// Live tells whether draws may be a run's.
func Live() bool { return live }

// Seeded tells that a generator is seeded.
func Seeded(seed int64) {
	if !live {
		return
	}
	lock.Lock()
	defer lock.Unlock()
	for _, s := range seeds {
		if s == seed {
			atomic.AddUint64(&h.reseeded, 1)
			return
		}
	}
	if len(seeds) < 256 {
		seeds = append(seeds, seed)
	}
}

var seeds []int64
