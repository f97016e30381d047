package identity

import "context"

// A Prompt is what an authenticator says to somebody who logs in.
type Prompt struct {
	Text    string
	Echo    bool // the answer may be seen
	Message bool // wants no answer
}

// Ask shows a prompt and gives the answer, "" for a message. Its error ends the
// conversation.
type Ask func(context.Context, Prompt) (string, error)

// A Converser is an Authenticator that can ask for more than a password, such
// as a one-time code. Converse takes the password of the credentials for the
// first secret that is to be asked for. Its errors are those of Authenticate,
// and those of ask.
type Converser interface {
	Converse(ctx context.Context, c Credentials, ask Ask) (Identity, error)
}

// Converse is [Chain.Authenticate] for somebody who can answer prompts.
func (c *Chain) Converse(ctx context.Context, cred Credentials, ask Ask) (Identity, error) {
	return c.decide(ctx, cred, func(m Authenticator, cred Credentials) (Identity, error) {
		if conv, ok := m.(Converser); ok {
			return conv.Converse(ctx, cred, ask)
		}
		return m.Authenticate(ctx, cred)
	})
}

// Converse is [Gate.Login] for somebody who can answer prompts. The password is
// asked for if the credentials have none. The error is always a *[DeniedError].
func (g *Gate) Converse(ctx context.Context, c Credentials, ask Ask) (*Login, error) {
	if c.Password == "" && !g.chain.Open() {
		password, err := ask(ctx, Prompt{Text: "Password: "})
		if err != nil {
			return nil, g.deny(ctx, c, ReasonNoPassword)
		}
		c.Password = password
	}
	return g.login(ctx, c, func(ctx context.Context, c Credentials) (Identity, error) {
		return g.chain.Converse(ctx, c, ask)
	})
}
