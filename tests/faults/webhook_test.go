package faults_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x2broker/x2broker/broker/snapshot"
)

// call calls the webhook as GitHub does, and gives the status of the answer.
func (b *broker) call(secret string) int {
	b.Helper()
	const body = `{"zen": "Keep it logically awesome."}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.hook, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// calls calls until the answer is that the broker looks.
func (b *broker) calls() {
	b.Helper()
	for b.call(hookSecret) != http.StatusAccepted {
		time.Sleep(100 * time.Millisecond) // as the answer asks for
	}
}

// A forge's call is sent again and again, by somebody who has heard it, and many
// times at once: each means no more than to look.
func TestWebhookReplayAndFlood(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.options.Poll = time.Hour // so that a call makes the difference
	b.push("one")
	b.start()
	b.serves("one")
	b.push("two")
	for range 5 {
		if got := b.call("not the secret"); got != http.StatusForbidden {
			t.Errorf("a forged call: %d", got)
		}
	}
	b.says("5 refused: without a good signature")
	b.lists("one")

	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for range 25 {
				b.call(hookSecret)
			}
		})
	}
	b.serves("two") // amid the flood
	flood.Wait()
	b.await("calls that were refused", func(text string, _ snapshot.Status) bool {
		return strings.Contains(text, "refused: too many at once")
	})
	b.push("three")
	b.calls()
	b.serves("three")
}
