package ppx

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/ppx/wire"
)

// Encoder writes messages into a reused buffer: after warm-up it does not allocate.
type Encoder struct {
	b *flatbuffers.Builder
}

// Encode returns the bytes of m, valid until the next call. Strings are always written, also empty ones,
// and a tensor always with both data and shape: existing peers rely on it.
func (e *Encoder) Encode(m *Message) []byte {
	if e.b == nil {
		e.b = flatbuffers.NewBuilder(256)
	}
	b := e.b
	b.Reset()
	var body flatbuffers.UOffsetT
	switch m.Type {
	case Handshake:
		name := b.CreateString(m.SystemName)
		wire.HandshakeStart(b)
		wire.HandshakeAddSystemName(b, name)
		body = wire.HandshakeEnd(b)
	case HandshakeResult:
		system, model := b.CreateString(m.SystemName), b.CreateString(m.ModelName)
		wire.HandshakeResultStart(b)
		wire.HandshakeResultAddSystemName(b, system)
		wire.HandshakeResultAddModelName(b, model)
		body = wire.HandshakeResultEnd(b)
	case RunResult, SampleResult:
		t := e.tensor(m.Value)
		wire.SampleResultStart(b) // RunResult has the same layout
		wire.SampleResultAddResult(b, t)
		body = wire.SampleResultEnd(b)
	case Sample:
		address, name, d := e.statement(&m.Statement)
		wire.SampleStart(b)
		wire.SampleAddAddress(b, address)
		wire.SampleAddName(b, name)
		wire.SampleAddDistributionType(b, wire.Distribution(m.Dist.Kind))
		if d != 0 {
			wire.SampleAddDistribution(b, d)
		}
		wire.SampleAddControl(b, m.Control)
		body = wire.SampleEnd(b)
	case Observe:
		address, name, d := e.statement(&m.Statement)
		var v flatbuffers.UOffsetT
		if m.Value.Data != nil {
			v = e.tensor(m.Value)
		}
		wire.ObserveStart(b)
		wire.ObserveAddAddress(b, address)
		wire.ObserveAddName(b, name)
		wire.ObserveAddDistributionType(b, wire.Distribution(m.Dist.Kind))
		if d != 0 {
			wire.ObserveAddDistribution(b, d)
		}
		if v != 0 {
			wire.ObserveAddValue(b, v)
		}
		body = wire.ObserveEnd(b)
	case Tag:
		address, name, _ := e.statement(&m.Statement)
		v := e.tensor(m.Value)
		wire.TagStart(b)
		wire.TagAddAddress(b, address)
		wire.TagAddName(b, name)
		wire.TagAddValue(b, v)
		body = wire.TagEnd(b)
	default: // Run, ObserveResult, TagResult, Reset: empty tables
		wire.RunStart(b)
		body = wire.RunEnd(b)
	}
	wire.MessageStart(b)
	wire.MessageAddBodyType(b, wire.MessageBody(m.Type))
	wire.MessageAddBody(b, body)
	b.Finish(wire.MessageEnd(b))
	return b.FinishedBytes()
}

func (e *Encoder) statement(s *Statement) (address, name, d flatbuffers.UOffsetT) {
	address = e.b.CreateString(s.Address)
	name = e.b.CreateString(s.Name)
	if s.Dist.Kind == dist.None {
		return address, name, 0
	}
	n := len(s.Dist.Kind.Params())
	var params [2]flatbuffers.UOffsetT
	for i := range n {
		params[i] = e.tensor(s.Dist.Params[i])
	}
	// All distributions are tables of tensors in the order of the table of kinds.
	e.b.StartObject(n)
	for i := range n {
		e.b.PrependUOffsetTSlot(i, params[i], 0)
	}
	return address, name, e.b.EndObject()
}

func (e *Encoder) tensor(t Tensor) flatbuffers.UOffsetT {
	b := e.b
	wire.TensorStartDataVector(b, len(t.Data))
	for i := len(t.Data) - 1; i >= 0; i-- {
		b.PrependFloat64(t.Data[i])
	}
	data := b.EndVector(len(t.Data))
	wire.TensorStartShapeVector(b, len(t.Shape))
	for i := len(t.Shape) - 1; i >= 0; i-- {
		b.PrependInt32(t.Shape[i])
	}
	shape := b.EndVector(len(t.Shape))
	wire.TensorStart(b)
	wire.TensorAddData(b, data)
	wire.TensorAddShape(b, shape)
	return wire.TensorEnd(b)
}
