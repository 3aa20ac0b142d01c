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

func newProgress(quiet, conditioned bool, stats func() string) *progress {
	p := &progress{w: os.Stderr, live: isTerminal(os.Stderr), stats: stats, conditioned: conditioned}
	if quiet {
		p.w = io.Discard
		p.live = false
	}
	return p
}

func (p *progress) show(s importance.Progress) {
	parts := []string{thousands(s.Done) + "/" + thousands(s.N), fmt.Sprintf("%s traces/s", figure(round(s.PerSecond)))}
	if p.conditioned {
		parts = append(parts, "ESS "+figure(s.ESS))
	}
	if s.Left > 0 && s.Done < s.N {
		parts = append(parts, shortDuration(s.Left)+" left")
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
		text = drawBar(fraction, min(room, 30)) + "  " + text
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

// drawBar is a bar of eighths of a cell.
func drawBar(fraction float64, width int) string {
	eighths := int(math.Round(fraction * float64(width) * 8))
	b := strings.Repeat("█", eighths/8)
	if r := eighths % 8; r > 0 {
		b += string([]rune(" ▏▎▍▌▋▊▉")[r])
	}
	return b + strings.Repeat("·", max(0, width-len([]rune(b))))
}

func round(v float64) float64 {
	if v >= 100 {
		return math.Round(v)
	}
	return v
}

func shortDuration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
