// Package ic is inference compilation (Le, Baydin and Wood 2017): a network q(z|x) that is trained on a
// simulator's own traces, and then proposes the values of its latents given data.
//
// A network follows a run from one controlled Sample to the next. An LSTM takes in, at each, an embedding of
// the observed data, the value before, the place in the code, and the prior's parameters; a head for the
// address turns its state into a proposal of the family that fits the prior (package head). Parameters belong
// to the address (the address base), the number of the visit is an input: loops share them. Package train
// trains a network, Proposer lets it guide runs.
package ic

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/nn"
)

// Settings are the sizes of a network. They are kept in its file.
type Settings struct {
	Hidden     int `json:"lstm"`              // width of the LSTM
	Depth      int `json:"lstm_depth"`        // layers of it
	Address    int `json:"address_embedding"` // numbers for a place in the code
	Kind       int `json:"kind_embedding"`    // for the kind of distribution
	Value      int `json:"value_embedding"`   // for the value before
	Components int `json:"components"`        // of mixtures
	Trunk      int `json:"head"`              // width of the layer before the heads
	// Correlation is how many numbers the elements of a vector remember of those before them; 0: they are proposed independently.
	Correlation int `json:"correlation,omitempty"`
	// Loops: of rejection loops the network knows the accepted passes alone, as if the others had not been.
	Loops bool                 `json:"rejection_loops,omitempty"`
	Embed map[string]Embedding `json:"embeddings"` // by observable; those that are missing get the default for their shape
}

// DefaultSettings are the sizes of pyprob's networks.
func DefaultSettings() Settings {
	return Settings{Hidden: 512, Depth: 1, Address: 64, Kind: 8, Value: 4, Components: 10, Trunk: 128, Correlation: 8}
}

// Validate reports sizes that make no sense.
func (s *Settings) Validate() error {
	for _, x := range []struct {
		name        string
		value, most int
	}{{"LSTM width", s.Hidden, 1 << 14}, {"LSTM depth", s.Depth, 16}, {"address embedding", s.Address, 1 << 12}, {"kind embedding", s.Kind, 1 << 12},
		{"value embedding", s.Value, 1 << 12}, {"number of components", s.Components, 1 << 10}, {"head width", s.Trunk, 1 << 14}} {
		if x.value < 1 || x.value > x.most {
			return fmt.Errorf("%s %d must lie between 1 and %d", x.name, x.value, x.most)
		}
	}
	if s.Correlation < 0 || s.Correlation > 64 {
		return fmt.Errorf("correlation %d must lie between 0 and 64", s.Correlation)
	}
	if n := 8 * float64(s.Depth) * float64(s.Hidden) * float64(s.Hidden); n > maxWeights {
		return fmt.Errorf("%d layers of an LSTM of width %d have %.2g weights, want at most %.2g (--lstm, --lstm-depth)", s.Depth, s.Hidden, n, float64(maxWeights))
	}
	return nil
}

// maxWeights bounds the weights of the LSTM: training takes 16 bytes for each.
const maxWeights = 4e8

// The kinds of embeddings.
const (
	FeedForward = "ff"
	CNN1D       = "cnn1d"
	CNN2D       = "cnn2d"
	CNN3D       = "cnn3d"
	NoEmbedding = "none" // the network does not see it
)

// Embedding says how an observable becomes Dim numbers.
type Embedding struct {
	Kind   string `json:"kind"`
	Dim    int    `json:"dim"`              // 0: by default
	Stages []int  `json:"stages,omitempty"` // of a CNN: channels of convolutions, 0 for a pool (nn.ParseStages)
}

// ParseEmbedding reads "NAME=KIND[:DIM[:STAGES]]".
func ParseEmbedding(text string) (name string, e Embedding, err error) {
	at := strings.LastIndexByte(text, '=')
	if at <= 0 {
		return "", e, fmt.Errorf("%q: want NAME=KIND[:DIM[:STAGES]]", text)
	}
	name = text[:at]
	parts := strings.Split(text[at+1:], ":")
	e.Kind = parts[0]
	if !slices.Contains([]string{FeedForward, CNN1D, CNN2D, CNN3D, NoEmbedding}, e.Kind) {
		return "", e, fmt.Errorf("%q: the kind %q is none of ff, cnn1d, cnn2d, cnn3d, none", text, e.Kind)
	}
	if len(parts) > 1 && parts[1] != "" {
		if e.Dim, err = strconv.Atoi(parts[1]); err != nil || e.Dim < 1 || e.Dim > 4096 {
			return "", e, fmt.Errorf("%q: the dimension %q is no number from 1 to 4096", text, parts[1])
		}
	}
	if len(parts) > 2 {
		if e.dims() == 0 {
			return "", e, fmt.Errorf("%q: %s has no stages", text, e.Kind)
		}
		if e.Stages, err = nn.ParseStages(parts[2]); err != nil {
			return "", e, fmt.Errorf("%q: %w", text, err)
		}
	}
	if len(parts) > 3 {
		return "", e, fmt.Errorf("%q: want NAME=KIND[:DIM[:STAGES]]", text)
	}
	return name, e, nil
}

// String is the inverse of ParseEmbedding, without the name.
func (e Embedding) String() string {
	if e.Kind == NoEmbedding {
		return e.Kind
	}
	s := fmt.Sprintf("%s:%d", e.Kind, e.Dim)
	if e.dims() > 0 {
		s += ":" + nn.FormatStages(e.Stages)
	}
	return s
}

// dims is the rank of a CNN's images, 0 for others.
func (e Embedding) dims() int {
	switch e.Kind {
	case CNN1D:
		return 1
	case CNN2D:
		return 2
	case CNN3D:
		return 3
	}
	return 0
}

// complete fills in what is not given, for an observable of count values of a shape.
func (e Embedding) complete(shape []int, count int) (Embedding, error) {
	size := 1
	for _, d := range shape {
		size *= d
	}
	squeezed := squeeze(shape)
	if e.Kind == "" {
		e.Kind = FeedForward
		if count == 1 && len(squeezed) == 2 {
			e.Kind = CNN2D
		} else if count == 1 && len(squeezed) == 3 {
			e.Kind = CNN3D
		}
	}
	if d := e.dims(); d > 0 && (count > 1 || d != len(squeezed)) {
		return e, fmt.Errorf("%s cannot be its embedding: want one image of %d dimensions, it has %d values of shape %v", e.Kind, d, count, shape)
	}
	if e.Dim == 0 {
		switch {
		case e.dims() > 0:
			e.Dim = 128
		case size*count > 1:
			e.Dim = min(32*size*count, 128)
		default:
			e.Dim = 32
		}
	}
	if e.dims() > 0 && e.Stages == nil {
		e.Stages = []int{64, 64, 0, 128, 128, 128, 0} // Baydin et al. 2019
		if size <= 4096 {
			e.Stages = []int{16, 16, 0, 32, 32, 0}
		}
	}
	return e, nil
}

// squeeze leaves out dimensions of size 1.
func squeeze(shape []int) (out []int) {
	for _, d := range shape {
		if d != 1 {
			out = append(out, d)
		}
	}
	return out
}
