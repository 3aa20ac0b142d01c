package wrap

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// flag tells the program's processes how a site is answered.
func (w *Wrapped) flag(k int, out ppx.Outsourcer) {
	s := w.sites[k]
	var f byte
	if s.bulk {
		f |= flagBulk
		if s.caller {
			f |= flagCaller
		}
	}
	if out != nil && out.Given(s.name) {
		f |= flagAsk
	}
	w.link.setFlags(k, f)
}

// answer does what a process asks for. done tells that a run of a process that makes several has ended.
func (w *Wrapped) answer(h ppx.Handler, out ppx.Outsourcer) (done bool, err error) {
	l := w.link
	switch l.get(atRequest) {
	case requestSite:
		k, err := w.describe(out)
		if err != nil {
			return false, err
		}
		l.set(atAnswer, uint32(k))
	case requestValue: // drain has done it
	case requestRoom:
		l.set64(atWritten, 0)
		l.set64(atRead, 0)
	case requestEnded:
		l.tell(atCall, 2)
		return true, nil
	case requestFail:
		return false, errors.New(string(l.exchange()))
	case requestNext:
		return false, nil
	default:
		return false, errLog
	}
	l.tell(atCall, 2)
	return false, nil
}

// describe reads what a process says of a place, and returns its number.
func (w *Wrapped) describe(out ppx.Outsourcer) (int, error) {
	b := w.link.exchange()
	if len(b) < 16 {
		return 0, errLog
	}
	length, n := int(binary.LittleEndian.Uint32(b)), int(int32(binary.LittleEndian.Uint32(b[4:])))
	kind := dist.Kind(b[8])
	b = b[16:]
	var p *place
	if n < 0 {
		if length > len(b) {
			return 0, errLog
		}
		p = interpreted(string(b[:length]), kind)
	} else {
		if 8*n+length > len(b) {
			return 0, errLog
		}
		pcs := make([]uint64, n)
		for i := range pcs {
			pcs[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
		p = w.modules.compiled(int(w.link.get(atPid)), string(b[8*n:8*n+length]), kind, pcs)
	}
	s := w.rules.site(p)
	if k, ok := w.byText[s.address]; ok {
		return k, nil
	}
	if s.failed != nil && !w.look {
		return 0, s.failed
	}
	k := w.addSite(s)
	w.flag(k, out)
	return k, nil
}

func (w *Wrapped) addSite(s *site) int {
	if len(w.sites) == flagsSize {
		return flagsSize - 1 // as many places as that are none
	}
	k := len(w.sites)
	w.sites = append(w.sites, s)
	w.byText[s.address] = k
	return k
}

// drain notes the draws that the program's process has written down, and answers the last of them if it is asked for.
func (w *Wrapped) drain(h ppx.Handler, out ppx.Outsourcer) error {
	l := w.link
	written, at := l.get64(atWritten), l.get64(atRead)
	for at < written {
		r := &w.record
		if err := l.read(r, at, written); err != nil {
			return err
		}
		if r.site >= len(w.sites) {
			return errLog
		}
		if err := w.note(h, out, w.sites[r.site], r); err != nil {
			return err
		}
		at += 8 * uint64(r.words)
		l.set64(atRead, at)
	}
	return nil
}

// note makes a statement of a record.
func (w *Wrapped) note(h ppx.Handler, out ppx.Outsourcer, s *site, r *record) error {
	st := &w.statement
	*st = ppx.Statement{Op: ppx.Sample, Address: s.address, Name: s.name, Control: !s.quiet, Dist: ppx.Dist{Kind: dist.Kind(r.kind)}}
	for k := range r.params {
		w.params[k] = ppx.Tensor{Data: r.params[k].data, Shape: r.params[k].shape}
	}
	st.Dist.Params = w.params[:len(r.params)]
	if w.look {
		s.seen(st.Dist, r)
	}
	if !r.asked && out != nil {
		return out.Drawn(st, ppx.Tensor{Data: r.value, Shape: r.shape})
	}
	if s.place.standIn && s.name != "" && out != nil && out.Given(s.name) {
		return fmt.Errorf("data for %s: what is recorded at %s is a %s of which %s makes its value, so that data of the program's values would mean something else. Observe an output instead",
			ppx.Quote(s.name), s.place.here(), st.Dist.Kind, s.place.what)
	}
	v, err := h.Sample(st)
	if err != nil {
		return err
	}
	if len(v.Data) != len(r.value) {
		return fmt.Errorf("the answer to the draw at %s has %d numbers, not %d", s.address, len(v.Data), len(r.value))
	}
	copy(r.value, v.Data)
	return nil
}
