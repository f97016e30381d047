package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLogin(t *testing.T) {
	for _, tt := range []struct {
		name, policy string
		ask          func(*Request)
		want         Login
		err          string
	}{
		{name: "a user is himself", want: Login{Deny: []string{}, Accounts: []string{"alice"}}},
		{
			name: "where no password is asked for there may be no name",
			ask:  func(r *Request) { r.User = "" },
			want: Login{Deny: []string{}, Accounts: []string{""}},
		},
		{
			name: "reasons are sorted",
			policy: `deny contains reason if some reason in ["z", "a"]
				deny contains "m"`,
			want: Login{Deny: []string{"a", "m", "z"}, Accounts: []string{"alice"}},
		},
		{
			name:   "no account at all",
			policy: `accounts contains name if some name in data.site.params.none`,
			want:   Login{Deny: []string{}, Accounts: []string{}},
		},
		{
			name:   "an account that is no name",
			policy: `accounts contains 7`,
			err:    `decide the login of "alice": x2go.login.accounts: want a set of strings, found 7 in it`,
		},
		{
			name:   "a reason that is no text",
			policy: `deny contains true`,
			err:    `decide the login of "alice": x2go.login.deny: want a set of strings, found true in it`,
		},
		{
			name:   "an error is a deny",
			policy: `deny contains "x" if not to_number(input.user.name) > 3`,
			err: `decide the login of "alice": policy/login.rego:3:26: a function was called with a value that it cannot take: ` +
				`to_number: strconv.ParseFloat: parsing "alice": invalid syntax`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := alice()
			if tt.ask != nil {
				tt.ask(&r)
			}
			e := engine(t, site(t, nil), modules("login.rego", "package x2go.login\n\n"+tt.policy))
			login, err := e.Login(t.Context(), r)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.err {
				t.Errorf("error %q, want %q", got, tt.err)
			}
			if diff := cmp.Diff(tt.want, login); diff != "" {
				t.Error(diff)
			}
		})
	}
}
