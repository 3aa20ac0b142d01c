package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
)

// browser is a headless Chromium, which notes what its console complains of.
type browser struct {
	ctx context.Context
	t   *testing.T
	mu  sync.Mutex
	bad []string
}

func newBrowser(t *testing.T) *browser {
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("no chromium (scripts/setup.sh test installs it)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.WindowSize(1200, 900), chromedp.WSURLReadTimeout(time.Minute))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(stop)
	b := &browser{ctx: ctx, t: t}
	chromedp.ListenTarget(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.bad = append(b.bad, e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError {
				b.bad = append(b.bad, fmt.Sprintf("console: %s", e.Args[0].Value))
			}
		case *cdplog.EventEntryAdded:
			if e.Entry.Level == cdplog.LevelError {
				b.bad = append(b.bad, e.Entry.Text+" "+e.Entry.URL)
			}
		case *page.EventJavascriptDialogOpening:
			b.bad = append(b.bad, "a dialog: "+e.Message)
		}
	})
	b.do(cdplog.Enable())
	return b
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// js is the value of an expression.
func js[T any](b *browser, expression string) (v T) {
	b.t.Helper()
	b.do(chromedp.Evaluate(expression, &v))
	return v
}

// until waits for an expression to be true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(30 * time.Millisecond) {
		var yes bool
		err := chromedp.Run(b.ctx, chromedp.Evaluate(expression, &yes)) // between two pages there is nothing to ask
		if err == nil && yes {
			return
		}
		if time.Now().After(end) || b.ctx.Err() != nil {
			b.t.Fatalf("%s: %v\n%s", expression, err, js[string](b, "document.body.innerText.slice(0, 2000)"))
		}
	}
}

// quiet fails if the console has complained.
func (b *browser) quiet(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.bad {
		b.t.Errorf("%s: %s", where, x)
	}
	b.bad = nil
}

// hasCharts tells whether the library of charts was fetched.
func hasCharts(t *testing.T) bool {
	_, err := os.Stat(filepath.Join(testbed.Root(), "page", "assets", "plot.umd.min.js"))
	return err == nil
}

// A report in a browser: charts are drawn and answer, the table sorts, the graph moves; what a simulator is called never runs.
func TestReportInABrowser(t *testing.T) {
	s, b := newSession(t), newBrowser(t)
	s.run(0, args(words("infer --quiet --seed 2 -n 2000 --observe y=1 --out run"), model("twice"))...)
	s.run(0, args(words("infer --quiet --seed 2 -n 320 --method smc --observe y=1 --out smc"), model("twice"))...)
	s.run(0, args(words("infer --quiet --seed 2 -n 400 --method rmh --chains 4 --warmup 50 --observe y=1 --out rmh"), model("twice"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 50 --observe y=1 --out hostile"), model("hostile"))...)
	s.run(0, args(words("predict --quiet --seed 1 -n 200 run --out replicates"))...)
	charts := hasCharts(t)
	for command, want := range map[string]string{"run replicates --truth a=9": "marginals pairs weights predictive", "smc": "marginals pairs weights ladder", "rmh run": "marginals pairs weights chains", "hostile": "marginals"} {
		s.run(0, words("report -o r.html "+command)...)
		b.do(chromedp.Navigate("file://" + filepath.Join(s.dir, "r.html")))
		b.quiet(command)
		figures := js[[]string](b, `[...document.querySelectorAll("[data-chart]")].map(f => f.dataset.chart + (f.classList.contains("drawn") ? "" : " (picture)"))`)
		for _, f := range words(want) {
			if strings.Count(strings.Join(figures, ","), f) != 1 || charts && f != "predictive" && strings.Contains(strings.Join(figures, ","), f+" (picture)") {
				t.Errorf("%s: %q, want %s", command, figures, f)
			}
		}
		if n := js[int](b, `[...document.images].filter(i => !i.complete || i.naturalWidth === 0).length`); n > 0 {
			t.Errorf("%s: %d pictures are broken", command, n)
		}
		if w := js[[]int](b, `[document.documentElement.scrollWidth, innerWidth]`); w[0] > w[1] {
			t.Errorf("%s: %d wide in a window of %d", command, w[0], w[1])
		}
	}
	s.run(0, words("report -o r.html run")...)
	b.do(chromedp.Navigate("file://" + filepath.Join(s.dir, "r.html")))
	// The table sorts by a column, both ways.
	means := `[...document.querySelectorAll("table.variables tbody tr")].map(r => parseFloat(r.cells[1].textContent))`
	for _, sign := range []string{"<=", ">="} {
		b.do(chromedp.Click(`table.variables th:nth-child(2)`, chromedp.ByQuery))
		if !js[bool](b, `(m => m.length > 1 && m.every((x, i) => !i || m[i-1] `+sign+` x))(`+means+`)`) {
			t.Error("not sorted:", js[[]float64](b, means))
		}
	}
	before := js[string](b, `document.querySelector(".graph svg").getAttribute("viewBox")`)
	b.do(chromedp.Click(`.tools button`, chromedp.ByQuery))
	if after := js[string](b, `document.querySelector(".graph svg").getAttribute("viewBox")`); after == before {
		t.Error("the graph does not come closer")
	}
	b.do(chromedp.Evaluate(`document.querySelector(".graph .node[data-key=A1]").dispatchEvent(new MouseEvent("click"))`, nil))
	if said := js[string](b, `document.querySelector(".chosen").textContent`); !strings.HasPrefix(said, "A1: controlled") {
		t.Error(said)
	}
	if charts {
		b.do(chromedp.Click(`summary`, chromedp.ByQuery), chromedp.Click(`details input`, chromedp.ByQuery))
		if n := js[[]int](b, `[document.querySelectorAll("[data-variable]").length, document.querySelectorAll("details input").length]`); n[0] != n[1]-1 {
			t.Error("a variable that was left out is shown", n)
		}
		name := js[string](b, `document.querySelector("details label").textContent.trim()`)
		b.do(chromedp.Evaluate(`[...document.querySelectorAll("td.link")].find(t => t.textContent === "`+name+`").click()`, nil))
		if !js[bool](b, `!!document.querySelector("[data-variable=`+name+`].on")`) {
			t.Error("the table does not show", name)
		}
		was := js[string](b, `document.querySelector("[data-chart=pairs] .live svg").outerHTML`)
		b.do(chromedp.Evaluate(`(s => { s.value = s.options.length - 1; s.dispatchEvent(new Event("change")); })(document.querySelector("[data-chart=pairs] select"))`, nil))
		if js[string](b, `document.querySelector("[data-chart=pairs] .live svg").outerHTML`) == was {
			t.Error("another pair is the same picture")
		}
	}
	// On a phone nothing is cut off.
	b.do(chromedp.EmulateViewport(390, 800), chromedp.Reload())
	if w := js[int](b, `document.documentElement.scrollWidth`); w > 392 {
		t.Errorf("%d wide on a phone", w)
	}
	b.quiet("clicks")
}

// opened is ppx open in its course.
func (s *session) opened(flags ...string) (address string) {
	s.t.Helper()
	c := exec.Command(s.ppx, append(words("open ."), flags...)...)
	c.Dir = s.dir
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		if err := c.Wait(); err != nil {
			s.t.Errorf("ppx open: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// The inspector in a browser: all pages, a job that goes on, one that is stopped, one that is submitted; and names that are scripts.
func TestInspectorInABrowser(t *testing.T) {
	s, b := newSession(t), newBrowser(t)
	s.run(0, args(words("infer --quiet --seed 2 -n 2000 --observe y=1 --out pair"), model("pair"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 50 --observe y=1 --out hostile"), model("hostile"))...)
	s.run(0, args(words("infer --quiet --seed 1 -n 50 --observe y=1 --out"), []string{"<img src=x onerror=alert(1)>"}, model("pair"))...)
	allowed := testbed.Simulator(t, "gum", "cpp")
	address := s.opened("--allow-submit", strings.Join(allowed, " "))
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + u.Host
	b.do(chromedp.Navigate(address))
	b.until(`document.querySelectorAll("#runs tbody tr").length === 3`)
	if at := js[string](b, `location.href`); at != base+"/" {
		t.Errorf("the token stays in the address: %s", at)
	}
	b.quiet("list")
	for _, id := range []string{"pair", "hostile", "<img src=x onerror=alert(1)>"} {
		b.do(chromedp.Navigate(base + "/"))
		b.until(`document.querySelectorAll("#runs tbody tr").length === 3`)
		b.do(chromedp.Evaluate(`[...document.querySelectorAll("#runs a")].find(a => a.textContent === `+quoted(id)+`).click()`, nil))
		b.until(`!!document.querySelector("#live table") && !!document.querySelector(".graph svg")`)
		b.quiet(id)
		b.do(chromedp.Evaluate(`[...document.querySelectorAll("nav a")].find(a => a.textContent === "Traces").click()`, nil))
		b.until(`document.querySelectorAll("tbody tr").length === 50`)
		b.do(chromedp.Evaluate(`document.querySelectorAll("tbody a")[3].click()`, nil))
		b.until(`document.querySelectorAll(".strip-of a").length > 1`)
		b.quiet(id + ": a trace")
	}
	// Looking for statements, and a condition that is none.
	b.do(chromedp.Navigate(base+"/run/pair/traces"), chromedp.SendKeys(`input[name=where]`, `name == "x" and value > 0`, chromedp.ByQuery), chromedp.Submit(`form`, chromedp.ByQuery))
	b.until(`document.body.innerText.includes("statements in")`)
	b.do(chromedp.Navigate(base + "/run/pair/traces?where=" + url.QueryEscape("name == ")))
	b.until(`!!document.querySelector(".wrong")`)
	b.quiet("conditions")
	// Two runs beside each other.
	b.do(chromedp.Navigate(base + "/"))
	b.until(`document.querySelectorAll("#runs tbody tr").length === 3`)
	b.do(chromedp.Evaluate(`document.querySelectorAll("#runs input").forEach((x, i) => { if (i < 2) x.click(); })`, nil), chromedp.Click(`#compare`, chromedp.ByQuery))
	b.until(`document.querySelectorAll(".verdict").length === 2 && document.body.innerText.includes("apart")`)
	b.quiet("comparison")

	// A job: submitted by a program, followed in the browser, stopped there.
	post := func(path, body string) (int, string) {
		r, err := http.NewRequest("POST", base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+u.Query().Get("token"))
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	job, _ := s.run(0, args(words("infer --print-job --seed 1 -n 100000000 --observe obs0=8 --observe obs1=9 --plain --workers 1 --save-every 300ms --out job --"), allowed)...)
	if code, text := post("/api/v1/jobs", job); code != 202 || !strings.Contains(text, `"run":"job"`) {
		t.Fatal(code, text)
	}
	if code, text := post("/api/v1/jobs", job); code != 409 && code != 202 {
		t.Error(code, text)
	}
	b.do(chromedp.Navigate(base + "/"))
	b.until(`[...document.querySelectorAll("#runs tr")].some(r => r.innerText.includes("job") && r.innerText.includes("running"))`)
	b.do(chromedp.Navigate(base + "/run/job"))
	b.until(`/running: [1-9][0-9,]* of 100,000,000 traces, effective sample size/.test(document.querySelector(".strip").innerText) && !!document.querySelector("#live table")`)
	was := js[string](b, `document.querySelector("#live").innerText`)
	b.until(`document.querySelector("#live").innerText !== ` + quoted(was)) // the table moves
	b.quiet("a job that goes on")
	b.do(chromedp.Click(`.strip button`, chromedp.ByQuery))
	b.until(`!document.querySelector(".strip button")`) // the page of one that has ended
	m, err := os.ReadFile(filepath.Join(s.dir, "job", "run.json"))
	if err != nil || !bytes.Contains(m, []byte(`"state": "interrupted"`)) {
		t.Errorf("%s %v", m, err)
	}
	b.quiet("a job that was stopped")
	// Another simulator, another place, or a link that leads out are refused before anything is opened.
	for name, change := range map[string]func(map[string]any){
		"simulator": func(j map[string]any) {
			j["simulator"].(map[string]any)["command"] = []string{"/bin/sh", "-c", "touch /tmp/x"}
		},
		"arguments": func(j map[string]any) {
			j["simulator"].(map[string]any)["command"] = append([]string{allowed[0], "more"}, allowed[1:]...)
		},
		"one word": func(j map[string]any) {
			j["simulator"].(map[string]any)["command"] = []string{strings.Join(allowed, " ")}
		},
		"connect":  func(j map[string]any) { j["simulator"].(map[string]any)["connect"] = []string{"tcp://127.0.0.1:1"} },
		"out":      func(j map[string]any) { j["out"] = "../elsewhere" },
		"absolute": func(j map[string]any) { j["out"] = "/tmp/elsewhere" },
		"data": func(j map[string]any) {
			j["data"] = map[string]any{"obs0": map[string]any{"file": "/etc/passwd", "sha256": ""}}
		},
		"link": func(j map[string]any) { j["out"] = "link/inner" },
	} {
		if err := os.Symlink(os.TempDir(), filepath.Join(s.dir, "link")); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		var j map[string]any
		if err := json.Unmarshal([]byte(job), &j); err != nil {
			t.Fatal(err)
		}
		j["out"] = "other"
		change(j)
		text, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if code, said := post("/api/v1/jobs", string(text)); code != 403 {
			t.Errorf("%s: %d %s", name, code, said)
		}
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		code   int
	}{
		"inside a run": {func(j map[string]any) { j["out"] = "pair/inner" }, 409},
		"too many":     {func(j map[string]any) { j["n"] = uint64(1) << 63 }, 400},
	} {
		var j map[string]any
		if err := json.Unmarshal([]byte(job), &j); err != nil {
			t.Fatal(err)
		}
		j["out"] = "other"
		c.change(j)
		text, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if code, said := post("/api/v1/jobs", string(text)); code != c.code {
			t.Errorf("%s: %d %s", name, code, said)
		}
	}
	if code, said := post("/api/v1/jobs", `{"schema": 1, "verb": "infer"}`); code != 400 || !strings.Contains(said, "missing") {
		t.Error(code, said)
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Wrong use of ppx open.
func TestOpenMisuse(t *testing.T) {
	s := newSession(t)
	address := s.opened()
	port := regexp.MustCompile(`:(\d+)/`).FindStringSubmatch(address)[1]
	for command, want := range map[string]string{"open": "a folder with runs", "open nowhere": "is no folder", "open . --port 70000": "--port 70000"} {
		if _, e := s.run(2, words(command)...); !strings.Contains(e, want) || strings.Count(e, "\n") != 1 {
			t.Errorf("%s: %q, want %q", command, e, want)
		}
	}
	if _, e := s.run(1, "open", ".", "--port", port); !strings.Contains(e, "port "+port+" of 127.0.0.1 cannot be opened") {
		t.Error(e)
	}
}
