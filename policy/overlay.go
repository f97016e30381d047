package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

const overlayRule = "x2go.access.overlay"

// askOverlay asks what to change of the profiles' settings for this request. The
// answer is by profile; nil when the site defines no overlay.
func (e *Engine) askOverlay(ctx context.Context, input ast.Value, ids []string) (ast.Object, error) {
	if e.overlay == nil || len(ids) == 0 {
		return nil, nil
	}
	v, err := e.overlay.askAbout(ctx, ids, input)
	if err != nil {
		return nil, err
	}
	changes, ok := v.(ast.Object)
	if !ok {
		return nil, errors.New(overlayRule + " gives no answer")
	}
	return changes, nil
}

// overlaid gives the profile with its changes: a copy if there are any. The
// error says which rule, which key and what would be right.
func (e *Engine) overlaid(p *schema.Profile, changes ast.Object) (*schema.Profile, error) {
	if changes == nil {
		return p, nil
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s: %w", places(e.defined[overlayRule]), overlayRule, fmt.Errorf(format, args...))
	}
	mine := changes.Get(ast.StringTerm(p.ID))
	if mine == nil {
		return p, nil
	}
	keys, ok := mine.Value.(ast.Object)
	if !ok {
		return nil, wrong("must have sets of values by key, not %s", shorten(mine.Value.String()))
	}
	settings := make(map[string]any, keys.Len())
	err := keys.Iter(func(k, v *ast.Term) error {
		name, ok := k.Value.(ast.String)
		if !ok {
			return wrong("%s is no session key", shorten(k.Value.String()))
		}
		key := string(name)
		value, err := single(v.Value)
		if err != nil {
			return wrong("key %s: %w", key, err)
		}
		if settings[key], err = schema.CheckSetting(key, value); err != nil {
			return wrong("%w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(settings) == 0 {
		return p, nil
	}
	return p.WithSettings(settings), nil
}

// single gives the one member of a set of values as plain data.
func single(v ast.Value) (any, error) {
	set, ok := v.(ast.Set)
	if !ok {
		return nil, fmt.Errorf("must have a set of values, not %s; write `overlay[profile_id][key] contains value`", shorten(v.String()))
	}
	if set.Len() > 1 {
		members := make([]string, 0, set.Len())
		for _, t := range set.Slice() {
			members = append(members, t.String())
		}
		return nil, fmt.Errorf("two rules give different values: %s; one must win", shorten(strings.Join(members, ", ")))
	}
	var one any
	err := set.Iter(func(t *ast.Term) (err error) {
		one, err = ast.JSON(t.Value)
		return err
	})
	return one, err
}
