package main

import (
	"strings"
	"testing"
)

// lines gives each write to it.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestRecordsAreWrittenTogetherAndWarningsAtOnce(t *testing.T) {
	written := make(lines, 10)
	log, flush := newLogger(written, false)
	log.Info("one")
	log.With("k", "v").WithGroup("g").Info("two", "x", 1)
	if got := <-written; strings.Count(got, "\n") != 2 || !strings.Contains(got, "msg=two k=v g.x=1") {
		t.Errorf("written together: %q", got)
	}
	log.Info("three")
	log.Warn("four") // has not to wait for anything
	if got := <-written; !strings.Contains(got, "msg=three") || !strings.Contains(got, "msg=four") {
		t.Errorf("at once: %q", got)
	}
	log.Debug("not asked for")
	log.Info("five")
	flush()
	if got := <-written; !strings.Contains(got, "msg=five") || strings.Contains(got, "not asked for") {
		t.Errorf("at the end: %q", got)
	}
	log.Info(strings.Repeat("x", logBytes))
	select {
	case <-written: // was written by the record itself
	default:
		t.Error("much is kept back")
	}
	flush()
	if len(written) > 0 {
		t.Errorf("written twice: %q", <-written)
	}
}
