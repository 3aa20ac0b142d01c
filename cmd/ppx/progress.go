package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ppx-engine/ppx-engine/importance"
	"github.com/ppx-engine/ppx-engine/internal/text"
	"github.com/ppx-engine/ppx-engine/jobs"
	"github.com/ppx-engine/ppx-engine/view"
)

// progress shows how far a job is: one moving line on a terminal, a line now and then elsewhere.
type progress struct {
	w           io.Writer
	live        bool
	shown       bool
	last        time.Time
	stats       func() string // what else there is to say
	conditioned bool
}

// every is how often progress wants to hear.
func (p *progress) every() time.Duration {
	if p.live {
		return 100 * time.Millisecond
	}
	return 5 * time.Second
}

// options are those of a job that is watched so.
func (p *progress) options(o jobs.Options) jobs.Options {
	o.Version, o.System, o.Every = versionString(), "ppx-engine "+versionString(), p.every()
	o.Remark = func(text string) {
		p.done() // the line that moves
		remark(text)
	}
	return o
}

func newProgress(quiet, conditioned bool, stats func() string) *progress {
	p := &progress{w: os.Stderr, live: view.IsTerminal(os.Stderr), stats: stats, conditioned: conditioned}
	if quiet {
		p.w = io.Discard
		p.live = false
	}
	return p
}

func (p *progress) show(s importance.Progress) {
	parts := []string{text.Thousands(s.Done) + "/" + text.Thousands(s.N), fmt.Sprintf("%s traces/s", view.Figure(view.Round(s.PerSecond)))}
	if s.Where != "" {
		parts[0] = s.Where
	}
	if p.conditioned && !math.IsNaN(s.ESS) {
		parts = append(parts, "ESS "+view.Figure(s.ESS))
	}
	if s.Left > 0 && s.Done < s.N {
		parts = append(parts, view.Short(s.Left)+" left")
	}
	if x := p.stats(); x != "" {
		parts = append(parts, x)
	}
	text := strings.Join(parts, "  ")
	if !p.live && p.last.IsZero() && s.Done == s.N && s.Elapsed < p.every() {
		return // over before there was anything to report
	}
	p.line(float64(s.Done)/math.Max(1, float64(s.N)), text)
}

// line shows a text: with a bar in place of the line before on a terminal, as a line of its own elsewhere.
func (p *progress) line(fraction float64, text string) {
	p.last = time.Now()
	if !p.live {
		fmt.Fprintln(p.w, "ppx: "+text)
		return
	}
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil {
		width = 0
	}
	fmt.Fprint(p.w, "\r\x1b[K"+barLine(fraction, text, width))
	p.shown = true
}

// barLine is a text behind a bar, as far as both go into so many columns; 0: a terminal that does not say.
func barLine(fraction float64, text string, width int) string {
	if width < 1 {
		width = 80
	}
	if room := width - len([]rune(text)) - 4; room >= 10 {
		text = view.Bar(fraction, min(room, 30)) + "  " + text
	}
	if r := []rune(text); len(r) >= width {
		text = string(r[:width-1])
	}
	return text
}

// throttle is true at most so often.
func throttle(every time.Duration) func() bool {
	last := time.Now()
	return func() bool {
		if now := time.Now(); now.Sub(last) >= every {
			last = now
			return true
		}
		return false
	}
}

// done leaves the line clean for what follows.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
