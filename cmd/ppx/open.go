package main

import (
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/inspector"
	"github.com/ppx-engine/ppx-engine/ppx"
)

func newOpen() *cobra.Command {
	var o inspector.Options
	c := &cobra.Command{
		Use:   "open [flags] DIR",
		Short: "Show the runs of a folder in a browser, those that are going on too",
		Long: `Show the runs below a folder in a browser: their reports, those of jobs that are going on while they do, traces to page through and to search, each as a timeline, runs
beside each other; and answer programs over HTTP (/api/v1, which /api/v1/openapi.json describes).

It listens at the loopback, and the address that it prints has a token, without which nothing is shown: others who have an account here cannot look. Jobs are
accepted only for the simulators that --allow-submit names, and work below DIR.`,
		Example: "  ppx open ppx-runs\n  ppx open ppx-runs --port 8080 --allow-submit './gum {endpoint}'",
		Args:    exactArgs(1, "a folder with runs"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Dir = args[0]
			if info, err := os.Stat(o.Dir); err != nil || !info.IsDir() {
				return usagef("%s is no folder", ppx.Quote(o.Dir))
			}
			if o.Port < 0 || o.Port > 65535 {
				return usagef("--port %d: want a number from 0 to 65535", o.Port)
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.Command = []string{self}
			s, err := inspector.Listen(o)
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			if _, err := fmt.Fprintf(w, "%s\n", s.URL()); err != nil {
				return err
			}
			if ip := net.ParseIP(o.Host); o.Host != "" && o.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
				fmt.Fprintln(os.Stderr, "ppx: others in the network can reach this, and see what passes: there is no encryption; a tunnel is safer (ssh -L)")
			}
			fmt.Fprintln(os.Stderr, "open it in a browser; Ctrl-C ends it")
			return s.Serve(c.Context())
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.Port, "port", 0, "port to listen at (default: any that is free)")
	f.StringVar(&o.Host, "host", "", "address to listen at (default: the loopback, which only this machine reaches)")
	f.StringArrayVar(&o.Allow, "allow-submit", nil, "accept jobs for this simulator: its command in one line, with {endpoint}, or its endpoint (repeatable)")
	return c
}
