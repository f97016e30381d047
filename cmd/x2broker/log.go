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
// request costs more than all else that the broker does for it, and because a
// disk or a reader that is slow for a moment must not delay requests. Warnings
// and errors are written at once, with all before them.
const (
	logDelay = 50 * time.Millisecond
	logBytes = 32 << 10 // are written before that
	logRoom  = 4 << 20  // and whoever has more to say waits until they are
)

// newLogger gives a logger and a function that writes what is left of its
// records.
func newLogger(w io.Writer, verbose bool) (*slog.Logger, func()) {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	b := newLogBuffer(w)
	return slog.New(promptHandler{slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}), b, true}), b.flush
}

// promptHandler writes at once what people should see.
type promptHandler struct {
	slog.Handler
	buffer *logBuffer
	whole  bool // a record has no attributes but its own
}

func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	var room [512]byte
	var err error
	if line, ok := appendRecord(room[:0], r); ok && h.whole {
		_, err = h.buffer.Write(line)
	} else {
		err = h.Handler.Handle(ctx, r)
	}
	if r.Level >= slog.LevelWarn {
		h.buffer.flush()
	}
	return err
}

func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.buffer, false}
}

func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.buffer, false}
}

// A logBuffer keeps records for a moment.
type logBuffer struct {
	w       io.Writer
	writing sync.Mutex // by who writes, so that records stay in order

	mu      sync.Mutex
	records *bytes.Buffer
	spare   *bytes.Buffer
	timer   *time.Timer // nil when no flush is to come
}

func newLogBuffer(w io.Writer) *logBuffer {
	return &logBuffer{w: w, records: new(bytes.Buffer), spare: new(bytes.Buffer)}
}

// Write takes one record.
func (b *logBuffer) Write(record []byte) (int, error) {
	b.mu.Lock()
	b.records.Write(record)
	size := b.records.Len()
	switch {
	case b.timer == nil:
		b.timer = time.AfterFunc(logDelay, b.flush)
	case size >= logBytes && size-len(record) < logBytes:
		b.timer.Reset(0)
	}
	b.mu.Unlock()
	if size >= logRoom {
		b.flush()
	}
	return len(record), nil
}

// flush writes what there is. What cannot be written is lost: nobody is left to
// tell.
func (b *logBuffer) flush() {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	records := b.records
	b.records = b.spare
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	b.mu.Unlock()
	if records.Len() > 0 {
		_, _ = b.w.Write(records.Bytes())
	}
	records.Reset()
	b.spare = records
}
