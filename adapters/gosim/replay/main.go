// Command replay is a simulator that makes the statements of a transcript: replay TRANSCRIPT ENDPOINT.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ppx-engine/ppx-engine/adapters/gosim"
	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/ppx/ppxtest"
)

func main() {
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func serve(transcript, endpoint string) error {
	t, err := ppxtest.Load(transcript)
	if err != nil {
		return err
	}
	name, model := t.Model()
	transport, err := ppx.NewTransport(ppx.Limits{})
	if err != nil {
		return err
	}
	s, err := transport.Listen(endpoint)
	if err != nil {
		return err
	}
	return ppx.Serve(context.Background(), s, gosim.System(), name, model)
}
