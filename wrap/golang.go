package wrap

import "context"

// GoFlags are what a shell evaluates before go build.
func GoFlags(context.Context) (string, error) { return "", nil }
