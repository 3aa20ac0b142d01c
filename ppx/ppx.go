// Package ppx speaks PPX, the probabilistic execution protocol: flatbuffers messages over ZeroMQ REQ/REP
// between an inference engine and a simulator (docs/protocol.md).
//
// The engine opens the conversation and starts each run; from then on the simulator asks and the engine
// answers, statement by statement, until the run's result. The words are engine side and simulator side,
// never client and server: the simulator binds the socket, and it is also the one that asks.
//
// The package has both sides (Session and Serve), over ZeroMQ (Transport) and in memory (Pipe).
// Conversations are sans-I/O state machines over one codec; sockets stay behind the Conn interface.
package ppx

import (
	"errors"
	"fmt"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

//go:generate sh generate.sh

// Tensor and Dist are the values and the distributions of the protocol.
type (
	Tensor = dist.Tensor
	Dist   = dist.Dist
)

// Type numbers the messages as the protocol's union does.
type Type uint8

// The messages.
const (
	Handshake Type = iota + 1
	HandshakeResult
	Run
	RunResult
	Sample
	SampleResult
	Observe
	ObserveResult
	Tag
	TagResult
	Reset
	Statements // from here on, extension 1
	StatementsResult
	Abort
	numTypes
)

var typeNames = [numTypes]string{"None", "Handshake", "HandshakeResult", "Run", "RunResult", "Sample",
	"SampleResult", "Observe", "ObserveResult", "Tag", "TagResult", "Reset", "Statements", "StatementsResult", "Abort"}

func (t Type) String() string {
	if t >= numTypes {
		return fmt.Sprintf("message type %d", uint8(t))
	}
	return typeNames[t]
}

// Limits of what is accepted from a peer.
const (
	MaxMessage = 64 << 20 // bytes of one message; a setting (Limits)
	MaxAddress = 1 << 20  // bytes of an address or a name
)

// Limits bound what a peer may send. The number of elements of a tensor is bounded by dist.MaxElements.
type Limits struct {
	Message int // bytes; 0 means MaxMessage
}

// MaxMessage is the limit of a message in bytes.
func (l Limits) MaxMessage() int { return l.message() }

func (l Limits) message() int {
	if l.Message <= 0 {
		return MaxMessage
	}
	return l.Message
}

// Statement is one question of the simulator: a Sample, an Observe or a Tag.
//
// A statement and everything in it are views into the receiver's buffers, valid until the handler
// returns.
type Statement struct {
	Op      Type   // Sample, Observe or Tag
	Address string // opaque UTF-8, the place in the simulator's code
	Name    string // "" when unnamed
	Dist    Dist   // Kind None for a Tag and for an Observe without distribution
	Control bool   // Sample only: false asks that no proposal be used here
	// Value is that of an Observe (absent when the simulator has none) or a Tag, and of a Sample that the
	// simulator has drawn by itself in a delegated run.
	Value Tensor
	Form  *Form // what it has in common with others of the session, where that was sent once; else nil
}

// Message is one message in plain values; which fields count depends on Type.
type Message struct {
	Type       Type
	SystemName string // Handshake, HandshakeResult
	ModelName  string // HandshakeResult
	Statement         // Sample, Observe, Tag; Value also for RunResult and SampleResult

	Extension int      // Handshake, HandshakeResult: 0 for plain PPX 1.0
	Token     uint64   // of the engine's session, in all its messages; 0 for none
	Run       *WireRun // Run; nil for a plain one
	Chunk     *Chunk   // Statements, and what came before a Sample
	Error     string   // Reset
	Reason    Reason   // Reset
	Leave     bool     // Abort: the engine goes away
}

// Handler answers the statements of one run. The engine's recorder is one; a remote engine seen from the
// simulator is another, so that a model runs against either without a changed line.
//
// The handler must not keep the statement or its tensors after it returns, nor may the caller keep the
// returned tensor beyond the next call. After an error the run is over. Calls of one run never overlap.
type Handler interface {
	Sample(*Statement) (Tensor, error)
	Observe(*Statement) error
	Tag(*Statement) error
}

// Own is a distribution of the simulator's own: how it is drawn from uniform numbers, and its log density.
type Own struct {
	Draw    func(u *dist.Stream) float64
	LogProb func(x float64) float64
}

// Owner is a Handler that takes Samples of distributions of the simulator's own.
type Owner interface {
	Handler
	// Own is Sample for a distribution of a kind that is one (dist.Kind.Own): its first parameter becomes the log density of the value.
	Own(s *Statement, own Own) (Tensor, error)
}

// Model is a simulator written in Go: one call is one run. It asks h for every random number and returns
// h's errors unchanged.
type Model func(h Handler) (Tensor, error)

// The kinds of failure of a conversation; test with errors.Is.
var (
	ErrGone      = errors.New("simulator gone")              // closed its connection, exited, or was killed
	ErrOutOfStep = errors.New("out of step")                 // a message that the protocol does not allow here
	ErrMalformed = errors.New("malformed message")           // bytes that are no message, or beyond a limit
	ErrTimeout   = errors.New("timed out")                   // silence beyond a deadline
	ErrInvalid   = errors.New("invalid statement")           // understood, but meaningless: a negative stddev
	ErrAborted   = errors.New("run abandoned by the engine") // simulator side: the engine began anew, or does not want the run
	ErrFailed    = errors.New("the run failed")              // the simulator says so, and is ready for the next
	ErrBusy      = errors.New("simulator in use")            // it is another engine's
)

// Conn carries messages to and from one peer, strictly alternating. One goroutine uses it at a time. A
// received message is valid until the next Recv.
type Conn interface {
	Send(msg []byte) error
	// Recv waits for a message: ErrTimeout after the timeout (0: none), ErrGone when the peer or the
	// connection is closed.
	Recv(timeout time.Duration) ([]byte, error)
	Close() error
}
