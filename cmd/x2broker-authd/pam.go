//go:build pam

package main

/*
#include <security/pam_appl.h>
#include <shadow.h>
#include <stdlib.h>

// One process serves one request, so that one variable will do.
static unsigned int delay_asked;

static void keep_delay(int status, unsigned int usec, void *data) {
	if (status != PAM_SUCCESS) delay_asked = usec;
}

// To wait here would keep a process busy; the broker waits instead.
static int keep_delays(void *handle) {
	return pam_set_item((pam_handle_t *)handle, PAM_FAIL_DELAY, (const void *)keep_delay);
}

static unsigned int delay(void) { return delay_asked; }

// usermod -L puts a ! before the hash. A ! alone is an account that has no
// password here, and perhaps one elsewhere.
static int is_locked(const char *name) {
	struct spwd *s = getspnam(name);
	return s && s->sp_pwdp && s->sp_pwdp[0] == '!' && s->sp_pwdp[1] == '$';
}
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"unsafe"

	"github.com/msteinert/pam/v2"

	"github.com/x2broker/x2broker/broker/identity/authd"
)

// service is the name of the file in /etc/pam.d. No request can choose another.
const service = "x2broker"

// backend is PAM and NSS.
type backend struct{}

// Authenticate lets PAM decide about the name as it was typed. Who it is says
// NSS about the name that PAM has in the end.
func (backend) Authenticate(r authd.Request, talk authd.Talk) authd.Result {
	t, failed := begin(r.Name, r.Address, talk)
	if t == nil {
		return failed
	}
	defer t.end()
	res := t.prove()
	if res.Code != authd.MustChange || !r.Converse {
		return res
	}
	if err := becomeLikePasswd(res.User.UID); err != nil {
		return failure("change the password", err)
	}
	if err := t.pam.ChangeAuthTok(pam.ChangeExpiredAuthtok); err != nil {
		return authd.Result{Code: authd.MustChange}
	}
	res.Code = authd.OK
	return res
}

// Lookup asks NSS who it is, and PAM and shadow(5) whether his account is valid.
func (backend) Lookup(name string) authd.Result {
	t, failed := begin(name, "", func(style authd.Style, _ string) (string, error) {
		if style == authd.EchoOff || style == authd.EchoOn {
			return "", authd.ErrNeedsMore
		}
		return "", nil
	})
	if t == nil {
		return failed
	}
	defer t.end()
	return t.account(t.pam.AcctMgmt(pam.Silent))
}

// Change checks the old password, and then does what passwd(1) does.
func (backend) Change(r authd.Request, confirm func(authd.User) bool) authd.Result {
	once := answers{r.Password}
	t, failed := begin(r.Name, r.Address, once.talk)
	if t == nil {
		return failed
	}
	res := t.prove()
	t.end()
	switch {
	case res.Code != authd.OK && res.Code != authd.MustChange:
		return res
	case res.User.UID == 0:
		return authd.Result{Code: authd.Refused, Text: "the password of root is not changed from afar"}
	case !confirm(res.User):
		return authd.Result{Code: authd.Failed, Text: "the change was not confirmed"}
	}
	if err := becomeLikePasswd(res.User.UID); err != nil {
		return failure("change the password", err)
	}
	c := changer{old: r.Password, next: r.New}
	if t, failed = begin(res.User.Name, r.Address, c.talk); t == nil {
		return failed
	}
	err := t.pam.ChangeAuthTok(0)
	t.end()
	switch {
	case err == nil && c.secrets < 2:
		return authd.Result{Code: authd.Failed, Text: "PAM did not ask for a new password"}
	case err == nil:
		return authd.Result{Code: authd.OK, User: res.User}
	case c.said != "":
		return authd.Result{Code: authd.Refused, Text: c.said}
	}
	return authd.Result{Code: authd.Refused, Text: strings.ToLower(err.Error())}
}

// A transaction is a handle of PAM.
type transaction struct {
	pam       *pam.Transaction
	needsMore bool
}

// begin starts a transaction, nil with the result if it cannot.
func begin(name, address string, talk authd.Talk) (*transaction, authd.Result) {
	if name == "" { // PAM would ask for it
		return nil, authd.Result{Code: authd.Unknown}
	}
	t := &transaction{}
	var err error
	t.pam, err = pam.StartFunc(service, name, func(style pam.Style, text string) (string, error) {
		s, ok := styles[style]
		if !ok {
			return "", fmt.Errorf("prompt of style %d", style)
		}
		said, err := talk(s, text)
		t.needsMore = t.needsMore || errors.Is(err, authd.ErrNeedsMore)
		return said, err
	})
	if err != nil {
		return nil, failure("start PAM", err)
	}
	// The library has no way to set a function. The name of its field is
	// checked by each start.
	handle := reflect.ValueOf(t.pam).Elem().FieldByName("handle").UnsafePointer()
	if status := C.keep_delays(handle); status != C.PAM_SUCCESS {
		t.end()
		return nil, failure("start PAM", pam.Error(status))
	}
	items := map[pam.Item]string{pam.Tty: service, pam.Rhost: address}
	for item, value := range items {
		if value == "" {
			continue
		}
		if err := t.pam.SetItem(item, value); err != nil {
			t.end()
			return nil, failure("start PAM", err)
		}
	}
	return t, authd.Result{}
}

func (t *transaction) end() { _ = t.pam.End() }

var styles = map[pam.Style]authd.Style{
	pam.PromptEchoOff: authd.EchoOff,
	pam.PromptEchoOn:  authd.EchoOn,
	pam.TextInfo:      authd.Info,
	pam.ErrorMsg:      authd.ErrorText,
}

// prove asks PAM for the password and about the account.
func (t *transaction) prove() authd.Result {
	// Nobody gets in without a password, whatever the file says of nullok.
	if err := t.pam.Authenticate(pam.DisallowNullAuthtok); err != nil {
		return t.refusal(err)
	}
	return t.account(t.pam.AcctMgmt(pam.DisallowNullAuthtok))
}

// refusal says how PAM has refused a password. What it says of the account does
// not count here: it may be said without the right password.
func (t *transaction) refusal(err error) authd.Result {
	res := authd.Result{Code: authd.Wrong, Delay: uint32(C.delay())}
	switch {
	case t.needsMore:
		return authd.Result{Code: authd.NeedsMore}
	case errors.Is(err, pam.ErrAuth), errors.Is(err, pam.ErrUserUnknown), errors.Is(err, pam.ErrMaxtries),
		errors.Is(err, pam.ErrPermDenied), errors.Is(err, pam.ErrAcctExpired), errors.Is(err, pam.ErrNewAuthtokReqd):
	default:
		return failure("authenticate", err)
	}
	_, err = t.user()
	switch {
	case errors.Is(err, errUnknown):
		res.Code = authd.Unknown
	case err != nil:
		return failure("look up the user", err)
	}
	return res
}

// account says who it is, if PAM has nothing against it.
func (t *transaction) account(err error) authd.Result {
	code := authd.OK
	switch {
	case err == nil:
	case errors.Is(err, pam.ErrNewAuthtokReqd):
		code = authd.MustChange
	case errors.Is(err, pam.ErrAcctExpired), errors.Is(err, pam.ErrAuthtokExpired), errors.Is(err, pam.ErrPermDenied),
		errors.Is(err, pam.ErrAuth), errors.Is(err, pam.ErrUserUnknown):
		code = authd.Expired
	default:
		return failure("check the account", err)
	}
	u, err := t.user()
	switch {
	case errors.Is(err, errUnknown):
		return authd.Result{Code: authd.Unknown}
	case err != nil:
		return failure("look up the user", err)
	case code == authd.OK && locked(u.Name):
		code = authd.Expired
	}
	return authd.Result{Code: code, User: u}
}

// user asks NSS about the name that PAM has, which a module may have changed.
func (t *transaction) user() (authd.User, error) {
	name, err := t.pam.GetItem(pam.User)
	if err != nil {
		return authd.User{}, err
	}
	return lookUp(name)
}

func locked(name string) bool {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	return C.is_locked(s) != 0
}

// becomeLikePasswd makes the process what passwd(1) is for a user: effectively
// root, but started by him. Modules then ask for the old password and hold the
// new one to the rules, from which they spare root.
func becomeLikePasswd(uid uint32) error { return syscall.Setresuid(int(uid), 0, 0) }

// answers gives one password to the first prompt for a secret.
type answers struct{ password string }

func (a *answers) talk(style authd.Style, _ string) (string, error) {
	switch {
	case style == authd.EchoOff && a.password != "":
		password := a.password
		a.password = ""
		return password, nil
	case style == authd.EchoOff, style == authd.EchoOn:
		return "", authd.ErrNeedsMore
	}
	return "", nil
}

// changer answers as a user does whom passwd(1) asks: the old password first,
// then the new one, as often as it is asked for.
type changer struct {
	old, next string
	secrets   int
	said      string // the last thing that was said, if not only shown
}

func (c *changer) talk(style authd.Style, text string) (string, error) {
	const most = 8 // of a module that asks again and again
	switch style {
	case authd.ErrorText, authd.Info:
		if text = strings.TrimSpace(text); text != "" && (style == authd.ErrorText || c.said == "") {
			c.said = text
		}
		return "", nil
	case authd.EchoOff:
		c.secrets++
		if c.secrets == 1 {
			return c.old, nil
		}
		if c.secrets <= most {
			return c.next, nil
		}
	}
	return "", authd.ErrNeedsMore
}

func failure(what string, err error) authd.Result {
	return authd.Result{Code: authd.Failed, Text: fmt.Sprintf("cannot %s: %v", what, err)}
}
