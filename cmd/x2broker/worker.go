package main

import (
	"log/slog"

	"github.com/x2broker/x2broker/broker/worker"
)

// workerCmd is what serve starts for itself.
type workerCmd struct{}

// Run answers on standard input and output, which are pipes of serve.
func (workerCmd) Run(io stdio) error { return worker.Serve(io.in, io.out) }

// newCompiler compiles sites in a process of this program, whatever becomes of
// its file.
func newCompiler(log *slog.Logger) *worker.Compiler {
	return worker.New(worker.Options{Command: []string{"/proc/self/exe", "compile-worker"}, Log: log})
}
