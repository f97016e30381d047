package main

import (
	"fmt"
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
	<-written // without a flush
	flush()
	if len(written) > 0 {
		t.Errorf("written twice: %q", <-written)
	}
}

// A disk that stalled while the broker synced its state to it held up all
// requests, because each waited to log.
func TestASlowReaderOfTheLogDelaysNobody(t *testing.T) {
	slow := make(lines) // takes nothing until it is read
	log, flush := newLogger(slow, false)
	log.Info("stalled at")
	go flush()
	for i := range 1000 {
		log.Info("request", "n", i)
	}
	var all string
	for !strings.Contains(all, "n=999\n") {
		all += <-slow
	}
	for i := range 1000 {
		at := strings.Index(all, fmt.Sprintf("n=%d\n", i))
		if at < 0 {
			t.Fatalf("record %d is missing or out of order", i)
		}
		all = all[at:]
	}
}
