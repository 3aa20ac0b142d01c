package ic

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ppx-engine/ppx-engine/nn"
	"github.com/ppx-engine/ppx-engine/nn/graph"
	"github.com/ppx-engine/ppx-engine/ppx"
)

// Pass computes losses and gradients of minibatches, with work space that is used again. Not for concurrent
// use.
type Pass[T nn.Number] struct {
	n     *Network[T]
	arena nn.Arena[T]

	batch  []*Example
	packed nn.Packed
	visits []*latent  // by row
	owner  []*Example // by row
	groups []*rowsOf
	byKey  map[*Address]*rowsOf
	worst  *Address
}

// rowsOf is the rows of one address.
type rowsOf struct {
	p    *Address
	rows []int
}

// NewPass returns a pass over a network's parameters.
func NewPass[T nn.Number](n *Network[T]) *Pass[T] {
	return &Pass[T]{n: n, byKey: map[*Address]*rowsOf{}}
}

// ErrLoss says that a loss is not a finite number.
var ErrLoss = errors.New("the loss is not finite")

// Gradient adds the gradients of Σ weight·(−log q(z|x))·scale over the examples to the parameters, and returns
// the sum without the scale, in nats. Layers of new addresses are made.
func (p *Pass[T]) Gradient(batch []*Example, scale float64) (loss float64, err error) {
	return p.run(batch, scale, true)
}

// Loss is the same sum without gradients. An address that is new counts with its prior.
func (p *Pass[T]) Loss(batch []*Example) (loss float64, err error) { return p.run(batch, 1, false) }

func (p *Pass[T]) run(batch []*Example, scale float64, learn bool) (loss float64, err error) {
	p.arena.Reset()
	if err := p.pack(batch); err != nil {
		return 0, err
	}
	unknown := 0.0
	if !learn {
		if unknown, err = p.withoutNew(); err != nil {
			return 0, err
		}
	}
	if len(p.visits) == 0 {
		return unknown, nil
	}
	p.group()
	if learn {
		if err := p.learn(); err != nil {
			return 0, err
		}
	}
	g := graph.New[T]()
	node := func(name string, k graph.Kernel[T], rows, cols int, in ...*graph.Node) (x *graph.Node) {
		if err == nil {
			x, err = g.Node(name, k, rows, cols, in...)
		}
		return x
	}
	n, rows := p.n, len(p.visits)
	var embedded []*graph.Node
	for i, e := range n.embeds {
		embedded = append(embedded, node("embedding", &embedKernel[T]{p: p, e: e, i: i}, len(p.batch), e.width))
	}
	x := node("inputs", &inputKernel[T]{p: p}, rows, n.inputWidth(), embedded...)
	h := x
	for _, l := range n.lstm {
		h = node("lstm", &lstmKernel[T]{p: p, l: l}, rows, l.Hidden, h)
	}
	heads := &headKernel[T]{p: p, scale: scale, gradient: learn}
	end := node("heads", heads, 1, 1, h, x)
	if err != nil {
		return 0, err
	}
	if learn {
		_, err = g.Run(end)
	} else {
		_, err = g.Forward(end)
	}
	if heads.err != nil { // Gorgonia wraps errors in texts
		err = heads.err
	}
	return heads.loss + unknown, err
}

// Worst names the address with the largest loss of the last call, for messages.
func (p *Pass[T]) Worst() string {
	if p.worst == nil {
		return "no address"
	}
	return ppx.Quote(p.worst.Base)
}

// pack sorts the examples, longest first, and lists their visits step by step.
func (p *Pass[T]) pack(batch []*Example) (err error) {
	p.batch = append(p.batch[:0], batch...)
	slices.SortStableFunc(p.batch, func(a, b *Example) int { return cmp.Compare(b.Len(), a.Len()) })
	return p.layOut()
}

func (p *Pass[T]) layOut() (err error) {
	lengths := make([]int, len(p.batch))
	for i, e := range p.batch {
		lengths[i] = e.Len()
	}
	if p.packed, err = nn.Pack(lengths); err != nil {
		return err
	}
	p.visits, p.owner = p.visits[:0], p.owner[:0]
	for t, alive := range p.packed.Alive {
		for i := range alive {
			p.visits = append(p.visits, &p.batch[i].latents[t])
			p.owner = append(p.owner, p.batch[i])
		}
	}
	return nil
}

// withoutNew leaves out visits of addresses without layers, and returns their loss: that of the prior.
func (p *Pass[T]) withoutNew() (loss float64, err error) {
	found := false
	for _, v := range p.visits {
		found = found || !v.address.known
	}
	if !found {
		return 0, nil
	}
	for i, e := range p.batch {
		kept := &Example{Draw: e.Draw, Weight: e.Weight, inputs: e.inputs}
		for j := range e.latents {
			v := &e.latents[j]
			if v.address.known {
				kept.latents = append(kept.latents, *v)
				continue
			}
			if v.site.coarse {
				continue
			}
			for k, x := range v.site.values() {
				prior := v.site.conditional(k)
				if lp := prior.LogProb(x); !math.IsInf(lp, 0) {
					loss -= e.Weight * lp
				}
			}
			loss -= e.Weight * v.site.slopes
		}
		p.batch[i] = kept
	}
	return loss, p.pack(p.batch)
}

// group lists the rows of each address.
func (p *Pass[T]) group() {
	p.groups = p.groups[:0]
	clear(p.byKey)
	for r, v := range p.visits {
		g := p.byKey[v.address]
		if g == nil {
			g = &rowsOf{p: v.address}
			p.byKey[v.address] = g
			p.groups = append(p.groups, g)
		}
		g.rows = append(g.rows, r)
	}
}

// learn makes the layers of addresses that are new.
func (p *Pass[T]) learn() error {
	for _, g := range p.groups {
		if g.p.known {
			continue
		}
		var visits []*latent
		for _, r := range g.rows {
			visits = append(visits, p.visits[r])
		}
		if err := p.n.learn(g.p, visits); err != nil {
			return err
		}
	}
	return nil
}

// before is the row of the step before row r of step t.
func (p *Pass[T]) before(t, r int) int { return p.packed.Start[t-1] + r - p.packed.Start[t] }

// embedKernel is the embedding of one observable: batch × width.
type embedKernel[T nn.Number] struct {
	p *Pass[T]
	e *embed[T]
	i int

	x, flat, hidden []T
	run             *nn.CNNRun[T]
}

func (k *embedKernel[T]) Forward([][]T) ([]T, error) {
	a, b := &k.p.arena, len(k.p.batch)
	width := k.e.o.inputs()
	k.x = a.Take(b * width)
	for i, e := range k.p.batch {
		for j, v := range e.inputs[k.i] {
			k.x[i*width+j] = T(v)
		}
	}
	return k.forward(a, b), nil
}

// forward embeds rows of inputs.
func (k *embedKernel[T]) forward(a *nn.Arena[T], b int) []T {
	k.flat = k.x
	if k.e.cnn != nil {
		k.flat, k.run = k.e.cnn.Forward(a, k.x, b)
	}
	k.hidden = nn.ReLU(k.e.first.Forward(a, k.flat, b))
	y := k.e.last.Forward(a, k.hidden, b)
	nn.Add(y, k.e.linear.Forward(a, k.x, b))
	return y
}

func (k *embedKernel[T]) Backward(dy []T) ([][]T, error) {
	a, b := &k.p.arena, len(k.p.batch)
	k.e.linear.BackwardWeights(k.x, dy, b)
	d := nn.ReLUBackward(k.hidden, k.e.last.Backward(a, k.hidden, dy, b))
	if k.e.cnn == nil {
		k.e.first.BackwardWeights(k.flat, d, b)
		return nil, nil
	}
	k.e.cnn.Backward(a, k.run, k.e.first.Backward(a, k.flat, d, b))
	return nil, nil
}

// inputKernel assembles the LSTM's input from the embeddings of the observables and all that belongs to addresses:
// rows × [e, f, v, address, kind, address before, kind before].
type inputKernel[T nn.Number] struct {
	p      *Pass[T]
	values [][]T // inputs of the value embedding of each group
	hidden [][]T // and its hidden layer
}

func (k *inputKernel[T]) Forward(in [][]T) ([]T, error) {
	p, n := k.p, k.p.n
	a := &p.arena
	s := &n.Settings
	col := n.columns()
	width, v := col.width, col.v
	x := a.Take(len(p.visits) * width)
	for t, alive := range p.packed.Alive {
		for i := range alive {
			r := p.packed.Start[t] + i
			row := x[r*width : (r+1)*width]
			at := 0
			for j, y := range in {
				w := n.embeds[j].width
				copy(row[at:at+w], y[i*w:(i+1)*w])
				at += w
			}
			here := p.visits[r]
			here.address.priorInto(&here.site, here.features)
			for j, y := range here.features {
				row[col.f+j] = T(y)
			}
			copy(row[col.address:], n.layers[here.address].address.Value)
			copy(row[col.kind:], n.kinds.Value[int(here.address.Kind)*s.Kind:][:s.Kind])
			if t == 0 {
				clear(row[v:col.address])
				clear(row[col.addressBefore:])
				continue
			}
			last := p.visits[p.before(t, r)].address
			copy(row[col.addressBefore:], n.layers[last].address.Value)
			copy(row[col.kindBefore:], n.kinds.Value[int(last.Kind)*s.Kind:][:s.Kind])
		}
	}
	k.values, k.hidden = k.values[:0], k.hidden[:0]
	for _, g := range p.groups {
		in := g.p.valueInputs()
		features := a.Take(len(g.rows) * in)
		room := make([]float64, in)
		for i, r := range g.rows {
			s := &p.visits[r].site
			g.p.valueFeatures(s, s.values(), room)
			for j, y := range room {
				features[i*in+j] = T(y)
			}
		}
		k.values = append(k.values, features)
		l := n.layers[g.p]
		hidden := nn.ReLU(l.first.Forward(a, features, len(g.rows)))
		k.hidden = append(k.hidden, hidden)
		y := l.value.Forward(a, hidden, len(g.rows))
		p.after(g, func(i, next int) {
			copy(x[next*width+v:], y[i*s.Value:(i+1)*s.Value])
			copy(x[next*width+v+s.Value:], hidden[i*valueHidden:(i+1)*valueHidden])
		})
	}
	return x, nil
}

// after calls f with the number of each row of a group in it, and its next row, unless it is a run's last.
func (p *Pass[T]) after(g *rowsOf, f func(i, next int)) {
	t := 0
	for i, r := range g.rows {
		for r >= p.packed.Start[t+1] {
			t++
		}
		if j := r - p.packed.Start[t]; t+1 < len(p.packed.Alive) && j < p.packed.Alive[t+1] {
			f(i, p.packed.Start[t+1]+j)
		}
	}
}

func (k *inputKernel[T]) Backward(dx []T) ([][]T, error) {
	p, n := k.p, k.p.n
	a := &p.arena
	s := &n.Settings
	col := n.columns()
	width, v := col.width, col.v
	var dIn [][]T
	for _, e := range n.embeds {
		dIn = append(dIn, a.Zeros(len(p.batch)*e.width))
	}
	for t, alive := range p.packed.Alive {
		for i := range alive {
			r := p.packed.Start[t] + i
			row := dx[r*width : (r+1)*width]
			at := 0
			for j, e := range n.embeds {
				nn.Add(dIn[j][i*e.width:(i+1)*e.width], row[at:at+e.width])
				at += e.width
			}
			here := p.visits[r].address
			nn.Add(n.layers[here].address.Grad, row[col.address:col.kind])
			nn.Add(n.kinds.Grad[int(here.Kind)*s.Kind:][:s.Kind], row[col.kind:col.addressBefore])
			if t > 0 {
				last := p.visits[p.before(t, r)].address
				nn.Add(n.layers[last].address.Grad, row[col.addressBefore:col.kindBefore])
				nn.Add(n.kinds.Grad[int(last.Kind)*s.Kind:][:s.Kind], row[col.kindBefore:])
			}
		}
	}
	n.kinds.Touch()
	for j, g := range p.groups {
		l := n.layers[g.p]
		l.address.Touch()
		dy, dHidden := a.Zeros(len(g.rows)*s.Value), a.Zeros(len(g.rows)*valueHidden)
		p.after(g, func(i, next int) {
			copy(dy[i*s.Value:(i+1)*s.Value], dx[next*width+v:])
			copy(dHidden[i*valueHidden:(i+1)*valueHidden], dx[next*width+v+s.Value:])
		})
		nn.Add(dHidden, l.value.Backward(a, k.hidden[j], dy, len(g.rows)))
		d := nn.ReLUBackward(k.hidden[j], dHidden)
		l.first.BackwardWeights(k.values[j], d, len(g.rows))
	}
	return dIn, nil
}

// lstmKernel is a layer of the LSTM: rows × hidden.
type lstmKernel[T nn.Number] struct {
	p   *Pass[T]
	l   *nn.LSTM[T]
	run *nn.LSTMRun[T]
}

func (k *lstmKernel[T]) Forward(in [][]T) ([]T, error) {
	k.run = k.l.Forward(&k.p.arena, k.p.packed, in[0])
	return k.run.H, nil
}

func (k *lstmKernel[T]) Backward(dh []T) ([][]T, error) {
	return [][]T{k.l.Backward(&k.p.arena, k.run, dh)}, nil
}

// headKernel is the trunk, all heads, and the loss, from the LSTM's result and its input.
type headKernel[T nn.Number] struct {
	p        *Pass[T]
	scale    float64
	gradient bool

	loss   float64
	err    error
	z, pre []T // input of the trunk, and its result before ReLU
	parts  []headPart[T]
}

// shifts is by how much each line is moved by those before it of the same vector, given what the network says of each; nil: nothing is.
func shifts[T nn.Number](g *rowsOf, visits []*latent, said []T) (out []float64, follow []*trail) {
	if g.p.Rank == 0 {
		return nil, nil
	}
	outs := g.p.outputs()
	numbers := make([]float64, len(said))
	for i, x := range said {
		numbers[i] = float64(x)
	}
	out = make([]float64, len(numbers)/outs)
	at := 0
	for _, r := range g.rows {
		s := &visits[r].site
		each := make([][]float64, s.elements)
		for i := range each {
			each[i] = numbers[(at+i)*outs : (at+i+1)*outs]
		}
		t := newTrail(g.p, s, each)
		t.shifts(out[at : at+s.elements])
		follow = append(follow, t)
		at += s.elements
	}
	return out, follow
}

// headPart is what the backward pass needs of a group: one line for each element.
type headPart[T nn.Number] struct {
	lines     int
	row       []int // of each line
	hidden    []T   // after ReLU
	skip      []T
	positions []T
	dOut      []T
}

func (k *headKernel[T]) Forward(in [][]T) ([]T, error) {
	p, n := k.p, k.p.n
	a := &p.arena
	s := &n.Settings
	h, x := in[0], in[1]
	rows, width, efv := len(p.visits), n.inputWidth(), n.efv()
	zw := n.trunk.In
	k.z = a.Take(rows * zw)
	for r, v := range p.visits {
		z := k.z[r*zw : (r+1)*zw]
		copy(z, h[r*s.Hidden:(r+1)*s.Hidden])
		copy(z[s.Hidden:], x[r*width:r*width+efv])
		copy(z[s.Hidden+efv:], n.layers[v.address].address.Value)
	}
	k.pre = n.trunk.Forward(a, k.z, rows)
	k.parts = k.parts[:0]
	p.worst = nil
	most := math.Inf(-1)
	for _, g := range p.groups {
		before := k.loss
		part, err := k.forward(g, x)
		if err != nil {
			k.err = err
			return nil, err
		}
		k.parts = append(k.parts, part)
		if l := k.loss - before; l > most {
			p.worst, most = g.p, l
		}
	}
	return []T{T(k.loss * k.scale)}, nil
}

// forward computes the densities of a group, and their gradients.
func (k *headKernel[T]) forward(g *rowsOf, x []T) (part headPart[T], err error) {
	p, n := k.p, k.p.n
	a := &p.arena
	l := n.layers[g.p]
	width, efv, trunk := n.inputWidth(), n.efv(), n.Settings.Trunk
	type line struct{ row, element int }
	var lines []line
	for _, r := range g.rows {
		for i := range p.visits[r].site.elements {
			lines = append(lines, line{r, i})
			part.row = append(part.row, r)
		}
	}
	part.lines = len(lines)
	part.skip = a.Take(part.lines * l.skip.In)
	for i, x_ := range lines {
		copy(part.skip[i*l.skip.In:], x[x_.row*width:x_.row*width+efv])
	}
	part.hidden = a.Take(part.lines * trunk)
	if g.p.Tensor {
		part.positions = a.Take(part.lines * positionFeatures)
		room := make([]float64, positionFeatures)
		for i, at := range lines {
			g.p.position(&p.visits[at.row].site, at.element, room)
			for j, v := range room {
				part.positions[i*positionFeatures+j] = T(v)
				part.skip[i*l.skip.In+efv+j] = T(v)
			}
		}
		copy(part.hidden, n.positions.Forward(a, part.positions, part.lines))
		for i, at := range lines {
			nn.Add(part.hidden[i*trunk:(i+1)*trunk], k.pre[at.row*trunk:(at.row+1)*trunk])
		}
	} else {
		for i, at := range lines {
			copy(part.hidden[i*trunk:(i+1)*trunk], k.pre[at.row*trunk:(at.row+1)*trunk])
		}
	}
	nn.ReLU(part.hidden)
	out := l.out.Forward(a, part.hidden, part.lines)
	outs, own := g.p.outputs(), g.p.family.Outputs()
	from, to := g.p.family.Linear()
	skip := l.skip.Forward(a, part.skip, part.lines)
	for i := range part.lines {
		nn.Add(out[i*outs+from:i*outs+to], skip[i*(to-from):(i+1)*(to-from)])
	}
	if l.memory != nil {
		m := l.memory.Forward(a, part.positions, part.lines)
		for i := range part.lines {
			nn.Add(out[i*outs+own:(i+1)*outs], m[i*(outs-own):(i+1)*(outs-own)])
		}
	}
	losses := make([]float64, part.lines)
	part.dOut = a.Take(part.lines * outs)
	shifts, follow := shifts(g, p.visits, out)
	dShifts := make([]float64, len(shifts))
	nn.Parallel(part.lines, 64, func(begin, end int) {
		row, grad := make([]float64, own), make([]float64, own)
		if !k.gradient {
			grad = nil
		}
		for i := begin; i < end; i++ {
			at := lines[i]
			v := p.visits[at.row]
			for j := range row {
				row[j] = float64(out[i*outs+j])
			}
			if shifts != nil {
				for j := from; j < to; j++ {
					row[j] += shifts[i]
				}
			}
			prior := v.site.conditional(at.element)
			lq := g.p.family.LogProb(&prior, row, v.site.values()[at.element], grad)
			w := p.owner[at.row].Weight
			if math.IsInf(lq, 0) || v.site.coarse { // at the ends of double precision it has no gradient
				lq, w = 0, 0
			}
			if losses[i] = -w * lq; at.element == 0 {
				losses[i] -= w * v.site.slopes
			}
			for j, d := range grad {
				part.dOut[i*outs+j] = T(-w * d * k.scale)
				if shifts != nil && j >= from && j < to {
					dShifts[i] -= w * d * k.scale
				}
			}
		}
	})
	if shifts != nil && k.gradient {
		room := make([]float64, 3*g.p.Rank)
		at := 0
		for _, t := range follow {
			t.backward(dShifts[at:at+len(t.numbers)], room, func(i int) {
				for j, d := range room {
					part.dOut[(at+i)*outs+own+j] = T(d)
				}
			})
			at += len(t.numbers)
		}
	}
	for i, v := range losses {
		if v != v {
			return part, fmt.Errorf("%w at %s, draw %d: log q is %g", ErrLoss, ppx.Quote(g.p.Base), p.owner[lines[i].row].Draw, v)
		}
		k.loss += v
	}
	return part, nil
}

func (k *headKernel[T]) Backward(d []T) ([][]T, error) {
	p, n := k.p, k.p.n
	a := &p.arena
	s := &n.Settings
	rows, width, efv, trunk := len(p.visits), n.inputWidth(), n.efv(), s.Trunk
	dPre, dx := a.Zeros(rows*trunk), a.Zeros(rows*width)
	for j, g := range p.groups {
		part, l := &k.parts[j], n.layers[g.p]
		if d[0] != 1 {
			for i := range part.dOut {
				part.dOut[i] *= d[0]
			}
		}
		dh := nn.ReLUBackward(part.hidden, l.out.Backward(a, part.hidden, part.dOut, part.lines))
		from, to := g.p.family.Linear()
		outs := g.p.outputs()
		dSkip := a.Take(part.lines * (to - from))
		for i := range part.lines {
			copy(dSkip[i*(to-from):(i+1)*(to-from)], part.dOut[i*outs+from:])
		}
		if l.memory != nil {
			own := g.p.family.Outputs()
			d := a.Take(part.lines * (outs - own))
			for i := range part.lines {
				copy(d[i*(outs-own):(i+1)*(outs-own)], part.dOut[i*outs+own:])
			}
			l.memory.BackwardWeights(part.positions, d, part.lines)
		}
		ds := l.skip.Backward(a, part.skip, dSkip, part.lines)
		if part.positions != nil {
			n.positions.BackwardWeights(part.positions, dh, part.lines)
		}
		for i, r := range part.row {
			nn.Add(dPre[r*trunk:(r+1)*trunk], dh[i*trunk:(i+1)*trunk])
			nn.Add(dx[r*width:r*width+efv], ds[i*l.skip.In:i*l.skip.In+efv])
		}
	}
	dz := n.trunk.Backward(a, k.z, dPre, rows)
	dh := a.Take(rows * s.Hidden)
	zw := n.trunk.In
	for r, v := range p.visits {
		z := dz[r*zw : (r+1)*zw]
		copy(dh[r*s.Hidden:(r+1)*s.Hidden], z)
		nn.Add(dx[r*width:r*width+efv], z[s.Hidden:s.Hidden+efv])
		nn.Add(n.layers[v.address].address.Grad, z[s.Hidden+efv:])
	}
	return [][]T{dh, dx}, nil
}
