package inspector

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ppx-engine/ppx-engine/expression"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/page"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/report"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

//go:embed openapi.json
var openapi []byte

// route is something that is served.
type route struct {
	method, path string
	do           func(w http.ResponseWriter, r *http.Request) error
}

// routes are all of them: pages, and below /api/v1 what openapi.json describes.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/{$}", s.home},
		{"GET", "/run/{id}", s.runPage},
		{"GET", "/run/{id}/traces", s.tracesPage},
		{"GET", "/run/{id}/trace/{row}", s.tracePage},
		{"GET", "/run/{id}/trace/{row}/tensor/{index}", s.tensor},
		{"GET", "/compare", s.comparePage},
		{"GET", "/app.js", s.script},
		{"GET", "/style.css", s.style},

		{"GET", "/api/v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) error { return send(w, json.RawMessage(openapi)) }},
		{"GET", "/api/v1/runs", func(w http.ResponseWriter, _ *http.Request) error {
			list, err := s.list()
			if err != nil {
				return err
			}
			return send(w, list)
		}},
		{"GET", "/api/v1/runs/{id}", func(w http.ResponseWriter, r *http.Request) error {
			x, err := s.result(r)
			if err != nil {
				return err
			}
			return send(w, x.summary)
		}},
		{"GET", "/api/v1/runs/{id}/manifest", s.viewOf("manifest", func(_ context.Context, path string, _ *http.Request) (any, error) { return rundir.ReadManifest(path) })},
		{"GET", "/api/v1/runs/{id}/charts", s.viewOf("charts", func(ctx context.Context, path string, _ *http.Request) (any, error) {
			return page.NewCharts(ctx, []string{path}, page.Options{})
		})},
		{"GET", "/api/v1/runs/{id}/addresses", s.inside("addresses", func(ctx context.Context, x *inspect.Run, r *http.Request) (any, error) {
			list, err := x.Folded(ctx)
			if err != nil {
				return nil, err
			}
			v := view.NewAddresses(list, x.Damaged, number(r, "n", 0))
			find, _ := view.LocatorOf(x.Manifest)
			v.Locate(find)
			return v, nil
		})},
		{"GET", "/api/v1/runs/{id}/types", s.inside("types", func(ctx context.Context, x *inspect.Run, r *http.Request) (any, error) {
			list, err := x.Types(ctx)
			return view.NewTypes(list, x.Damaged, number(r, "n", 0)), err
		})},
		{"GET", "/api/v1/runs/{id}/graph", s.inside("graph", func(ctx context.Context, x *inspect.Run, r *http.Request) (any, error) {
			kind := r.URL.Query().Get("type")
			g, err := x.Graph(ctx, inspect.GraphOptions{Type: kind, Most: number(r, "n", 40)})
			if err != nil {
				return nil, err
			}
			v := view.NewGraph(r.PathValue("id"), kind, g, x.Damaged)
			find, _ := view.LocatorOf(x.Manifest)
			v.Locate(find)
			return v, nil
		})},
		{"GET", "/api/v1/runs/{id}/grep", s.inside("grep", func(ctx context.Context, x *inspect.Run, r *http.Request) (any, error) {
			return found(ctx, x, r, "where")
		})},
		{"GET", "/api/v1/runs/{id}/traces", s.viewOf("traces", func(ctx context.Context, path string, r *http.Request) (any, error) {
			return heads(ctx, path, number(r, "from", 0), number(r, "n", 50))
		})},
		{"GET", "/api/v1/runs/{id}/traces/{row}", s.viewOf("trace", func(_ context.Context, path string, r *http.Request) (any, error) {
			reader, t, places, err := trace(path, r.PathValue("row"))
			if err != nil {
				return nil, err
			}
			v := view.NewTrace(t, places)
			find, _ := view.LocatorOf(reader.Manifest)
			v.Locate(find)
			return v, nil
		})},
		{"GET", "/api/v1/compare", func(w http.ResponseWriter, r *http.Request) error {
			c, err := s.comparison(r)
			if err != nil {
				return err
			}
			return send(w, c)
		}},
		{"POST", "/api/v1/jobs", s.jobs.submit},
		{"GET", "/api/v1/jobs", s.jobs.show},
		{"GET", "/api/v1/runs/{id}/events", s.events},
		{"POST", "/api/v1/runs/{id}/stop", s.stop},
	}
}

var errEnding = errors.New("the inspector is ending")

// bad is an error of who asked.
type bad struct{ error }

// answer runs a route, and makes an error of it into one line.
func (s *Server) answer(r route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		err := r.do(w, req)
		if err == nil {
			return
		}
		code := http.StatusInternalServerError
		if req.Context().Err() != nil { // if anybody is still there, then we are about to end
			code, err = http.StatusServiceUnavailable, errEnding
		}
		var wrong bad
		var misuse jobs.Misuse
		switch {
		case errors.Is(err, errUnknown), errors.Is(err, rundir.ErrNoRow):
			code = http.StatusNotFound
		case errors.As(err, &wrong), errors.As(err, &misuse), errors.Is(err, inspect.ErrNoType), errors.Is(err, page.ErrVariable), errors.Is(err, page.ErrNone), errors.Is(err, report.ErrTooMany),
			errors.Is(err, rundir.ErrFormat), errors.Is(err, rundir.ErrNotARun), errors.Is(err, rundir.ErrDamaged):
			code = http.StatusBadRequest
		case errors.Is(err, errForbidden):
			code = http.StatusForbidden
		case errors.Is(err, errConflict):
			code = http.StatusConflict
		}
		text := ppx.Printable(err.Error())
		if !strings.HasPrefix(req.URL.Path, "/api/") {
			s.sorry(w, req, code, text)
			return
		}
		refuse(w, req, code, text)
	}
}

func send(w http.ResponseWriter, v any) error { return sendAs(w, http.StatusOK, v) }

func sendAs(w http.ResponseWriter, code int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, err = w.Write(append(b, '\n'))
	return err
}

// made is a view of a run, made anew when the run has changed.
func (s *Server) made(r *http.Request, what string, build func(ctx context.Context, path string, r *http.Request) (any, error)) (any, error) {
	id := r.PathValue("id")
	path, err := s.find(id)
	if err != nil {
		return nil, err
	}
	state, live := stateOf(path)
	key := strings.Join([]string{what, id, r.PathValue("row"), r.URL.Query().Encode()}, "\x00")
	return s.cache.get(r.Context(), key, state, live, func(ctx context.Context) (any, error) { return build(ctx, path, r) })
}

// result is what a run has come to, in all the forms in which it is asked for while it goes on. It is read by several at a time, and does not change.
type result struct {
	summary json.RawMessage // view.Posterior
	live    []byte          // page.Live
	event   Event           // but for what the manifest says
}

func (s *Server) result(r *http.Request) (*result, error) {
	id := r.PathValue("id")
	path, err := s.find(id)
	if err != nil {
		return nil, err
	}
	state, live := stateOf(path)
	v, err := s.cache.get(r.Context(), "result\x00"+id, state, live, func(ctx context.Context) (any, error) {
		out, err := jobs.Summarise(ctx, path, false)
		if err != nil {
			return nil, err
		}
		p := view.NewPosterior(out)
		x := &result{event: Event{Run: Run{Traces: p.Traces, Failed: p.Failed}, Verdict: string(p.Trust.Verdict), ESS: p.ESS}}
		if x.summary, err = json.Marshal(p); err != nil {
			return nil, err
		}
		var b bytes.Buffer
		err = page.Live(&b, p)
		x.live = b.Bytes()
		return x, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*result), nil
}

// viewOf answers with a view.
func (s *Server) viewOf(what string, build func(ctx context.Context, path string, r *http.Request) (any, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := s.made(r, what, func(ctx context.Context, path string, r *http.Request) (any, error) {
			v, err := build(ctx, path, r)
			if err != nil {
				return nil, err
			}
			b, err := json.Marshal(v)
			return json.RawMessage(b), err
		})
		if err != nil {
			return err
		}
		return send(w, v)
	}
}

// inside answers with a view of what traces did.
func (s *Server) inside(what string, build func(ctx context.Context, x *inspect.Run, r *http.Request) (any, error)) func(http.ResponseWriter, *http.Request) error {
	return s.viewOf(what, func(ctx context.Context, path string, r *http.Request) (any, error) {
		x, err := inspect.Open(ctx, path)
		if err != nil {
			return nil, err
		}
		return build(ctx, x, r)
	})
}

// number is one of a query; what is none, or below 0, is the default.
func number(r *http.Request, name string, otherwise int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}

// found are the statements for which a query's condition is true.
func found(ctx context.Context, x *inspect.Run, r *http.Request, name string) (*view.Found, error) {
	e, err := expression.CompileTexts(r.URL.Query().Get(name), inspect.NumberFields, inspect.TextFields)
	if err != nil {
		return nil, bad{err}
	}
	if !e.Condition {
		return nil, bad{errors.New("that is no condition: compare it with something")}
	}
	f, err := x.Grep(ctx, e, min(number(r, "n", 200), 10_000))
	if err != nil {
		return nil, err
	}
	return view.NewFound(f, x.Damaged), nil
}

// heads are some traces of a run.
func heads(ctx context.Context, path string, from, n int) (*view.Heads, error) {
	reader, err := rundir.Open(path, nil)
	if err != nil {
		return nil, err
	}
	var out []rundir.Head
	total := 0
	for h, err := range reader.Heads(ctx) {
		if err != nil {
			return nil, err
		}
		if total >= from && len(out) < min(n, 10_000) {
			out = append(out, h)
		}
		total++
	}
	return view.NewHeads(out, total), nil
}

// trace is a recorded trace, with the places of its run's addresses.
func trace(path, row string) (*rundir.Reader, *tracing.Trace, map[uint64]int, error) {
	k, err := strconv.ParseUint(row, 10, 63)
	if err != nil {
		return nil, nil, nil, bad{fmt.Errorf("%s is no number of a trace", ppx.Quote(row))}
	}
	reader, err := rundir.Open(path, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	t, err := reader.Row(k)
	if err != nil {
		return nil, nil, nil, err
	}
	return reader, t, inspect.Places(reader), nil
}

// several are the paths of runs, and what changes when one of them does.
func (s *Server) several(ids []string) (paths []string, state string, live bool, err error) {
	for _, id := range ids {
		path, err := s.find(id)
		if err != nil {
			return nil, "", false, err
		}
		one, running := stateOf(path)
		paths, state, live = append(paths, path), state+"\x00"+one, live || running
	}
	return paths, state, live, nil
}

// comparison is of the runs that a query names.
func (s *Server) comparison(r *http.Request) (*view.Comparison, error) {
	ids := r.URL.Query()["run"]
	if len(ids) < 2 || len(ids) > 20 {
		return nil, bad{errors.New("compare wants from two to twenty runs: ?run=A&run=B")}
	}
	paths, state, live, err := s.several(ids)
	if err != nil {
		return nil, err
	}
	v, err := s.cache.get(r.Context(), "compare\x00"+strings.Join(ids, "\x00"), state, live, func(ctx context.Context) (any, error) {
		var outs []*jobs.Outcome
		for _, path := range paths {
			o, err := jobs.Summarise(ctx, path, false)
			if err != nil {
				return nil, err
			}
			outs = append(outs, o)
		}
		return view.NewComparison(outs), nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*view.Comparison), nil
}

// tensor is a picture of a value.
func (s *Server) tensor(w http.ResponseWriter, r *http.Request) error {
	v, err := s.made(r, "tensor\x00"+r.PathValue("index"), func(_ context.Context, path string, r *http.Request) (any, error) {
		_, t, _, err := trace(path, r.PathValue("row"))
		if err != nil {
			return nil, err
		}
		i, err := strconv.Atoi(strings.TrimSuffix(r.PathValue("index"), ".png"))
		if err != nil || i < 0 || i >= len(t.Sites) {
			return nil, fmt.Errorf("%w: it has no such statement", errUnknown)
		}
		value := t.Value(i)
		dir, err := os.MkdirTemp("", "ppx-tensor-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "tensor.png")
		if err := report.Tensor(file, "", value.Data, report.Squeezed(value.Shape)); err != nil {
			return nil, bad{err}
		}
		return os.ReadFile(file)
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/png")
	_, err = w.Write(v.([]byte))
	return err
}
