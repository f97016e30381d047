package hostile_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/x2broker/x2broker/tests/brokertest"
)

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Class 12. A policy opens the lab to the lab's network, and somebody at home says
// in a header that he is there. Only the listed proxy is believed, and of what it
// passes on only what it has written itself: the last address.
func TestHeadersOfStrangersDoNotCount(t *testing.T) {
	v := start(t, "")
	sees := func(from string, headers ...string) bool {
		t.Helper()
		status, body := v.postFrom(from, "/plain/", login().Encode(), headers...)
		if status != http.StatusOK || !granted(body) {
			t.Errorf("from %s with %q: %d %q", from, headers, status, body)
		}
		return strings.Contains(body, "[lab]")
	}
	if !sees(inLab) || sees(home) || !sees(proxy, "X-Forwarded-For", inLab) {
		t.Fatal("this test would not fail")
	}
	for _, headers := range [][]string{
		{"X-Forwarded-For", inLab},
		{"X-Forwarded-For", inLab, "X-Forwarded-For", inLab},
		{"x-forwarded-for", inLab + ", " + proxy},
		{"Forwarded", "for=" + inLab},
		{"X-Real-IP", inLab, "X-Client-IP", inLab, "True-Client-IP", inLab, "CF-Connecting-IP", inLab, "X-Cluster-Client-Ip", inLab},
		{"Via", "1.1 " + proxy, "X-Forwarded-For", inLab, "X-Forwarded-Host", inLab, "X-Forwarded-Proto", "https"},
	} {
		if sees(home, headers...) {
			t.Errorf("%q makes a stranger be in the lab", headers)
		}
	}
	for _, chain := range []string{inLab + ", " + home, inLab + "," + home + "," + proxy} {
		if sees(proxy, "X-Forwarded-For", chain) {
			t.Errorf("behind the proxy %q makes him be in the lab", chain)
		}
	}
	if answer := v.send(home, "PROXY TCP4 "+inLab+" 127.0.0.1 1 2\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); strings.Contains(answer, "200 OK") {
		t.Errorf("a PROXY header is taken: %q", answer)
	}
}

// Class 15. One machine opens hundreds of connections and says nothing, or begins
// requests and never ends them. It gets as many as one address may have; everybody
// else is served meanwhile, and the operator sees why connections are refused.
func TestIdleConnectionsOfOneAddressHarmNobodyElse(t *testing.T) {
	v := start(t, "limits: {connections: 100, perAddress: 20}")
	for i := range 200 {
		conn := v.dial(enemy)
		defer conn.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "POST /plain/ HTTP/1.1\r\nHost: broker\r\nContent-Length: 100\r\n\r\nuser=") // it may be refused
		}
	}
	for range 5 {
		v.unharmed()
	}
	for end := time.Now().Add(brokertest.Deadline); ; time.Sleep(10 * time.Millisecond) {
		s, _ := v.status()
		if s.Doors.Refused["per_address"] == 180 && s.Doors.Open <= 21 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the status counts %+v", s.Doors)
		}
	}
}

// Class 15. Requests that are too large, cut off, ambiguous or endless are refused
// or end their own connection, and nothing else.
func TestRequestsThatAreNoneEndTheirOwnConnection(t *testing.T) {
	metrics := freeAddr(t)
	v := start(t, fmt.Sprintf("metrics: %q", metrics))
	const head = "POST /plain/ HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n"
	good := login().Encode()
	for name, test := range map[string]struct {
		request string
		want    []int // 0: closed without an answer
	}{
		"a header of 64 KiB":  {head + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", []int{431, 0}},
		"10,000 headers":      {head + strings.Repeat("X: y\r\n", 10000) + "\r\n", []int{431, 0}},
		"a body of 1 MiB":     {head + "Content-Length: 1048576\r\n\r\n" + strings.Repeat("x", 1<<20), []int{413, 0}},
		"an endless body":     {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 128), []int{413, 0}},
		"1,000 fields":        {head + content(strings.Repeat("a=1&", 10)+many(1000)), []int{400}},
		"two lengths":         {head + "Content-Length: 5\r\nContent-Length: 50\r\n\r\n" + good, []int{400}},
		"a length and chunks": {head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + head + content(good), []int{200}}, // without fields

		"a length that is none": {head + "Content-Length: -1\r\n\r\n", []int{400}},
		"a chunk that is none":  {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", []int{400}},
		"no HTTP":               {"SSH-2.0-OpenSSH_9.2\r\n\r\n", []int{400}},
		"TLS":                   {"\x16\x03\x01\x00\x05hello\r\n\r\n", []int{400}},
		"a broken escape":       {head + content("user=%zz"), []int{400}},
		"no UTF-8":              {head + content("user=%ff"), []int{400}},
		"no host":               {"POST /plain/ HTTP/1.1\r\nConnection: close\r\n" + content(good), []int{400}},
	} {
		answer := v.send(enemy, test.request)
		code, _ := v.parse(answer)
		ok := false
		for _, want := range test.want {
			ok = ok || code == want
		}
		if !ok || granted(answer) {
			t.Errorf("%s: %d %.200q, want one of %v", name, code, answer, test.want)
		}
	}
	conn := v.dial(enemy) // says how much comes, and goes before it has come
	if _, err := io.WriteString(conn, head+"Content-Length: 500\r\n\r\n"+good); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	v.unharmed()
	if figures := get(t, "http://"+metrics+"/metrics"); !strings.Contains(figures, `x2broker_bad_requests_total{status="413"} 2`) {
		t.Errorf("the two that are too large are not counted:\n%s", figures)
	}
	if strings.Contains(v.Log(), "panic") {
		t.Errorf("something panicked:\n%s", v.Log())
	}
}

func content(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "f%d=x&", i)
	}
	return b.String()
}

// Class 15. A field that comes twice must not mean one thing to a check and
// another to what is done: the last counts, everywhere.
func TestOfAFieldThatComesTwiceTheLastCounts(t *testing.T) {
	v := start(t, "")
	for body, want := range map[string]bool{
		"task=listsessions&user=alice&password=wrong&password=alice-pw":        true,
		"task=listsessions&user=alice&password=alice-pw&password=wrong":        false,
		"task=listsessions&user=bob&user=alice&password=alice-pw":              true,
		"task=listsessions&user=alice&user=bob&password=alice-pw":              false,
		"task=listsessions&user=alice&password=alice-pw&user=":                 false,
		"task=testcon&task=listsessions&user=alice&password=alice-pw&task=xyz": false,
	} {
		if _, answer := v.postFrom(home, "/plain/", body); strings.Contains(answer, "[everywhere]") != want {
			t.Errorf("%s: %q", body, answer)
		}
	}
}

// Class 15. Fifty requests in one packet are fifty requests: each is answered, in
// their order, and a refusal among them does not open the next.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	v := start(t, "")
	var b strings.Builder
	for i := range 50 {
		form := login()
		if i%10 == 5 {
			form = login("user", fmt.Sprintf("nobody%d", i))
		}
		b.WriteString("POST /plain/ HTTP/1.1\r\nHost: broker\r\n" + content(form.Encode()))
	}
	conn := v.dial(home)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, b.String()) }() // reading says if it fails
	r := bufio.NewReader(conn)
	for i := range 50 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if granted(string(body)) != (i%10 != 5) {
			t.Errorf("answer %d: %q", i, body)
		}
	}
}

// Class 3. Whoever reaches the control socket must still not be able to stop the
// broker with what he writes: messages are bounded, and strict JSON.
func TestTheControlSocketBearsNonsense(t *testing.T) {
	v := start(t, "")
	for _, request := range []string{
		"\x00\x00\x00\x04GET \r\n\r\n", strings.Repeat("A", 1<<20), "POST /v1/pin HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("{", 1000000),
		"POST /v1/pin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + content(`{"commit": "../../x", "who": "root"}`), "GET /v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		conn, err := net.Dial("unix", v.state+"/control.sock")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(brokertest.Deadline))
		_, _ = io.WriteString(conn, request) // it need not be read to its end
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if strings.HasPrefix(string(answer), "HTTP/1.1 2") {
			t.Errorf("%.60q is answered %.200q", request, answer)
		}
	}
	v.unharmed()
	if s, _ := v.status(); s.PID == 0 {
		t.Error("the status does not answer")
	}
}
