package enginetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ppx-engine/ppx-engine/engine"
	"github.com/ppx-engine/ppx-engine/internal/testbed"
)

// Client is the simulators of a case in one language, delegated or, if they are Plain, asked statement by statement.
type Client struct {
	Language string
	Plain    bool
}

func (c Client) String() string { return fmt.Sprintf("%s, plain %v", c.Language, c.Plain) }

// OnClients gives each model of the bank to begin, with one of its data, and then its simulators to what that returns: of all models in C++, of two of them in every
// language, delegated ones before plain ones.
func OnClients(t *testing.T, workers int, begin func(Case) func(Client, *engine.Pool)) {
	t.Helper()
	for _, c := range Cases() {
		model, data, _ := strings.Cut(c.Name, "(")
		if data == "4,3)" {
			continue
		}
		f := begin(c)
		languages := []string{"cpp"}
		if model == "gum" || model == "branching" {
			languages = []string{"cpp", "python", "go"}
		}
		for _, language := range languages {
			for _, plain := range []bool{false, true} {
				p, err := engine.Open(context.Background(), engine.Options{Command: testbed.Simulator(t, model, language), Workers: workers, Plain: plain})
				if err != nil {
					t.Fatal(err)
				}
				f(Client{language, plain}, p)
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Apart tells where two lists of rows are not the same to rounding; "" if nowhere.
func Apart(got, want [][]float64) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if !slices.EqualFunc(got[i], want[i], func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }) {
			return fmt.Sprintf("row %d: %v, want %v", i, got[i], want[i])
		}
	}
	return ""
}
