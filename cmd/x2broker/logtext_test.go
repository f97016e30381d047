package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRecordsReadAsSlogWritesThem(t *testing.T) {
	var shortcuts, others int
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,12}`), rapid.StringMatching(`[a-z0-9.:/-]{1,12}`))
	value := rapid.OneOf(
		rapid.Map(text, slog.StringValue),
		rapid.Map(rapid.Int64(), slog.Int64Value),
		rapid.Map(rapid.Uint64(), slog.Uint64Value),
		rapid.Map(rapid.Bool(), slog.BoolValue),
		rapid.Map(rapid.Float64(), slog.Float64Value),
		rapid.Map(text, func(s string) slog.Value { return slog.AnyValue([]string{s}) }),
		rapid.Map(text, func(s string) slog.Value { return slog.GroupValue(slog.String("in", s)) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "time"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
		at = at.In(rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 5400), time.FixedZone("", -3600)}).Draw(t, "zone"))
		r := slog.NewRecord(at, slog.Level(rapid.IntRange(-8, 12).Draw(t, "level")), text.Draw(t, "text"), 0)
		for range rapid.IntRange(0, 8).Draw(t, "attributes") {
			r.AddAttrs(slog.Attr{Key: text.Draw(t, "key"), Value: value.Draw(t, "value")})
		}
		var want bytes.Buffer
		if err := slog.NewTextHandler(&want, &slog.HandlerOptions{Level: slog.Level(-100)}).Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		got, ok := appendRecord([]byte("before "), r)
		if !ok {
			if others++; string(got) != "before " {
				t.Fatalf("left %q", got)
			}
			return
		}
		shortcuts++
		if string(got) != "before "+want.String() {
			t.Fatalf("got  %q\nwant %q", got, want.String())
		}
	})
	if shortcuts == 0 || others == 0 {
		t.Errorf("%d records were written, %d left to slog: this test would not fail", shortcuts, others)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "listed", 0)
	r.AddAttrs(slog.String("task", "list"), slog.String("user", "alice"), slog.String("address", "192.0.2.1"),
		slog.String("revision", "6aad7f07c0aa9e705265cfb3a83daace874e19a5"), slog.Int("profiles", 20))
	for name, h := range map[string]slog.Handler{
		"slog": slog.NewTextHandler(newLogBuffer(io.Discard), nil), "ours": promptHandler{nil, newLogBuffer(io.Discard), true},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = h.Handle(context.Background(), r)
			}
		})
	}
}
