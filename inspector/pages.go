package inspector

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/page"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/tracing"
	"github.com/ppx-engine/ppx-engine/tracing/inspect"
	"github.com/ppx-engine/ppx-engine/tracing/rundir"
	"github.com/ppx-engine/ppx-engine/view"
)

//go:embed pages.html
var pagesHTML string

//go:embed app.js
var appJS []byte

//go:embed style.css
var styleCSS []byte

var pages = template.Must(template.New("pages").Funcs(template.FuncMap{
	"figure": func(n view.Number) string { return view.Figure(float64(n)) },
	"result": func(t view.Tensor) string {
		if t.Data == nil {
			return ""
		}
		return ppx.Printable(view.Head(ppx.Tensor(t).String(), 60))
	},
}).Parse(pagesHTML))

// policy lets a page run its own scripts, and nothing else.
func policy(w http.ResponseWriter) (nonce string, err error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	nonce = base64.RawStdEncoding.EncodeToString(b[:])
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self' 'nonce-"+nonce+"'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return nonce, nil
}

// shell is a page's frame.
type shell struct {
	Title, Run string
	Links      []page.Link
	Content    any
}

func (s *Server) render(w http.ResponseWriter, name string, x shell) error {
	if _, err := policy(w); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, x); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// sorry is the page of an error.
func (s *Server) sorry(w http.ResponseWriter, r *http.Request, code int, text string) {
	nonce, err := policy(w)
	if err != nil || nonce == "" {
		refuse(w, r, code, text)
		return
	}
	w.WriteHeader(code)
	_ = pages.ExecuteTemplate(w, "sorry", shell{Title: "This cannot be shown", Links: []page.Link{{Name: "Runs", URL: "/"}}, Content: text}) // nobody is left to be told
}

func (s *Server) script(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, err := w.Write(appJS)
	return err
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, err := w.Write(styleCSS)
	return err
}

// home is the list of runs, which the page's script fills.
func (s *Server) home(w http.ResponseWriter, _ *http.Request) error {
	list, err := s.list()
	if err != nil {
		return err
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return s.render(w, "home", shell{Title: "Runs in " + ppx.Printable(s.o.Dir), Content: string(b)})
}

// links lead from a run's page to its others.
func links(id string) []page.Link {
	at := "/run/" + url.PathEscape(id)
	return []page.Link{{Name: "All runs", URL: "/"}, {Name: "Result", URL: at}, {Name: "Traces", URL: at + "/traces"}}
}

// verbOf is the verb of the job that has made a run.
func verbOf(m *rundir.Manifest) string {
	var job struct{ Verb string }
	if json.Unmarshal(m.Job, &job) != nil || job.Verb == "" {
		return "derived"
	}
	return ppx.Printable(job.Verb)
}

// place stands for the nonce in a page that is kept, which is another for each who asks.
const place = "0nonce0nonce0nonce0nonce0"

// kept writes a page that is kept, with a nonce of its own.
func kept(w http.ResponseWriter, page []byte) error {
	nonce, err := policy(w)
	if err != nil {
		return err
	}
	_, err = w.Write(bytes.ReplaceAll(page, []byte(place), []byte(nonce)))
	return err
}

// runPage is the report on a run; with ?part=live only what changes while it goes on.
func (s *Server) runPage(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if r.URL.Query().Get("part") == "live" {
		x, err := s.result(r)
		if err != nil {
			return err
		}
		return kept(w, x.live)
	}
	v, err := s.made(r, "page", func(ctx context.Context, path string, _ *http.Request) (any, error) {
		var b bytes.Buffer
		m, err := rundir.ReadManifest(path)
		if err != nil {
			return nil, err
		}
		o := page.Options{Links: links(id), Run: id, State: describe(id, path).State, Nonce: place}
		if m.State == rundir.Running && m.Counts.Traces == 0 {
			if out, err := jobs.Summarise(ctx, path, false); err != nil || out.Summary.Weights.N == 0 {
				return nil, nil // there is nothing to show yet
			}
		}
		err = page.Report(ctx, &b, []string{path}, o)
		return b.Bytes(), err
	})
	if err != nil {
		return err
	}
	text, _ := v.([]byte)
	if len(text) == 0 {
		return s.render(w, "waiting", shell{Title: id, Run: id, Links: links(id)})
	}
	return kept(w, text)
}

// tracesShown is the content of a page of traces.
type tracesShown struct {
	Heads    *view.Heads
	Found    *view.Found
	Where    string
	Wrong    string
	From     int
	Previous string
	Next     string
}

const tracesAPage = 50

// tracesPage pages through traces, or lists the statements for which a condition is true.
func (s *Server) tracesPage(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	x := tracesShown{Where: r.URL.Query().Get("where"), From: number(r, "from", 0)}
	at := "/run/" + url.PathEscape(id) + "/traces?from="
	v, err := s.made(r, "traces page", func(ctx context.Context, path string, r *http.Request) (any, error) {
		if x.Where == "" {
			return heads(ctx, path, x.From, tracesAPage)
		}
		inside, err := inspect.Open(ctx, path)
		if err != nil {
			return nil, err
		}
		return found(ctx, inside, r, "where")
	})
	if _, wrong := err.(bad); wrong {
		x.Wrong, v, err = ppx.Printable(err.Error()), nil, nil
	}
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *view.Heads:
		x.Heads = v
		if x.From > 0 {
			x.Previous = fmt.Sprint(at, max(0, x.From-tracesAPage))
		}
		if x.From+len(v.Traces) < v.Total {
			x.Next = fmt.Sprint(at, x.From+tracesAPage)
		}
	case *view.Found:
		x.Found = v
	}
	return s.render(w, "traces", shell{Title: "Traces of " + ppx.Printable(id), Run: id, Links: links(id), Content: x})
}

// traceShown is the content of a trace's page.
type traceShown struct {
	Row, Previous, Next string
	Head                string
	Steps               []traceStep
	More                string
}

type traceStep struct {
	Index                                          int
	Short, Role, Class, Name, Value                string
	Picture, Distribution, LogP, Origin, At, Where string
	Bar                                            float64 // how improbable, from 0 to 100
}

const (
	mostSteps     = 5000
	pictureFrom   = 12 // elements from which on a tensor is a picture
	pictureAtMost = 4 << 20
)

// tracePage shows a trace as a timeline.
func (s *Server) tracePage(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	v, err := s.made(r, "trace page", func(_ context.Context, path string, r *http.Request) (any, error) {
		reader, t, places, err := trace(path, r.PathValue("row"))
		if err != nil {
			return nil, err
		}
		find, _ := view.LocatorOf(reader.Manifest)
		return timeline(id, t, places, find), nil
	})
	if err != nil {
		return err
	}
	x := v.(traceShown)
	return s.render(w, "trace", shell{Title: "Trace " + x.Row + " of " + ppx.Printable(id), Run: id, Links: links(id), Content: x})
}

func timeline(id string, t *tracing.Trace, places map[uint64]int, find view.Locator) traceShown {
	at := "/run/" + url.PathEscape(id) + "/trace/"
	x := traceShown{Row: fmt.Sprint(t.Row), Next: fmt.Sprint(at, t.Row+1), Head: fmt.Sprintf("log weight %s, %s, type %s", view.Figure(t.LogWeight), text.Count(len(t.Sites), "statement", "statements"), view.TypeName(t.Type()))}
	if t.Row > 0 {
		x.Previous = fmt.Sprint(at, t.Row-1)
	}
	if t.Status == tracing.Failed {
		x.Head = "given up: " + ppx.Printable(t.Error)
	}
	if t.Chain > 0 {
		x.Head += fmt.Sprintf(", chain %d, step %d", t.Chain, t.Lineage().Step)
	}
	if t.Result.Data != nil {
		x.Head += ", result " + view.Head(t.Result.String(), 60)
	}
	for i := range t.Sites[:min(len(t.Sites), mostSteps)] {
		e := &t.Sites[i]
		address := t.Table.Address(e.Address)
		step := traceStep{Index: i, Role: tracing.Role(e.Op), Name: ppx.Printable(t.Table.Name(e.Name)), LogP: view.Figure(e.LogP), At: ppx.Printable(address.Base), Where: ppx.Printable(view.Innermost(address.Base)), Distribution: ppx.Printable(view.Head(t.Dist(i).String(), 120)), Origin: e.Origin.String()}
		step.Class = step.Role
		if e.Op == ppx.Sample && !e.Control {
			step.Class = "uncontrolled"
		}
		if k, ok := places[address.Hash]; ok {
			step.Short = inspect.ShortAddress(k)
		}
		if at := find(address.Base); at != "" {
			step.Where = at
		}
		v := t.Value(i)
		step.Value = ppx.Printable(view.Head(v.String(), 60))
		if len(v.Data) >= pictureFrom && len(v.Data) <= pictureAtMost {
			step.Picture = fmt.Sprint(at, t.Row, "/tensor/", i, ".png")
		}
		step.Bar = max(0, min(100, -e.LogP*5))
		x.Steps = append(x.Steps, step)
	}
	if n := len(t.Sites) - mostSteps; n > 0 {
		x.More = fmt.Sprintf("… and %s more", text.Thousands(uint64(n)))
	}
	return x
}

// comparePage sets runs beside each other.
func (s *Server) comparePage(w http.ResponseWriter, r *http.Request) error {
	ids := r.URL.Query()["run"]
	c, err := s.comparison(r)
	if err != nil {
		return err
	}
	paths, state, live, err := s.several(ids)
	if err != nil {
		return err
	}
	v, err := s.cache.get(r.Context(), "compare page\x00"+strings.Join(ids, "\x00"), state, live, func(ctx context.Context) (any, error) {
		var said, b bytes.Buffer
		c.Text(&said)
		err := page.Report(ctx, &b, paths, page.Options{Title: "Comparison", Lead: said.String(), Links: []page.Link{{Name: "All runs", URL: "/"}}, Nonce: place})
		return b.Bytes(), err
	})
	if err != nil {
		return err
	}
	return kept(w, v.([]byte))
}
