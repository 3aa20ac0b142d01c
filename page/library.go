package page

import (
	"embed"
	"html/template"
	"io/fs"
	"slices"
	"strings"
)

// assets has the library of charts, if it was there when the program was built: make build fetches it (scripts/assets). Without it pages have pictures only.
//
//go:embed assets
var assets embed.FS

// library is the charts' scripts, in the order in which they are to be run.
func library() (out []template.JS) {
	for _, name := range []string{"d3.min.js", "plot.umd.min.js"} {
		b, err := fs.ReadFile(assets, "assets/"+name)
		if err != nil || strings.Contains(strings.ToLower(string(b)), "</script") { // which would end it too early
			return nil
		}
		out = append(out, template.JS(b))
	}
	return slices.Clip(out)
}
