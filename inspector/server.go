// Package inspector serves what a folder of runs holds to a browser and to programs: pages, and an API that an OpenAPI file describes. It guards what it
// shows: every request needs a token, names this machine as its host, and comes from no other page.
package inspector

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ppx-engine/ppx-engine/ppx"
	"github.com/ppx-engine/ppx-engine/view"
)

// Options are how a folder is served.
type Options struct {
	Dir   string   // with runs, at any depth down to four
	Host  string   // to listen at; "": the loopback
	Port  int      // 0: any
	Allow []string // simulators for which jobs are accepted, each as its command in one line or its endpoint; none: no jobs are
	// Command runs a job that is described in a file: the program, and its arguments before the verb.
	Command []string
}

// Server is an inspector that listens.
type Server struct {
	o        Options
	dir      string // where Options.Dir is, links followed
	token    string
	listener net.Listener
	http     *http.Server
	cache    *cache
	jobs     *submitted

	listing  sync.Mutex
	listed   *Runs
	listedAt time.Time
}

// Listen opens the port. Errors name it.
func Listen(o Options) (*Server, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	dir, err := filepath.Abs(o.Dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, err
	}
	if info, err := os.Lstat(o.Dir); err == nil && info.Mode()&os.ModeSymlink != 0 { // which a walk would not follow
		o.Dir = dir
	}
	l, err := net.Listen("tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		return nil, fmt.Errorf("port %d of %s cannot be opened (%w): take another (--port), or any (--port 0)", o.Port, o.Host, inner(err))
	}
	var b [24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Server{o: o, dir: dir, token: base64.RawURLEncoding.EncodeToString(b[:]), listener: l, cache: newCache()}
	s.jobs = &submitted{server: s}
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, s.answer(r))
	}
	s.http = &http.Server{Handler: s.guard(mux), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 16, ErrorLog: log.New(io.Discard, "", 0)}
	return s, nil
}

// inner is the cause of a network error, without the addresses that the message names already.
func inner(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// URL is where a browser finds it, with the token.
func (s *Server) URL() string { return s.base() + "/?token=" + s.token }

func (s *Server) base() string {
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Serve answers until ctx ends; jobs that were submitted are interrupted then, and can be gone on with.
func (s *Server) Serve(ctx context.Context) error {
	done := make(chan error, 1)
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	s.http.BaseContext = func(net.Listener) context.Context { return base }
	go func() { done <- s.http.Serve(s.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	cancel()
	s.jobs.end()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer stop()
	if err := s.http.Shutdown(last); err != nil {
		return s.http.Close() // somebody is still reading
	}
	return nil
}

// cookie is the name of the one that has the token: others on this host have other ports.
func (s *Server) cookie() string {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return "ppx_" + port
}

// guard lets in who has the token, asks for this host, and is no other page.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cache-Control", "no-store")
		switch {
		case !s.ours(r.Host):
			refuse(w, r, http.StatusForbidden, "this inspector is not "+ppx.Printable(r.Host))
		case s.foreign(r):
			refuse(w, r, http.StatusForbidden, "requests of other pages are not answered")
		case r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
			refuse(w, r, http.StatusUnsupportedMediaType, "want Content-Type: application/json")
		case s.known(r.URL.Query().Get("token")) && r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/"):
			// From here on a cookie has it, and the address can be shown around.
			http.SetCookie(w, &http.Cookie{Name: s.cookie(), Value: s.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			q := r.URL.Query()
			q.Del("token")
			to := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
			if strings.HasPrefix(to.Path, "//") { // which would be another host
				to.Path, to.RawPath = "/", ""
			}
			http.Redirect(w, r, to.String(), http.StatusSeeOther)
		case !s.trusted(r):
			refuse(w, r, http.StatusUnauthorized, "this needs the token of the address that ppx open has printed")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ours tells whether a Host header is of the address that is served: not that of a page which has its name resolved to here.
func (s *Server) ours(header string) bool {
	host, port, err := net.SplitHostPort(header)
	if err != nil { // browsers leave the port of http away
		host, port = strings.Trim(header, "[]"), "80"
	}
	if _, own, _ := net.SplitHostPort(s.listener.Addr().String()); port != own {
		return false
	}
	if host == "localhost" || strings.EqualFold(host, s.o.Host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	listening, err := netip.ParseAddr(s.o.Host)
	return ip.IsLoopback() || err == nil && listening.IsUnspecified() // whoever asked for all addresses gets all
}

// foreign tells whether a browser says that another page asks.
func (s *Server) foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return true
	}
	return slices.Contains([]string{"cross-site", "same-site"}, r.Header.Get("Sec-Fetch-Site")) && !s.known(r.URL.Query().Get("token")) // a link with the token may stand anywhere
}

func (s *Server) known(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 1
}

// trusted tells whether a request has the token.
func (s *Server) trusted(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.known(bearer)
	}
	if strings.HasPrefix(r.URL.Path, "/api/") && s.known(r.URL.Query().Get("token")) {
		return true
	}
	c, err := r.Cookie(s.cookie())
	return err == nil && s.known(c.Value)
}

// refuse answers with one line.
func refuse(w http.ResponseWriter, r *http.Request, code int, text string) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"schema": view.Schema, "error": text}) // nobody is left to be told
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintln(w, text)
}
