package inspector_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ppx-engine/ppx-engine/inspector"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/jobs"
)

// folder has a run of the prior, and one below another folder.
func folder(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"prior", "deep/posterior"} {
		spec := jobs.New(jobs.Prior)
		spec.Seed, spec.N, spec.Out, spec.Simulator.Command = 1, 300, filepath.Join(dir, name), testbed.Simulator(t, "gum", "cpp")
		if _, err := jobs.Run(t.Context(), spec, jobs.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// served is an inspector with its address and token.
type served struct {
	base, token string
	t           *testing.T
}

func serve(t *testing.T, o inspector.Options) *served {
	s, err := inspector.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	return &served{"http://" + u.Host, u.Query().Get("token"), t}
}

// do asks with the token, unless change takes it away.
func (s *served) do(method, path, body string, change func(*http.Request)) (int, string, http.Header) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// Nobody gets in without the token, by another name of this host, or from another page.
func TestGuard(t *testing.T) {
	s := serve(t, inspector.Options{Dir: folder(t)})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.base, "http://"))
	for name, c := range map[string]struct {
		method, path string
		change       func(*http.Request)
		want         int
	}{
		"token":                 {"GET", "/api/v1/runs", nil, 200},
		"page":                  {"GET", "/", nil, 200},
		"no token":              {"GET", "/api/v1/runs", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"no token, page":        {"GET", "/run/prior", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"no token, script":      {"GET", "/app.js", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"wrong token":           {"GET", "/api/v1/runs", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s.token+"x") }, 401},
		"empty token":           {"GET", "/?token=", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"in the query":          {"GET", "/api/v1/runs?token=" + s.token, func(r *http.Request) { r.Header.Del("Authorization") }, 200},
		"rebound name":          {"GET", "/api/v1/runs", func(r *http.Request) { r.Host = "evil.example:" + port }, 403},
		"other port":            {"GET", "/api/v1/runs", func(r *http.Request) { r.Host = "127.0.0.1:1" }, 403},
		"no port":               {"GET", "/api/v1/runs", func(r *http.Request) { r.Host = "127.0.0.1" }, 403},
		"localhost":             {"GET", "/api/v1/runs", func(r *http.Request) { r.Host = "localhost:" + port }, 200},
		"other origin":          {"GET", "/api/v1/runs", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		"own origin":            {"GET", "/api/v1/runs", func(r *http.Request) { r.Header.Set("Origin", s.base) }, 200},
		"null origin":           {"GET", "/api/v1/runs", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		"cross-site, any token": {"GET", "/api/v1/runs?token=x", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"cross-site":            {"GET", "/api/v1/runs", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"form":                  {"POST", "/api/v1/runs/prior/stop", nil, 415},
		"up":                    {"GET", "/api/v1/runs/..", nil, 307},
		"up and down":           {"GET", "/api/v1/runs/..%2f..%2fetc", nil, 404},
		"absolute":              {"GET", "/api/v1/runs/%2fetc", nil, 404},
		"not a run":             {"GET", "/api/v1/runs/deep", nil, 404},
		"deep":                  {"GET", "/api/v1/runs/deep%2Fposterior", nil, 200},
		"no such row":           {"GET", "/api/v1/runs/prior/traces/300", nil, 404},
		"no number":             {"GET", "/api/v1/runs/prior/traces/x", nil, 400},
		"no condition":          {"GET", "/api/v1/runs/prior/grep?where=value", nil, 400},
		"wrong condition":       {"GET", "/api/v1/runs/prior/grep?where=value+%3E", nil, 400},
		"no such type":          {"GET", "/api/v1/runs/prior/graph?type=T9", nil, 400},
		"one run":               {"GET", "/api/v1/compare?run=prior", nil, 400},
		"no such statement":     {"GET", "/run/prior/trace/0/tensor/99.png", nil, 404},
		"nobody is writing":     {"POST", "/api/v1/runs/prior/stop", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 409},
		"no jobs are taken":     {"POST", "/api/v1/jobs", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 403},
		"unknown":               {"GET", "/nothing", nil, 404},
		"method":                {"DELETE", "/api/v1/runs", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 405},
		"large":                 {"GET", "/api/v1/runs/prior/traces?n=999999999&from=99999999", nil, 200},
		"negative":              {"GET", "/api/v1/runs/prior/traces?n=-1&from=-5", nil, 200},
		"link with a token":     {"GET", "//evil.example/?token=" + s.token, nil, 303},
		"condition on pages":    {"GET", "/run/prior/traces?where=nonsense(", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := &served{s.base, s.token, t}
			code, body, h := s.do(c.method, c.path, "", c.change)
			if code != c.want {
				t.Errorf("%d, want %d: %.200s", code, c.want, body)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no headers")
			}
			if to := h.Get("Location"); code == 303 && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
				t.Errorf("leads to %s", to)
			}
			if code >= 400 && code != 404 && code != 405 && strings.Count(strings.TrimSpace(body), "\n") > 0 && strings.HasPrefix(c.path, "/api") {
				t.Errorf("%q is more than a line", body)
			}
		})
	}
	// The address that is printed leaves a cookie, and then itself.
	code, _, h := s.do("GET", "/?token="+s.token, "", func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("Sec-Fetch-Site", "cross-site") })
	cookie := h.Get("Set-Cookie")
	if code != 303 || h.Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
		t.Fatal(code, h)
	}
	code, _, _ = s.do("GET", "/", "", func(r *http.Request) {
		r.Header.Del("Authorization")
		r.Header.Set("Cookie", strings.Split(cookie, ";")[0])
	})
	if code != 200 {
		t.Error(code)
	}
}

// What is served below /api/v1 is what the file says, and answers as it says.
func TestOpenAPI(t *testing.T) {
	s := serve(t, inspector.Options{Dir: folder(t)})
	_, text, _ := s.do("GET", "/api/v1/openapi.json", "", nil)
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, methods := range doc.Paths {
		for method, m := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if method != "get" || strings.HasSuffix(path, "/events") {
				continue
			}
			at := strings.NewReplacer("{id}", "prior", "{row}", "3").Replace(path)
			switch {
			case strings.HasSuffix(path, "/grep"):
				at += "?where=" + url.QueryEscape("value > 0")
			case strings.HasSuffix(path, "/compare"):
				at += "?run=prior&run=" + url.QueryEscape("deep/posterior")
			}
			code, body, h := s.do("GET", at, "", nil)
			if code != 200 || h.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %s: %.200s", at, code, h.Get("Content-Type"), body)
				continue
			}
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			if err := m.Responses["200"].Content["application/json"].Schema.fits(v, doc.Components.Schemas); err != nil {
				t.Errorf("%s: %v", at, err)
			}
		}
	}
	slices.Sort(described)
	served := inspector.Described()
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described %q\nserved %q", described, served)
	}
	_, body, _ := s.do("GET", "/api/v1/runs/nope", "", nil)
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	if err := (schema{Ref: "#/components/schemas/Error"}).fits(v, doc.Components.Schemas); err != nil {
		t.Error(err)
	}
}

// schema is as much of JSON Schema as the file uses.
type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Required   []string
	Properties map[string]schema
	Items      *schema
	Enum       []string
	AllOf      []schema
}

func (s schema) fits(v any, all map[string]schema) error {
	if s.Ref != "" {
		named, ok := all[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		if !ok {
			return fmt.Errorf("no schema %s", s.Ref)
		}
		return named.fits(v, all)
	}
	for _, a := range s.AllOf {
		if err := a.fits(v, all); err != nil {
			return err
		}
	}
	kind := map[bool]string{true: "null"}[v == nil]
	switch x := v.(type) {
	case string:
		kind = "string"
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, x) {
			return fmt.Errorf("%q is none of %q", x, s.Enum)
		}
	case bool:
		kind = "boolean"
	case float64:
		if kind = "number"; x == float64(int64(x)) && s.Type == "integer" {
			kind = "integer"
		}
	case []any:
		kind = "array"
		if s.Items != nil {
			for _, y := range x {
				if err := s.Items.fits(y, all); err != nil {
					return err
				}
			}
		}
	case map[string]any:
		kind = "object"
		for _, name := range s.Required {
			if _, ok := x[name]; !ok {
				return fmt.Errorf("%s is missing", name)
			}
		}
		for name, p := range s.Properties {
			if y, ok := x[name]; ok {
				if err := p.fits(y, all); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	switch want := s.Type.(type) {
	case string:
		if want != kind {
			return fmt.Errorf("%s, want %s", kind, want)
		}
	case []any:
		if !slices.Contains(want, any(kind)) {
			return fmt.Errorf("%s, want %v", kind, want)
		}
	}
	return nil
}

// A port that is taken is named; another inspector on the same folder is none's business.
func TestTwoInspectors(t *testing.T) {
	dir := folder(t)
	a := serve(t, inspector.Options{Dir: dir})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(a.base, "http://"))
	var p int
	fmt.Sscan(port, &p)
	if _, err := inspector.Listen(inspector.Options{Dir: dir, Port: p}); err == nil || !strings.Contains(err.Error(), "port "+port) || !strings.Contains(err.Error(), "--port") {
		t.Error(err)
	}
	b := serve(t, inspector.Options{Dir: dir})
	for _, s := range []*served{a, b} {
		if code, body, _ := s.do("GET", "/api/v1/runs/prior", "", nil); code != 200 || !strings.Contains(body, `"mu"`) {
			t.Error(code, body)
		}
	}
	// The token of one is none of the other's.
	if code, _, _ := (&served{a.base, b.token, t}).do("GET", "/api/v1/runs", "", nil); code != 401 {
		t.Error(code)
	}
}

// What cannot be read is shown as that; the rest is.
func TestUnreadable(t *testing.T) {
	dir := folder(t)
	for name, text := range map[string]string{"old": `{"format": 1}`, "broken": `{"format": 2,`, "empty": ``} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "run.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A part of a run that is damaged.
	parts, err := filepath.Glob(filepath.Join(dir, "deep/posterior/sites/*.parquet"))
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	if err := os.Truncate(parts[0], 100); err != nil {
		t.Fatal(err)
	}
	s := serve(t, inspector.Options{Dir: dir})
	_, body, _ := s.do("GET", "/api/v1/runs", "", nil)
	if strings.Count(body, `"unreadable"`) != 3 || !strings.Contains(body, `"prior"`) {
		t.Error(body)
	}
	for _, id := range []string{"old", "broken", "empty", "deep%2Fposterior"} {
		for _, path := range []string{"/api/v1/runs/" + id, "/run/" + id, "/run/" + id + "/traces", "/api/v1/runs/" + id + "/addresses"} {
			if code, body, _ := s.do("GET", path, "", nil); code == 200 && id != "deep%2Fposterior" || code >= 500 && id != "deep%2Fposterior" {
				t.Errorf("%s: %d %.300s", path, code, body)
			}
		}
	}
}

// A browser that goes away in mid-stream leaves nothing behind, and others are answered.
func TestEvents(t *testing.T) {
	dir := folder(t)
	s := serve(t, inspector.Options{Dir: dir})
	follow := func(id string) (*http.Response, context.CancelFunc) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		r, err := http.NewRequestWithContext(ctx, "GET", s.base+"/api/v1/runs/"+id+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp, cancel
	}
	resp, cancel := follow("prior")
	defer cancel()
	b, err := io.ReadAll(resp.Body) // it has ended: so do the events
	resp.Body.Close()
	if err != nil || !regexp.MustCompile(`^data: {"id":"prior","state":"complete".*"traces":300,.*"verdict":"good"`).Match(b) || strings.Count(string(b), "data:") != 1 {
		t.Errorf("%s %v", b, err)
	}
	// One that goes on.
	spec := jobs.New(jobs.Prior)
	spec.Seed, spec.N, spec.Out, spec.Simulator.Command, spec.Simulator.Plain, spec.SaveEvery = 1, 100_000_000, filepath.Join(dir, "long"), testbed.Simulator(t, "gum", "cpp"), true, jobs.Duration(200*time.Millisecond)
	ctx, stop := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := jobs.Run(ctx, spec, jobs.Options{})
		done <- err
	}()
	for {
		if _, err := os.Stat(filepath.Join(dir, "long", "run.json")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for range 3 {
		resp, cancel := follow("long")
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"state":"running"`) || !strings.Contains(line, `"stoppable":true`) {
			t.Error(line, err)
		}
		cancel() // gone
		resp.Body.Close()
	}
	if code, _, _ := s.do("GET", "/api/v1/runs", "", nil); code != 200 {
		t.Error(code)
	}
	resp, cancel = follow("long")
	defer cancel()
	stop(jobs.ErrInterrupted)
	<-done
	b, err = io.ReadAll(resp.Body)
	resp.Body.Close()
	if lines := strings.Split(strings.TrimSpace(string(b)), "\n"); err != nil || !strings.Contains(lines[len(lines)-1], `"state":"interrupted"`) {
		t.Errorf("%s %v", b, err)
	}
}

// Who looks is never taken for who writes, and what was killed is shown as that: no process is told to stop that has nothing to do with the run.
func TestAbandoned(t *testing.T) {
	dir := folder(t)
	m, err := os.ReadFile(filepath.Join(dir, "prior", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prior", "run.json"), []byte(strings.Replace(string(m), `"state": "complete"`, `"state": "running"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	died := make(chan error, 1)
	go func() { died <- other.Wait() }()
	host, _ := os.Hostname()
	if err := os.WriteFile(filepath.Join(dir, "prior", ".lock"), fmt.Appendf(nil, "%d %s\n", other.Process.Pid, host), 0o644); err != nil {
		t.Fatal(err)
	}
	s := serve(t, inspector.Options{Dir: dir})
	var wait sync.WaitGroup
	for k := range 4 {
		wait.Go(func() {
			for range 100 {
				if k%2 == 0 {
					if code, body, _ := s.do("POST", "/api/v1/runs/prior/stop", "{}", nil); code != 409 {
						t.Error(code, body)
					}
				} else if code, body, _ := s.do("GET", "/api/v1/runs", "", nil); code != 200 || !strings.Contains(body, `"abandoned"`) {
					t.Error(code, body)
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-died:
		t.Error("another process was stopped:", err)
	default:
		_ = other.Process.Kill()
	}
	if _, body, _ := s.do("GET", "/api/v1/runs/prior/events", "", nil); !strings.Contains(body, `"state":"abandoned"`) { // and the events end
		t.Error(body)
	}
}

// A folder that is a run itself, a link to a folder, and a link that leads out of it.
func TestFolders(t *testing.T) {
	dir := folder(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	outside := folder(t)
	if err := os.Symlink(filepath.Join(outside, "prior"), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	s := serve(t, inspector.Options{Dir: link})
	if _, body, _ := s.do("GET", "/api/v1/runs", "", nil); strings.Count(body, `"id"`) != 2 {
		t.Error(body)
	}
	if code, _, _ := s.do("GET", "/api/v1/runs/out", "", nil); code != 404 {
		t.Error("a link leads out:", code)
	}
	one := serve(t, inspector.Options{Dir: filepath.Join(dir, "prior")})
	if code, body, _ := one.do("GET", "/api/v1/runs/prior", "", nil); code != 200 {
		t.Error(code, body)
	}
	if code, _, _ := one.do("GET", "/run/prior/trace/3", "", nil); code != 200 {
		t.Error(code)
	}
}
