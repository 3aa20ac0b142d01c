package ppx

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/ppx-engine/ppx-engine/ppx/dist"
	"github.com/ppx-engine/ppx-engine/ppx/wire"
)

// Encoder writes messages into a reused buffer: after warm-up it does not allocate.
type Encoder struct {
	b      *flatbuffers.Builder
	params []flatbuffers.UOffsetT
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
		wire.HandshakeAddExtension(b, uint16(m.Extension))
		body = wire.HandshakeEnd(b)
	case HandshakeResult:
		system, model := b.CreateString(m.SystemName), b.CreateString(m.ModelName)
		wire.HandshakeResultStart(b)
		wire.HandshakeResultAddSystemName(b, system)
		wire.HandshakeResultAddModelName(b, model)
		wire.HandshakeResultAddExtension(b, uint16(m.Extension))
		body = wire.HandshakeResultEnd(b)
	case RunResult, SampleResult:
		t := e.tensor(m.Value)
		wire.SampleResultStart(b) // RunResult has the same layout
		wire.SampleResultAddResult(b, t)
		body = wire.SampleResultEnd(b)
	case Sample:
		address, name, d := e.statement(&m.Statement)
		var before flatbuffers.UOffsetT
		if m.Chunk != nil {
			before = e.chunk(m.Chunk)
		}
		var v flatbuffers.UOffsetT
		if m.Value.Data != nil {
			v = e.tensor(m.Value)
		}
		wire.SampleStart(b)
		wire.SampleAddAddress(b, address)
		wire.SampleAddName(b, name)
		wire.SampleAddDistributionType(b, wire.Distribution(m.Dist.Kind))
		if d != 0 {
			wire.SampleAddDistribution(b, d)
		}
		wire.SampleAddControl(b, m.Control)
		if before != 0 {
			wire.SampleAddBefore(b, before)
		}
		if v != 0 {
			wire.SampleAddValue(b, v)
		}
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
	case Statements:
		body = e.chunk(m.Chunk)
	case Reset:
		var text flatbuffers.UOffsetT
		if m.Error != "" {
			text = b.CreateString(m.Error)
		}
		wire.ResetStart(b)
		if text != 0 {
			wire.ResetAddError(b, text)
		}
		wire.ResetAddReason(b, wire.Reason(m.Reason))
		body = wire.ResetEnd(b)
	case Abort:
		wire.AbortStart(b)
		wire.AbortAddLeave(b, m.Leave)
		body = wire.AbortEnd(b)
	case Run:
		body = e.run(m.Run)
	default: // ObserveResult, TagResult, StatementsResult: empty tables
		wire.ObserveResultStart(b)
		body = wire.ObserveResultEnd(b)
	}
	wire.MessageStart(b)
	wire.MessageAddBodyType(b, wire.MessageBody(m.Type))
	wire.MessageAddBody(b, body)
	wire.MessageAddToken(b, m.Token)
	b.Finish(wire.MessageEnd(b))
	return b.FinishedBytes()
}

func (e *Encoder) run(r *WireRun) flatbuffers.UOffsetT {
	b := e.b
	if r == nil {
		wire.RunStart(b)
		return wire.RunEnd(b)
	}
	var data, reuse flatbuffers.UOffsetT
	draws, streams := e.uint64s(r.Draws), e.uint64s(r.Streams)
	if r.Data != nil {
		all := make([]flatbuffers.UOffsetT, len(r.Data))
		for i, x := range r.Data {
			name, v := b.CreateString(x.Name), e.tensor(x.Value)
			wire.DatumStart(b)
			wire.DatumAddName(b, name)
			wire.DatumAddValue(b, v)
			all[i] = wire.DatumEnd(b)
		}
		data = b.CreateVectorOfTables(all)
	}
	if u := r.Reuse; u != nil {
		bases := e.strings(u.Bases)
		base, instance := e.uint32s(u.Base), e.uint32s(u.Instance)
		shapes, numbers := e.int32s(u.Shapes), e.doubles(u.Numbers)
		var ends flatbuffers.UOffsetT
		if len(u.Ends) > 0 {
			ends = e.uint32s(u.Ends)
		}
		wire.ReuseStart(b)
		wire.ReuseAddRestart(b, u.Restart)
		wire.ReuseAddBases(b, bases)
		wire.ReuseAddBase(b, base)
		wire.ReuseAddInstance(b, instance)
		wire.ReuseAddShapes(b, shapes)
		wire.ReuseAddNumbers(b, numbers)
		if ends != 0 {
			wire.ReuseAddEnds(b, ends)
		}
		reuse = wire.ReuseEnd(b)
	}
	wire.RunStart(b)
	wire.RunAddMode(b, wire.Mode(r.Mode))
	wire.RunAddSeed(b, r.Seed)
	wire.RunAddStream(b, r.Stream)
	if draws != 0 {
		wire.RunAddDraws(b, draws)
	}
	wire.RunAddDataId(b, r.DataID)
	if data != 0 {
		wire.RunAddData(b, data)
	}
	if reuse != 0 {
		wire.RunAddReuse(b, reuse)
	}
	wire.RunAddInflation(b, r.Inflation)
	wire.RunAddFlushMs(b, r.FlushMS)
	wire.RunAddFlushBytes(b, r.FlushBytes)
	if streams != 0 {
		wire.RunAddStreams(b, streams)
	}
	return wire.RunEnd(b)
}

func (e *Encoder) chunk(c *Chunk) flatbuffers.UOffsetT {
	b := e.b
	numbers := e.doubles(c.Numbers)
	statements := e.uint32s(c.Statements)
	var forms, texts flatbuffers.UOffsetT
	if len(c.Forms) > 0 {
		all := make([]flatbuffers.UOffsetT, len(c.Forms))
		for i := range c.Forms {
			f := &c.Forms[i]
			shapes := e.int32s(f.Shapes)
			wire.FormStart(b)
			wire.FormAddOp(b, byte(f.Op))
			wire.FormAddControl(b, f.Control)
			wire.FormAddDistribution(b, byte(f.Kind))
			wire.FormAddAddress(b, f.Address)
			wire.FormAddName(b, f.Name)
			wire.FormAddShapes(b, shapes)
			all[i] = wire.FormEnd(b)
		}
		forms = b.CreateVectorOfTables(all)
	}
	if len(c.Strings) > 0 {
		texts = e.strings(c.Strings)
	}
	wire.StatementsStart(b)
	wire.StatementsAddRestart(b, c.Restart)
	if texts != 0 {
		wire.StatementsAddStrings(b, texts)
	}
	if forms != 0 {
		wire.StatementsAddForms(b, forms)
	}
	wire.StatementsAddStatements(b, statements)
	wire.StatementsAddNumbers(b, numbers)
	wire.StatementsAddMore(b, c.More)
	return wire.StatementsEnd(b)
}

func (e *Encoder) strings(all []string) flatbuffers.UOffsetT {
	offsets := make([]flatbuffers.UOffsetT, len(all))
	for i, s := range all {
		offsets[i] = e.b.CreateString(s)
	}
	return e.b.CreateVectorOfTables(offsets) // a vector of offsets
}

func (e *Encoder) doubles(v []float64) flatbuffers.UOffsetT {
	e.b.StartVector(8, len(v), 8)
	for i := len(v) - 1; i >= 0; i-- {
		e.b.PrependFloat64(v[i])
	}
	return e.b.EndVector(len(v))
}

func (e *Encoder) uint32s(v []uint32) flatbuffers.UOffsetT {
	e.b.StartVector(4, len(v), 4)
	for i := len(v) - 1; i >= 0; i-- {
		e.b.PrependUint32(v[i])
	}
	return e.b.EndVector(len(v))
}

// uint64s returns 0 for an empty vector, which is left out.
func (e *Encoder) uint64s(v []uint64) flatbuffers.UOffsetT {
	if len(v) == 0 {
		return 0
	}
	e.b.StartVector(8, len(v), 8)
	for i := len(v) - 1; i >= 0; i-- {
		e.b.PrependUint64(v[i])
	}
	return e.b.EndVector(len(v))
}

func (e *Encoder) int32s(v []int32) flatbuffers.UOffsetT {
	e.b.StartVector(4, len(v), 4)
	for i := len(v) - 1; i >= 0; i-- {
		e.b.PrependInt32(v[i])
	}
	return e.b.EndVector(len(v))
}

func (e *Encoder) statement(s *Statement) (address, name, d flatbuffers.UOffsetT) {
	address = e.b.CreateString(s.Address)
	name = e.b.CreateString(s.Name)
	if s.Dist.Kind == dist.None {
		return address, name, 0
	}
	e.params = e.params[:0]
	for i := range s.Dist.Params {
		e.params = append(e.params, e.tensor(s.Dist.Params[i]))
	}
	// All distributions are tables of tensors in the order of the table of kinds.
	e.b.StartObject(len(e.params))
	for i, p := range e.params {
		e.b.PrependUOffsetTSlot(i, p, 0)
	}
	return address, name, e.b.EndObject()
}

func (e *Encoder) tensor(t Tensor) flatbuffers.UOffsetT {
	data, shape := e.doubles(t.Data), e.int32s(t.Shape)
	wire.TensorStart(e.b)
	wire.TensorAddData(e.b, data)
	wire.TensorAddShape(e.b, shape)
	return wire.TensorEnd(e.b)
}
