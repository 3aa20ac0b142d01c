package dist

import "math/bits"

// Stream is a sequence of uniform random numbers computed by Philox4x64-10 (Salmon, Moraes, Dror and
// Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) from a key and a counter, so that any part of
// any run can be drawn again by itself.
//
// The key is (seed, stream). The counter is (block, statement, draw, purpose): the first word counts
// blocks of four numbers within one Stream and starts at 0. numpy's Philox and C++26's std::philox4x64
// compute the same function (numpy increments the counter before its first block).
type Stream struct {
	key  [2]uint64
	ctr  [4]uint64
	buf  [4]uint64
	left int
	ask  func() uint64 // in place of the generator
}

// Asking is a stream whose uniform numbers come from somewhere else: one call of u for each.
func Asking(u func() float64) Stream {
	return Stream{ask: func() uint64 { return uint64(clamp(u(), 0, belowOne)*0x1p53) << 11 }}
}

// StreamKind is what a seed's random numbers are used for. Uses with numbers of their own never share one: data that were
// simulated with a seed can be inverted with the same seed, and nothing of what is drawn knows the truth.
type StreamKind uint32

// The kinds of streams (docs/random.md has the same table).
const (
	StreamInference   StreamKind = iota // independent draws (index 0), and chains (1 + c)
	StreamTraining                      // of networks: simulations (index 0), initial weights (1), shuffling (2)
	StreamPrior                         // draws from the prior for their own sake: simulated data
	StreamTruths                        // the truths of a calibration
	StreamCalibration                   // its inferences
	StreamParticles
	StreamPrediction
	StreamRounds // of sequential methods, and of approximate Bayesian computation
	NumStreamKinds
)

// Stream is the number of a stream, the second word of the key.
func (k StreamKind) Stream(index uint32) uint64 { return uint64(k)<<32 | uint64(index) }

// Purposes, the fourth word of the counter.
const (
	PurposeValue    = 0
	PurposeProposal = 1 // proposals, and the coin of a mixture
	PurposeAccept   = 2 // choice of a site and acceptance in Metropolis-Hastings
	PurposeResample = 3
	PurposeNoise    = 4 // which noise a discrete value is of
)

// Statement numbers that no statement has: the coins of prior inflation, and of defensive mixing.
const (
	StatementCoin     = 1<<63 - 1
	StatementDefence  = 1<<63 - 2
	StatementResample = 1<<63 - 3
)

// NewStream returns the stream of a key (seed, stream) and the last three words of the counter.
func NewStream(seed, stream, statement, draw, purpose uint64) Stream {
	return Stream{key: [2]uint64{seed, stream}, ctr: [4]uint64{0, statement, draw, purpose}}
}

const (
	philoxM0 = 0xD2E7470EE14C6C93
	philoxM1 = 0xCA5A826395121157
	philoxW0 = 0x9E3779B97F4A7C15
	philoxW1 = 0xBB67AE8584CAA73B
)

// Philox returns one block of Philox4x64-10.
func Philox(key [2]uint64, ctr [4]uint64) [4]uint64 {
	k0, k1 := key[0], key[1]
	c0, c1, c2, c3 := ctr[0], ctr[1], ctr[2], ctr[3]
	for range 10 {
		h0, l0 := bits.Mul64(philoxM0, c0)
		h1, l1 := bits.Mul64(philoxM1, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += philoxW0
		k1 += philoxW1
	}
	return [4]uint64{c0, c1, c2, c3}
}

// Uint64 returns the next 64 random bits.
func (s *Stream) Uint64() uint64 {
	if s.left == 0 {
		if s.ask != nil {
			return s.ask()
		}
		s.buf = Philox(s.key, s.ctr)
		s.ctr[0]++
		s.left = 4
	}
	x := s.buf[4-s.left]
	s.left--
	return x
}

// Skip moves to block n of the stream (four numbers a block).
func (s *Stream) Skip(n uint64) { s.ctr[0], s.left = n, 0 }

// Float64 returns the next uniform number in the open interval (0, 1).
func (s *Stream) Float64() float64 { return Unit(s.Uint64()) }

// Unit maps 64 random bits to the open interval (0, 1): ((x>>11) + ½)·2⁻⁵³. In double precision the
// largest of these rounds to 1, where quantile functions are infinite: it is replaced by 1 − 2⁻⁵³.
func Unit(x uint64) float64 {
	u := (float64(x>>11) + 0.5) * 0x1p-53
	if u >= 1 {
		return 1 - 0x1p-53
	}
	return u
}
