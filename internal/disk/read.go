package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// MaxStream bounds what is read from something that is no regular file, and so has no size of its own: a pipe, a device.
const MaxStream = 64 << 20

// StreamDeadline is how long such a thing may take. Tests do not wait that long.
var StreamDeadline = 60 * time.Second

// ErrTooLarge says that more came than may be read.
var ErrTooLarge = errors.New("too large")

// Open opens a file that a user has named for reading, and tells its size. A file is read as it is; from a pipe or
// a device come at most MaxStream bytes, within a minute and while ctx lasts: nobody waits for ever, and /dev/zero does not fill the memory.
func Open(ctx context.Context, path string) (f io.ReadCloser, size int64, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // opening a pipe would wait for its writer
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	if info.Mode().IsRegular() {
		return file, info.Size(), nil
	}
	deadline := time.Now().Add(StreamDeadline)
	_ = file.SetReadDeadline(deadline) // devices have none
	return &stream{file, MaxStream, deadline, ctx}, MaxStream, nil
}

// stream reads so many bytes and no more.
type stream struct {
	*os.File
	left     int
	deadline time.Time
	ctx      context.Context // of the command that reads
}

func (s *stream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, fmt.Errorf("%s: %w: it is no file, and more than %d MiB came from it", s.Name(), ErrTooLarge, MaxStream>>20)
	}
	defer context.AfterFunc(s.ctx, func() { _ = s.SetReadDeadline(time.Now()) })()
	for {
		if s.ctx.Err() != nil {
			return 0, context.Cause(s.ctx)
		}
		n, err := s.File.Read(p[:min(len(p), s.left)])
		// A named pipe that nobody has begun to write to looks as if it had ended.
		switch {
		case s.ctx.Err() != nil:
			return 0, context.Cause(s.ctx)
		case errors.Is(err, os.ErrDeadlineExceeded), err == io.EOF && s.left == MaxStream && s.pipe() && time.Now().After(s.deadline):
			return 0, fmt.Errorf("nobody wrote to it within %v", StreamDeadline)
		case n > 0 || err != io.EOF || s.left < MaxStream || !s.pipe():
			s.left -= n
			return n, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *stream) pipe() bool {
	info, err := s.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// OpenRegular opens a file that can be nothing else: a pipe in its place, which would be waited for, is an error.
func OpenRegular(path string) (f *os.File, size int64, err error) {
	f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// ReadFile reads a regular file of at most so many bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, size, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d", path, ErrTooLarge, size, most)
	}
	return io.ReadAll(io.LimitReader(f, most))
}
