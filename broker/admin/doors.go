package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Doors is how clients come in.
type Doors struct {
	Open        int               `json:"open"`    // connections now
	Most        int               `json:"most"`    // that may be open
	Refused     map[string]uint64 `json:"refused"` // connections since the start, by reason
	Certificate *Certificate      `json:"certificate,omitempty"`
	SSH         *SSH              `json:"ssh,omitempty"`
}

// Certificate is that of https.
type Certificate struct {
	Until  time.Time `json:"until"`            // of the one in use
	Failed string    `json:"failed,omitempty"` // why the newer one in the files is not used
}

// expiresSoon is when the status begins to warn.
const expiresSoon = 14 * 24 * time.Hour

func (p *page) doors(d Doors) {
	p.printf("clients    %s of %d", count(d.Open, "connection"), d.Most)
	if d.SSH != nil {
		p.printf("%s", d.SSH.text())
	}
	var refused []string
	for _, reason := range slices.Sorted(maps.Keys(d.Refused)) {
		if n := d.Refused[reason]; n > 0 {
			refused = append(refused, fmt.Sprintf("%s %d", reason, n))
		}
	}
	if len(refused) > 0 {
		p.printf("; refused: %s", strings.Join(refused, ", "))
	}
	p.printf("\n")
	if c := d.Certificate; c != nil {
		p.certificate(*c)
	}
	if s := d.SSH; s != nil && s.Failed != "" {
		p.printf("SSH        THE NEW HOST KEYS ARE NOT USED: %s\n", cut(s.Failed, 300))
	}
}

func (p *page) certificate(c Certificate) {
	said := "good until "
	switch left := c.Until.Sub(p.now); {
	case left < 0:
		said = "EXPIRED at "
	case left < expiresSoon:
		said = "EXPIRES SOON, at "
	}
	p.printf("TLS        %s%s\n", said, p.when(c.Until))
	if c.Failed != "" {
		p.printf("           THE NEW CERTIFICATE IS NOT USED: %s\n", cut(c.Failed, 300))
	}
}

var (
	connectionsOpen    = desc("connections", "Open connections of clients.")
	connectionsRefused = desc("connections_refused_total", "Connections refused or cut, by reason (connections, per_address, proxy_header, tls, slow).", "reason")
	certificateUntil   = desc("certificate_expiry_timestamp_seconds", "When the certificate of https ends; absent without https.")
	certificateFailed  = desc("certificate_failed", "1 while the newer certificate in the files cannot be used; absent without https.")
)

func (d Doors) collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(connectionsOpen, prometheus.GaugeValue, float64(d.Open))
	for reason, n := range d.Refused {
		ch <- prometheus.MustNewConstMetric(connectionsRefused, prometheus.CounterValue, float64(n), reason)
	}
	if d.SSH != nil {
		d.SSH.collect(ch)
	}
	if c := d.Certificate; c != nil {
		failed := 0.0
		if c.Failed != "" {
			failed = 1
		}
		ch <- prometheus.MustNewConstMetric(certificateUntil, prometheus.GaugeValue, seconds(c.Until))
		ch <- prometheus.MustNewConstMetric(certificateFailed, prometheus.GaugeValue, failed)
	}
}
