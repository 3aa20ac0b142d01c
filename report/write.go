package report

import (
	"io"
	"os"

	"github.com/ppx-engine/ppx-engine/internal/disk"
)

// write makes a picture's file appear as a whole.
func write(path string, from io.WriterTo) error {
	return disk.Replace(path, func(f *os.File) error {
		_, err := from.WriteTo(f)
		return err
	})
}
