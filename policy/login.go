package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Login is the policy's answer to a login whose password was right. It is shared
// between requests that get the same and must not be changed.
type Login struct {
	Deny     []string // reasons to refuse, sorted; none: let him in
	Accounts []string // server accounts that he may act as, sorted
}

// Login asks whether the user may log in and as whom. An error means deny.
func (e *Engine) Login(ctx context.Context, r Request) (Login, error) {
	login, err := e.askLogin(ctx, r)
	if err != nil {
		return Login{}, fmt.Errorf("decide the login of %q: %w", r.User, err)
	}
	return login, nil
}

func (e *Engine) askLogin(ctx context.Context, r Request) (Login, error) {
	address, err := r.address()
	if err != nil {
		return Login{}, err
	}
	var room [512]byte
	key := e.appendKey(room[:0], e.loginReads, r, address)
	if login, ok := e.logins.get(key); ok {
		return login, nil
	}
	login, err := e.decideLogin(ctx, e.inputFrom(r, address))
	if err != nil {
		return Login{}, err
	}
	e.logins.put(string(key), login, 64*(2+len(login.Deny)+len(login.Accounts)))
	return login, nil
}

func (e *Engine) decideLogin(ctx context.Context, input ast.Value) (Login, error) {
	ctx, cancel := context.WithTimeout(ctx, e.deadline)
	defer cancel()
	v, err := e.login.ask(ctx, input)
	if err != nil {
		return Login{}, err
	}
	answer, ok := v.(ast.Object)
	if !ok {
		return Login{}, errors.New("x2go.login gives no answer")
	}
	var login Login
	if login.Deny, err = names(field(answer, "deny")); err != nil {
		return Login{}, fmt.Errorf("x2go.login.deny: %w", err)
	}
	if login.Accounts, err = names(field(answer, "accounts")); err != nil {
		return Login{}, fmt.Errorf("x2go.login.accounts: %w", err)
	}
	return login, nil
}

// field gives a field of an answer, nil when absent.
func field(o ast.Object, key string) ast.Value {
	if t := o.Get(ast.StringTerm(key)); t != nil {
		return t.Value
	}
	return nil
}

// names gives the members of a set of strings, sorted.
func names(v ast.Value) ([]string, error) {
	set, ok := v.(ast.Set)
	if !ok {
		return nil, errors.New("want a set of strings")
	}
	list := make([]string, 0, set.Len())
	err := set.Iter(func(t *ast.Term) error {
		s, ok := t.Value.(ast.String)
		if !ok {
			return fmt.Errorf("want a set of strings, found %s in it", shorten(t.Value.String()))
		}
		list = append(list, string(s))
		return nil
	})
	slices.Sort(list)
	return list, err
}

// shorten keeps a policy's own values from filling a log line.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%.*s...", most, s)
}
