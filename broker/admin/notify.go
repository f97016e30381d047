package admin

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/x2broker/x2broker/broker/snapshot"
)

// Notify tells systemd, if it started this process, that the listeners are
// open, then each change of [Line], and at the end that the broker is stopping.
// It feeds the watchdog as long as the state of the pipeline can be read. It
// returns when the context has ended.
func Notify(ctx context.Context, keeper *snapshot.Keeper, log *slog.Logger) {
	send := func(state string) bool {
		sent, err := daemon.SdNotify(false, state)
		if err != nil {
			log.Warn("systemd cannot be told the state", "err", err)
		}
		return sent
	}
	status, changed := keeper.Watch()
	said := Line(status)
	if !send(daemon.SdNotifyReady + "\nSTATUS=" + said) {
		return
	}
	var beat <-chan time.Time
	if interval, err := daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("watchdog of systemd is off", "err", err)
	} else if interval > 0 {
		t := time.NewTicker(interval / 3)
		defer t.Stop()
		beat = t.C
	}
	for {
		select {
		case <-changed:
			status, changed = keeper.Watch()
			if now := Line(status); now != said {
				said = now
				send("STATUS=" + said)
			}
		case <-beat:
			_ = keeper.Status() // blocks for good if the keeper does
			send(daemon.SdNotifyWatchdog)
		case <-ctx.Done():
			send(daemon.SdNotifyStopping)
			return
		}
	}
}
