package inspector

import "strings"

// Described are the routes that openapi.json is to describe: methods and paths below /api/v1.
func Described() (out []string) {
	s := &Server{jobs: &submitted{}}
	for _, r := range s.routes() {
		if strings.HasPrefix(r.path, "/api/v1/") {
			out = append(out, r.method+" "+r.path)
		}
	}
	return out
}
