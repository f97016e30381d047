package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Records are written together, at most logDelay late, because a write for each
// request costs more than all else that the broker does for it. Warnings and
// errors are written at once, with all before them.
const (
	logDelay = 50 * time.Millisecond
	logBytes = 32 << 10 // that are not kept back any longer
)

// newLogger gives a logger and a function that writes what is left of its
// records.
func newLogger(w io.Writer, verbose bool) (*slog.Logger, func()) {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	b := &logBuffer{w: w}
	return slog.New(promptHandler{slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}), b}), b.flush
}

// promptHandler writes at once what people should see.
type promptHandler struct {
	slog.Handler
	buffer *logBuffer
}

func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.buffer.flush()
	}
	return err
}

func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.buffer}
}

func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.buffer}
}

// A logBuffer keeps records for a moment.
type logBuffer struct {
	w io.Writer

	mu    sync.Mutex
	bytes bytes.Buffer
	timer *time.Timer // nil when nothing is to be written
}

// Write takes one record.
func (b *logBuffer) Write(record []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes.Write(record)
	switch {
	case b.bytes.Len() >= logBytes:
		return len(record), b.write()
	case b.timer == nil:
		b.timer = time.AfterFunc(logDelay, b.flush)
	}
	return len(record), nil
}

func (b *logBuffer) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.write() // nobody is left to tell
}

func (b *logBuffer) write() error {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	_, err := b.bytes.WriteTo(b.w)
	b.bytes.Reset() // also of what could not be written
	return err
}
