package gosim

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/dist"
)

// EndpointVar is the environment variable in which an engine tells a launched simulator its endpoint.
const EndpointVar = "PPX_ENDPOINT"

// System is the name under which this client introduces itself.
func System() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	return "gosim " + version + " (Go)"
}

// Serve binds endpoint (tcp://127.0.0.1:5555, ipc:///path, ipc://@name) and answers engines until ctx
// ends. Anyone who can connect can run the model: PPX has no authentication, so bind loopback or a Unix
// socket unless the network is yours.
func Serve(ctx context.Context, endpoint, name string, m Model) error {
	return ppx.ServeAt(ctx, endpoint, System(), name, Wrap(m))
}

// Local runs the model once without an engine: it draws by itself, from the given seed.
func Local(m Model, seed uint64) (Tensor, error) { return LocalRun(m, seed, 0) }

// LocalRun is run number n of a seed.
func LocalRun(m Model, seed, n uint64) (Tensor, error) {
	return Wrap(m)(ppx.NewLocal(seed, dist.StreamInference.Stream(0), n))
}

// Main is the main function of a simulator: with an endpoint as its argument, as --endpoint, or PPX_ENDPOINT in
// the environment, it serves an engine until it is told to stop; else it runs the model once by itself, prints
// the result and returns. It does not return after an error.
func Main(name string, m Model) {
	endpoint := flag.String("endpoint", os.Getenv(EndpointVar), "serve an engine here (default: $"+EndpointVar+"; without any, run once)")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "random seed when run without an engine")
	flag.Parse()
	if flag.NArg() == 1 && strings.Contains(flag.Arg(0), "://") {
		*endpoint = flag.Arg(0)
	} else if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: unknown argument %s; usage: [ENDPOINT | --endpoint ENDPOINT] [--seed N]\n", name, flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *endpoint == "" {
		const hint = `give an endpoint as the first argument, or start it with "ppx … -- PROGRAM {endpoint}"`
		fmt.Fprintf(os.Stderr, "%s: no engine (%s): running once by itself\n", name, hint)
		var result Tensor
		if result, err = Local(m, *seed); err == nil {
			err = show(result)
		}
	} else {
		err = Serve(ctx, *endpoint, name, m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// show prints a result: a number, or nested lists of numbers, as the other clients show them too.
func show(t Tensor) error {
	if t.Data == nil && t.Shape == nil { // the model has none
		return nil
	}
	if _, err := dist.NewTensor(t.Data, t.Shape); err != nil {
		return fmt.Errorf("the model's result: %w", err)
	}
	fmt.Println(text(t))
	return nil
}

func text(t Tensor) string {
	if len(t.Shape) == 0 {
		format := byte('g')
		if a := math.Abs(t.Data[0]); a >= 1e-4 && a < 1e16 {
			format = 'f'
		}
		return strconv.FormatFloat(t.Data[0], format, -1, 64)
	}
	rows := make([]string, t.Shape[0])
	for i := range rows {
		n := len(t.Data) / len(rows)
		rows[i] = text(Tensor{Data: t.Data[i*n : (i+1)*n], Shape: t.Shape[1:]})
	}
	return "[" + strings.Join(rows, ", ") + "]"
}
