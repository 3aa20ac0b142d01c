package simulators_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
)

// Distributions of the simulator's own are drawn, scored, given as data and left alone by a network, in every language.
func TestCustomDistributionsInEveryLanguage(t *testing.T) {
	const y = 1.7
	normal := func(x float64) float64 { return math.Exp(-0.5*(y-x)*(y-x)/0.25) / (0.5 * math.Sqrt(2*math.Pi)) }
	var evidence, z1, k1, given float64
	for k := range 3 {
		p := (1 + float64(k)) / 6
		const n = 20_000
		for i := range n {
			z := (float64(i) + 0.5) / n
			w := p * 2 * z / n * normal(z+float64(k))
			evidence += w
			z1 += w * z
			k1 += w * float64(k)
		}
		given += p * 2 * 0.25 * normal(0.25+float64(k))
	}
	z1, k1 = z1/evidence, k1/evidence
	for _, language := range testbed.Languages {
		t.Run(language, func(t *testing.T) {
			t.Setenv("MODEL", "custom")
			sim := testbed.Simulator(t, "families", language)
			exact := func(p posterior) {
				t.Helper()
				p.evidence(t, math.Log(evidence), 200)
				for _, v := range p.Variables {
					switch v.Name {
					case "z":
						p.within(t, "mean of z", v.Mean, z1, 0.25)
					case "k":
						p.within(t, "mean of k", v.Mean, k1, 0.7)
					}
				}
			}
			observe := []string{fmt.Sprint("y=", y)}
			exact(infer(t, 2000, observe, sim))
			p := infer(t, 500, append(observe, "z=0.25"), sim)
			p.evidence(t, math.Log(given), 100)
			testbed.WithoutRace(t)
			net := filepath.Join(t.TempDir(), "custom.net")
			train := exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"train", "-o", net, "--quiet", "--seed", "1", "-n", "640", "--lstm", "8", "--validation", "64", "--"}, sim...)...)
			if out, err := train.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			exact(infer(t, 800, observe, sim, "--network", net))
			for what, want := range map[string]string{"--method lmh": "a custom distribution, from which the simulator alone can draw", "--plain": "knows nothing of that"} {
				args := append([]string{"infer", "--quiet", "-n", "100", "--observe", "y=1.7", "--out", filepath.Join(t.TempDir(), "run")}, strings.Fields(what)...)
				if out, err := exec.Command(testbed.Go(t, "./cmd/ppx"), append(append(args, "--"), sim...)...).CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
					t.Errorf("%s: %v: %s", what, err, out)
				}
			}
			out, err := exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"check", "--json", "--"}, sim...)...).Output()
			var r struct{ Failed int }
			if e := json.Unmarshal(out, &r); err != nil || e != nil {
				t.Errorf("check: %v %v: %s", err, e, out)
			}
		})
	}
}
