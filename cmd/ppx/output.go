package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/ppx-engine/ppx-engine/view"
)

// Manners: results go to stdout, everything else to stderr. Colours and moving lines only where a person
// looks, and not when NO_COLOR is set. What comes from a simulator is escaped (package view).

// textual is a view that is text, besides JSON.
type textual interface{ Text(w io.Writer) }

// print writes a view, as JSON or as text.
func print(c *cobra.Command, v textual, asJSON bool) error {
	if asJSON {
		return view.JSON(c.OutOrStdout(), v)
	}
	v.Text(c.OutOrStdout())
	return nil
}
