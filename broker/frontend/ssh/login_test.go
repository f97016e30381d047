package ssh

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/x2broker/x2broker/broker/frontend/doortest"
	"github.com/x2broker/x2broker/broker/identity"
)

// A line is a prompt as a client sees it.
type line struct {
	Instruction, Prompt string
	Echo                bool
}

// talkative is a client that notes prompts and answers them in turn.
func talkative(seen *[]line, all ...string) ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(_, instruction string, questions []string, echos []bool) ([]string, error) {
		if len(questions) == 0 {
			*seen = append(*seen, line{instruction, "", false})
			return nil, nil
		}
		*seen = append(*seen, line{instruction, questions[0], echos[0]})
		if len(questions) > 1 || len(all) == 0 {
			return nil, errors.New("another prompt than the test has an answer for")
		}
		answer := all[0]
		all = all[1:]
		return []string{answer}, nil
	})
}

func withPerson(t *testing.T, talk func(identity.Ask) error, with ...func(*Server)) *running {
	a := newPerson()
	a.talk = talk
	with = append(with, func(s *Server) { s.o.Conversation = talk != nil })
	return start(t, doortest.NewWith(t, doortest.Files{"site.cue": site}, a), with...)
}

// say tells a conversation without questions, and asks questions.
func say(ask identity.Ask, texts ...string) error {
	for _, text := range texts {
		question, message := strings.CutPrefix(text, "!")
		if _, err := ask(context.Background(), identity.Prompt{Text: question, Message: message, Echo: strings.HasSuffix(text, "?")}); err != nil {
			return err
		}
	}
	return nil
}

// X2Go Client shows prompts in ways of its own; see [conversation].
func TestPromptsAreWhatX2GoClientUnderstands(t *testing.T) {
	for name, test := range map[string]struct {
		said, answers []string
		want          []line
	}{
		"password only": {nil, []string{"alice-pw"}, []line{{"", "Password: ", false}}},
		"a code":        {[]string{"Verification code: "}, []string{"alice-pw", "1"}, []line{{"", "Password: ", false}, {"", "Verification code: ", false}}},
		"messages go in front of the next prompt": {
			[]string{"!Sent to your phone.", "!Be quick.", "Code?"},
			[]string{"alice-pw", "1"},
			[]line{{"", "Password: ", false}, {"", "Sent to your phone.\nBe quick.\nCode?", true}},
		},
		"but not of one that begins Password": {
			[]string{"!Once more.", "Password of the token: ", "!Again.", "Password: "},
			[]string{"alice-pw", "1", "2"},
			[]line{{"", "Password: ", false}, {"", "Once more.\nPassword of the token: ", false}, {"Again.", "Password: ", false}},
		},
		"the word at which it hangs": {
			[]string{"!Your CHALLENGE is 7.", "Challenge: "},
			[]string{"alice-pw", "1"},
			[]line{{"", "Password: ", false}, {"", "Your question is 7.\nquestion: ", false}},
		},
		"a second code": {
			[]string{"Verification code: ", "Wait.\nVerification code: "},
			[]string{"alice-pw", "1", "2"},
			[]line{{"", "Password: ", false}, {"", "Verification code: ", false}, {"", "Next: Wait. Verification code: ", false}},
		},
		"a client without a form": {
			[]string{"Code: "},
			[]string{"", "alice-pw", "1"},
			[]line{{"", "Password: ", false}, {"", "Your password: ", false}, {"", "Code: ", false}},
		},
		"a message at the end": {[]string{"!Welcome."}, []string{"alice-pw"}, []line{{"", "Password: ", false}, {"Welcome.", "", false}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := withPerson(t, func(ask identity.Ask) error { return say(ask, test.said...) })
			var seen []line
			r.dial(t, config("alice", talkative(&seen, test.answers...)))
			if diff := cmp.Diff(test.want, seen); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Somebody who has the password, but not the token, tries the method that asks for
// nothing else.
func TestThePasswordAloneIsNotEnoughWhereMoreIsAsked(t *testing.T) {
	r := withPerson(t, func(ask identity.Ask) error { return say(ask, "Code: ") })
	err := r.refuses(t, config("alice", ssh.Password("alice-pw")))
	if err == nil || strings.Contains(err.Error(), "password]") {
		t.Errorf("the method is offered: %v", err)
	}
}

// X2Go Client asks its user for one code after the other, without a word, until the
// connection ends: then it says that the login has failed.
func TestWrongCodesEndTheConnection(t *testing.T) {
	r := withPerson(t, func(ask identity.Ask) error {
		return errors.Join(say(ask, "Code: "), identity.ErrWrongPassword)
	})
	asked := 0
	codes := ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		asked++
		answers := make([]string, len(questions))
		if asked%2 == 1 {
			answers[0] = "alice-pw"
		}
		return answers, nil
	})
	r.refuses(t, config("alice", ssh.RetryableAuthMethod(codes, 100)))
	if want := 2 * maxConversations; asked != want {
		t.Errorf("%d prompts, want %d", asked, want)
	}
}

// Somebody who has no code takes all the places where one is waited for, from one
// address: who comes after him is asked for his.
func TestWhoHoldsPromptsOpenKeepsNobodyOut(t *testing.T) {
	r := withPerson(t, func(ask identity.Ask) error { return say(ask, "Code: ") }, func(s *Server) { s.codes = newLobby(3, 2) })
	asked, ended := make(chan struct{}), make(chan error)
	release := make(chan struct{})
	for range 2 {
		go func() {
			prompts := 0
			_, err := ssh.Dial("tcp", r.addr, config("alice", ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
				if prompts++; prompts == 2 {
					asked <- struct{}{}
					<-release
				}
				return slices.Repeat([]string{"alice-pw"}, len(questions)), nil
			})))
			ended <- err
		}()
		<-asked
	}
	whoami(t, r.dial(t, config("alice", answers("alice-pw"))))
	close(release)
	failed := 0
	for range 2 {
		if err := <-ended; err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d of those who waited were shown the door, want the first", failed)
	}
	if in, shown := r.codes.count(); in != 0 || shown != 1 {
		t.Errorf("%d wait for a code, %d were shown the door", in, shown)
	}
}

func TestAConversationWithoutEndIsEnded(t *testing.T) {
	r := withPerson(t, func(ask identity.Ask) error {
		for {
			if err := say(ask, "!More.", "And? "); err != nil {
				return err
			}
		}
	})
	asked := 0
	r.refuses(t, config("alice", ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		asked += len(questions)
		return make([]string, len(questions)), nil
	})))
	if asked > maxPrompts {
		t.Errorf("%d prompts", asked)
	}
}

// A clientKey is a key that a client has.
func clientKey(t *testing.T) ssh.Signer {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(newEd25519(t))
	check(t, err)
	return signer
}

// owners says whose keys count, for the tests of this package; files and
// directories of keys are in broker/frontend/ssh/keys.
type owners map[string]ssh.PublicKey

func (o owners) Authorized(_ context.Context, user string, key ssh.PublicKey, _ netip.Addr) error {
	if mine := o[user]; mine == nil || !slices.Equal(mine.Marshal(), key.Marshal()) {
		return errors.New("not his key")
	}
	return nil
}

func withKeys(k Keys) func(*Server) { return func(s *Server) { s.o.Keys = k } }

func TestAKeyIsEnough(t *testing.T) {
	key := clientKey(t)
	r := start(t, users(t), withKeys(owners{"alice": key.PublicKey()}))
	c := r.dial(t, config("alice", ssh.PublicKeys(key)))
	if got := whoami(t, c); got != "alice" {
		t.Errorf("is %q", got)
	}
	if want := "method=publickey key=" + ssh.FingerprintSHA256(key.PublicKey()); !strings.Contains(r.log.String(), want) {
		t.Errorf("no %q in the log", want)
	}
}

func TestTheKeyOfAnotherUserDoesNotOpen(t *testing.T) {
	alices, bobs := clientKey(t), clientKey(t)
	r := start(t, users(t), withKeys(owners{"alice": alices.PublicKey(), "bob": bobs.PublicKey()}))
	for _, user := range []string{"alice", "mallory", "", "alice\x00", "Alice", "../bob", "bob "} {
		r.refuses(t, config(user, ssh.PublicKeys(bobs)))
	}
}

// Mallory has an account and knows bob's public key, as everybody does. He offers
// it as bob, which the server finds good, does not sign, and logs in as himself: he
// must not be bob then (CVE-2024-45337).
func TestAKeyThatIsOnlyOfferedProvesNothing(t *testing.T) {
	bobs := clientKey(t)
	r := start(t, users(t), withKeys(owners{"bob": bobs.PublicKey()}))
	c := dialRaw(t, r.addr)
	c.begin()
	c.send(askKey("bob", bobs.PublicKey()))
	c.expect(msgAuthPubKeyOK)
	c.send(passwordStep("alice", doortest.Password))
	c.expect(msgAuthSuccess)
	c.send(openSession(0, 1<<20))
	c.expect(msgChannelConfirm)
	c.send(execRequest(0, framed("whoami")))
	if got := c.expect(msgChannelData); !strings.Contains(string(got), "\nalice\n") {
		t.Errorf("is %q", got)
	}
}

// The same with a signature that is not bob's, which ends the connection.
func TestABadSignatureOpensNothing(t *testing.T) {
	bobs, mine := clientKey(t), clientKey(t)
	r := start(t, users(t), withKeys(owners{"bob": bobs.PublicKey()}))
	c := dialRaw(t, r.addr)
	c.begin()
	signature, err := mine.Sign(nil, []byte("something"))
	check(t, err)
	step := appendString(appendString([]byte{1}, []byte(bobs.PublicKey().Type())), bobs.PublicKey().Marshal())
	c.send(auth("bob", "publickey", appendString(step, ssh.Marshal(signature))))
	c.ended()
}

// Where two steps are asked for, one of them opens nothing: not the key alone, not
// the password first, not the password of somebody else, and not one user's key
// with another's name.
func TestOneOfTwoStepsOpensNothing(t *testing.T) {
	alices, bobs := clientKey(t), clientKey(t)
	r := start(t, users(t), withKeys(owners{"alice": alices.PublicKey(), "bob": bobs.PublicKey()}), func(s *Server) { s.o.KeyAndPassword = true })
	for name, c := range map[string]*ssh.ClientConfig{
		"key":               config("alice", ssh.PublicKeys(alices)),
		"password":          config("alice", password(), answers(doortest.Password)),
		"wrong password":    config("alice", ssh.PublicKeys(alices), ssh.Password("wrong")),
		"another's key":     config("alice", ssh.PublicKeys(bobs), password()),
		"nobody's password": config("mallory", ssh.PublicKeys(alices), password()),
	} {
		if err := r.refuses(t, c); err == nil {
			t.Errorf("%s is enough", name)
		}
	}
	for name, second := range map[string]ssh.AuthMethod{"password": password(), "keyboard-interactive": answers(doortest.Password)} {
		if got := whoami(t, r.dial(t, config("alice", ssh.PublicKeys(alices), second))); got != "alice" {
			t.Errorf("is %q", got)
		}
		if want := `method="publickey and ` + name + `" key=SHA256:`; !strings.Contains(r.log.String(), want) {
			t.Errorf("no %q in the log", want)
		}
	}
}

// After the first step as alice, the second is tried as bob.
func TestTheUserStaysTheSameThroughBothSteps(t *testing.T) {
	alices := clientKey(t)
	r := start(t, users(t), withKeys(owners{"alice": alices.PublicKey()}), func(s *Server) { s.o.KeyAndPassword = true })
	c := dialRaw(t, r.addr)
	c.begin()
	c.send(askKey("alice", alices.PublicKey()))
	c.expect(msgAuthPubKeyOK)
	c.send(passwordStep("alice", doortest.Password)) // not offered before the key is signed with
	c.expect(msgAuthFailure)
	c.send(passwordStep("bob", doortest.Password))
	c.expect(msgAuthFailure)
}

// Over SSH the login is the proof, and the environment that a client sends is not.
func TestTheEnvironmentChangesNothing(t *testing.T) {
	r := start(t, users(t))
	c := r.dial(t, config("alice", password()))
	s, err := c.NewSession()
	check(t, err)
	for name, value := range map[string]string{
		"LOGNAME": "bob", "USER": "bob", "SSH_CLIENT": "10.9.9.9 1 1", "SSH_CONNECTION": "10.9.9.9 1 1 1", "SSH_ORIGINAL_COMMAND": "x2broker --user bob",
		"X2GOBROKER_DEFAULT_BACKEND": "zeroconf", "LD_PRELOAD": "/tmp/x.so",
	} {
		if err := s.Setenv(name, value); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	list := runOn(t, s, "x2broker --task listsessions")
	if !strings.Contains(list.out, "[office]") || strings.Contains(list.out, "[lab]") || strings.Contains(list.out, "[bobs]") {
		t.Errorf("%+v", list)
	}
}

// Mallory has logged in as alice and says to be bob.
func TestWhoIsClaimedDoesNotCount(t *testing.T) {
	r := start(t, users(t))
	for _, claim := range []string{"--user bob --task listsessions", "--user bob --task selectsession --sid bobs", "--user bob --task testcon", "--user bob --task clientevent --sid x", "--user bob --task greet"} {
		c := r.dial(t, config("alice", password()))
		if got := run(t, c, "x2broker "+claim); strings.Contains(got.out, "Access granted") || got.code != 0 {
			t.Errorf("%s: %+v", claim, got)
		}
	}
	if got := run(t, r.dial(t, config("alice", password())), "x2broker --task listsessions --login bob"); !strings.Contains(got.out, "[office]") || strings.Contains(got.out, "[bobs]") {
		t.Errorf("--login makes him bob: %+v", got)
	}
}

// A ticket that bob was given opens nothing for alice, and makes nobody bob.
func TestTheTicketOfAnotherUserDoesNotCount(t *testing.T) {
	r := start(t, users(t))
	_, ticket, _ := strings.Cut(run(t, r.dial(t, config("bob", password())), "x2broker --task listsessions").out, "AUTHID:")
	ticket, _, _ = strings.Cut(ticket, "\n")
	c := r.dial(t, config("alice", password()))
	if got := run(t, c, "x2broker --task listsessions --authid "+ticket); !strings.Contains(got.out, "[office]") || strings.Contains(got.out, "[bobs]") {
		t.Errorf("%+v", got)
	}
	if got := run(t, c, "x2broker --user bob --task listsessions --authid "+ticket); strings.Contains(got.out, "Access granted") {
		t.Errorf("%+v", got)
	}
}

func TestAPasswordIsChanged(t *testing.T) {
	key := clientKey(t)
	r := withPerson(t, nil, withKeys(owners{"alice": key.PublicKey()}))
	const change = "x2broker --user alice --task setpass --newpass two words'"
	if got := run(t, r.dial(t, config("alice", ssh.PublicKeys(key))), framed(change)); !strings.Contains(got.out, "log in again with your password, and change it then") {
		t.Errorf("after a login with a key: %+v", got)
	}
	c := r.dial(t, config("alice", answers("alice-pw")))
	if got := run(t, c, framed(change)); !strings.Contains(got.out, "PASSWORD CHANGED: OK") {
		t.Errorf("%+v", got)
	}
	if c.Wait() == nil {
		t.Error("ended without an end")
	}
	r.refuses(t, config("alice", answers("alice-pw")))
	whoami(t, r.dial(t, config("alice", answers("two words'"))))
}

// What was found wrong in one connection is said of that one only.
func TestAPanicEndsOneConnection(t *testing.T) {
	r := start(t, users(t), withKeys(panics{}))
	other := r.dial(t, config("bob", password()))
	r.refuses(t, config("alice", ssh.PublicKeys(clientKey(t))))
	run(t, other, "x2broker --task testcon")
	r.stop() // the client may know before the log does
	if log := r.log.String(); !strings.Contains(log, `msg="SSH connection panicked" panic="what a key"`) {
		t.Error("the log does not say so")
	}
	if in, _ := r.lobby.count(); in != 0 {
		t.Errorf("%d are in the lobby", in)
	}
}

type panics struct{}

func (panics) Authorized(context.Context, string, ssh.PublicKey, netip.Addr) error {
	panic("what a key")
}
