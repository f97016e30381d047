package worker

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"time"
	_ "time/tzdata" // the process reads no files

	"github.com/x2broker/x2broker/broker/source"
	"github.com/x2broker/x2broker/schema"
)

// memoryVariable names the memory that the process may take, in bytes.
const memoryVariable = "X2BROKER_WORKER_MEMORY"

// A request is one call. Entries are what has changed since the last one.
type request struct {
	Changed map[string]source.Entry
	Removed []string
	Limit   time.Duration // for compiling, negative for none

	UseCache  []byte // if there is one, the call is to use it
	GiveCache bool   // the call is for the cache
}

// A response answers one request.
type response struct {
	Diagnostics schema.Diagnostics
	Busy        bool // CUE is still at it

	Same    bool     // the catalog is the last one
	Whole   bool     // it is whole; otherwise it lacks profiles that are as before
	Catalog []byte   // see [schema.Catalog.MarshalBinary]
	Gone    []string // profiles that are no more
	Cache   []byte
}

// Serve is the process: it gives up what it can, and answers requests until in
// ends.
func Serve(in io.Reader, out io.Writer) error {
	memory, err := strconv.ParseInt(os.Getenv(memoryVariable), 10, 64)
	if err != nil || memory <= 0 {
		memory = DefaultMemory
	}
	// Collect more often rather than be killed.
	debug.SetMemoryLimit(memory / 10 * 9)
	confined := confine(memory)

	enc := gob.NewEncoder(out)
	if err := enc.Encode(confined); err != nil {
		return err
	}
	requests := make(chan request)
	ended := make(chan error, 1)
	go func() {
		dec := gob.NewDecoder(in)
		for {
			var req request
			if err := dec.Decode(&req); err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				ended <- err
				return
			}
			requests <- req
		}
	}()
	s := server{compiler: schema.NewCompiler(), entries: map[string]source.Entry{}}
	answers := make(chan response, 1)
	for {
		select {
		case err := <-ended:
			return err // whatever CUE is at: nobody waits for it
		case req := <-requests:
			go func() { answers <- s.answer(req) }()
		case res := <-answers:
			if err := enc.Encode(res); err != nil {
				return err
			}
			if res.Whole || res.Cache != nil {
				debug.FreeOSMemory() // both leave much garbage
			}
		}
	}
}

// A server answers one request after the other.
type server struct {
	compiler *schema.Compiler
	entries  map[string]source.Entry
	last     *schema.Catalog // that the other side has
}

func (s *server) answer(req request) response {
	switch {
	case req.UseCache != nil:
		_ = s.compiler.UseCache(req.UseCache) // the site is compiled from its sources then
		return response{}
	case req.GiveCache:
		data, err := s.compiler.Cache()
		if err != nil {
			return response{}
		}
		return response{Cache: data}
	}
	for _, name := range req.Removed {
		delete(s.entries, name)
	}
	for name, e := range req.Changed {
		s.entries[name] = e
	}
	tree, err := source.FromEntries(s.entries)
	if err != nil {
		return response{Diagnostics: failed("cannot read the site: %v", err)}
	}
	ctx := context.Background()
	if req.Limit >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, req.Limit, errors.New("it took too long"))
		defer cancel()
	}
	catalog, diags := s.compiler.Compile(ctx, tree)
	res := response{Diagnostics: diags, Busy: catalog == nil && ctx.Err() != nil}
	if catalog == nil {
		return res
	}
	if err := s.pack(&res, catalog); err != nil {
		return response{Diagnostics: failed("hand the catalog over: %v", err)}
	}
	s.last = catalog
	return res
}

// pack puts into the answer what the other side does not have.
func (s *server) pack(res *response, catalog *schema.Catalog) (err error) {
	if catalog == s.last {
		res.Same = true
		return nil
	}
	part := *catalog
	if res.Whole = s.last == nil; !res.Whole {
		part.Profiles = map[string]*schema.Profile{}
		for id, p := range catalog.Profiles {
			if before := s.last.Profiles[id]; before != p && (before == nil || !reflect.DeepEqual(before, p)) {
				part.Profiles[id] = p
			}
		}
		for id := range s.last.Profiles {
			if catalog.Profiles[id] == nil {
				res.Gone = append(res.Gone, id)
			}
		}
	}
	res.Catalog, err = part.MarshalBinary()
	return err
}
