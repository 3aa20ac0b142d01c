package simulators_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/internal/testbed"
	"github.com/ppx-engine/ppx-engine/simulators/gum"
)

// A marked rejection loop, learned and weighed by its accepted passes, has the exact posterior in every language.
func TestMarkedLoopsInEveryLanguage(t *testing.T) {
	testbed.WithoutRace(t)
	for _, language := range testbed.Languages {
		t.Run(language, func(t *testing.T) {
			t.Setenv("MODEL", "marked")
			sim := testbed.Simulator(t, "marsaglia", language)
			net := filepath.Join(t.TempDir(), "marked.net")
			train := exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"train", "-o", net, "--rejection", "--quiet", "--seed", "1", "-n", "12800", "--lstm", "32", "--"}, sim...)...)
			if out, err := train.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			p := infer(t, 400, []string{"obs0=8", "obs1=9"}, sim, "--network", net)
			mean, sd, evidence := gum.Posterior(8, 9)
			p.evidence(t, evidence, 40)
			for _, v := range p.Variables {
				if v.Name == "mu" {
					p.within(t, "mean of mu", v.Mean, mean, sd)
				}
			}
		})
	}
}

// A loop that is not marked is named by ppx check, where it is one: a fixed number of passes, or passes that matter later, are not.
func TestCheckNamesRejectionLoops(t *testing.T) {
	for _, c := range []struct {
		name, model string
		want        bool
	}{{"marsaglia", "", true}, {"hmm", "", false}} {
		t.Setenv("MODEL", c.model)
		out, err := exec.Command(testbed.Go(t, "./cmd/ppx"), append([]string{"check", "--"}, testbed.Simulator(t, c.name, "cpp")...)...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "rejection loops") != c.want {
			t.Errorf("%s %s: %v: %s", c.name, c.model, err, out)
		}
	}
}
