package dist

import _ "embed"

// StreamSource is the text of stream.go: what draws in a hijacked Go program is built of it, as that can import nothing.
//
//go:embed stream.go
var StreamSource string
