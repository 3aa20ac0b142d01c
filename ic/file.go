package ic

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/nlpodyssey/safetensors"

	"github.com/ppx-engine/ppx-engine/ic/head"
	"github.com/ppx-engine/ppx-engine/internal/disk"
	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// A network file is a safetensors file. Its tensors are the weights, by name, as 32-bit floating point numbers; its
// metadata are "format" (Format), "version" (FileVersion) and "network", a JSON object with all else: sizes,
// observables with their statistics, addresses. docs/network-file.md describes it for other programs.
const (
	Format      = "ppx-network"
	FileVersion = "1"
)

// ErrFile says that a file is no network, or a damaged one.
var ErrFile = errors.New("not a network file")

// description is the JSON part of a network file.
type description struct {
	Model       string        `json:"model"`
	Seed        uint64        `json:"seed"`
	Traces      uint64        `json:"traces"`
	Settings    Settings      `json:"settings"`
	Observables []*Observable `json:"observables"`
	Hidden      []string      `json:"hidden,omitempty"`
	Addresses   []*Address    `json:"places"`
}

// Extra is what a checkpoint keeps beside the network: numbers and texts by name.
type Extra struct {
	Numbers map[string][]float32
	Texts   map[string]string
	SHA256  string // of the whole file, in hexadecimal; set by ReadFile
}

// tensor is numbers on their way to a file.
type tensor struct {
	shape []uint64
	data  []float32
}

func (t tensor) DType() safetensors.DType { return safetensors.F32 }
func (t tensor) Shape() []uint64          { return t.shape }
func (t tensor) DataLen() uint64          { return 4 * uint64(len(t.data)) }
func (t tensor) Data() []byte {
	b := make([]byte, 4*len(t.data))
	for i, x := range t.data {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return b
}

// WriteFile writes a network, and what a checkpoint has besides (nil: nothing). The file appears as a whole, in place of
// one that was there.
func WriteFile(path string, n *Network[float32], extra *Extra) error {
	info, err := json.Marshal(description{n.Model, n.Seed, n.Traces, n.Settings, n.Observables, n.Hidden, n.addresses})
	if err != nil {
		return err
	}
	meta := map[string]string{"format": Format, "version": FileVersion, "network": string(info)}
	tensors := map[string]tensor{}
	for _, p := range n.Params() {
		t := tensor{data: p.Value}
		for _, d := range p.Shape {
			t.shape = append(t.shape, uint64(d))
		}
		tensors[p.Name] = t
	}
	if extra != nil {
		for name, x := range extra.Numbers {
			tensors[extraPrefix+name] = tensor{[]uint64{uint64(len(x))}, x}
		}
		for name, x := range extra.Texts {
			meta[extraPrefix+name] = x
		}
	}
	return disk.Replace(path, func(f *os.File) error { return safetensors.SerializeToWriter(tensors, meta, f) })
}

const extraPrefix = "checkpoint."

// maxFile is the largest file that is read: the weights of the largest LSTM many times over, in bytes.
const maxFile = 64 << 30

// ReadFile reads a network, and what a checkpoint has besides. Errors: ErrFile, the system's.
func ReadFile(path string) (n *Network[float32], extra *Extra, err error) {
	b, err := disk.ReadFile(path, maxFile)
	if err != nil {
		return nil, nil, err
	}
	n, extra, err = read(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(b)
	extra.SHA256 = hex.EncodeToString(sum[:])
	return n, extra, nil
}

func read(b []byte) (n *Network[float32], extra *Extra, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrFile, p)
		}
	}()
	_, head, err := safetensors.ReadMetadata(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%w, or one that was cut off: %w", ErrFile, err)
	}
	meta := head.Metadata()
	if meta["format"] != Format {
		return nil, nil, fmt.Errorf("%w: it is a safetensors file of something else", ErrFile)
	}
	if v := meta["version"]; v != FileVersion {
		return nil, nil, fmt.Errorf("%w that this version reads: its version is %s, this one reads %s", ErrFile, ppx.Quote(v), FileVersion)
	}
	var d description
	if err := json.Unmarshal([]byte(meta["network"]), &d); err != nil {
		return nil, nil, fmt.Errorf("%w: its description: %w", ErrFile, err)
	}
	if err := d.Settings.Validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: its description: %w", ErrFile, err)
	}
	if err := d.check(); err != nil {
		return nil, nil, fmt.Errorf("%w: its description: %w", ErrFile, err)
	}
	// Nothing is made that the file cannot fill.
	if w := d.weights(); 4*w > float64(len(b)) {
		return nil, nil, fmt.Errorf("%w: its description asks for %.3g weights, for which its %d bytes have no room", ErrFile, w, len(b))
	}
	n = &Network[float32]{most: len(b) / 4, Settings: d.Settings, Model: d.Model, Seed: d.Seed, Traces: d.Traces, Observables: d.Observables, Hidden: d.Hidden}
	if err := n.build(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	for _, p := range d.Addresses {
		if err := n.add(p, false); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
		}
	}
	st, err := safetensors.Deserialize(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	n.initKinds()
	for _, p := range n.Params() {
		if p == n.kinds {
			if err := fillKinds(p, st); err != nil {
				return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
			}
			continue
		}
		if err := fill(p, st); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
		}
	}
	extra = &Extra{Numbers: map[string][]float32{}, Texts: map[string]string{}}
	for _, t := range st.Tensors() {
		if name, ok := strings.CutPrefix(t.Name, extraPrefix); ok {
			extra.Numbers[name] = floats(t.TensorView.Data())
		}
	}
	for k, v := range meta {
		if name, ok := strings.CutPrefix(k, extraPrefix); ok {
			extra.Texts[name] = v
		}
	}
	return n, extra, nil
}

// weights is how many weights a network of this description has at least: nearly all of them.
func (d *description) weights() (w float64) {
	s := &d.Settings
	hidden, trunk := float64(s.Hidden), float64(s.Trunk)
	embedded := 0.0
	for _, o := range d.Observables {
		embedded += float64(o.Embedding.Dim)
		w += float64(o.inputs()) * float64(o.Embedding.Dim)
		kernel, channels := math.Pow(3, float64(o.Embedding.dims())), 1.0
		for _, c := range o.Embedding.Stages {
			if c > 0 {
				w += kernel * channels * float64(c)
				channels = float64(c)
			}
		}
	}
	w += 4 * hidden * (embedded + hidden + float64(2*s.Address+2*s.Kind+s.Value))
	w += float64(s.Depth-1) * 8 * hidden * hidden
	w += trunk * (hidden + embedded + float64(s.Address))
	for _, p := range d.Addresses {
		f, err := head.New(p.Kind, s.Components, p.Categories)
		if err != nil { // told when the address is added
			continue
		}
		from, to := f.Linear()
		w += float64(f.Outputs()+3*p.Rank)*trunk + float64(to-from)*embedded + float64(s.Address)
	}
	return w
}

// check makes sure that a description can be built.
func (d *description) check() error {
	total := 0.0
	for _, o := range d.Observables {
		size := 1.0
		for _, x := range o.Shape {
			if x < 0 {
				return fmt.Errorf("observable %s has shape %v", ppx.Quote(o.Name), o.Shape)
			}
			size *= float64(x)
		}
		total += size * float64(o.Count)
		if o.Count < 1 || total > maxWeights || len(o.Members) < 1 || (len(o.Members) > 1 && len(o.Members) != o.Count) {
			return fmt.Errorf("observable %s has %d values of shape %v for %d names", ppx.Quote(o.Name), o.Count, o.Shape, len(o.Members))
		}
		stats := o.Count * o.size()
		if o.Embedding.dims() > 0 {
			stats = 1
			for _, c := range o.Embedding.Stages {
				if c < 0 || c > 4096 {
					return fmt.Errorf("observable %s: %d channels", ppx.Quote(o.Name), c)
				}
			}
			if len(o.Embedding.Stages) == 0 || len(o.Embedding.Stages) > 64 {
				return fmt.Errorf("observable %s: %d stages", ppx.Quote(o.Name), len(o.Embedding.Stages))
			}
		}
		for _, sd := range o.SD {
			if !(sd >= 0) || math.IsInf(sd, 0) { // 0: it was constant
				return fmt.Errorf("observable %s: a standard deviation of %g", ppx.Quote(o.Name), sd)
			}
		}
		for _, mean := range o.Mean {
			if math.IsInf(mean, 0) || mean != mean {
				return fmt.Errorf("observable %s: a mean of %g", ppx.Quote(o.Name), mean)
			}
		}
		if len(o.Mean) != stats || len(o.SD) != stats || o.Embedding.Dim < 1 || o.Embedding.Dim > 4096 {
			return fmt.Errorf("observable %s: its statistics or its embedding", ppx.Quote(o.Name))
		}
	}
	for _, p := range d.Addresses {
		kind, ok := dist.KindByName(p.KindName)
		if !ok {
			return fmt.Errorf("address %s: there is no distribution %s", ppx.Quote(p.Base), ppx.Quote(p.KindName))
		}
		if p.Elements < 0 || p.Categories < 0 || p.Categories > maxCategories || p.Rank < 0 || p.Rank > 64 || !(p.Spread > 0) || !(p.ScaleSD > 0) ||
			math.IsInf(p.Spread, 0) || math.IsInf(p.ScaleSD, 0) {
			return fmt.Errorf("address %s: elements %d, categories %d, spread %g, log_scale_sd %g", ppx.Quote(p.Base), p.Elements, p.Categories, p.Spread, p.ScaleSD)
		}
		p.Kind = kind
	}
	return nil
}

// fillKinds reads the embeddings of kinds: of as many as there were when the network was made, which are at least those of PPX 1.0.
func fillKinds(p *nn.Param[float32], st safetensors.SafeTensors) error {
	known := *p
	if t, ok := st.Tensor(p.Name); ok {
		row := len(p.Value) / int(dist.NumKinds)
		if n := len(t.Data()) / 4; n < len(p.Value) && n >= (int(dist.Weibull)+1)*row && n%row == 0 {
			known.Value = p.Value[:n]
		}
	}
	return fill(&known, st)
}

func fill(p *nn.Param[float32], st safetensors.SafeTensors) error {
	t, ok := st.Tensor(p.Name)
	if !ok {
		return fmt.Errorf("the weights %s are missing", ppx.Quote(p.Name))
	}
	if t.DType() != safetensors.F32 || len(t.Data()) != 4*len(p.Value) {
		return fmt.Errorf("the weights %s have %d bytes of type %s, want %d numbers F32", ppx.Quote(p.Name), len(t.Data()), t.DType(), len(p.Value))
	}
	for i, x := range floats(t.Data()) {
		if x-x != 0 {
			return fmt.Errorf("the weights %s hold %g", ppx.Quote(p.Name), x)
		}
		p.Value[i] = x
	}
	return nil
}

func floats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}
